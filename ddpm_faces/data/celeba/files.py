"""Finding a copy of CelebA on the disk: a folder of images or img_align_celeba.zip, with tables, or the hub's parquet files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ddpm_faces.data.celeba.tables import ENDINGS, match, read_attributes, read_partition, split_of
from ddpm_faces.data.pictures import Pictures, open_zip
from ddpm_faces.data.source import SPLITS
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.files import PARTIAL

IMAGES = ("img_align_celeba", "img_align_celeba.zip")
ATTRIBUTES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
LARGEST = 2**26  # bytes of an image: thousands of times CelebA's
BY_HAND = (
    "ways to get it: the authors' page https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (img_align_celeba.zip, "
    "list_attr_celeba.txt), Kaggle's jessicali9530/celeba-dataset (unzipped), or the parquet files of Hugging Face's "
    "flwrlabs/celeba"
)


@dataclass(frozen=True)
class Split:
    """The images of one split: their names in order, the attributes (40,) int8 of each, and its file's content by name.

    source: a hash of all that makes this copy what it is.
    """

    names: list[str]
    attributes: Mapping[str, np.ndarray]
    read: Callable[[str], bytes]
    source: str


def places(root: Path) -> Iterator[Path]:
    """The folders in which a copy may lie: root, root/celeba, and one folder below either. Half-made ones are left out."""
    for base in (root, root / "celeba", root / "CelebA"):
        if base.is_dir():
            yield base
            yield from (p for p in sorted(base.iterdir()) if p.is_dir() and PARTIAL not in p.name and p.name != "__MACOSX")


def find_first(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first of `names` that is in one of the `places`."""
    return next((path for name in names for place in places(root) if (path := place / name).exists()), None)


def find_shards(root: Path, split: str) -> list[Path]:
    """The parquet files of a split, in order; [] if there are none of any split. Raises UserError if some are missing."""
    place = next((place for place in places(root) if any(_shards(place, any_split) for any_split in SPLITS)), None)
    if place is None:
        return []
    shards = _shards(place, split)
    count = shards[0].stem.rpartition("-of-")[2] if shards else "1"  # as in train-00000-of-00019
    if count.isdigit() and int(count) != len(shards):
        raise UserError(f"{place} holds {len(shards)} of {int(count)} parquet files of CelebA's {split} split")
    return shards


def _shards(place: Path, split: str) -> list[Path]:
    return sorted(place.glob(f"{split}-*.parquet"))


def present(root: Path) -> bool:
    """Whether any part of a copy is under `root`: then it is the user's to complete, and nothing is fetched over it."""
    if find_first(root, (*IMAGES, *ATTRIBUTES)):
        return True
    return any(_shards(place, split) for place in places(root) for split in SPLITS)


def open_files(root: Path, split: str) -> Split:
    """A split of a copy of images and tables. Raises UserError where it is incomplete or does not go together."""
    found, attribute_file, partition_file = (find_first(root, names) for names in (IMAGES, ATTRIBUTES, PARTITION))
    if found is None or attribute_file is None:
        missing = (("img_align_celeba/ or .zip", found), ("list_attr_celeba.txt|csv", attribute_file))
        lacks = " and ".join(name for name, path in missing if path is None)
        hint = "" if found or attribute_file else "--download fetches it; other "
        raise UserError(f"no CelebA in {root}: {lacks} not found there; {hint}{BY_HAND}; then --data-root FOLDER")
    images = in_folder(found) if found.is_dir() else in_zip(found)
    labels = match(images.sizes, read_attributes(attribute_file))
    partition = match(images.sizes, read_partition(partition_file)) if partition_file else None
    if not labels:
        raise UserError(f"{attribute_file} and {images.place} disagree: no image of {len(images.sizes)} has a row")
    if len(labels) < len(images.sizes):
        print(f"celeba: {len(images.sizes) - len(labels)} images have no row in {attribute_file.name}; they are left out")
    unnamed = sum(split_of(name, partition) < 0 for name in labels)
    if unnamed and partition_file:
        print(f"celeba: {partition_file.name} does not name {unnamed} images; they are left out")
    names = [name for name in labels if split_of(name, partition) == SPLITS.index(split)]
    if not names:
        raise UserError(f"{root} holds no image of CelebA's {split} split, of {len(labels)} that were found")
    listing = "\n".join(f"{name} {images.sizes[name]} {labels[name].tobytes().hex()}" for name in names)
    return Split(names, labels, images.read, hashlib.sha256(listing.encode()).hexdigest())


def in_folder(folder: Path) -> Pictures:
    """The images of a folder, or of the one within it, as Kaggle's archive unpacks. Raises OSError."""
    nested = folder / folder.name
    folder = nested if nested.is_dir() else folder
    files = {path.name: path for path in sorted(folder.iterdir()) if _is_image(path.name)}
    sizes = {name: path.stat().st_size if path.is_file() else -1 for name, path in files.items()}

    def read(name: str) -> bytes:
        if sizes[name] >= 0:
            files[name].stat()  # raises if it was there a moment ago and is no more: the whole folder may have gone
        if not files[name].is_file():  # a folder, a broken link, a pipe that would keep us waiting
            raise ValueError("not a file")
        if sizes[name] > LARGEST:
            raise ValueError(f"{sizes[name]:,} bytes are too many for an image")
        return files[name].read_bytes()

    return Pictures(folder, sizes, read)


def in_zip(path: Path) -> Pictures:
    """The images of an archive, which is not unpacked. Raises UserError if it is damaged."""
    archive = open_zip(path)
    entries = {PurePosixPath(entry.filename).name: entry for entry in archive.infolist() if _is_image(entry.filename)}
    sizes = {name: entries[name].file_size for name in sorted(entries)}

    def read(name: str) -> bytes:
        if sizes[name] > LARGEST:
            raise ValueError(f"{sizes[name]:,} bytes are too many for an image")
        return archive.read(entries[name])

    return Pictures(path, sizes, read)


def _is_image(name: str) -> bool:
    """By its name; what macOS adds to an archive is none."""
    path = PurePosixPath(name)
    return path.suffix.lower() in ENDINGS and not path.name.startswith("._") and "__MACOSX" not in path.parts
