"""Images that are in memory already, as a Dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.conditions.labels import NO_LABELS, Labels
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_uint8


def from_arrays(
    images: np.ndarray | Tensor, conditions: np.ndarray | Tensor | None = None, names: Sequence[str] = ()
) -> Dataset:
    """A Dataset of images in memory; it is kept in the cache, so that training maps it from there.

    images: uint8, (N, H, W, C), or float in [-1, 1], (N, C, H, W), grey or RGB. conditions: (N, K) of -1, 0 (not said) and 1,
    or booleans, for K attributes; (N,) whole numbers from 0 for classes; none for an unconditional model. names: of the
    attributes or classes. Raises UserError where they do not go together.
    """
    pixels = _pixels(images)
    labels, table = _conditions(conditions, tuple(names), len(pixels))
    digest = hashlib.sha256(pixels.tobytes() + table.tobytes() + repr((pixels.shape, labels)).encode()).hexdigest()
    facts = {"data": "arrays", "source": digest}
    shape: tuple[int, int, int] = tuple(pixels.shape[1:])
    return build("arrays", facts, shape, labels, range(len(pixels)), lambda i: (pixels[i], table[i]))


def _pixels(images: np.ndarray | Tensor) -> np.ndarray:
    """(N, H, W, C) uint8."""
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.ndim != 4 or not len(array):
        raise UserError(f"images are (N, H, W, C) uint8 or (N, C, H, W) floats, not {array.shape}")
    if array.dtype == np.uint8:
        pixels = array
    elif array.dtype.kind == "f":
        if not float(np.abs(array).max()) <= 1 + 1e-6:
            raise UserError("floats are in [-1, 1]: divide 0 .. 255 by 127.5 and subtract 1")
        pixels = to_uint8(torch.from_numpy(array))
    else:
        raise UserError(f"images are uint8 or floats, not {array.dtype}")
    if pixels.shape[-1] not in (1, 3):
        raise UserError(f"images have 1 or 3 channels, not {pixels.shape[-1]}: uint8 is (N, H, W, C), floats are (N, C, H, W)")
    return np.ascontiguousarray(pixels)


def _conditions(conditions: np.ndarray | Tensor | None, names: tuple[str, ...], n: int) -> tuple[Labels, np.ndarray]:
    """The labels, and the table (N, K) int8."""
    if conditions is None:
        if names:
            raise UserError(f"{len(names)} names, and no conditions")
        return NO_LABELS, np.zeros((n, 0), np.int8)
    table = torch.as_tensor(conditions).cpu().numpy()
    if len(table) != n or table.ndim not in (1, 2):
        raise UserError(f"conditions of {n} images are ({n}, K), or ({n},) classes, not {table.shape}")
    if table.ndim == 1:
        if table.dtype.kind not in "iu" or table.min() < 0 or table.max() >= len(names):
            raise UserError(f"classes are whole numbers from 0 to {len(names) - 1}, one for each name")
        return Labels(names, one_hot=True), np.eye(len(names), dtype=np.int8)[table]
    if table.shape[1] != len(names):
        raise UserError(f"{table.shape[1]} attributes, but {len(names)} names")
    if table.dtype == bool:
        table = np.where(table, 1, -1)
    if not set(np.unique(table)) <= {-1, 0, 1}:
        raise UserError("attributes are 1, -1, or 0 where nothing is said; or booleans")
    if table.min() >= 0:
        raise UserError("0 means not said, and -1 no: give booleans, or -1 and 1")
    return Labels(names), table.astype(np.int8)
