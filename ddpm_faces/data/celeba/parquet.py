"""CelebA as the Hugging Face hub holds it: parquet files, read where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data.celeba.files import Split
from ddpm_faces.data.damage import explain
from ddpm_faces.utils.errors import UserError


def open_shards(shards: Sequence[Path]) -> Split:
    """The split that lies in these files: a column "image" with each image's bytes, and one column for each attribute.

    An image is named by its file and row; the paths in the files mean nothing. Raises UserError where a file is damaged or
    another table.
    """
    rows: dict[str, tuple[Path, int, int]] = {}  # name -> file, row group, row within it
    attributes: dict[str, np.ndarray] = {}
    for path in shards:
        values, groups = _read_attributes(path)
        where = ((path, group, row) for group, size in enumerate(groups) for row in range(size))
        names = [f"{path.name}:{i}" for i in range(len(values))]
        attributes |= zip(names, values, strict=True)
        rows |= zip(names, where, strict=True)
    lock = Lock()  # images are asked for in order, but from several threads

    @lru_cache(maxsize=2)
    def row_group(path: Path, group: int) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(path).read_row_group(group, columns=["image"]).column("image")

    def read(name: str) -> bytes:
        path, group, row = rows[name]
        with lock:
            images = row_group(path, group)
        content: bytes = images[row].as_py()["bytes"]
        return content

    listing = [f"{path.name} {path.stat().st_size}" for path in shards]
    source = hashlib.sha256("\n".join(listing).encode() + b"".join(v.tobytes() for v in attributes.values()))
    return Split(list(rows), attributes, read, source.hexdigest())


def _read_attributes(path: Path) -> tuple[np.ndarray, list[int]]:
    """(N, 40) int8 of -1 and +1, and the number of rows in each row group."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f'{path} needs pyarrow to be read: pip install "ddpm_faces[fetch]"') from None
    try:
        file = pq.ParquetFile(path)
        missing = [name for name in ("image", *CELEBA.names) if name not in file.schema_arrow.names]
        if missing:
            raise ValueError(f"there is no column {missing[0]}")
        table = file.read(columns=list(CELEBA.names))
        present = np.stack([table.column(name).to_numpy() > 0 for name in CELEBA.names], axis=1)
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    except Exception as error:  # pyarrow answers damage with many kinds
        raise UserError(f"{path} cannot be read: {explain(error, path)}") from None
    return np.where(present, 1, -1).astype(np.int8), groups
