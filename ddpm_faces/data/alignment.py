"""Alignment: the similarity (turn, scale, shift) between a photo and CelebA's aligned frame of 178x218 pixels.

A point (x, y) is the complex number x + iy, so a similarity is z -> factor z + shift, and its least-squares fit is one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ddpm_faces.data.celeba import CROPS

# Where the mean CelebA image has dlib's five points: the outer and inner corner of the eye to the right, those of the eye to
# the left, and the place below the nose. Measured on the aligned images themselves.
FIVE_POINTS = np.array([115.9 + 112.8j, 100.4 + 113.8j, 62.3 + 113.3j, 77.4 + 114.0j, 88.3 + 142.9j])
EYES = np.array([FIVE_POINTS[2:4].mean(), FIVE_POINTS[:2].mean()])  # the centres, left in the image first
FADE = 5  # pixels of the model's image over which a change fades out towards the border of the crop


class Similarity(NamedTuple):
    """z -> factor z + shift, from a photo's pixels to CelebA's frame, or to a crop of it."""

    factor: complex
    shift: complex

    @property
    def scale(self) -> float:
        """Pixels of the photo for each pixel there."""
        return 1 / abs(self.factor)

    def inverse(self) -> Similarity:
        """From the frame to the photo."""
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def then(self, factor: float, shift: complex) -> Similarity:
        """This, and z -> factor z + shift after it."""
        return Similarity(factor * self.factor, factor * self.shift + shift)

    def affine(self) -> tuple[float, float, float, float, float, float]:
        """As Pillow's transform wants it: the rows of the matrix that takes x, y, 1."""
        a, b = self.factor.real, self.factor.imag
        return (a, -b, self.shift.real, b, a, self.shift.imag)


def fit(points: Sequence[complex] | np.ndarray, places: np.ndarray) -> Similarity:
    """The similarity that takes points of a photo nearest to their places, in the sense of least squares."""
    columns = np.stack([np.asarray(points), np.ones(len(places))], axis=1)
    factor, shift = np.linalg.lstsq(columns, places, rcond=None)[0]
    return Similarity(complex(factor), complex(shift))


def to_crop(similarity: Similarity, crop: str, size: int) -> Similarity:
    """From the photo's pixels to those of a square crop of `size` pixels."""
    left, top, right, _ = CROPS[crop]
    factor = size / (right - left)
    return similarity.then(factor, -factor * complex(left, top))


def cut(photo: np.ndarray, similarity: Similarity, crop: str, size: int) -> np.ndarray:
    """The aligned crop (size, size, 3) uint8 of a photo (H, W, 3) uint8. Beyond its edges the photo goes on as at the edge.

    The photo is first reduced to twice the crop's resolution, and the crop then halved, so that nothing aliases.
    """
    placed = to_crop(similarity, crop, size)
    x0, y0, x1, y1 = _box(placed, size)
    rows, columns = (np.arange(a, b).clip(0, n - 1) for a, b, n in ((y0, y1, photo.shape[0]), (x0, x1, photo.shape[1])))
    patch = Image.fromarray(photo[rows][:, columns])
    side = max(2, round(patch.width / max(1.0, placed.scale / 2)))
    ratio = patch.width / side
    patch = patch.resize((side, max(2, round(patch.height / ratio))), Image.Resampling.BICUBIC)
    # from the doubled crop's pixels to the reduced patch's
    back = to_crop(similarity, crop, 2 * size).inverse().then(1 / ratio, -complex(x0, y0) / ratio)
    doubled = patch.transform((2 * size, 2 * size), Image.Transform.AFFINE, back.affine(), Image.Resampling.BICUBIC)
    return np.asarray(doubled.resize((size, size), Image.Resampling.BICUBIC))


def put_back(photo: np.ndarray, similarity: Similarity, crop: str, change: np.ndarray, fade: int = FADE) -> np.ndarray:
    """A photo (H, W, 3) uint8 with a crop's change (size, size, 3), in shades of 255, enlarged, turned back and added.

    Where the change is 0, and everywhere outside of the crop, the photo keeps its pixels. Over the last `fade` pixels of the
    crop, towards its border, the change fades out, so that no seam shows.
    """
    size = len(change)
    placed = to_crop(similarity, crop, size)
    x0, y0, x1, y1 = _box(placed, size)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, photo.shape[1]), min(y1, photo.shape[0])
    result = photo.copy()
    if x0 >= x1 or y0 >= y1:
        return result
    edge = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / max(fade, 0.5)
    weight = np.minimum(edge, 1)[:, None] * np.minimum(edge, 1)
    there = Similarity(placed.factor, placed.shift + placed.factor * complex(x0, y0)).affine()
    for channel in range(3):
        layer = Image.fromarray((change[..., channel] * weight).astype(np.float32))
        warped = layer.transform((x1 - x0, y1 - y0), Image.Transform.AFFINE, there, Image.Resampling.BICUBIC)
        part = result[y0:y1, x0:x1, channel]
        part[:] = (part + np.asarray(warped)).round().clip(0, 255).astype(np.uint8)
    return result


def _box(placed: Similarity, size: int) -> tuple[int, int, int, int]:
    """The photo's rectangle that holds a crop: left, top, right, bottom, with two pixels to spare."""
    back = placed.inverse()
    corners = np.array([0, size, 1j * size, size + 1j * size]) * back.factor + back.shift
    low, high = corners.real.min(), corners.imag.min()
    return (
        int(np.floor(low)) - 2, int(np.floor(high)) - 2,
        int(np.ceil(corners.real.max())) + 2, int(np.ceil(corners.imag.max())) + 2,
    )  # fmt: skip
