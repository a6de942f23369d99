"""Which guidance, and how many steps? Quality and conditional accuracy against both; the default guidance is chosen here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ddpm_faces.evaluation.metrics import compare
from ddpm_faces.evaluation.part import Numbers, Part
from ddpm_faces.evaluation.reference import REFERENCE, blurred, extract_dataset
from ddpm_faces.evaluation.report import cell, heading, render, table
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite
from ddpm_faces.models.classifier_checkpoint import Extracted

NEEDS_CONDITIONS = False
SCALES, STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (4, 6, 8, 15, 25)
NEAR = 0.05  # of the way from the lowest KID to the blurred images': what is as good as the lowest
WELL = 0.01  # of conditional accuracy: what is as accurate; more guidance costs diversity
CHOICE = """of those whose KID is at most a twentieth of the way from the lowest to that of blurred images, the lowest whose
conditional accuracy is as high as that of any of them, or lower by 0.01 at most."""
AXES = {"FID": "FID (low is good)", "recall": "recall (diversity)", "conditional accuracy": "conditional accuracy"}


class Point(NamedTuple):
    """How the images of one point are sampled. All of a point is sampled with one scale, also what is asked alone."""

    guidance: float
    steps: int

    def __str__(self) -> str:
        return f"guidance {self.guidance:g}, {self.steps} steps"


def curves(suite: Suite) -> dict[str, list[Point]]:
    """By guidance at the default steps (unless nothing can be asked of the model), and by steps at the default guidance."""
    guidance, steps = suite.cache.options["guidance"], suite.cache.options["steps"]
    guidance = suite.model.guidance if guidance is None else guidance
    scales = {*SCALES, guidance} if suite.labels else ()
    possible = (count for count in STEPS if count <= suite.model.schedule.steps)
    return {
        "by guidance": [Point(scale, steps) for scale in sorted(scales)],
        "by steps": [Point(guidance, count) for count in sorted({*possible, steps})],
    }


def whole(suite: Suite, point: Point) -> Request:
    """Images asked for with whole vectors, or classes."""
    return suite.samples(suite.settings.sweep_n, str(point), **point._asdict())


def alone(suite: Suite, point: Point) -> Request:
    """Images asked for single attributes that are easy to see; none of a model that knows no attributes."""
    each = max(1, suite.settings.sweep_n // 48)
    return suite.alone(suite.easily_seen, each, f"asked alone: {point}", **point._asdict())


def requests(suite: Suite) -> Iterator[Request]:
    """Those of all points."""
    for points in curves(suite).values():
        for point in points:
            yield whole(suite, point)
            yield alone(suite, point)


def measure(suite: Suite) -> Part:
    """Both curves, and the guidance chosen."""
    real = extract_dataset(suite.extractor, suite.test, REFERENCE, "the test split")
    soft = suite.extractor.extract(blurred(suite.real(suite.settings.sweep_n, suite.train)), "blurred images")
    ruler = compare(soft, real, one_hot=False)["KID"]
    points = curves(suite)
    different = dict.fromkeys(point for curve in points.values() for point in curve)  # both curves have the default point
    found = {point: measure_point(suite, point, real) for point in different}
    numbers: Numbers = {"images a point": suite.settings.sweep_n, "KID of blurred images": ruler}
    numbers |= {name: [found[point] for point in curve] for name, curve in points.items()}
    if suite.labels:
        numbers["guidance chosen"] = choose(numbers["by guidance"], ruler)
    return Part(numbers, {"sweep.png": plot({name: numbers[name] for name in points})})


def measure_point(suite: Suite, point: Point, real: Extracted) -> dict[str, Any]:
    """Quality, "conditional accuracy" with whole vectors, and "alone", that of single attributes that are easy to see."""
    request, single = whole(suite, point), alone(suite, point)
    images = suite.cache.sample(request)
    found = compare(suite.extractor.extract(images, f"features: {point}"), real, one_hot=False) | suite.faces_found(images)
    if suite.labels:
        found["conditional accuracy"] = float(np.nanmean(suite.accuracy(images, request.conditions).balanced))
    if single.seeds:
        found["alone"] = float(np.nanmean(suite.accuracy(suite.cache.sample(single), single.conditions).balanced))
    return suite.cache.options | point._asdict() | found


def choose(points: list[dict[str, Any]], ruler: float) -> float:
    """Of those whose KID is NEAR the lowest, the lowest guidance whose conditional accuracy is as good as WELL allows.

    That of single attributes, where it was measured. ruler: the KID of blurred images. KID is unbiased, so that the choice
    does not depend on how many images were sampled.
    """

    def accuracy(point: dict[str, Any]) -> float:
        return float(point.get("alone", point["conditional accuracy"]))

    least = min(p["KID"] for p in points)
    good = [p for p in points if p["KID"] <= least + NEAR * max(0.0, ruler - least)]
    best = max(accuracy(p) for p in good)
    return min(float(p["guidance"]) for p in good if accuracy(p) >= best - WELL)


def plot(points: dict[str, list[dict[str, Any]]]) -> Image.Image:
    """The trade-off: distance, recall and conditional accuracy against the guidance and against the steps."""
    columns = {name.removeprefix("by "): curve for name, curve in points.items() if curve}
    known = next(iter(columns.values()))[0]
    rows = [key for key in AXES if key in known]
    figure = Figure(figsize=(4 * len(columns), 2.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharey="row")
    for column, (x, curve) in enumerate(columns.items()):
        at = [p[x] for p in curve]
        for axes, y in zip(grid[:, column], rows, strict=True):
            axes.plot(at, [p[y] for p in curve], "o-", label="whole vectors")
            axes.grid(alpha=0.3)
        grid[-1, column].set_xlabel(x)
        if "alone" in known:
            grid[-1, column].plot(at, [p["alone"] for p in curve], "s--", label="asked alone")
    if "alone" in known:
        figure.legend(*grid[-1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    for axes, y in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(AXES[y])
    return render(figure)


def verdict(numbers: Numbers) -> str:
    """The guidance chosen."""
    chosen = numbers.get("guidance chosen")
    return "" if chosen is None else f"Of the guidance scales tried, {chosen:g} suits the model best."


def report(numbers: Numbers, about: Numbers) -> list[str]:
    """A table for each curve, and the choice."""
    lines: list[str] = []
    for key in ("by guidance", "by steps"):
        if numbers[key]:
            name = key.removeprefix("by ")
            shown = [k for k in numbers[key][0] if k not in ("sampler", name)]
            lines += [*heading(f"Sweep {key}", numbers), *table({cell(p[name]): p for p in numbers[key]}, shown), ""]
    kid = cell(numbers["KID of blurred images"])
    lines += [f"{numbers['images a point']} images a point. KID of as many blurred images: {kid}."]
    if "guidance chosen" in numbers:
        lines += [f"Chosen: guidance {numbers['guidance chosen']:g}, {CHOICE}"]
    return [*lines, "![](sweep.png)"]
