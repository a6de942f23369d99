"""CelebA's tables as different people write them: read right, or refused with the cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import write_celeba

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data import open_dataset
from ddpm_faces.data.celeba.tables import match, read_attributes, read_partition, split_of
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.utils.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_celeba(tmp_path_factory.mktemp("tables"), n=6) / "celeba"


@pytest.fixture
def rows(folder) -> list[list[str]]:
    """The official attribute file: its heading, which lacks the names' column, and a row an image."""
    return [line.split() for line in (folder / "list_attr_celeba.txt").read_text().splitlines()[1:]]


def is_right(table: dict[str, np.ndarray]) -> bool:
    return [*table] == [f"{i:06d}.jpg" for i in range(1, 7)] and all(
        np.array_equal(vector, toy_face(i, 178)[1]) for i, vector in enumerate(table.values())
    )


@pytest.mark.parametrize(
    "heading", ["image_id", "file_name", "image_name", "name", "File", "", "whatever", "index,image_id", ",photo"]
)
def test_headings_of_the_names_column(rows, tmp_path, heading):
    """An index may come before it, as pandas writes one."""
    before = "{}," if "," in heading else ""
    lines = [
        ",".join([heading, *rows[0]]),
        *(",".join([before.format(i) + row[0], *row[1:]]) for i, row in enumerate(rows[1:])),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert is_right(read_attributes(tmp_path / "t.csv"))


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["csv", "txt"])
def test_separators_and_encodings(rows, tmp_path, separator, encoding, ending):
    path = tmp_path / f"t.{ending}"
    path.write_text("\r\n".join(separator.join(row) for row in [["image_id", *rows[0]], *rows[1:]]), encoding=encoding)
    assert is_right(read_attributes(path))


@pytest.mark.parametrize(
    ("present", "absent"), [("1", "0"), ("True", "False"), ("1.0", "-1.0"), ("1.0", "0.0"), ("TRUE", "FALSE")]
)
def test_spellings_of_the_values(rows, tmp_path, present, absent):
    spelled = [[row[0], *(present if cell == "1" else absent for cell in row[1:])] for row in rows[1:]]
    (tmp_path / "t.csv").write_text("\n".join(",".join(row) for row in [["image", *rows[0]], *spelled]))
    assert is_right(read_attributes(tmp_path / "t.csv"))


def test_columns_in_another_order_and_more_of_them(rows, tmp_path):
    turned = [[*reversed(rows[0]), "Left_Handed", "image_id"], *([*reversed(row[1:]), "7", row[0]] for row in rows[1:])]
    (tmp_path / "t.csv").write_text("\n".join(",".join(row) for row in turned))
    assert is_right(read_attributes(tmp_path / "t.csv"))


def changed(number: int, change: Callable[[list[str]], list[str]]) -> Callable[[list[list[str]]], list[list[str]]]:
    return lambda rows: [change(row) if i == number else row for i, row in enumerate(rows)]


REFUSED = {
    "a name that is none": (changed(0, lambda h: [w.replace("Smiling", "Grinning") for w in h]), "heading lacks Smiling"),
    "a column twice": (lambda rows: [[*rows[0], "Male"], *([*row, "1"] for row in rows[1:])], "names a column twice"),
    "a value too few": (changed(3, lambda row: row[:-1]), r"row 3 \(000003.jpg\): 39 values instead of 40"),
    "a value too few in the first row": (changed(1, lambda row: row[:-1]), r"row 1 \(000001.jpg\): 39 values instead of 40"),
    "a value too few under a heading": (
        lambda rows: [["image", *rows[0]], rows[1][:-1], *rows[2:]],
        r"row 1 \(000001.jpg\): 39 values instead of 40",
    ),
    "another value": (changed(3, lambda row: [*row[:-1], "5"]), r"row 3 \(000003.jpg\): '5' is none of 1, -1, 0"),
    "0 and -1": (changed(3, lambda row: [cell.replace("-1", "0") for cell in row]), "mixes 0 and -1"),
    "a name twice": (changed(3, lambda row: ["000002.jpg", *row[1:]]), r"000002.jpg\): another row of that name has other"),
    "nothing": (lambda rows: [], "heading lacks 5_o_Clock"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_tables_that_are_refused(rows, tmp_path, what):
    change, reason = REFUSED[what]
    (tmp_path / "t.txt").write_text("\n".join(" ".join(row) for row in change(rows)))
    with pytest.raises(UserError, match=reason):
        read_attributes(tmp_path / "t.txt")


PARTITIONS = {
    "official": "000001.jpg 0\n000002.jpg 2\n",
    "Kaggle's": "image_id,partition\n000001.jpg,0\n000002.jpg,2\n",
    "with an index": ";file_name;partition\n0;000001.jpg;0\n1;000002.jpg;2\n",
    "as floats": "partition\tphoto\n0.0\t000001.jpg\n2.0\t000002.jpg\n",
}


@pytest.mark.parametrize("what", PARTITIONS)
def test_partitions(tmp_path, what):
    (tmp_path / "p").write_text(PARTITIONS[what], encoding="utf-16" if what == "as floats" else "utf-8")
    assert read_partition(tmp_path / "p") == {"000001.jpg": 0, "000002.jpg": 2}


@pytest.mark.parametrize("row", ["000003.jpg 3", "000003.jpg", "000003.jpg 0 1", "000002.jpg 0", "a b c"])
def test_partitions_that_are_refused(tmp_path, row):
    (tmp_path / "p").write_text(f"{PARTITIONS['official']}{row}\n")
    with pytest.raises(UserError, match="row 3"):
        read_partition(tmp_path / "p")


def test_without_a_partition_the_official_one_goes_by_number():
    assert [split_of(f"{n:06d}.jpg", None) for n in (1, 162770, 162771, 182637, 182638, 202599)] == [0, 0, 1, 1, 2, 2]


def test_names_are_matched_where_only_one_can_be_meant():
    images = ["000001.jpg", "000002.JPG", "3.png", "Ann.jpeg", "bob.jpg", "Bob.png", "0x4.jpg"]
    table = {
        "000001.png": 1,
        "000002.jpg": 2,
        "img_align_celeba/000003.jpg": 3,
        "img\\ann": 4,
        "BOB": 5,
        "bob.jpg": 6,
        "4.jpg": 7,
    }
    assert match(images, table) == {"000001.jpg": 1, "000002.JPG": 2, "3.png": 3, "Ann.jpeg": 4, "bob.jpg": 6}
    assert match(["1.jpg"], {"01.jpg": 1, "001.jpg": 2}) == {}, "two rows could be meant"
    assert match(["1.jpg", "01.jpg"], {"01.jpg": 1, "001.jpg": 2}) == {"01.jpg": 1}


def test_a_copy_of_pngs_with_tables_of_jpgs(celeba):
    for path in (celeba / "celeba/img_align_celeba").iterdir():
        path.rename(path.with_name(f"{int(path.stem)}.PNG"))  # Pillow reads what is in it
    dataset = open_dataset("celeba", celeba)
    assert len(dataset) == 8 and len(open_dataset("celeba", celeba, "test")) == 2
    for i in range(8):
        assert np.array_equal(dataset.conditions[i], toy_face(int(Path(dataset.name(i)).stem) - 1, 178)[1])


def test_rows_and_images_that_are_not_the_same(celeba):
    path = celeba / "celeba/list_attr_celeba.txt"
    good = path.read_text()
    path.write_text(good.replace("000002", "900002"))  # an image without a row, a row without an image
    assert len(open_dataset("celeba", celeba)) == 7
    path.write_text(good.replace("0000", "x000"))
    with pytest.raises(UserError, match="disagree: no image of 12 has a row"):
        open_dataset("celeba", celeba)
    assert len(CELEBA) == 40
