"""Paths from one condition to another, laid out as a strip (a row for each seed) or a board (two attributes, one seed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.conditions.labels import Labels
from ddpm_faces.conditions.prior import sample_vector


class Layout(NamedTuple):
    """What to generate: conditions (rows * columns, K), row by row, a seed for each image, and the labels of the grid."""

    conditions: Tensor
    seeds: list[int]
    top: list[str]
    left: list[str]
    title: str


def path(start: np.ndarray, end: np.ndarray, count: int, scales: Tensor) -> np.ndarray:
    """Conditions (count, ..., K) from `start` to `end` (..., K), evenly spaced as the network sees them.

    scales: (2, K), the factors of values above 0 and below (`DiffusionModel.scales`). A rare attribute's absence is shown as
    nearly nothing: with even values half of a strip would hardly change.
    """
    present, absent = scales.double().numpy()
    first, last = (values * np.where(values > 0, present, absent) for values in (start, end))
    shown = np.linspace(first, last, count)
    values = np.where(start == end, start, np.where(shown > 0, shown / present, shown / absent))
    values[0], values[-1] = start, end
    return values


class Change(NamedTuple):
    """From where to where attributes go, in how many columns, and what is known of the model: `frequencies` for the prior,
    and `scales` (2, K) as in `path`."""

    start: float = -1.0
    end: float = 1.0
    columns: int = 7
    frequencies: Sequence[float] = ()
    scales: Tensor | None = None

    def scales_of(self, labels: Labels) -> Tensor:
        """The scales, 1 where none are given."""
        return torch.ones(2, len(labels)) if self.scales is None else self.scales


def strip(
    labels: Labels, attribute: str, wishes: Mapping[str, float], change: Change | None = None, *, rows: int = 4, seed: int = 0
) -> Layout:
    """A strip: each row keeps its seed and its other attributes, and goes from `start` to `end` of one attribute.

    attribute and the keys of wishes are exact names; wishes hold all along the strip, and the prior fills in the rest.
    """
    change, fixed = change or Change(), frozenset([*wishes, attribute])
    seeds = range(seed, seed + rows)
    vectors = []
    for base in (sample_vector(labels, change.frequencies, s, wishes) for s in seeds):
        first, last = (labels.set_attribute(base, attribute, value, fixed) for value in (change.start, change.end))
        vectors.append(path(first, last, change.columns, change.scales_of(labels)))
    title = f"{attribute} {_ends(change)}{_said(labels, wishes)}"
    top = [_label(value) for value in vectors[0][:, labels.index(attribute)]]
    each = [s for s in seeds for _ in range(change.columns)]
    return Layout(_tensor(np.stack(vectors), labels), each, top, [f"seed {s}" for s in seeds], title)


def board(
    labels: Labels, across: str, down: str, wishes: Mapping[str, float], change: Change | None = None, *, seed: int = 0
) -> Layout:
    """A board: one seed, one attribute changing from column to column and another from row to row; as many of each."""
    change, fixed = change or Change(), frozenset([*wishes, across, down])

    def ends(base: np.ndarray, name: str) -> list[np.ndarray]:
        return [labels.set_attribute(base, name, value, fixed) for value in (change.start, change.end)]

    rows = ends(sample_vector(labels, change.frequencies, seed, wishes), down)
    corners = np.array([ends(row, across) for row in rows])  # (2, 2, K)
    sides = path(corners[0], corners[1], change.columns, change.scales_of(labels))  # (rows, 2, K)
    vectors = path(sides[:, 0], sides[:, 1], change.columns, change.scales_of(labels)).swapaxes(0, 1)  # (rows, columns, K)
    top = [_label(value) for value in vectors[0, :, labels.index(across)]]
    left = [_label(value) for value in vectors[:, 0, labels.index(down)]]
    title = f"across: {across}, down: {down} {_ends(change)}{_said(labels, wishes)}"
    return Layout(_tensor(vectors, labels), [seed] * change.columns**2, top, left, title)


def class_strip(labels: Labels, first: int, last: int, *, columns: int = 7, rows: int = 4, seed: int = 0) -> Layout:
    """A strip from one class to another, given by index: each row keeps its seed."""
    start, end = labels.one_hot_vectors([first, last])
    weights = torch.linspace(0, 1, columns)
    vectors = torch.stack([torch.lerp(start, end, weight) for weight in weights])
    top = [labels.names[first], *(f"{float(w):.2g}" for w in weights[1:-1]), labels.names[last]]
    seeds = range(seed, seed + rows)
    each = [s for s in seeds for _ in range(columns)]
    return Layout(vectors.repeat(rows, 1), each, top, [f"seed {s}" for s in seeds], f"{top[0]} to {top[-1]}")


def _tensor(vectors: np.ndarray, labels: Labels) -> Tensor:
    return torch.tensor(vectors.reshape(-1, len(labels)), dtype=torch.float32)


def _label(value: float) -> str:
    """A value above a column: "-1", "+0.25"."""
    return f"{round(value, 2) + 0.0:+.2g}"


def _ends(change: Change) -> str:
    return f"from {change.start:+.2g} to {change.end:+.2g}"


def _said(labels: Labels, wishes: Mapping[str, float]) -> str:
    return f"; {labels.describe(labels.vector(wishes))}" if wishes else ""
