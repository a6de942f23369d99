"""A photo as people have them: opened upright, in RGB, of any size; written with its transparency, and a note of the edit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ddpm_faces.data.celeba import FORMATS
from ddpm_faces.data.damage import explain
from ddpm_faces.utils.errors import UserError

MOST_PIXELS = 200_000_000  # about the largest sensor of a telephone; beyond it a small file could fill the memory
KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
DESCRIPTION, SOFTWARE = 0x010E, 0x0131  # EXIF tags


class Photo(NamedTuple):
    """pixels (H, W, 3) uint8, upright; alpha (H, W) uint8 or None; format: of the file, as Pillow calls it."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str


def open_photo(path: Path) -> Photo:
    """Read a JPEG, PNG, BMP or WebP file. EXIF's turn is carried out; grey becomes RGB. Raises UserError on anything else."""
    return read_photo(path, str(path))


def read_photo(file: Path | io.BytesIO, name: str) -> Photo:
    """The same from a path or from a file's content. name: for the error's line."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{name} has {image.width}x{image.height} pixels: make it smaller first")
            found = image.format or "PNG"
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                upright = upright.point(lambda value: value / 256).convert("L")
            elif upright.mode.startswith(("I", "F")):
                raise UserError(f"{name} has pixels of mode {upright.mode}: save it with 8 bits a channel")
            layers = upright.convert("RGBA") if upright.has_transparency_data else None
            alpha = None if layers is None else np.array(layers.getchannel("A"))
            return Photo(np.array((layers or upright).convert("RGB")), alpha, found)
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = explain(error, file if isinstance(file, Path) else None)
        raise UserError(f"{name} is no photo that can be read ({reason})") from None


def check_ending(path: Path) -> str:
    """The format, in Pillow's words, in which a photo is written to `path`. Raises UserError on another ending."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"a photo is written as {', '.join(KINDS)}, not '{path.name}'")
    return kind


def encode_photo(photo: Photo, path: Path, note: str = "") -> bytes:
    """The content of a file of this name. note: kept in the file's EXIF description.

    A JPEG has no transparency: what is transparent becomes opaque. Raises UserError on an ending that is none of KINDS.
    """
    kind, image = check_ending(path), Image.fromarray(photo.pixels)
    if photo.alpha is not None and kind != "JPEG":
        image.putalpha(Image.fromarray(photo.alpha))
    exif = Image.Exif()
    if note:
        exif[DESCRIPTION], exif[SOFTWARE] = note, "ddpm_faces"
    content = io.BytesIO()
    quality = {} if kind == "PNG" else {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0}
    image.save(content, kind, exif=exif, **quality)
    return content.getvalue()
