"""CelebA (Liu et al. 2015) from whatever copy there is: torchvision's layout, Kaggle's CSV files, partial, half size.

There is no one crop in the literature, so it has a name, which is kept in every checkpoint.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from ddpm_faces.attributes import CELEBA
from ddpm_faces.data.store import Store, build
from ddpm_faces.errors import UserError
from ddpm_faces.files import PARTIAL

FULL = (178, 218)  # width and height of an aligned picture; smaller and larger copies have the same shape
CROPS: dict[str, tuple[int, int, int, int]] = {  # left, top, right, bottom in a picture of FULL size
    "center140": (19, 39, 159, 179),  # Song et al. 2021, score_sde
    "box128": (25, 57, 153, 185),  # Song et al. 2021, DDIM
    "center148": (15, 35, 163, 183),  # VAE and GAN papers
}
HEADINGS = ("image_id", "image", "filename")  # of the first column, where it has one
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # that Pillow reads by itself: some others start programs, such as Ghostscript
SPLITS = ("train", "valid", "test")
LAST_OF_SPLIT = (162_770, 182_637, 202_599)  # the official partition, by file number

WAYS = (
    "ways to get it: the authors' page https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (img_align_celeba.zip, "
    "list_attr_celeba.txt), Kaggle's jessicali9530/celeba-dataset, or Hugging Face's flwrlabs/celeba"
)


def _find(root: Path, names: tuple[str, ...], folder: bool) -> Path | None:
    """The first of `names` in root, root/celeba, or one folder below either."""
    for base in (root, root / "celeba", root / "CelebA"):
        for name in names:
            for path in (base / name, *sorted(base.glob(f"*/{name}"))):
                if PARTIAL in path.parent.name:  # a download that was killed
                    continue
                if path.is_dir() if folder else path.is_file():
                    return path
    return None


def find_files(root: Path) -> tuple[Path, Path, Path | None]:
    """(image folder, attribute file, partition file or None) of the copy under `root`. Raises UserError if incomplete."""
    images = _find(root, ("img_align_celeba",), folder=True)
    attributes = _find(root, ("list_attr_celeba.txt", "list_attr_celeba.csv"), folder=False)
    if images is None or attributes is None:
        lacks = " and ".join(n for n, p in (("img_align_celeba/", images), ("list_attr_celeba.txt|csv", attributes)) if not p)
        hint = "" if images or attributes else "--download fetches it; other "
        raise UserError(f"no CelebA in {root}: {lacks} not found there; {hint}{WAYS}; then --data-root FOLDER")
    nested = images / "img_align_celeba"  # as Kaggle's archive unpacks
    partition = _find(root, ("list_eval_partition.txt", "list_eval_partition.csv"), folder=False)
    return (nested if nested.is_dir() else images), attributes, partition


def present(root: Path) -> bool:
    """Whether any part of a copy is under `root`: then it is the user's to complete, and nothing is fetched over it."""
    names = ("list_attr_celeba.txt", "list_attr_celeba.csv")
    return _find(root, ("img_align_celeba",), folder=True) is not None or _find(root, names, folder=False) is not None


def _rows(path: Path) -> list[list[str]]:
    """The cells of a table, Kaggle's CSV or the authors' columns of text. Raises UserError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = list(csv.reader(lines)) if path.suffix == ".csv" else [line.split() for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    return [[cell.strip() for cell in row] for row in rows if row]


def read_attributes(path: Path) -> dict[str, np.ndarray]:
    """File name -> (40,) int8 of -1 and +1, in CELEBA's order whatever the file's. Raises UserError, naming the line."""
    rows = _rows(path)
    if rows and len(rows[0]) == 1 and rows[0][0].isdigit():
        rows = rows[1:]  # the official file begins with a count, which partial copies seldom mend
    header = rows[0][1:] if rows and rows[0][0].lower() in HEADINGS else (rows[0] if rows else [])
    missing = [name for name in CELEBA if name not in header]
    if missing:
        raise UserError(f"{path} is not a CelebA attribute file: its heading lacks {', '.join(missing[:3])}")
    if len(set(header)) < len(header):
        raise UserError(f"{path} is not a CelebA attribute file: its heading names a column twice")
    columns = [header.index(name) for name in CELEBA]
    values = {"-1": -1, "0": -1, "1": 1}
    table: dict[str, np.ndarray] = {}
    spellings: set[str] = set()
    for number, row in enumerate(rows[1:], start=1):
        cells = row[1:]
        try:
            if len(cells) != len(header):
                raise UserError(f"{path}, row {number} ({row[0]}): {len(cells)} values instead of {len(header)}")
            vector = np.array([values[cells[c]] for c in columns], dtype=np.int8)
            spellings.update(cells[c] for c in columns)
        except KeyError as error:
            raise UserError(f"{path}, row {number} ({row[0]}): {error.args[0]} is not a -1 or 1 for each attribute") from None
        if row[0] in table and not np.array_equal(table[row[0]], vector):
            raise UserError(f"{path}, row {number}: {row[0]} has another row with other values")
        table[row[0]] = vector
    if {"0", "-1"} <= spellings:
        raise UserError(f"{path} mixes 0 and -1: absent is one or the other, and which of them means unknown cannot be told")
    return table


def read_partition(path: Path) -> dict[str, int]:
    """File name -> 0 train, 1 valid, 2 test. Raises UserError, naming the line: a guess could train on test pictures."""
    partition: dict[str, int] = {}
    for number, row in enumerate(_rows(path), start=1):
        if number == 1 and row[0].lower() in HEADINGS:
            continue
        if len(row) != 2 or row[1] not in ("0", "1", "2"):
            raise UserError(f"{path}, row {number}: not a file's name and 0, 1 or 2")
        if partition.setdefault(row[0], int(row[1])) != int(row[1]):
            raise UserError(f"{path}, row {number}: {row[0]} is in another split, too")
    return partition


def split_of(name: str, partition: dict[str, int] | None) -> int:
    """0 train, 1 valid, 2 test, -1 for a picture that the partition file does not name; without such a file, by the
    picture's number in the official partition."""
    if partition is not None:
        return partition.get(name, -1)
    stem = Path(name).stem
    return int(np.searchsorted(LAST_OF_SPLIT, int(stem))) if stem.isdigit() else 0


def load_face(path: Path, crop: str, size: int) -> np.ndarray:
    """One picture, cropped and scaled to (size, size, 3) uint8. Raises OSError or ValueError on a damaged or foreign one."""
    if not path.is_file():  # a folder, a broken link, a pipe that would keep us waiting
        raise ValueError("not a file")
    with Image.open(path, formats=FORMATS) as image:
        if image.mode.startswith(("I", "F")):  # Pillow would clip them to white
            raise ValueError(f"pixels of mode {image.mode}, where 8 bits a channel are expected")
        width, height = image.size
        if not 32 <= width <= 4096 or abs(width / height - FULL[0] / FULL[1]) > 0.03:
            raise ValueError(f"{width}x{height} pixels, where an aligned CelebA picture has the shape of 178x218")
        scale = width / FULL[0]
        left, top, right, bottom = (side * scale for side in CROPS[crop])
        face = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=(left, top, right, min(bottom, height)))
        return np.asarray(face)


def open_celeba(root: str | Path, split: str = "train", crop: str = "center140", size: int = 64) -> Store:
    """CelebA's `split` ("train", "valid", "test") as a Store of (size, size, 3) pictures and 40 attributes of -1/+1.

    Raises UserError where the copy is missing or incomplete, or where pictures and attribute file have nothing in common.
    """
    root = Path(root)
    if crop not in CROPS:
        raise UserError(f"no crop '{crop}': choose {', '.join(CROPS)}")
    try:
        folder, attribute_file, partition_file = find_files(root)
        files = {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")}
        sizes = {name: path.stat().st_size if path.is_file() else -1 for name, path in files.items()}
    except OSError as error:
        raise UserError(f"{root} cannot be read: {error}") from None
    table = read_attributes(attribute_file)
    partition = read_partition(partition_file) if partition_file else None
    known = [name for name in files if name in table]
    if not known:
        raise UserError(f"{attribute_file.name} and the pictures in {folder} disagree: no picture of {len(files)} has a row")
    if len(known) < len(files):
        print(f"celeba: {len(files) - len(known)} pictures have no row in {attribute_file.name}; they are left out")
    unnamed = sum(split_of(name, partition) < 0 for name in known)
    if unnamed:
        print(f"celeba: {partition_file.name if partition_file else ''} does not name {unnamed} pictures; they are left out")
    chosen = [name for name in known if split_of(name, partition) == SPLITS.index(split)]
    if not chosen:
        raise UserError(f"{root} holds no picture of CelebA's {split} split, of {len(known)} that were found")
    listing = hashlib.sha256("\n".join(f"{n} {sizes[n]} {table[n].tobytes().hex()}" for n in chosen).encode())
    facts = {"data": "celeba", "split": split, "crop": crop, "size": size, "source": listing.hexdigest()}

    def decode(name: str) -> tuple[np.ndarray, np.ndarray]:
        if sizes[name] >= 0:
            files[name].stat()  # raises if it was there a moment ago and is no more: the whole folder may have gone
        return load_face(files[name], crop, size), table[name]

    return build(f"celeba-{split}-{crop}-{size}", facts, (size, size, 3), CELEBA, chosen, decode)
