"""MNIST (LeCun et al. 1998), padded from 28x28 to 32x32, which halves evenly; conditions are one-hot."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from ddpm_faces.conditions.digits import DIGITS
from ddpm_faces.data.damage import explain
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.data.source import DataSource
from ddpm_faces.utils.errors import UserError

PREFIXES = {"train": "train", "valid": "t10k", "test": "t10k"}
KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
PAD = 2
LARGEST = 2**28  # bytes of a file, packed or not: five times MNIST's
BY_HAND = (
    "download the four .gz files from https://ossci-datasets.s3.amazonaws.com/mnist/ into FOLDER/MNIST/raw, "
    "then --data-root FOLDER"
)


def find_files(root: Path, split: str) -> list[Path]:
    """The split's image and label files, packed or not, in torchvision's or Kaggle's layout; [] if one is missing."""
    found = []
    for kind in KINDS:
        name = f"{PREFIXES[split]}-{kind}"
        spellings = (name, name.replace("-idx", ".idx"))  # Kaggle's have a dot, or a folder of the same name
        paths = (f / path for f in _folders(root) for name in spellings for path in (name, f"{name}.gz", f"{name}/{name}"))
        found += [path for path in paths if path.is_file()][:1]
    return found if len(found) == len(KINDS) else []


def _folders(root: Path) -> Iterator[Path]:
    for base in (root, root / "mnist"):
        yield from (base / "MNIST" / "raw", base / "raw", base)


def read(path: Path) -> np.ndarray:
    """The uint8 array in a file in MNIST's IDX format, packed by gzip or not whatever its name says. Raises UserError."""
    try:
        return _parse_idx(_unpacked(path))
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise UserError(f"MNIST's {path} is damaged ({explain(error, path)}); {BY_HAND}") from None


def _unpacked(path: Path) -> bytes:
    """The content of a file. Raises ValueError beyond LARGEST, however small it is when packed."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as source:
        content = source.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError("it is far larger than MNIST's")
    return content


def _parse_idx(content: bytes) -> np.ndarray:
    """IDX: two zero bytes, 8 for uint8, the number of dimensions, each dimension in four bytes, and the values."""
    magic, dimensions = struct.unpack(">3sB", content[:4])
    if magic != b"\0\0\x08" or not 1 <= dimensions <= 3:
        raise ValueError("it does not begin as an IDX file of bytes")
    start = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if math.prod(shape) != len(content) - start:
        raise ValueError(f"it has {len(content) - start:,} values instead of {' x '.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_split(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) uint8 and labels (N,) uint8. Raises UserError where the files are damaged or do not go together."""
    images, labels = map(read, files)
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or not len(labels):
        shapes = f"{images.shape}, {labels.shape}"
        raise UserError(f"MNIST's {files[0]} and {files[1].name} do not go together: {shapes}; {BY_HAND}")
    if labels.max() > 9:
        raise UserError(f"MNIST's {files[1]} holds the label {labels.max()}: those of digits are 0 to 9; {BY_HAND}")
    return images, labels


def fetch_mnist(root: Path) -> None:
    """Download MNIST (12 MB) into root through torchvision, unless it is there. Raises UserError with the ways to get it."""
    if find_files(root, "train"):
        return
    from torchvision.datasets import MNIST

    try:
        root.mkdir(parents=True, exist_ok=True)
        MNIST(str(root), download=True)
    except Exception as error:  # whatever the network library raises
        raise UserError(f"no MNIST in {root}, and it could not be downloaded ({explain(error)}); {BY_HAND}") from None


def open_mnist(root: Path, split: str, crop: str | None, size: int | None) -> Dataset:
    """MNIST as a Dataset of (32, 32, 1) images and 10 conditions, the digit one-hot. "valid" is the test set too.

    Raises UserError where it is missing or damaged.
    """
    split = "train" if split == "train" else "test"
    files = find_files(root, split)
    if not files:
        raise UserError(f"no MNIST in {root}; --download fetches it, or {BY_HAND}")
    try:
        source = hashlib.sha256(b"".join(path.read_bytes() for path in files if path.stat().st_size <= LARGEST)).hexdigest()
    except OSError as error:
        raise UserError(f"MNIST in {root} cannot be read: {explain(error)}") from None
    arrays = cache(lambda: read_split(files))  # read when the first image is asked for: not at all if the dataset exists

    def decode(i: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = arrays()
        return np.pad(images[i], PAD)[:, :, None], np.eye(10, dtype=np.int8)[labels[i]]

    facts = {"data": "mnist", "split": split, "size": 32, "source": source}
    return build(f"mnist-{split}-32", facts, (32, 32, 1), DIGITS, lambda: range(len(arrays()[1])), decode)


SOURCE = DataSource(
    open=open_mnist,
    fetch=fetch_mnist,
    licence="MNIST: CC BY-SA 3.0 (LeCun, Cortes, Burges)",
    recipe={"preset": "mnist32", "flip": False, "epochs": 10.0, "p_each": 0.0},
    classifier_epochs=3.0,
)
