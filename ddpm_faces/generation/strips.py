"""Interpolations: strips and boards, from a model and a few words to labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from ddpm_faces.conditions import paths
from ddpm_faces.conditions.paths import Change, Layout
from ddpm_faces.generation.generate import generate
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import grid


@dataclass(frozen=True)
class Strip:
    """A strip or board: images (rows * columns, C, H, W) in [-1, 1], row by row, and their layout."""

    images: Tensor
    layout: Layout

    def draw(self, title: str | None = None) -> Image.Image:
        """The labelled grid, to show or to save."""
        layout = self.layout
        title = layout.title if title is None else title
        return grid(self.images, len(layout.top), top=layout.top, left=layout.left, title=title)

    def frames(self) -> list[Image.Image]:
        """One image for each column, all rows side by side: the frames of an animation."""
        layout, columns = self.layout, len(self.layout.top)
        return [
            grid(self.images[i::columns], len(layout.left), top=layout.left, title=f"{layout.title}: {label}")
            for i, label in enumerate(layout.top)
        ]


def strip(
    model: DiffusionModel,
    attribute: str,
    wishes: str = "",
    *,
    start: float = -1.0,
    end: float = 1.0,
    columns: int = 7,
    rows: int = 4,
    seed: int = 0,
    **options: Any,
) -> Strip:
    """The same faces from one attribute's `start` to its `end` (-1 absent, 1 present), a row for each seed from `seed` on.

    wishes: a spec such as "Male,-Young" that holds all along; a prior fills in the other attributes, by the seed. options: as
    for `generate` (guidance, sampler, steps, precision). Raises UserError on what the model does not know.
    """
    _check_size(columns, rows)
    name, said = _names(model, [attribute], wishes)
    layout = paths.strip(model.labels, name[0], said, _change(model, start, end, columns), rows=rows, seed=seed)
    return sample_layout(model, layout, **options)


def board(
    model: DiffusionModel,
    across: str,
    down: str,
    wishes: str = "",
    *,
    start: float = -1.0,
    end: float = 1.0,
    columns: int = 7,
    seed: int = 0,
    **options: Any,
) -> Strip:
    """One face, one attribute changing across and another down; as many rows as columns. The arguments are those of `strip`."""
    _check_size(columns)
    names, said = _names(model, [across, down], wishes)
    layout = paths.board(model.labels, names[0], names[1], said, _change(model, start, end, columns), seed=seed)
    return sample_layout(model, layout, **options)


def class_strip(
    model: DiffusionModel, first: int, last: int, *, columns: int = 7, rows: int = 4, seed: int = 0, **options: Any
) -> Strip:
    """From one class to another, given by index, a row for each seed. Raises UserError on what the model does not know."""
    model.require("classes")
    _check_size(columns, rows)
    if first == last or not {first, last} <= set(range(len(model.labels))):
        raise UserError(f"a strip goes from one class to a different one, not from {first} to {last}")
    return sample_layout(model, paths.class_strip(model.labels, first, last, columns=columns, rows=rows, seed=seed), **options)


def sample_layout(model: DiffusionModel, layout: Layout, **options: Any) -> Strip:
    """Generate the images of a layout. options: as for `generate`."""
    return Strip(generate(model, layout.conditions, seed=layout.seeds, **options), layout)


def _check_size(columns: int, rows: int = 1) -> None:
    if columns < 2 or rows < 1:
        raise UserError(f"a strip has at least 2 columns and 1 row, not {columns} and {rows}")


def _change(model: DiffusionModel, start: float, end: float, columns: int) -> Change:
    if start == end:
        raise UserError(f"start and end are both {end:g}: nothing would change")
    return Change(start, end, columns, model.config.frequencies, model.scales)


def _names(model: DiffusionModel, attributes: list[str], wishes: str) -> tuple[list[str], dict[str, float]]:
    """(the exact names of the attributes to change, what is wished); UserError where the two contradict each other."""
    model.require("attributes")
    names, said = [model.labels.find(word) for word in attributes], model.labels.parse(wishes)
    if len(set(names)) < len(names):
        raise UserError(f"contradictory: {names[0]} is given twice; name another attribute for a board")
    for name in names:
        if name in said:
            raise UserError(f"contradictory: {name} is to change, and to stay as it is set; keep one")
    return names, said
