"""Images that are there already, in a folder or an array, as an evaluation reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ddpm_faces.data.damage import explain
from ddpm_faces.data.pictures import ENDINGS
from ddpm_faces.evaluation import LEAST
from ddpm_faces.utils.errors import UserError


def read_given(path: Path, shape: tuple[int, int, int], most: int | None = None) -> np.ndarray:
    """Images (N, H, W, C) uint8 of shape (C, H, W), from the pictures of a folder by name, or from an .npz file's first array.

    Images of another size are refused, not resized: that alone would change their distance. most: read so many at most. Raises
    UserError.
    """
    channels, height, width = shape
    images = _from_npz(path) if path.suffix.lower() == ".npz" else _from_folder(path, channels, most)
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
        found = f"{images.shape[1:]} {images.dtype}"
        raise UserError(f"{path} holds images of {found}: {(height, width, channels)} uint8 are needed")
    if len(images) < LEAST:
        raise UserError(f"{path} holds {len(images)} images: the statistics need at least {LEAST}")
    return images[:most]


def _from_npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[arrays.files[0]])
    except (OSError, ValueError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no array of images ({explain(error, path)})") from None


def _from_folder(path: Path, channels: int, most: int | None) -> np.ndarray:
    if not path.is_dir():
        raise UserError(f"{path} is no folder and no .npz file")
    names = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)[:most]
    if not names:
        raise UserError(f"{path} holds no images ({', '.join(ENDINGS)})")
    found = []
    for name in names:
        try:
            with Image.open(name) as image:
                found.append(np.asarray(image.convert("L" if channels == 1 else "RGB")))
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{name} cannot be read ({explain(error, name)})") from None
        if found[-1].shape != found[0].shape:
            raise UserError(f"{name} is of {found[-1].shape}, the images before of {found[0].shape}")
    return np.stack(found)
