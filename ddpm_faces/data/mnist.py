"""MNIST (LeCun et al. 1998) through torchvision, padded from 28x28 to 32x32, which halves evenly; conditions are one-hot."""

from __future__ import annotations

import errno
import gzip
import hashlib
import tempfile
from pathlib import Path

import numpy as np

from ddpm_faces.attributes import DIGITS
from ddpm_faces.data.store import Store, build
from ddpm_faces.errors import UserError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
PAD = 2
LARGEST = 2**28  # bytes of a file, packed or not: five times MNIST's
WAYS = (
    "download the four .gz files from https://ossci-datasets.s3.amazonaws.com/mnist/ into FOLDER/MNIST/raw, "
    "then --data-root FOLDER"
)


def find_files(root: Path, split: str) -> list[Path]:
    """The split's image and label files, packed or not, as torchvision lays them out; [] if one is missing."""
    found = []
    for name in FILES[split]:
        paths = [folder / f"{name}{end}" for folder in (root / "MNIST" / "raw", root / "raw", root) for end in ("", ".gz")]
        found += [path for path in paths if path.is_file()][:1]
    return found if len(found) == 2 else []


def unpacked(path: Path) -> bytes:
    """The content of a file that may be gzip. Raises ValueError beyond LARGEST, however small it is when packed."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as source:
        content = source.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{path.name} is far larger than MNIST's")
    return content


def read(files: list[Path], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) uint8 and labels (N,) int64, read by torchvision. Raises UserError on damaged files."""
    from torchvision.datasets import MNIST

    with tempfile.TemporaryDirectory() as folder:  # torchvision wants unpacked files, and the user's may be read-only
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        try:
            for name in (n for names in FILES.values() for n in names):  # it looks for all four, and reads two
                (raw / name).touch()
            for path in files:
                (raw / path.name.removesuffix(".gz")).write_bytes(unpacked(path))
            data = MNIST(folder, train=split == "train", download=False)
            images, labels = data.data.numpy(), data.targets.numpy()
        except Exception as error:  # the parser meets damage with many kinds of error
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise UserError(f"no space left to unpack MNIST in {folder}; TMPDIR moves it") from None
            raise UserError(f"MNIST's {files[0]} or {files[1].name} is damaged ({error}); {WAYS}") from None
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(labels) or labels.min() < 0 or labels.max() > 9:
        raise UserError(f"MNIST's {files[0]} and {files[1].name} do not go together: {images.shape}, {labels.shape}; {WAYS}")
    return images, labels


def download(root: Path) -> None:
    """Fetch MNIST (12 MB) into root through torchvision. Raises UserError with the ways to get it."""
    from torchvision.datasets import MNIST

    try:
        root.mkdir(parents=True, exist_ok=True)
        MNIST(str(root), download=True)
    except Exception as error:  # whatever the network library raises
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"no MNIST in {root}, and it could not be downloaded ({reason}); {WAYS}") from None


def open_mnist(root: str | Path, split: str = "train") -> Store:
    """MNIST as a Store of (32, 32, 1) pictures and 10 conditions, the digit one-hot. "valid" is the test set too.

    Raises UserError where it is missing or damaged.
    """
    root, split = Path(root), "train" if split == "train" else "test"
    files = find_files(root, split)
    if not files:
        raise UserError(f"no MNIST in {root}; --download fetches it, or {WAYS}")
    try:
        source = hashlib.sha256(b"".join(path.read_bytes() for path in files if path.stat().st_size <= LARGEST)).hexdigest()
    except OSError as error:
        raise UserError(f"MNIST in {root} cannot be read: {error}") from None
    facts = {"data": "mnist", "split": split, "size": 32, "source": source}
    loaded: list[tuple[np.ndarray, np.ndarray]] = []  # read when the first picture is asked for: not at all if the store exists

    def decode(i: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = loaded[0]
        return np.pad(images[i], PAD)[:, :, None], np.eye(10, dtype=np.int8)[labels[i]]

    def items() -> range:
        loaded.append(read(files, split))
        return range(len(loaded[0][1]))

    return build(f"mnist-{split}-32", facts, (32, 32, 1), DIGITS, items, decode)
