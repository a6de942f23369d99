"""What a strip promises, as numbers: what was asked rises step by step, the rest stays, the person stays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.evaluation import plots
from ddpm_faces.evaluation.report import STRANGERS
from ddpm_faces.evaluation.suite import EASY, Part, Suite, sheet
from ddpm_faces.images import to_tensor
from ddpm_faces.judge import BATCH, Judge


class StripScore(NamedTuple):
    """Means over strips. monotone: Spearman's rank correlation of the column and the asked logit, in [-1, 1].

    rise: that logit's change from the first column to the last. others: mean absolute change, first to last, of the logits
    of what was not to change. person: cosine of the features of the two ends. step: mean perceptual distance of neighbouring
    columns. jump: the largest of a strip's steps in its mean step, 1 if all are alike.
    """

    monotone: float
    rise: float
    others: float
    person: float
    step: float
    jump: float


def rank_correlation(values: Tensor) -> Tensor:
    """Spearman's correlation of each row of values (R, C) with its column number: (R,); 0 for a row that never changes."""
    from scipy.stats import spearmanr

    columns = range(values.shape[1])
    changes = (values != values[:, :1]).any(dim=1).tolist()
    found = [spearmanr(columns, row).statistic if moved else 0.0 for row, moved in zip(values.numpy(), changes, strict=True)]
    return torch.tensor(found, dtype=torch.float64)


@torch.no_grad()
def perceptual_distance(judge: Judge, one: Tensor, other: Tensor) -> Tensor:
    """How different pictures (B, C, H, W) look to the judge: (B,). 0 where they are the same.

    As LPIPS without its learned weights (Zhang et al. 2018, (1)): each stage's maps, at every place of unit length over the
    channels; squared differences, averaged over the picture and added over the stages.
    """
    total = torch.zeros(len(one))
    for start in range(0, len(one), BATCH):
        rows = slice(start, start + BATCH)
        stages = (judge.network.features(x[rows].to(judge.device))[:-1] for x in (one, other))
        for a, b in zip(*stages, strict=True):
            a, b = (torch.nn.functional.normalize(h, dim=1, eps=1e-6) for h in (a, b))
            total[rows] += (a - b).square().sum(dim=1).mean(dim=(1, 2)).cpu()
    return total


def score_strips(judge: Judge, x: Tensor, conditions: Tensor, asked: int) -> tuple[StripScore, Tensor]:
    """x (R, C, channels, H, W) in [-1, 1], drawn with conditions (R, C, K); asked: index of what was to change.

    Returns the score, and the asked logits (R, C). What else changes in the conditions, since it excludes what was asked, is
    not among the others that should stay.
    """
    rows = len(x)
    held = (conditions == conditions[:, :1]).flatten(0, 1).all(dim=0)  # (K,)
    x = x.flatten(0, 1)
    seen = judge.extract(x)
    logits, features = (t.unflatten(0, (rows, -1)) for t in (seen.logits, seen.features))
    columns = x.unflatten(0, (rows, -1))
    steps = perceptual_distance(judge, columns[:, :-1].flatten(0, 1), columns[:, 1:].flatten(0, 1)).view(rows, -1)
    return measure(logits, features, steps, asked, held), logits[:, :, asked]


def strangers(judge: Judge, x: Tensor) -> dict[str, float]:
    """The same measures of what is no strip, between each of the pictures x (N, C, H, W) and the next one: how far other
    persons are. "others", "person" and "step" as in StripScore."""
    seen = judge.extract(x)
    return {
        "others": float((seen.logits[1:] - seen.logits[:-1]).abs().mean()),
        "person": float(torch.cosine_similarity(seen.features[1:], seen.features[:-1], dim=-1).mean()),
        "step": float(perceptual_distance(judge, x[1:], x[:-1]).mean()),
    }


def measure(logits: Tensor, features: Tensor, steps: Tensor, asked: int, held: Tensor) -> StripScore:
    """logits (R, C, K), features (R, C, F) of R strips of C columns and the distances (R, C - 1) between neighbours.

    held (K,): which of the others should stay.
    """
    change = (logits[:, -1] - logits[:, 0]).double()
    others = held.clone()
    others[asked] = False
    return StripScore(
        monotone=float(rank_correlation(logits[:, :, asked]).mean()),
        rise=float(change[:, asked].mean()),
        others=float(change[:, others].abs().mean()),
        person=float(torch.cosine_similarity(features[:, 0], features[:, -1], dim=-1).mean()),
        step=float(steps.mean()),
        jump=float((steps.amax(dim=1) / steps.mean(dim=1).clamp(min=1e-12)).mean()),
    )


def strips(suite: Suite) -> Part:
    """Strips as `interpolate` draws them: of each attribute that is easy to see, or from digit to digit."""
    from ddpm_faces.interpolate import InterpolateConfig, lay_out_digits, lay_out_faces

    table, curves, shown = {}, {}, []
    digits = suite.kind == "digits"
    asked = [(d, (d + 3) % 10) for d in range(10)] if digits else [n for n in EASY if n in suite.names]
    for item in asked:
        settings: dict[str, Any] = {"n": suite.persons, "columns": suite.columns, "seed": suite.seed}
        if isinstance(item, tuple):
            layout = lay_out_digits(InterpolateConfig(from_digit=item[0], to_digit=item[1], **settings))
            label, index = f"{item[0]} to {item[1]}", item[1]
        else:
            layout = lay_out_faces(InterpolateConfig(attr=(item,), **settings), suite.names, suite.cache.model.scales)
            label, index = item, suite.names.index(item)
        pictures = suite.cache.draw(layout.conditions, layout.seeds, f"strips: {label}")
        x = to_tensor(pictures).unflatten(0, (suite.persons, -1))
        score, logits = score_strips(suite.judge, x, layout.conditions.unflatten(0, (suite.persons, -1)), index)
        table[label] = score._asdict()
        curves[label] = logits.mean(dim=0).tolist()
        shown.append(x[0])
    mean = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()))}
    overview = sheet(torch.cat(shown), suite.columns, left=list(table), title="the first person of each strip")
    numbers = {"table": table, "means": mean, STRANGERS: strangers(suite.judge, to_tensor(suite.real(64)))}
    return Part(numbers, {"strips.png": overview, "curves.png": plots.curves(curves)})
