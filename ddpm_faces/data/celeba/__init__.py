"""CelebA (Liu et al. 2015) from whatever copy there is: torchvision's layout, Kaggle's, zipped, parquet, partial, half size.

There is no one crop in the literature, so each has a name, which is kept in every checkpoint.
"""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data.celeba.download import fetch_celeba
from ddpm_faces.data.celeba.files import IMAGES, find_first, find_shards, open_files
from ddpm_faces.data.celeba.parquet import open_shards
from ddpm_faces.data.damage import LFS_POINTER, NOT_FETCHED, explain
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.data.source import DataSource
from ddpm_faces.utils.errors import UserError

FULL = (178, 218)  # width and height of an aligned image; smaller and larger copies have the same shape
CROPS: dict[str, tuple[int, int, int, int]] = {  # left, top, right, bottom in an image of FULL size
    "center140": (19, 39, 159, 179),  # Song et al. 2021, score_sde
    "box128": (25, 57, 153, 185),  # Song et al. 2021, DDIM
    "center148": (15, 35, 163, 183),  # VAE and GAN papers
}
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # that Pillow reads by itself: some others start programs, such as Ghostscript


def load_face(file: Path | BinaryIO, crop: str, size: int) -> np.ndarray:
    """One image, turned upright, cropped and scaled to (size, size, 3) uint8.

    Raises OSError or ValueError for a damaged or foreign one.
    """
    with Image.open(file, formats=FORMATS) as image:
        if image.mode.startswith(("I", "F")):  # Pillow would clip them to white
            raise ValueError(f"pixels of mode {image.mode}, where 8 bits a channel are expected")
        if max(image.size) > 4096:  # before anything is decoded
            raise ValueError(f"{image.width}x{image.height} pixels are too many for an aligned CelebA image")
        with suppress(Exception):  # damaged EXIF data say nothing
            ImageOps.exif_transpose(image, in_place=True)
        width, height = image.size
        if width < 32 or abs(width / height - FULL[0] / FULL[1]) > 0.03:
            raise ValueError(f"{width}x{height} pixels, where an aligned CelebA image has the shape of 178x218")
        scale = width / FULL[0]
        left, top, right, bottom = (side * scale for side in CROPS[crop])
        face = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=(left, top, right, min(bottom, height)))
        return np.asarray(face)


def open_celeba(root: Path, split: str, crop: str | None, size: int | None) -> Dataset:
    """A split of CelebA as a Dataset of (size, size, 3) images, by default 64, and 40 attributes of -1/+1.

    Raises UserError where the copy is missing or incomplete, or where images and attribute file have nothing in common.
    """
    crop, size = crop or next(iter(CROPS)), size or 64
    try:
        shards = [] if find_first(root, IMAGES) else find_shards(root, split)
        found = open_shards(shards) if shards else open_files(root, split)
    except OSError as error:
        raise UserError(f"{root} cannot be read: {explain(error)}") from None

    def decode(name: str) -> tuple[np.ndarray, np.ndarray]:
        content = found.read(name)
        try:
            return load_face(io.BytesIO(content), crop, size), found.attributes[name]
        except UnidentifiedImageError:
            pointer = content.startswith(LFS_POINTER)
            raise ValueError(NOT_FETCHED if pointer else f"no image of {', '.join(FORMATS)}") from None

    facts = {"data": "celeba", "split": split, "crop": crop, "size": size, "source": found.source}
    return build(f"celeba-{split}-{crop}-{size}", facts, (size, size, 3), CELEBA, found.names, decode)


SOURCE = DataSource(
    open=open_celeba,
    fetch=fetch_celeba,
    licence="CelebA: non-commercial research only (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
    recipe={"preset": "celeba64", "flip": True, "epochs": 12.0},
    classifier_epochs=16.0,
    crops=tuple(CROPS),
    faces=True,
    people=True,
)
