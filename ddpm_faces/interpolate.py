"""`python -m ddpm_faces.interpolate --attr Eyeglasses`: the same faces, from without to with, as a labelled strip.

--attr twice makes a board of two attributes; --from-digit 3 --to-digit 8 does it with digits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from ddpm_faces.generation.settings import ImageSettings
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.settings import command, parse

if TYPE_CHECKING:
    from ddpm_faces.generation.strips import Strip
    from ddpm_faces.models.model import DiffusionModel


class InterpolateSettings(ImageSettings):
    """The settings of `interpolate`."""

    attr: tuple[str, ...] = Field((), description="the attribute to change; two make a board", title="NAME")
    from_: float = Field(-1.0, ge=-1, le=1, description="where the attribute begins; -1 is absent", title="VALUE")
    to: float = Field(1.0, ge=-1, le=1, description="where the attribute ends; 1 is present", title="VALUE")
    columns: int = Field(7, ge=2, le=200, description="images from one end to the other")
    gif: bool = Field(False, description="write an animation beside the strip, too")
    from_digit: int | None = Field(None, description="for models of classes: begin with this one")
    to_digit: int | None = Field(None, description="and end with this one")
    classes: str | None = Field(None, title="FROM,TO", description="the same for any model of classes, by name: cat,dog")

    @model_validator(mode="after")
    def _one_kind_of_change(self) -> InterpolateSettings:
        if self.from_ == self.to:
            raise ValueError(f"--from and --to are both {self.to:g}: nothing would change")
        if self.list_attributes:
            return self
        if self.classes is not None and (self.from_digit, self.to_digit) != (None, None):
            raise ValueError("--classes and --from-digit say the same: give one of them")
        if not self.digits and not self.attr:
            raise ValueError("say what to change: --attr Eyeglasses, or --from-digit 3 --to-digit 8")
        if self.digits and (self.attr or self.set):
            raise ValueError("digits have no attributes: give --from-digit and --to-digit, or --attr and --set, not both")
        if self.classes is None and self.digits and None in (self.from_digit, self.to_digit):
            raise ValueError("--from-digit and --to-digit are two different digits: give both")
        if len(self.attr) > 2:
            raise ValueError(f"--attr takes one attribute, or two for a board, not {len(self.attr)}; try --attr Eyeglasses")
        if len(self.attr) == 2 and self.n is not None:
            raise ValueError("a board shows one face: leave --n away, or give one --attr")
        if self.gif and self.out is not None and self.out.suffix.lower() == ".gif":
            raise ValueError("--gif writes the animation beside the strip: end --out in .png, or leave --gif away")
        if any(word.startswith("-") for word in self.attr):
            raise ValueError(f"--attr {self.attr[0]}: name the attribute without a minus; --from 1 --to -1 goes the other way")
        return self

    @property
    def digits(self) -> bool:
        """Whether a strip of classes is asked for."""
        return self.from_digit is not None or self.to_digit is not None or self.classes is not None


def sample_strip(settings: InterpolateSettings, model: DiffusionModel, options: dict[str, Any]) -> Strip:
    """The strip or board that the settings ask for. UserError on what the model does not know."""
    from ddpm_faces.generation import strips

    shared = {"columns": settings.columns, "seed": settings.seed, **options}
    if settings.classes is not None:
        model.require("classes")
        ends = model.labels.parse_classes(settings.classes)
        if len(ends) != 2:
            raise UserError(f"--classes {settings.classes}: a strip goes from one class to another, as in --classes cat,dog")
        return strips.class_strip(model, *ends, rows=settings.n or 4, **shared)
    if settings.from_digit is not None and settings.to_digit is not None:
        return strips.class_strip(model, settings.from_digit, settings.to_digit, rows=settings.n or 4, **shared)
    shared |= {"start": settings.from_, "end": settings.to}
    if len(settings.attr) == 2:
        return strips.board(model, *settings.attr, settings.set, **shared)
    return strips.strip(model, settings.attr[0], settings.set, rows=settings.n or 4, **shared)


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(InterpolateSettings, argv, __doc__)
    from ddpm_faces.generation.settings import describe
    from ddpm_faces.utils.files import free_path
    from ddpm_faces.utils.images import check_path, write_gif, write_image

    ends = settings.classes or f"{settings.from_digit}-{settings.to_digit}"
    changed = ends if settings.digits else "-".join(settings.attr)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in changed)
    path = check_path(settings.out or free_path(Path("out") / f"interpolate-{name}.png"))
    model = settings.load("mnist32" if settings.digits else "celeba64")
    if settings.list_attributes:
        print("\n".join(model.names))
        return 0
    options = settings.options(model)
    strip = sample_strip(settings, model, options)

    title = f"{strip.layout.title}; {describe(model, strip.layout.conditions, options, settings.seed)}"
    path = write_image(strip.draw(title), path)
    print(f"{path}: {len(strip.images)} images ({title})")
    if settings.gif:
        print(f"{write_gif(strip.frames(), path.with_suffix('.gif'))}: the same as an animation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
