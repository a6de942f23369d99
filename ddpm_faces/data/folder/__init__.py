"""Pictures of one's own: a folder or a zip file of them, with labels from a table, from sub-folders, or none.

`--data folder --data-root PICTURES [--table labels.csv]`, or `from_folder` in Python.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from ddpm_faces.data import alignment, faces, photo
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.data.folder.labelling import label
from ddpm_faces.data.folder.tables import find_table, read_table
from ddpm_faces.data.pictures import Pictures, open_pictures
from ddpm_faces.data.source import DataSource
from ddpm_faces.utils.errors import UserError

SIZE = 64
CROPS = ("center", "face")  # the middle square, or the largest face, aligned as CelebA's `center140`


def open_folder(root: Path, split: str, crop: str | None, size: int | None, table: Path | None = None) -> Dataset:
    """A split of a folder of pictures as a Dataset of (size, size, 3) images, or 1 channel where all pictures are grey.

    What was understood of the whole folder is printed. Raises UserError where nothing can be made of it.
    """
    crop, size = crop or CROPS[0], size or SIZE
    if size % 8 or not 16 <= size <= 128:
        raise UserError(f"the size is a multiple of 8 from 16 to 128, not {size}")
    if crop == "face" and not faces.available():
        raise UserError(f"the crop face needs a detector: {faces.MISSING.partition(',')[0]}")
    pictures = open_pictures(root)
    table = table or find_table(root)
    found = label(pictures, None if table is None else read_table(table, root))
    chosen = found.split(split)
    if not chosen:
        raise UserError(
            f"{root}: no picture is in the {split} split, of {len(found.values)} (train, valid, test: {found.counts()})"
        )
    channels = channels_of(pictures, chosen)
    if split == "train":
        print(found.describe(str(root)))
    listing = "\n".join(f"{name} {pictures.sizes[name]} {found.values[name]}" for name in chosen)
    facts = {
        "data": "folder", "split": split, "crop": crop, "size": size, "channels": channels,
        "source": hashlib.sha256(listing.encode()).hexdigest(),
    }  # fmt: skip

    def decode(name: str) -> tuple[np.ndarray, np.ndarray]:
        pixels = square(pictures.read(name), crop, size)
        return (pixels if channels == 3 else pixels[..., :1]), found.condition(name)

    return build(f"folder-{root.stem[:40]}-{split}-{size}", facts, (size, size, channels), found.labels, chosen, decode)


def square(content: bytes, crop: str, size: int) -> np.ndarray:
    """A picture's content as pixels (size, size, 3) uint8. Raises UserError or ValueError where it cannot be."""
    pixels = photo.read_photo(io.BytesIO(content), "the picture").pixels
    if crop == "face":
        found = faces.find_faces(pixels)
        if not found:
            raise ValueError("no face was found")
        return alignment.cut(pixels, found[0].similarity, "center140", size)
    height, width, _ = pixels.shape
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box))


def channels_of(pictures: Pictures, names: list[str]) -> int:
    """1 where the first pictures are all grey, as digits are; otherwise 3."""
    for name in names[:16]:
        try:
            with Image.open(io.BytesIO(pictures.read(name))) as image:
                if image.mode not in ("L", "1", "LA"):
                    return 3
        except (OSError, ValueError):  # decoding will name it
            continue
    return 1


def from_folder(
    root: str | Path, split: str = "train", *, table: str | Path | None = None, crop: str = "center", size: int = SIZE
) -> Dataset:
    """A split of a folder of pictures, as `--data folder` opens it. Raises UserError.

    root: a folder (nested or not) or a zip file of JPEG, PNG, BMP or WebP pictures. table: a CSV, TSV or JSON-lines file, by
    default the one that lies in the folder. split: "train", "valid" or "test". crop: "center" or "face". size: of a side.
    """
    return open_folder(Path(root).expanduser(), split, crop, size, None if table is None else Path(table).expanduser())


SOURCE = DataSource(
    open=open_folder,
    licence="that of the pictures",
    recipe={"preset": "celeba64", "epochs": 30.0, "batch_size": 32},
    crops=CROPS,
    tables=True,
)
