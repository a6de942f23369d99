"""Edit faces in a photo of any size: cut them out aligned, edit them at the model's size, and add the change to the photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ddpm_faces.data import alignment
from ddpm_faces.data.alignment import Similarity
from ddpm_faces.data.celeba import CROPS, FULL
from ddpm_faces.generation.edit import Edited, Wish, edit
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_tensor


def crop_of(model: DiffusionModel) -> str:
    """The CelebA crop that the model's images are. Raises UserError for a model of anything else."""
    crop = model.config.facts.crop
    if crop not in CROPS or model.image_shape[0] != 3:
        raise UserError(f"{model.source} was not trained on CelebA's crops: photos cannot be aligned for it")
    return crop


def aligned(pixels: np.ndarray, crop: str) -> Similarity:
    """The similarity of a picture (H, W, 3) that is aligned already: a whole CelebA image, or a square crop of one.

    Raises UserError on one of another shape.
    """
    height, width, _ = pixels.shape
    if height == width:
        left, top, right, _ = CROPS[crop]
        return Similarity(complex((right - left) / width), complex(left, top))
    if abs(width / height - FULL[0] / FULL[1]) < 0.03:
        return Similarity(complex(FULL[0] / width), 0j)
    raise UserError(f"an aligned picture is a square, or of the shape of CelebA's 178x218, not {width}x{height}")


def edit_photo(
    model: DiffusionModel,
    pixels: np.ndarray,
    places: Sequence[Similarity],
    wish: Wish,
    fade: int = alignment.FADE,
    **options: Any,
) -> tuple[np.ndarray, Edited]:
    """A photo (H, W, 3) uint8 with the wish fulfilled on the faces at `places`, and what `edit` found for each of them.

    The photo's own resolution is kept: only the change, enlarged, is added to it, and where nothing changes, its pixels stay.
    fade: as in `put_back`. options: of `edit`. Raises UserError.
    """
    crop, size = crop_of(model), model.image_shape[-1]
    crops = np.stack([alignment.cut(pixels, place, crop, size) for place in places])
    edited = edit(model, to_tensor(crops), wish, **options)
    for place, change in zip(places, edited.change, strict=True):
        shades = (change.double() * 127.5).permute(1, 2, 0).numpy()
        pixels = alignment.put_back(pixels, place, crop, shades, fade)
    return pixels, edited


def close_up(pixels: np.ndarray, place: Similarity, crop: str, size: int) -> Image.Image:
    """The aligned face in a photo, at `size` pixels, to look at."""
    return Image.fromarray(alignment.cut(pixels, place, crop, size))
