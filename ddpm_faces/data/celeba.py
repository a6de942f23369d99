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

FULL = (178, 218)  # width and height of an aligned picture; smaller and larger copies have the same shape
CROPS: dict[str, tuple[int, int, int, int]] = {  # left, top, right, bottom in a picture of FULL size
    "center140": (19, 39, 159, 179),  # Song et al. 2021, score_sde
    "box128": (25, 57, 153, 185),  # Song et al. 2021, DDIM
    "center148": (15, 35, 163, 183),  # VAE and GAN papers
}
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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    lines = text.splitlines()
    rows = list(csv.reader(lines)) if path.suffix == ".csv" else [line.split() for line in lines]
    return [[cell.strip() for cell in row] for row in rows if row]


def read_attributes(path: Path) -> dict[str, np.ndarray]:
    """File name -> (40,) int8 of -1 and +1, in CELEBA's order whatever the file's. Raises UserError, naming the line."""
    rows = _rows(path)
    if rows and len(rows[0]) == 1 and rows[0][0].isdigit():
        rows = rows[1:]  # the official file begins with a count, which partial copies seldom mend
    header = rows[0][1:] if rows and rows[0][0].lower() in ("image_id", "image", "filename") else (rows[0] if rows else [])
    missing = [name for name in CELEBA if name not in header]
    if missing:
        raise UserError(f"{path} is not a CelebA attribute file: its heading lacks {', '.join(missing[:3])}")
    columns = [header.index(name) for name in CELEBA]
    values = {"-1": -1, "0": -1, "1": 1}
    table: dict[str, np.ndarray] = {}
    for number, row in enumerate(rows[1:], start=1):
        cells = row[1:]
        try:
            if len(cells) != len(header):
                raise KeyError(f"{len(cells)} values instead of {len(header)}")
            vector = np.array([values[cells[c]] for c in columns], dtype=np.int8)
        except KeyError as error:
            raise UserError(f"{path}, row {number} ({row[0]}): {error.args[0]} is not a -1 or 1 for each attribute") from None
        if row[0] in table and not np.array_equal(table[row[0]], vector):
            raise UserError(f"{path}, row {number}: {row[0]} has another row with other values")
        table[row[0]] = vector
    return table


def read_partition(path: Path) -> dict[str, int]:
    """File name -> 0 train, 1 valid, 2 test."""
    return {row[0]: int(row[1]) for row in _rows(path) if len(row) == 2 and row[1] in ("0", "1", "2")}


def split_of(name: str, partition: dict[str, int] | None) -> int:
    """0 train, 1 valid, 2 test: from the partition file, or else from the file's number in the official partition."""
    if partition is not None:
        return partition.get(name, 0)
    stem = Path(name).stem
    return int(np.searchsorted(LAST_OF_SPLIT, int(stem))) if stem.isdigit() else 0


def load_face(path: Path, crop: str, size: int) -> np.ndarray:
    """One picture, cropped and scaled to (size, size, 3) uint8. Raises OSError or ValueError on a damaged or foreign one."""
    with Image.open(path) as image:
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
    folder, attribute_file, partition_file = find_files(root)
    table = read_attributes(attribute_file)
    partition = read_partition(partition_file) if partition_file else None
    files = {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")}
    known = [name for name in files if name in table]
    if not known:
        raise UserError(f"{attribute_file.name} and the pictures in {folder} disagree: no picture of {len(files)} has a row")
    if len(known) < len(files):
        print(f"celeba: {len(files) - len(known)} pictures have no row in {attribute_file.name}; they are left out")
    chosen = [name for name in known if split_of(name, partition) == SPLITS.index(split)]
    if not chosen:
        raise UserError(f"{root} holds no picture of CelebA's {split} split, of {len(known)} that were found")
    listing = hashlib.sha256("\n".join(f"{n} {files[n].stat().st_size} {table[n].tobytes().hex()}" for n in chosen).encode())
    facts = {"data": "celeba", "split": split, "crop": crop, "size": size, "source": listing.hexdigest()}

    def decode(name: str) -> tuple[np.ndarray, np.ndarray]:
        return load_face(files[name], crop, size), table[name]

    return build(f"celeba-{split}-{crop}-{size}", facts, (size, size, 3), CELEBA, chosen, decode)
