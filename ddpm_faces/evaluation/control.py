"""Conditional accuracy: how often the classifier sees what was asked for, beside how often it sees what real images show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from ddpm_faces.evaluation.accuracy import scores
from ddpm_faces.evaluation.part import Numbers, Part
from ddpm_faces.evaluation.report import cell, heading, listed, percent, render, table
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite

NEEDS_CONDITIONS = True
Table = dict[str, dict[str, float]]
REAL, WHOLE, ALONE = "classifier on real", "with a whole vector", "alone"  # balanced accuracies, as keys of the table
BARS = {REAL: ("on real images", "0.75"), WHOLE: ("asked with a whole vector", "C0"), ALONE: ("asked alone", "C1")}
THRESHOLD = """Balanced accuracy, as the classifier sees it; 0.5 is chance. A yes begins where yes and no are equally likely
among images of which half have the attribute: at the log odds of its frequency in training. Accuracies are taken at 0."""


def requests(suite: Suite) -> list[Request]:
    """Whole vectors of the test split, and every attribute alone; classes are never asked for but alone."""
    single = [] if suite.labels.one_hot else [alone(suite)]
    return [suite.samples(), *single]


def alone(suite: Suite) -> Request:
    """Every attribute alone, with and without."""
    return suite.alone(suite.labels.names, suite.settings.each, "attributes asked alone")


def measure(suite: Suite) -> Part:
    """A row for each attribute or class, and means."""
    labels, whole = suite.labels, suite.samples()
    real = suite.classifier.extract(suite.test.images, "the classifier on real images").logits
    truth = torch.from_numpy(np.array(suite.test.conditions))
    on_real = scores(real, truth, labels.one_hot, suite.classifier.config.thresholds)
    found = suite.accuracy(suite.cache.sample(whole), whole.conditions)
    rows: Table = {
        name: {
            REAL: on_real["balanced"][k],
            "accuracy on real": on_real["accuracy"][k],
            WHOLE: found.balanced[k],
            "accuracy with a whole vector": found.accuracy[k],
            "asked yes": found.yes[k],
            "asked no": found.no[k],
        }
        for k, name in enumerate(labels.names)
    }
    if labels.one_hot:
        right = sum(share * count for share, count in zip(found.accuracy, found.yes, strict=True) if count)
        right_on_real = float((real.argmax(dim=1) == truth.argmax(dim=1)).double().mean())
        numbers: Numbers = {"recognised": right / len(whole.seeds), "recognised of real ones": right_on_real}
    else:
        add_single(suite, rows)
        numbers = {"means of the easiest to see": means(rows, suite.easily_seen), "the easiest to see": suite.easily_seen}
    return Part({"table": rows, "means": means(rows, labels.names), **numbers}, {"control.png": plot(rows)})


def add_single(suite: Suite, rows: Table) -> None:
    """Add to each row what the classifier sees where the attribute alone was asked for."""
    single = alone(suite)
    found = suite.accuracy(suite.cache.sample(single), single.conditions)
    for k, row in enumerate(rows.values()):
        row |= {ALONE: found.balanced[k], "accuracy alone": found.accuracy[k], "asked alone": 2 * suite.settings.each}


def means(rows: Table, names: Sequence[str]) -> dict[str, float]:
    """The mean of each balanced accuracy over these names, leaving out those that could not be measured."""
    keys = [key for key in BARS if key in next(iter(rows.values()))]
    return {key: float(np.nanmean([rows[name][key] for name in names])) for key in keys}


def plot(rows: Table) -> Image.Image:
    """Balanced accuracy by name: of the classifier itself, and of what it sees in images that were asked for it."""
    bars = {key: how for key, how in BARS.items() if key in next(iter(rows.values()))}
    figure = Figure(figsize=(7, 1.5 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    y, height = np.arange(len(rows)), 0.8 / len(bars)
    for i, (key, (label, colour)) in enumerate(bars.items()):
        values = [row[key] for row in rows.values()]
        axes.barh(y + (i - (len(bars) - 1) / 2) * height, values, height, color=colour, label=label)
    axes.axvline(0.5, color="0.3", linewidth=1, linestyle=":")
    axes.set_yticks(y, list(rows))
    axes.set(xlim=(0.4, 1), ylim=(len(rows) - 0.4, -0.6), xlabel="balanced accuracy (of classes: each against the rest)")
    figure.legend(loc="outside upper center", ncols=len(bars), frameon=False)
    return render(figure)


def verdict(numbers: Numbers) -> str:
    """How often what was asked for is seen."""
    if "recognised" in numbers:
        shares = percent(numbers["recognised"]), percent(numbers["recognised of real ones"])
        return f"The classifier recognises {shares[0]} of the classes asked for, and {shares[1]} of those of real images."
    easy = {key: cell(value) for key, value in numbers["means of the easiest to see"].items()}
    return (
        f"The conditional accuracy of the attributes that are easiest to see is {easy[WHOLE]} where all are asked for and "
        f"{easy[ALONE]} where one alone is, beside {easy[REAL]} on real images and 0.5 by chance."
    )


def report(numbers: Numbers, about: Numbers) -> list[str]:
    """Means, then a row for each name."""
    lines = [*heading("Control", numbers), THRESHOLD, "", f"Conditional accuracy of all: {listed(numbers['means'])}."]
    if "recognised" in numbers:
        lines += [f"Classes: {listed({key: numbers[key] for key in ('recognised', 'recognised of real ones')})}."]
    else:
        error = (0.25 / next(iter(numbers["table"].values()))["asked alone"]) ** 0.5
        lines += [
            f"Of the easiest to see: {listed(numbers['means of the easiest to see'])}.",
            f"Asked alone, one figure is known to {error:.2f} at worst (standard error); --each makes it more exact.",
        ]
    return [*lines, "", *table(numbers["table"]), "", "![](control.png)"]
