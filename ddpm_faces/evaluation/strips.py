"""What a strip promises, as numbers: what was asked for rises step by step, the rest stays, the face stays the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ddpm_faces.conditions import paths
from ddpm_faces.evaluation.part import Numbers, Part
from ddpm_faces.evaluation.report import cell, heading, render, table
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite, sheet
from ddpm_faces.models.classifier_checkpoint import BATCH, Classifier
from ddpm_faces.utils.images import to_tensor

NEEDS_CONDITIONS = True
COLUMNS, MOST_CLASSES = 7, 10
TWO_REAL = "two different real ones"
EXPLAINED = """monotone: rank correlation of the column and the asked logit; rise: that logit's change; others: mean absolute
change of the other logits; similarity: cosine of the two ends' features; step: mean perceptual distance of neighbours; jump:
the largest step of a strip in its mean one."""


class StripScore(NamedTuple):
    """Means over strips. monotone: Spearman's rank correlation of the column and the asked logit, in [-1, 1].

    rise: that logit's change from the first column to the last. others: mean absolute change, first to last, of the logits
    of what was not to change. similarity: cosine of the features of the two ends. step: mean perceptual distance of
    neighbouring columns. jump: the largest of a strip's steps in its mean step, 1 if all are alike.
    """

    monotone: float
    rise: float
    others: float
    similarity: float
    step: float
    jump: float


class Strips(NamedTuple):
    """The strips of one change, a row for each seed. asked: index of the label that should rise."""

    label: str
    asked: int
    request: Request


def strips(suite: Suite) -> list[Strips]:
    """Strips as `interpolate` draws them: of each attribute that is easy to see, or from class to class."""
    labels, seed, rows = suite.labels, suite.settings.seed, suite.settings.persons
    change = paths.Change(columns=COLUMNS, frequencies=suite.model.config.frequencies, scales=suite.model.scales)
    found = []
    for name in suite.easily_seen:
        layout = paths.strip(labels, name, {}, change, rows=rows, seed=seed)
        found.append(Strips(name, labels.index(name), Request(f"strips: {name}", layout.conditions, layout.seeds)))
    for first, last in class_pairs(len(labels)) if labels.one_hot else ():
        layout = paths.class_strip(labels, first, last, columns=COLUMNS, rows=rows, seed=seed)
        label = f"{labels.names[first]} to {labels.names[last]}"
        found.append(Strips(label, last, Request(f"strips: {label}", layout.conditions, layout.seeds)))
    return found


def class_pairs(count: int) -> list[tuple[int, int]]:
    """From each of the first classes to one a third of them away."""
    return [(k, (k + max(1, count // 3)) % count) for k in range(min(count, MOST_CLASSES)) if count > 1]


def requests(suite: Suite) -> list[Request]:
    """Those of all strips."""
    return [found.request for found in strips(suite)]


def measure(suite: Suite) -> Part:
    """A row for each change, their means, and the same of pairs of real images that are no strip."""
    rows, curves, shown = {}, {}, []
    for label, asked, request in strips(suite):
        x, conditions = (
            torch.unflatten(t, 0, (-1, COLUMNS)) for t in (to_tensor(suite.cache.sample(request)), request.conditions)
        )
        found, logits = score_strips(suite.classifier, x, conditions, asked)
        rows[label] = found._asdict()
        curves[label] = logits.mean(dim=0).tolist()
        shown.append(x[0])
    means = {key: float(np.mean([row[key] for row in rows.values()])) for key in StripScore._fields}
    overview = sheet(torch.cat(shown), COLUMNS, left=list(rows), title="the first of the strips of each change")
    numbers = {"table": rows, "means": means, TWO_REAL: unrelated(suite.classifier, to_tensor(suite.real(64)))}
    return Part(numbers, {"strips.png": overview, "curves.png": plot(curves)})


def score_strips(classifier: Classifier, x: Tensor, conditions: Tensor, asked: int) -> tuple[StripScore, Tensor]:
    """x (R, C, channels, H, W) in [-1, 1], sampled with conditions (R, C, K); asked: index of what was to change.

    Returns the score, and the asked logits (R, C). What else changes in the conditions, since it excludes what was asked for,
    is not among the others that should stay.
    """
    rows = len(x)
    held = (conditions == conditions[:, :1]).flatten(0, 1).all(dim=0)  # (K,)
    seen = classifier.extract(x.flatten(0, 1))
    logits, features = (torch.unflatten(t, 0, (rows, -1)) for t in (seen.logits, seen.features))
    steps = perceptual_distance(classifier, x[:, :-1].flatten(0, 1), x[:, 1:].flatten(0, 1)).view(rows, -1)
    return strip_score(logits, features, steps, asked, held), logits[:, :, asked]


def strip_score(logits: Tensor, features: Tensor, steps: Tensor, asked: int, held: Tensor) -> StripScore:
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
        similarity=float(torch.cosine_similarity(features[:, 0], features[:, -1], dim=-1).mean()),
        step=float(steps.mean()),
        jump=float((steps.amax(dim=1) / steps.mean(dim=1).clamp(min=1e-12)).mean()),
    )


def unrelated(classifier: Classifier, x: Tensor) -> dict[str, float]:
    """How far images x (N, C, H, W) of different faces are from one another, each from the next, as in StripScore."""
    seen = classifier.extract(x)
    return {
        "others": float((seen.logits[1:] - seen.logits[:-1]).abs().mean()),
        "similarity": float(torch.cosine_similarity(seen.features[1:], seen.features[:-1], dim=-1).mean()),
        "step": float(perceptual_distance(classifier, x[1:], x[:-1]).mean()),
    }


def rank_correlation(values: Tensor) -> Tensor:
    """Spearman's correlation of each row of values (R, C) with its column number: (R,); 0 for a row that never changes."""
    from scipy.stats import spearmanr

    columns = range(values.shape[1])
    changes = (values != values[:, :1]).any(dim=1).tolist()
    found = [spearmanr(columns, row).statistic if moved else 0.0 for row, moved in zip(values.numpy(), changes, strict=True)]
    return torch.tensor(found, dtype=torch.float64)


@torch.no_grad()
def perceptual_distance(classifier: Classifier, one: Tensor, other: Tensor) -> Tensor:
    """How different images (B, C, H, W) look to the classifier: (B,). 0 where they are the same.

    As LPIPS without its learned weights (Zhang et al. 2018, (1)): each stage's maps, at every place of unit length over the
    channels; squared differences, averaged over the image and added over the stages.
    """
    total = torch.zeros(len(one))
    for start in range(0, len(one), BATCH):
        rows = slice(start, start + BATCH)
        stages = (classifier.network.features(x[rows].to(classifier.device))[:-1] for x in (one, other))
        for a, b in zip(*stages, strict=True):
            a, b = (F.normalize(h, dim=1, eps=1e-6) for h in (a, b))
            total[rows] += (a - b).square().sum(dim=1).mean(dim=(1, 2)).cpu()
    return total


def plot(curves: dict[str, list[float]]) -> Image.Image:
    """The asked logit along each strip."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for i, (label, logits) in enumerate(curves.items()):
        style = "o-" if i < 10 else "s--"
        axes.plot(np.linspace(0, 1, len(logits)), logits, style, color=f"C{i % 10}", label=label, markersize=4)
    axes.axhline(0, color="0.3", linewidth=1, linestyle=":")
    axes.set(xlabel="from the strip's first column to its last", ylabel="the asked logit, mean over strips (above 0: seen)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return render(figure)


def verdict(numbers: Numbers) -> str:
    """Whether strips rise, and whether they keep the rest."""
    means, real = numbers["means"], numbers[TWO_REAL]
    return (
        f"Along a strip the asked logit follows the column with a rank correlation of {cell(means['monotone'])}, and the ends "
        f"have a similarity of {cell(means['similarity'])}, beside {cell(real['similarity'])} of two different real ones."
    )


def report(numbers: Numbers, about: Numbers) -> list[str]:
    """A row for each change, their means, and pairs of real images."""
    rows = numbers["table"] | {"mean": numbers["means"], TWO_REAL: numbers[TWO_REAL]}
    return [*heading("Interpolation", numbers), *table(rows), "", EXPLAINED, "", "![](strips.png)", "![](curves.png)"]
