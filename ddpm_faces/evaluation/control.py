"""How often the judge sees what was asked for, beside how often it sees what is there in real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.judge import balanced_accuracy


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
