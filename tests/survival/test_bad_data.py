"""Damaged data: a sound data set that says what it left out, or one clear error. Never a wrong label, never a traceback."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from conftest import write_celeba, write_mnist
from PIL import Image

import ddpm_faces.data.celeba
import ddpm_faces.data.decoding
from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data import open_dataset
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.utils.errors import UserError

FOLDER = "celeba/img_align_celeba"
Damage = Callable[[Path, random.Random], None]


# Images


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(1, path.stat().st_size - 50)])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def bytes_changed(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.randrange(1, 200)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)


def as_png(path: Path, rng: random.Random) -> None:
    Image.open(path).save(path, "PNG")


def as_mode(mode: str, kind: str) -> Damage:
    def damage(path: Path, rng: random.Random) -> None:
        image = Image.open(path).convert("RGB")
        (image.convert("L").convert(mode) if mode.startswith("I") else image.convert(mode)).save(path, kind)

    damage.__name__ = f"{mode}_{kind}"
    return damage


def one_pixel(path: Path, rng: random.Random) -> None:
    Image.new("RGB", (1, 1)).save(path)


def png_bomb(path: Path, rng: random.Random) -> None:
    """A few bytes that claim 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def a_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def a_broken_link(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def a_page(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"<html>quota exceeded</html>" * 50)


def postscript(path: Path, rng: random.Random) -> None:
    """Which Pillow would hand to Ghostscript, a program that runs what is in it."""
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 178 218\n(touched) (w) file closefile\nshowpage\n%%EOF\n")


IMAGES: list[Damage] = [
    cut, cut, cut, empty, bytes_changed, bytes_changed, as_png, as_mode("CMYK", "JPEG"), as_mode("L", "JPEG"),
    as_mode("P", "PNG"), as_mode("RGBA", "PNG"), as_mode("I;16", "PNG"), as_mode("P", "GIF"), as_mode("RGB", "TIFF"),
    one_pixel, png_bomb, a_folder, a_broken_link, a_pipe, a_page, postscript,
]  # fmt: skip
SOUND = {"as_png", "CMYK_JPEG", "L_JPEG", "P_PNG", "RGBA_PNG"}  # unusual, but images


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return write_celeba(tmp_path_factory.mktemp("original"))


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    """Datasets are known by names and sizes: one made from a damaged image would serve the next of the same size."""
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path / "cache"))


def damaged_copy(original: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.with_name("cache"), ignore_errors=True)
    return Path(shutil.copytree(original, folder))


def check_labels(dataset) -> None:
    for i in range(len(dataset)):
        number = int(Path(dataset.name(i)).stem)
        assert np.array_equal(dataset.conditions[i], toy_face(number - 1, 178)[1]), f"the labels of {dataset.name(i)}"


def test_damaged_images(original, tmp_path, amount):
    rng = random.Random(1)
    for k in range(amount(len(IMAGES), 5 * len(IMAGES))):
        damage = IMAGES[k % len(IMAGES)]
        root = damaged_copy(original, tmp_path / "copy")
        victim = root / FOLDER / f"{rng.randrange(1, 9):06d}.jpg"
        damage(victim, rng)
        dataset = open_dataset("celeba", root)
        check_labels(dataset)
        skipped = dataset.info["skipped"]
        assert len(dataset) + len(skipped) == 8 and len(skipped) <= 1, damage.__name__
        if damage is not bytes_changed:  # which a JPEG may survive
            assert bool(skipped) == (damage.__name__ not in SOUND), (damage.__name__, skipped)
        if skipped:
            assert skipped[0].startswith(f"{victim.name}: ") and len(skipped[0]) > len(victim.name) + 5
        kept = [dataset.name(i) for i in range(len(dataset))]
        assert kept == [f"{i:06d}.jpg" for i in range(1, 9) if not (skipped and f"{i:06d}.jpg" == victim.name)]
    assert not (tmp_path / "touched").exists() and not Path("touched").exists()


def test_data_that_goes_away_while_it_is_decoded_makes_no_dataset(original, tmp_path, monkeypatch):
    """Half of the images are read when the folder vanishes: that is no damage, and the half is no data set."""
    root, read = damaged_copy(original, tmp_path / "copy"), []
    real = ddpm_faces.data.celeba.load_face

    def load_face(file: BinaryIO, crop: str, size: int):
        read.append(file)
        if len(read) == 4:
            shutil.rmtree(root)
        return real(file, crop, size)

    monkeypatch.setattr(ddpm_faces.data.celeba, "load_face", load_face)
    monkeypatch.setattr(ddpm_faces.data.decoding, "ThreadPoolExecutor", lambda: ThreadPoolExecutor(1))
    with pytest.raises(UserError, match="is the data still there"):
        open_dataset("celeba", root)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


# The attribute file and the partition


def edited(change: Callable[[str, random.Random], str | bytes]) -> Damage:
    def damage(path: Path, rng: random.Random) -> None:
        new = change(path.read_text(), rng)
        path.write_bytes(new if isinstance(new, bytes) else new.encode())

    return damage


def lines(change: Callable[[list[str], random.Random], object]) -> Damage:
    def on_text(text: str, rng: random.Random) -> str:
        rows = text.splitlines()
        change(rows, rng)
        return "\n".join(rows) + "\n"

    return edited(on_text)


def a_row(rows: list[str], rng: random.Random) -> int:
    return rng.randrange(2, len(rows))


def letter(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + "x" + text[at + 1 :]


def column_out(rows: list[str], rng: random.Random) -> None:
    column = rng.randrange(40)
    for i in range(1, len(rows)):
        cells = rows[i].split()
        del cells[column + (i > 1)]
        rows[i] = " ".join(cells)


def spelled(old: str, new: str, some: bool = False) -> Damage:
    def change(rows: list[str], rng: random.Random) -> None:
        for i in range(2, len(rows)):
            if not some or i % 3 == 0:
                name, *cells = rows[i].split()
                rows[i] = " ".join([name, *(new if cell == old else cell for cell in cells)])

    return lines(change)


TABLES: dict[str, Damage] = {
    "a mark before the text": edited(lambda text, rng: "\ufeff" + text),
    "Windows' line ends": edited(lambda text, rng: text.replace("\n", "\r\n")),
    "no line end at the end": edited(lambda text, rng: text.rstrip("\n")),
    "utf-16": edited(lambda text, rng: text.encode("utf-16")),
    "cut": edited(lambda text, rng: text[: rng.randrange(len(text))]),
    "a letter": edited(letter),
    "many letters": edited(lambda text, rng: letter(letter(letter(text, rng), rng), rng)),
    "zero bytes": edited(lambda text, rng: text.encode() + b"\0" * 100),
    "empty": edited(lambda text, rng: ""),
    "binary": edited(lambda text, rng: bytes(rng.randrange(256) for _ in range(3000))),
    "a wrong count": lines(lambda rows, rng: rows.__setitem__(0, str(rng.randrange(10**9)))),
    "no count": lines(lambda rows, rng: rows.pop(0)),
    "a row is missing": lines(lambda rows, rng: rows.pop(a_row(rows, rng))),
    "a row comes twice": lines(lambda rows, rng: rows.append(rows[a_row(rows, rng)])),
    "a row comes twice, and differs": lines(lambda rows, rng: rows.append(rows[2].replace(" -1", " 1", 1))),
    "an unknown column": lines(
        lambda rows, rng: rows.__setitem__(slice(1, None), [f"{rows[1]} Left_Handed", *(f"{r} 1" for r in rows[2:])])
    ),
    "a column twice": lines(
        lambda rows, rng: rows.__setitem__(slice(1, None), [f"{rows[1]} Male", *(f"{r} 1" for r in rows[2:])])
    ),
    "39 columns": lines(column_out),
    "0 for -1": spelled("-1", "0"),
    "0 for some": spelled("-1", "0", some=True),
    "2 for 1": spelled("1", "2"),
    "yes for 1": spelled("1", "yes"),
    "rows in another order": lines(lambda rows, rng: rows.__setitem__(slice(2, None), rng.sample(rows[2:], len(rows) - 2))),
    "names of other images": lines(
        lambda rows, rng: rows.__setitem__(slice(2, None), [f"9{row}" for row in rows[2:]])
    ),
}  # fmt: skip


def open_or_refuse(root: Path) -> object | None:
    """The dataset, or None after one clear error; anything else that is raised fails the test."""
    try:
        return open_dataset("celeba", root)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) > 20
        return None


def test_damaged_attribute_files(original, tmp_path, amount):
    rng = random.Random(2)
    opened, refused = 0, 0
    for _ in range(amount(1, 4)):
        for what, damage in TABLES.items():
            root = damaged_copy(original, tmp_path / "copy")
            damage(root / "celeba/list_attr_celeba.txt", rng)
            dataset = open_or_refuse(root)
            if dataset is None:
                refused += 1
            else:
                opened += 1
                check_labels(dataset)
            must = {
                "39 columns",
                "0 for some",
                "2 for 1",
                "a column twice",
                "a row comes twice, and differs",
                "empty",
            }
            may_not = {
                "a mark before the text",
                "Windows' line ends",
                "utf-16",
                "no count",
                "a wrong count",
                "0 for -1",
                "an unknown column",
            }
            assert (what not in must or dataset is None) and (what not in may_not or len(dataset) == 8), what
    assert opened > 5 and refused > 5


def test_damaged_partitions(original, tmp_path, amount):
    """A image may be left out; it may never move from the test split to the training."""
    rng = random.Random(3)
    changes: dict[str, Damage] = {
        "cut": TABLES["cut"], "a letter": TABLES["a letter"], "utf-16": TABLES["utf-16"], "binary": TABLES["binary"],
        "Windows' line ends": TABLES["Windows' line ends"], "a mark": TABLES["a mark before the text"],
        "another split": lines(lambda rows, rng: rows.append("000012.jpg 0")), "3": lines(lambda rows, rng: rows.append("a 3")),
    }  # fmt: skip
    for _ in range(amount(1, 3)):
        for what, damage in changes.items():
            root = damaged_copy(original, tmp_path / "copy")
            damage(root / "celeba/list_eval_partition.txt", rng)
            dataset = open_or_refuse(root)
            if dataset is not None:
                assert {dataset.name(i) for i in range(len(dataset))} <= {f"{i:06d}.jpg" for i in range(1, 9)}, what


# Archives


def test_paths_in_an_archive_mean_nothing(original, tmp_path):
    """Names such as these would write outside the folder, if anything were unpacked."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = (original / FOLDER / "000001.jpg").read_bytes()
    evil = ["../../evil.jpg", "/tmp/ddpm_faces_evil.jpg", "..", "a\0b", ""]
    columns = {"image": [{"bytes": content, "path": name} for name in evil]}
    columns |= {name: [True] * len(evil) for name in CELEBA.names}
    (tmp_path / "hub").mkdir()
    parquet.write_table(pa.table(columns), tmp_path / "hub/train-0.parquet")
    assert len(open_dataset("celeba", tmp_path / "hub")) == len(evil)
    root = damaged_copy(original, tmp_path / "deep/down/copy")
    with zipfile.ZipFile(root / f"{FOLDER}.zip", "w") as archive:
        for path in (root / FOLDER).iterdir():
            archive.write(path, f"../../evil/{path.name}")
    shutil.rmtree(root / FOLDER)
    dataset = open_dataset("celeba", root)
    check_labels(dataset)
    assert len(dataset) == 8 and not list(tmp_path.rglob("*evil*")) and not Path("/tmp/ddpm_faces_evil.jpg").exists()


def test_damaged_archives(original, tmp_path, amount):
    """Labels stay right in a zip, which has check sums; parquet has none for them, and need only fail in one line."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rng = random.Random(5)
    files = sorted((original / FOLDER).iterdir())
    columns = {"image": [{"bytes": path.read_bytes()} for path in files]}
    columns |= {name: [True] * len(files) for name in CELEBA.names}
    for _ in range(amount(10, 100)):
        root = damaged_copy(original, tmp_path / "copy")
        shutil.rmtree(root / FOLDER)
        with zipfile.ZipFile(root / f"{FOLDER}.zip", "w") as archive:
            for path in files:
                archive.write(path, path.name)
        rng.choice((cut, bytes_changed))(root / f"{FOLDER}.zip", rng)
        dataset = open_or_refuse(root)
        if dataset is not None:
            check_labels(dataset)
        root = damaged_copy(original, tmp_path / "hub")
        shutil.rmtree(root / "celeba")
        parquet.write_table(pa.table(columns), root / "train-0.parquet")
        rng.choice((cut, bytes_changed))(root / "train-0.parquet", rng)
        open_or_refuse(root)


# MNIST


def test_damaged_mnist(tmp_path, amount):
    rng = random.Random(4)
    images, labels = write_mnist(tmp_path / "whole")
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")

    def unpacked(path: Path, change: Callable[[bytearray], object]) -> None:
        content = bytearray(gzip.decompress(path.read_bytes()))
        changed = change(content)
        path.write_bytes(gzip.compress(bytes(changed if isinstance(changed, (bytes, bytearray)) else content)))

    def header(content: bytearray) -> None:
        content[rng.randrange(4 if len(content) < 100 else 16)] ^= 1 << rng.randrange(8)

    def label(content: bytearray) -> None:
        content[-1] = 10 + rng.randrange(240)

    changes: dict[str, Callable[[Path, Path], object]] = {
        "cut": lambda i, c: i.write_bytes(i.read_bytes()[: rng.randrange(1000)]),
        "packed bytes": lambda i, c: bytes_changed(rng.choice((i, c)), rng),
        "header": lambda i, c: unpacked(rng.choice((i, c)), header),
        "fewer": lambda i, c: unpacked(rng.choice((i, c)), lambda content: content[: -rng.randrange(1, 15)]),
        "longer": lambda i, c: unpacked(rng.choice((i, c)), lambda content: content + b"\1" * rng.randrange(1, 3000)),
        "label": lambda i, c: unpacked(c, label),
        "swapped": lambda i, c: (shutil.copy(i, tmp_path / "t"), shutil.copy(c, i), shutil.copy(tmp_path / "t", c)),
        "empty": lambda i, c: rng.choice((i, c)).write_bytes(b""),
        "a folder": lambda i, c: a_folder(rng.choice((i, c)), rng),
        "huge when unpacked": lambda i, c: i.write_bytes(gzip.compress(b"\0" * (300 * 2**20), 1)),
    }
    rounds = amount(1, 5)
    for number in range(rounds):
        for what, change in changes.items():
            if what == "huge when unpacked" and number:
                continue
            root = damaged_copy(tmp_path / "whole", tmp_path / "copy")
            change(*(root / "MNIST/raw" / name for name in names))
            try:
                dataset = open_dataset("mnist", root)
            except UserError as error:
                assert "MNIST" in str(error) and "\n" not in str(error), what
            else:  # some bytes of gzip's header mean nothing
                assert what == "packed bytes" and np.array_equal(dataset.images[:, 2:30, 2:30, 0], images)
                assert np.array_equal(dataset.conditions.argmax(axis=1), labels)
