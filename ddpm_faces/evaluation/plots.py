"""The evaluation's pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

if TYPE_CHECKING:  # it imports this module
    from ddpm_faces.evaluation.memorisation import Distances

BARS = (("judge on real", "the judge on real pictures", "0.75"), ("with a whole vector", "asked with a whole vector", "C0"))
ALONE = ("alone", "asked alone", "C1")


def render(figure: Figure) -> Image.Image:
    """A figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return Image.open(buffer).convert("RGB")


def bars(table: dict[str, dict[str, float]], title: str) -> Image.Image:
    """Balanced accuracy by attribute: of the judge itself, and of what it sees in pictures that were asked for it."""
    kinds = [bar for bar in (*BARS, ALONE) if bar[0] in next(iter(table.values()))]
    figure = Figure(figsize=(7, 1.5 + 0.32 * len(table)), layout="constrained")
    axes = figure.subplots()
    y, height = np.arange(len(table)), 0.8 / len(kinds)
    for i, (key, label, colour) in enumerate(kinds):
        values = [row[key] for row in table.values()]
        axes.barh(y + (i - (len(kinds) - 1) / 2) * height, values, height, color=colour, label=label)
    axes.axvline(0.5, color="0.3", linewidth=1, linestyle=":")
    axes.set_yticks(y, list(table))
    axes.set(xlim=(0.4, 1), ylim=(len(table) - 0.4, -0.6), xlabel=title)
    figure.legend(loc="outside upper center", ncols=len(kinds), frameon=False)
    return render(figure)


def curves(values: dict[str, list[float]]) -> Image.Image:
    """The asked logit along each strip."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for i, (label, logits) in enumerate(values.items()):
        axes.plot(
            np.linspace(0, 1, len(logits)), logits, "o-" if i < 10 else "s--", color=f"C{i % 10}", label=label, markersize=4
        )
    axes.axhline(0, color="0.3", linewidth=1, linestyle=":")
    axes.set(xlabel="from the strip's first column to its last", ylabel="the asked logit, mean over persons (above 0: seen)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return render(figure)


def distances(spaces: dict[str, Distances]) -> Image.Image:
    """How near the nearest training picture is: to generated pictures and to held-out ones."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, (space, memory) in zip(figure.subplots(1, len(spaces)), spaces.items(), strict=True):
        both = {"generated": memory.generated.distance.numpy(), "real, never trained on": memory.held_out.distance.numpy()}
        edges = np.histogram_bin_edges(np.concatenate(list(both.values())), 40)
        for label, values in both.items():
            axes.hist(values, edges, density=True, alpha=0.6, label=label)
        axes.set(xlabel=f"distance to the nearest training picture, in {space}", yticks=[])
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return render(figure)


def sweep(by_guidance: list[dict[str, Any]], by_steps: list[dict[str, Any]]) -> Image.Image:
    """The trade-off: distance, recall and obedience against the guidance and against the steps."""
    columns = [(key, points) for key, points in (("guidance", by_guidance), ("steps", by_steps)) if points]
    rows = [key for key in ("FID", "recall", "obedience") if key in columns[0][1][0]]
    figure = Figure(figsize=(4 * len(columns), 2.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharey="row")
    for column, (x, points) in enumerate(columns):
        for row, y in enumerate(rows):
            for key, style in ((y, "o-"), *([("alone", "s--")] if y == "obedience" and "alone" in points[0] else [])):
                label = {"obedience": "whole vectors", "alone": "asked alone"}.get(key)
                grid[row][column].plot([p[x] for p in points], [p[key] for p in points], style, label=label)
            grid[row][column].grid(alpha=0.3)
        grid[-1][column].set_xlabel(x)
    if "alone" in columns[0][1][0]:
        grid[-1][0].legend(frameon=False)
    for row, y in enumerate(rows):
        grid[row][0].set_ylabel({"FID": "FID (low is good)", "recall": "recall (diversity)"}.get(y, y))
    return render(figure)
