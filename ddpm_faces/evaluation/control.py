"""How often the judge sees what was asked for, beside how often it sees what is there in real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.evaluation import plots
from ddpm_faces.evaluation.suite import EASY, Part, Suite
from ddpm_faces.judge import balanced_accuracy, scores


class Obedience(NamedTuple):
    """By attribute or digit, each of length K: accuracy, balanced accuracy, and how many pictures asked for yes and for no."""

    accuracy: list[float]
    balanced: list[float]
    yes: list[int]
    no: list[int]


def obedience(logits: Tensor, asked: Tensor, exclusive: bool, thresholds: Tensor | float = 0.0) -> Obedience:
    """logits (N, K) of the judge; asked (N, K), +1 and -1 where something was asked, 0 where not (one-hot for digits).

    thresholds: of the balanced accuracy, see `JudgeConfig.thresholds`; the accuracy is taken at 0, as on real pictures. A
    digit's accuracy is how often it is recognised where it was asked. NaN for what was never asked, and in "balanced" for
    what was asked one way only.
    """
    yes, no = asked > 0, asked <= 0 if exclusive else asked < 0
    counts = yes.sum(dim=0), no.sum(dim=0)
    if exclusive:
        said = torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).bool()
        accuracy = (said & yes).sum(dim=0).double() / counts[0]
    else:
        said = logits > thresholds
        accuracy = (((logits > 0) == yes) & (yes | no)).sum(dim=0).double() / (counts[0] + counts[1])
    balanced = balanced_accuracy(said, yes, no)
    return Obedience(accuracy.tolist(), balanced.tolist(), counts[0].tolist(), counts[1].tolist())


def single_attributes(names: tuple[str, ...], attributes: Sequence[str], each: int) -> tuple[Tensor, list[int]]:
    """Conditions (2 * each * len(attributes), K) in which one attribute alone is named, +1 and -1 in turn, and seeds.

    The same seeds for every attribute, and for yes and no: what differs is what was asked.
    """
    rows, seeds = [], []
    for name in attributes:
        for i in range(each):
            for value in (1.0, -1.0):
                row = torch.zeros(len(names))
                row[names.index(name)] = value
                rows.append(row)
                seeds.append(i)
    return torch.stack(rows) if rows else torch.zeros(0, len(names)), seeds


def judged(suite: Suite, pictures: np.ndarray, asked: Tensor) -> Obedience:
    """The judge's verdict on pictures (N, H, W, C) uint8 that were drawn with the conditions asked (N, K)."""
    logits = suite.judge.extract(pictures, progress="the judge").logits
    return obedience(logits, asked, suite.kind == "digits", suite.judge.config.thresholds)


def control(suite: Suite) -> Part:
    """How often the judge sees what was asked: whole vectors of the test split, and single attributes alone."""
    asked = suite.conditions(suite.n)
    exclusive = suite.kind == "digits"
    real = suite.judge.extract(suite.test.images, progress="the judge on real pictures").logits
    own = scores(real, torch.from_numpy(np.array(suite.test.conditions)), exclusive, suite.judge.config.thresholds)
    whole = judged(suite, suite.samples(), asked)
    table = {
        name: {
            "judge on real": own["balanced"][k],
            "accuracy on real": own["accuracy"][k],
            "with a whole vector": whole.balanced[k],
            "accuracy with a whole vector": whole.accuracy[k],
            "asked yes": whole.yes[k],
            "asked no": whole.no[k],
        }
        for k, name in enumerate(suite.names)
    }
    if not exclusive:
        vectors, seeds = single_attributes(suite.names, suite.names, suite.each)
        alone = suite.cache.draw(vectors, [suite.seed + s for s in seeds], "attributes asked alone")
        found = judged(suite, alone, vectors)
        for k, row in enumerate(table.values()):
            row |= {"alone": found.balanced[k], "accuracy alone": found.accuracy[k], "asked alone": 2 * suite.each}
    numbers: dict[str, Any] = {"table": table, "means": means(table, suite.names)}
    if exclusive:
        numbers["recognised"] = sum(a * n for a, n in zip(whole.accuracy, whole.yes, strict=True) if n) / len(asked)
        said = real.argmax(dim=1).numpy()
        numbers["recognised of real ones"] = float((said == suite.test.conditions.argmax(axis=1)).mean())
    else:
        easy = [name for name in EASY if name in table]
        numbers["means of the easiest to see"] = means(table, easy)
        numbers["the easiest to see"] = easy
    return Part(numbers, {"control.png": plots.bars(table, "balanced accuracy (for digits: of each against the rest)")})


def means(table: dict[str, dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    """The mean of each balanced accuracy over these names, leaving out those that could not be measured."""
    keys = [key for key in ("judge on real", "with a whole vector", "alone") if key in next(iter(table.values()))]
    return {key: float(np.nanmean([table[name][key] for name in names])) for key in keys}
