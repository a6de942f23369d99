"""`python -m ddpm_faces.sample --set "Smiling,-Male" --n 16`: a labelled grid of faces, or of digits with --digits 0-9.

--out faces/ writes single PNG files at the model's own size instead, and --out faces.npz one array, as other people's FID
tools read them: as many as you like (--n 50000), by several processes (`accelerate launch -m ddpm_faces.sample ...`), and the
same call goes on where another ended.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ddpm_faces.generation.settings import MOST, ImageSettings
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.settings import command, parse


class SampleSettings(ImageSettings):
    """The settings of `sample`."""

    digits: str | None = Field(None, description="for models of digits: 0-9 or 3,5,8; one column each")
    classes: str | None = Field(None, description="the same for any model of classes: cat,dog")


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(SampleSettings, argv, __doc__)
    from ddpm_faces.generation import many
    from ddpm_faces.generation.conditions import to_conditions
    from ddpm_faces.generation.generate import generate
    from ddpm_faces.generation.settings import describe
    from ddpm_faces.utils.files import free_path
    from ddpm_faces.utils.images import FORMATS, check_images, grid, write_image

    path = check_images(settings.out or free_path(Path("out") / ("digits.png" if settings.digits else "samples.png")))
    ours, as_grid = many.processes(), path.suffix.lower() in FORMATS
    if settings.device == "auto" and ours.device is not None:
        settings = settings.model_copy(update={"device": ours.device})
    asked_classes = settings.classes or settings.digits
    model = settings.load("mnist32" if asked_classes else "celeba64")
    if settings.list_attributes:
        print("\n".join(model.names))
        return 0
    classes: list[int] = []
    if asked_classes is not None:
        model.require("classes")
        classes = model.labels.parse_classes(asked_classes)
    if settings.set:
        model.require("attributes")
    elif model.labels.one_hot and not classes:
        classes = list(range(len(model.labels)))
    count = settings.n or (4 * len(classes) if classes else 16)
    classes = classes[:count]

    if as_grid and count > MOST:
        raise UserError(f"a grid of {count:,} images is too large: --out FOLDER or FILE.npz takes as many as you like")

    options = settings.options(model)
    conditions = to_conditions(model, classes or settings.set, count)

    top = [model.names[c] for c in classes]
    asked = f"classes {','.join(top)}" if top else settings.set or "nothing asked for"
    title = f"{asked}; {describe(model, conditions, options, settings.seed)}"
    if as_grid:
        images = generate(model, conditions, seed=settings.seed, **options)
        path = write_image(grid(images, min(count, len(top) or (8 if count > 16 else 4)), top=top, title=title), path)
    else:
        how = many.describe_sampling(model, options, settings.seed, asked)
        many.sample_many(model, conditions, list(range(settings.seed, settings.seed + count)), path, how, options, ours)
    if ours.rank == 0:
        print(f"{path}: {count} image{'s' * (count > 1)} ({title})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
