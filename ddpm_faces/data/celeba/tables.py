"""CelebA's tables: the attributes and the split of each image, as the authors, Kaggle and others write them."""

from __future__ import annotations

import codecs
import csv
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from os.path import basename, splitext
from pathlib import Path
from typing import TypeVar

import numpy as np

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data.damage import NOT_FETCHED, explain, is_pointer
from ddpm_faces.utils.errors import UserError

T = TypeVar("T")

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # of images
HEADINGS = ("image_id", "image", "image_name", "filename", "file_name", "file", "name", "path", "id")  # of their names' column
PRESENT = {"1": 1, "1.0": 1, "True": 1, "TRUE": 1}
ABSENT = {"-1": -1, "-1.0": -1, "0": 0, "0.0": 0, "False": 0, "FALSE": 0}  # 0 until it is clear that no -1 is in the file
SPLIT_NUMBERS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "2": 2, "2.0": 2}
LAST_OF_SPLIT = (162_770, 182_637, 202_599)  # the official partition, by file number


def read_rows(path: Path) -> list[list[str]]:
    """The cells of a table: the authors' columns of text, or values between commas, semicolons or tabs. Raises UserError."""
    try:
        if is_pointer(path):
            raise ValueError(NOT_FETCHED)
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        lines = [line for line in content.decode("utf-16" if wide else "utf-8-sig").splitlines() if line.strip()]
        if lines and lines[0].strip().isdigit():
            lines = lines[1:]  # the official file begins with a count, which partial copies seldom mend
        separator = next((mark for mark in "\t;," if lines and mark in lines[0]), None)
        rows = list(csv.reader(lines, delimiter=separator)) if separator else [line.split() for line in lines]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {explain(error)}") from None
    return [[cell.strip() for cell in row] for row in rows]


def read_attributes(path: Path) -> dict[str, np.ndarray]:
    """Image name -> (40,) int8 of -1 and +1, in CELEBA's order whatever the file's. Raises UserError that names the row."""
    heading, *rows = read_rows(path) or [[]]
    missing = [name for name in CELEBA.names if name not in heading]
    if missing:
        raise UserError(f"{path} is not a CelebA attribute file: its heading lacks {', '.join(missing[:3])}")
    if len(set(heading)) < len(heading):
        raise UserError(f"{path} is not a CelebA attribute file: its heading names a column twice")
    named = any(word.lower() in HEADINGS for word in heading)
    if not named and (len(heading) == len(CELEBA) or not rows or len(rows[0]) != len(heading)):
        heading = [HEADINGS[0], *heading]  # the official file has no heading for the names, which come first
    table = _read_values(path, heading, rows, CELEBA.names, PRESENT | ABSENT)
    values = np.array(list(table.values()), dtype=np.int8).reshape(-1, len(CELEBA))
    if (values == 0).any() and (values == -1).any():
        raise UserError(f"{path} mixes 0 and -1: absent is one or the other, and which of them means unknown cannot be told")
    return dict(zip(table, np.where(values > 0, 1, -1).astype(np.int8), strict=True))


def read_partition(path: Path) -> dict[str, int]:
    """Image name -> 0 train, 1 valid, 2 test. Raises UserError that names the row: a guess could train on test images."""
    rows = read_rows(path)
    heading = [HEADINGS[0], "partition"]  # the official file has none
    if rows and rows[0] and ("partition" in rows[0] or rows[0][0].lower() in HEADINGS):
        heading, *rows = rows
        heading = heading if "partition" in heading or len(heading) != 2 else [heading[0], "partition"]
    return {name: split for name, (split,) in _read_values(path, heading, rows, ["partition"], SPLIT_NUMBERS).items()}


def _read_values(
    path: Path, heading: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[str], meanings: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """Image name -> what its cells in `columns` mean. Raises UserError that names the row."""
    places = [heading.index(column) for column in columns]
    name_at = _name_column(heading, rows[0], columns) if rows else 0
    table: dict[str, tuple[int, ...]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            if len(row) != len(heading):
                raise ValueError(f"{len(row) - 1} values instead of {len(heading) - 1}")
            values = tuple(meanings[row[place]] for place in places)
            if table.setdefault(row[name_at], values) != values:
                raise ValueError("another row of that name has other values")
        except KeyError as error:
            allowed = ", ".join(word for word in meanings if word.lstrip("-").isdigit())
            raise UserError(f"{path}, row {number} ({row[0]}): '{error.args[0]}' is none of {allowed}") from None
        except ValueError as error:
            raise UserError(f"{path}, row {number} ({row[0]}): {error}") from None
    return table


def _name_column(heading: Sequence[str], row: Sequence[str], columns: Sequence[str]) -> int:
    """The place of the images' names: by its heading, by the look of a row's cell, or else the first besides `columns`."""
    others = [i for i, word in enumerate(heading) if word not in columns]
    headed = [i for i in others if heading[i].lower() in HEADINGS]
    looking = [i for i in others if i < len(row) and row[i].lower().endswith(ENDINGS)]
    return [*headed, *looking, *others, 0][0]


def match(images: Collection[str], table: Mapping[str, T]) -> dict[str, T]:
    """Image name -> the entry of the table that means it.

    A name that is not exactly an image's may have another folder, ending, case or number of zeros in front, where only one
    image and one entry can be meant.
    """
    if all(image in table for image in images):
        return {image: table[image] for image in images}
    count = Counter(map(_core, images))
    meant: dict[str, list[str]] = defaultdict(list)
    for name in table:
        meant[_core(name)].append(name)
    found = {}
    for image in images:
        core = _core(image)
        if image in table:
            found[image] = table[image]
        elif count[core] == len(meant[core]) == 1:
            found[image] = table[meant[core][0]]
    return found


def _core(name: str) -> str:
    """What the names of one image have in common."""
    stem = splitext(basename(name.replace("\\", "/")))[0].lower()
    return stem.lstrip("0") if stem.isdigit() else stem


def split_of(name: str, partition: Mapping[str, int] | None) -> int:
    """0 train, 1 valid, 2 test, -1 for an image that the partition does not name.

    Without a partition, by the image's number in the official one.
    """
    if partition is not None:
        return partition.get(name, -1)
    stem = Path(name).stem
    return int(np.searchsorted(LAST_OF_SPLIT, int(stem))) if stem.isdigit() else 0
