"""`python -m ddpm_faces.interpolate --attr Eyeglasses`: the same persons, from without to with, as a labelled strip.

--attr twice makes a board of two attributes; --from-digit 3 --to-digit 8 does it with digits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_faces import cli
from ddpm_faces.attributes import CELEBA, check_value, find_name, one_hot, parse_spec
from ddpm_faces.cli import arg
from ddpm_faces.data.persons import sample_person, settle
from ddpm_faces.errors import UserError
from ddpm_faces.sample import Sampling, describe


@dataclass(kw_only=True)
class InterpolateConfig(Sampling):
    """The settings of `interpolate`."""

    attr: tuple[str, ...] = arg((), "the attribute to change; give it twice for a board of two", metavar="NAME")
    from_: float = arg(-1.0, "where the attribute begins; -1 is absent", metavar="VALUE")
    to: float = arg(1.0, "where it ends; 1 is present", metavar="VALUE")
    columns: int = arg(7, "steps from one end to the other")
    gif: bool = arg(False, "write an animation beside the strip, too")
    from_digit: int | None = arg(None, "for digit models: begin with this digit")
    to_digit: int | None = arg(None, "and end with this one")

    def __post_init__(self):
        super().__post_init__()
        if not 2 <= self.columns <= 200:
            raise UserError(f"--columns {self.columns} is out of range: 2 to 200")
        if check_value(self.from_, "--from") == check_value(self.to, "--to"):
            raise UserError(f"--from and --to are both {self.to:g}: nothing would change")


class Layout(NamedTuple):
    """What to draw: conditions (rows * columns, K), a seed for each picture, and the labels."""

    conditions: Tensor
    seeds: list[int]
    top: list[str]
    left: list[str]
    title: str


def label(value: float) -> str:
    """A value above a column: "-1", "+0.25"."""
    return f"{round(value, 2) + 0.0:+.2g}"


def attribute_names(attr: Sequence[str], wishes: dict[str, float], names: Sequence[str]) -> list[str]:
    """The attributes to change; UserError unless they are one or two, different, and not set to something as well."""
    asked = [find_name(word.strip(), names) for part in attr for word in part.split(",")]
    if len(asked) not in (1, 2):
        raise UserError(f"--attr takes one attribute, or two for a board, not {len(asked)}; try --attr Eyeglasses")
    if len(set(asked)) < len(asked):
        raise UserError(f"contradictory: --attr {asked[0]} is given twice; name another one for a board")
    for name in asked:
        if name in wishes:
            raise UserError(f"contradictory: {name} is in --attr, which changes it, and in --set, which holds it; keep one")
    return asked


def path(start: np.ndarray, end: np.ndarray, count: int, scales: Tensor) -> np.ndarray:
    """Conditions (count, ..., K) from `start` to `end` (..., K), evenly spaced as the network is shown them.

    scales: (2, K), by what it multiplies values above 0 and below (`DiffusionModel.scales`). The absence of a rare attribute
    is shown as nearly nothing, so that with even values half of a strip would hardly change.
    """
    present, absent = scales.double().numpy()
    first, last = (values * np.where(values > 0, present, absent) for values in (start, end))
    shown = np.linspace(first, last, count)
    values = np.where(start == end, start, np.where(shown > 0, shown / present, shown / absent))
    values[0], values[-1] = start, end
    return values


def lay_out_faces(config: InterpolateConfig, names: tuple[str, ...], scales: Tensor | None = None) -> Layout:
    """A strip (a row for each person), or with two attributes a board of one person.

    scales: as in `path`; by default the values are even.
    """
    if set(names) != set(CELEBA):
        raise UserError("this model's attributes are not CelebA's 40, of which the persons of a strip are made: use `sample`")
    wishes = parse_spec(config.set, names)
    asked = attribute_names(config.attr, wishes, names)
    if len(asked) == 2 and config.n is not None:
        raise UserError("a board shows one person: leave --n away, or give one --attr")
    order = [CELEBA.index(name) for name in names]
    fixed = frozenset([*wishes, *asked])
    scales = torch.ones(2, len(names)) if scales is None else scales

    def ends(base: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The person with the attribute as at the beginning, and as at the end."""
        return settle(base, name, config.from_, fixed), settle(base, name, config.to, fixed)

    title = asked[0]
    if len(asked) == 1:
        seeds = list(range(config.seed, config.seed + (config.n or 4)))
        persons = [np.stack(ends(sample_person(seed, wishes), asked[0]))[:, order] for seed in seeds]
        vectors = np.stack([path(start, end, config.columns, scales) for start, end in persons])
        left = [f"seed {seed}" for seed in seeds]
    else:
        title = f"across: {asked[0]}, down: {asked[1]}"
        seeds = [config.seed] * config.columns
        corners = np.array([ends(row, asked[0]) for row in ends(sample_person(config.seed, wishes), asked[1])])[..., order]
        sides = path(corners[0], corners[1], config.columns, scales)  # (rows, 2, K)
        vectors = path(sides[:, 0], sides[:, 1], config.columns, scales).swapaxes(0, 1)
        left = [label(value) for value in vectors[:, 0, names.index(asked[1])]]
    top = [label(value) for value in vectors[0, :, names.index(asked[0])]]
    conditions = torch.tensor(vectors.reshape(-1, len(names)), dtype=torch.float32)
    title += f" from {config.from_:+.2g} to {config.to:+.2g}" + (f"; {config.set}" if config.set else "")
    return Layout(conditions, [seed for seed in seeds for _ in range(config.columns)], top, left, title)


def lay_out_digits(config: InterpolateConfig) -> Layout:
    """Rows of different handwriting, each from one digit to the other."""
    start, end = config.from_digit, config.to_digit
    if start is None or end is None or start == end or not {start, end} <= set(range(10)):
        raise UserError(f"--from-digit and --to-digit must be two different digits, not {start} and {end}")
    vectors = one_hot([start, end])
    mixed = [torch.lerp(vectors[0], vectors[1], weight) for weight in torch.linspace(0, 1, config.columns)]
    rows = config.n or 4
    seeds = [config.seed + row for row in range(rows) for _ in mixed]
    left = [f"seed {config.seed + row}" for row in range(rows)]
    top = [f"{float(v[end]):.2g}" for v in mixed]
    top[0], top[-1] = str(start), str(end)
    return Layout(torch.stack(mixed * rows), seeds, top, left, f"{start} to {end}")


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(InterpolateConfig, argv, (__doc__ or "").splitlines()[0])
    digits = config.from_digit is not None or config.to_digit is not None
    if not digits and not config.attr:
        raise UserError("say what to change: --attr Eyeglasses, or --from-digit 3 --to-digit 8")
    if digits and (config.attr or config.set):
        raise UserError("digits have no attributes: give --from-digit and --to-digit, or --attr and --set, not both")
    from ddpm_faces import images
    from ddpm_faces.checkpoint import require
    from ddpm_faces.generation import generate

    changed = f"{config.from_digit}-{config.to_digit}" if digits else "-".join(config.attr).replace(",", "-")
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in changed)
    path = images.check_path(config.out or Path("out") / f"interpolate-{name}.png")
    model = config.load("mnist32" if digits else "celeba64")
    require(model, "digits" if digits else "attributes")
    layout = lay_out_digits(config) if digits else lay_out_faces(config, model.names, model.scales)
    options = config.options(model)
    pictures = generate(model, layout.conditions, seed=layout.seeds, **options)

    title = f"{layout.title}; {describe(model, layout.conditions, options, config.seed)}"
    columns = config.columns
    strip = images.grid(pictures, columns, top=layout.top, left=layout.left, title=title)
    images.save(strip, path)
    print(f"{path}: {len(pictures)} pictures ({title})")
    if config.gif:
        frames = [
            images.grid(pictures[i::columns], len(layout.left), top=layout.left, title=f"{layout.title}: {label}")
            for i, label in enumerate(layout.top)
        ]
        animation = images.save_gif(frames, path.with_suffix(".gif"))
        print(f"{animation}: the same as an animation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
