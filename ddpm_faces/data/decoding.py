"""Decoding the images of a data set, in threads, into the two arrays of a dataset. What cannot be read is skipped and named."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_faces.data.damage import explain
from ddpm_faces.utils.errors import UserError

Decode = Callable[[Any], tuple[np.ndarray, np.ndarray]]

# Errors of the operating system that are one image's fault, such as a bad sector or a forbidden file; Pillow's have no number.
# All others are the machine's, or the disk has gone.
OWN_FAULT = (None, errno.EIO, errno.EACCES, errno.EPERM)


def decode_all(
    folder: Path, name: str, shape: tuple[int, int, int], conditions: int, items: Sequence[Any], decode: Decode
) -> tuple[list[Any], list[str]]:
    """Write images.u8 and conditions.npy; returns the items that were kept, and what was skipped with the reason.

    shape: (H, W, C). conditions: their number. Raises UserError where no item can be read, or where the data went away.
    """
    from tqdm import tqdm

    def attempt(item: Any) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            image, values = decode(item)
            if image.shape != shape or image.dtype != np.uint8:
                raise ValueError(f"decoded as {image.shape} {image.dtype}, where {shape} uint8 is expected")
            return image, values
        except MemoryError:
            raise
        except Exception as error:  # Pillow answers damage with many kinds, decompression bombs among them
            if isinstance(error, OSError) and error.errno not in OWN_FAULT:
                reason = error.strerror or explain(error)
                raise UserError(f"{item} cannot be read ({reason}): is the data still there? Nothing was kept") from None
            return f"{item}: {explain(error)}"

    kept: list[Any] = []
    skipped: list[str] = []
    table: list[np.ndarray] = []
    with (folder / "images.u8").open("wb") as file, ThreadPoolExecutor() as pool:
        results = tqdm(_in_order(pool, attempt, items), f"decoding {name}", len(items), unit="img", leave=False)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, str):
                skipped.append(result)
            else:
                kept.append(item)
                file.write(np.ascontiguousarray(result[0]).tobytes())
                table.append(result[1])
    if not kept:
        raise UserError(f"{name}: none of {len(items)} images could be read; first: {'; '.join(skipped[:1])}")
    np.save(folder / "conditions.npy", np.asarray(table, dtype=np.int8).reshape(len(kept), conditions))
    return kept, skipped


def _in_order(pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Sequence[Any], chunk: int = 1024) -> Iterator[Any]:
    """pool.map in chunks, so that a big data set's results never pile up in memory."""
    for start in range(0, len(items), chunk):
        yield from pool.map(work, items[start : start + chunk])
