"""`python -m ddpm_faces.data_report --data-root PICTURES`: what a data set holds, with a contact sheet, before anyone trains.

--data names another data set than a folder of pictures of your own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ddpm_faces.training.config import CROP, DATA, IMPORT, ROOT, SIZE, TABLE
from ddpm_faces.utils.settings import Settings, command, parse


class ReportSettings(Settings):
    """The settings of `data_report`."""

    data: str = Field("folder", description=DATA)
    data_root: Path = Field(Path("data"), description=ROOT)
    table: Path | None = Field(None, title="FILE", description=TABLE)
    crop: str | None = Field(None, description=CROP)
    size: int | None = Field(None, ge=8, le=512, description=SIZE)
    n: int = Field(48, ge=1, le=1000, description="images in the contact sheet")
    out: Path | None = Field(None, title="FILE", description="the contact sheet (default: out/data.png)")
    import_: tuple[str, ...] = Field((), title="MODULE", description=IMPORT)


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(ReportSettings, argv, __doc__)
    import numpy as np

    from ddpm_faces.data import open_dataset
    from ddpm_faces.data.dataset import spread
    from ddpm_faces.utils.files import free_path
    from ddpm_faces.utils.images import check_path, grid, to_tensor, write_image
    from ddpm_faces.utils.plugins import import_modules

    import_modules(settings.import_)
    path = check_path(settings.out or free_path(Path("out") / "data.png"))
    dataset = open_dataset(settings.data, settings.data_root, "train", settings.crop, settings.size, settings.table)
    channels, height, width = dataset.image_shape
    print(f"train: {len(dataset):,} images of {width}x{height}, {channels} channel{'s' * (channels > 1)}")
    print(f"labels: {len(dataset.labels)} {dataset.labels.kind}" if dataset.names else "labels: none")
    for name, column in zip(dataset.names, dataset.conditions.T, strict=True):
        unsaid = "" if dataset.labels.one_hot or not (column == 0).any() else f", not said in {(column == 0).mean():.0%}"
        print(f"  {name:24} {(column > 0).mean():6.1%}{unsaid}")
    chosen = spread(len(dataset), settings.n)
    sheet = grid(to_tensor(np.asarray(dataset.images[chosen])), 8, title=f"{settings.data}: {len(dataset):,} images")
    print(f"{write_image(sheet, path)}: {len(chosen)} of them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
