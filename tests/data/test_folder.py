"""Pictures of one's own: labels from tables, sub-folders or nowhere; what is wrong is said in one line or counted."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import one_line
from PIL import Image, ImageDraw

import ddpm_faces
from ddpm_faces.data import from_arrays, from_folder, open_dataset
from ddpm_faces.data_report import main as report
from ddpm_faces.interpolate import main as interpolate
from ddpm_faces.sample import main as sample
from ddpm_faces.train import main as train
from ddpm_faces.utils.errors import UserError

NAMES = ("Red", "Circle", "Large")


def draw_shape(i: int, width: int = 40, height: int = 30) -> tuple[Image.Image, tuple[int, int, int]]:
    """Picture i: a shape in the middle, and whether it is red, a circle, and large."""
    red, circle, large = i % 2, i // 2 % 2, i // 4 % 2
    image = Image.new("RGB", (width, height), (240, 240, 240))
    side = 11 if large else 5
    box = (width // 2 - side, height // 2 - side, width // 2 + side, height // 2 + side)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if circle else draw.rectangle)(box, fill=(200, 20, 20) if red else (20, 20, 200))
    return image, (red, circle, large)


@pytest.fixture
def shapes(tmp_path) -> Path:
    """60 drawn shapes with labels.csv."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    lines = ["file,Red,Circle,Large"]
    for i in range(60):
        image, values = draw_shape(i)
        image.save(folder / f"{i:03d}.png")
        lines.append(f"{i:03d}.png,{','.join(map(str, values))}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_table_gives_attributes_and_a_stated_split(shapes, capsys):
    found = {split: from_folder(shapes, split, size=16) for split in ("train", "valid", "test")}
    said = capsys.readouterr().out
    assert "60 pictures" in said and "3 attributes: Red 50%" in said and "by a hash of the name" in said
    assert sum(map(len, found.values())) == 60 and len(found["train"]) > 40
    dataset = found["train"]
    assert dataset.names == NAMES and dataset.image_shape == (3, 16, 16)
    for i in range(8):
        number = int(dataset.name(i)[:3])
        assert (dataset.conditions[i] > 0).tolist() == [bool(v) for v in draw_shape(number)[1]]
        middle = dataset.images[i, 8, 8]
        assert (middle[0] > middle[2]) == bool(number % 2), "cropped to the middle"
    image = np.asarray(draw_shape(int(dataset.name(0)[:3]))[0].resize((16, 16), Image.Resampling.BICUBIC, box=(5, 0, 35, 30)))
    assert np.array_equal(dataset.images[0], image)


def test_a_zip_file_a_tsv_and_a_split_column_say_the_same(shapes, tmp_path):
    archive = tmp_path / "shapes.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(shapes.glob("*.png")):
            file.write(path, f"pictures/{path.name}")
        file.writestr("__MACOSX/._000.png", b"no picture")
    rows = [
        f"{i:03d}\tyes\t\t{'true' if i % 2 else 'false'}\t{'test' if i < 10 else 'val' if i < 15 else 'train'}"
        for i in range(60)
    ]
    table = tmp_path / "own.tsv"
    table.write_text("\n".join(["picture\tThere\tUnsaid\tOdd\tsplit", *rows]))
    test = from_folder(archive, "test", table=table, size=16)
    assert len(test) == 10 and test.conditions.tolist() == [[1, 0, 1 if i % 2 else -1] for i in range(10)]
    assert len(from_folder(archive, "valid", table=table, size=16)) == 5
    assert np.array_equal(test.images, from_folder(shapes, "test", table=table, size=16).images)


def test_sub_folders_are_classes_and_grey_pictures_have_one_channel(tmp_path):
    for digit in (0, 2, 10):
        folder = tmp_path / "digits" / str(digit)
        folder.mkdir(parents=True)
        for i in range(12):
            Image.new("L", (28, 28), 20 * digit + i).save(folder / f"{i}.png")
    dataset = from_folder(tmp_path / "digits", size=32)
    assert dataset.labels.one_hot and dataset.names == ("0", "2", "10") and dataset.image_shape == (1, 32, 32)
    assert all(dataset.images[i].min() // 20 == (0, 2, 10)[dataset.conditions[i].argmax()] for i in range(len(dataset)))


def test_folders_called_train_and_test_are_the_split(tmp_path):
    for split in ("train", "test"):
        for kind in ("cat", "dog"):
            folder = tmp_path / "pets" / split / kind
            folder.mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (20, 20), (i, 0, 0)).save(folder / f"{kind}{i}.jpg")
    assert len(from_folder(tmp_path / "pets", "train")) == 6 and from_folder(tmp_path / "pets", "test").names == ("cat", "dog")
    with pytest.raises(UserError, match="valid split"):
        from_folder(tmp_path / "pets", "valid")


def test_hugging_faces_image_folder_opens(shapes):
    (shapes / "labels.csv").unlink()
    rows = [{"file_name": f"{i:03d}.png", "label": "round" if i // 2 % 2 else "square"} for i in range(60)]
    (shapes / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = from_folder(shapes, size=16)
    assert dataset.labels.one_hot and dataset.names == ("round", "square")


def test_without_labels_the_model_is_unconditional(shapes):
    (shapes / "labels.csv").unlink()
    assert from_folder(shapes, size=16).labels.kind == "unconditional"


def test_what_is_left_out_is_counted_and_said(shapes, capsys):
    table = shapes / "labels.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("000.png", "000.PNG")  # another case
    lines[2] = lines[2].replace("001.png", "001")  # no ending
    lines[3] = lines[3].replace("002.png", "nowhere.png")
    table.write_text("\n".join([*lines, lines[5]]))
    (shapes / "059.png").write_bytes(b"broken")
    from_folder(shapes, size=16)
    from_folder(shapes, "valid", size=16)
    from_folder(shapes, "test", size=16)
    said = capsys.readouterr().out
    assert "1 rows of labels.csv name no picture, or several (the first: nowhere.png)" in said
    assert "1 rows of labels.csv are there twice (the first: 004.png)" in said
    assert "1 pictures have no row in labels.csv (the first: 002.png)" in said
    assert "skipped 1 unreadable" in said and "059.png" in said


def rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda f: rewrite(f, "file,Red,Circle,Large\n", ""), "has no header"),
        (lambda f: rewrite(f, "003.png,1,1,0", "003.png,1,1"), "row 5 .* has 3 entries, and the header 4"),
        (lambda f: rewrite(f, "003.png,1,1,0", "003.png,1,perhaps,0"), "Circle = 'perhaps'"),
        (lambda f: rewrite(f, "004.png,0,0,1", "003.png,0,0,1"), "two different rows for 003.png"),
        (lambda f: rewrite(f, "file,Red,Circle,Large", "file,Red,Red,Large"), "names a column twice"),
        (lambda f: rewrite(f, ".png", ".jpg.old"), "disagree"),
        (lambda f: (f / "labels.csv").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda f: (f / "labels.json").write_text("{}"), "labels.json"),
        (lambda f: [p.unlink() for p in f.glob("*.png")], "holds no pictures"),
        (lambda f: shutil.rmtree(f), "no folder and no zip file"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(shapes, damage, complaint):
    damage(shapes)
    with pytest.raises(UserError, match=complaint):
        from_folder(shapes, size=16)


def test_sizes_crops_and_tables_of_other_data_sets_are_refused(shapes):
    for size in (12, 20, 136):
        with pytest.raises(UserError, match="multiple of 8 from 16 to 128"):
            from_folder(shapes, size=size)
    with pytest.raises(UserError, match="choose center, face"):
        open_dataset("folder", shapes, crop="middle")
    with pytest.raises(UserError, match="takes no table"):
        open_dataset("toy", table=shapes / "labels.csv")


def test_exclusive_groups_are_declared_beside_the_pictures(shapes):
    (shapes / "labels.json").write_text('{"exclusive": [["Red", "Circle"]]}')
    labels = from_folder(shapes, size=16).labels
    assert labels.exclusive == (("Red", "Circle"),)
    assert labels.set_attribute(np.array([1.0, -1, 0]), "Circle", 1.0).tolist() == [-1, 1, 0]


def test_from_pictures_to_strips_by_the_commands_that_a_user_types(shapes, tmp_path, capsys):
    """Report, train, sample and interpolate, with attributes of one's own."""
    out, data = tmp_path / "run", ["--data", "folder", "--data-root", str(shapes), "--size", "16"]
    assert report([*data[2:], "--out", str(tmp_path / "sheet.png")]) == 0
    assert "Circle" in capsys.readouterr().out and (tmp_path / "sheet.png").is_file()
    quick = ["--batch-size", "8", "--max-steps", "3", "--sample-every", "0", "--device", "cpu", "--out", str(out)]
    assert train([*data, *quick]) == 0
    model = ddpm_faces.load(out)
    assert model.names == NAMES and model.image_shape == (3, 16, 16) and model.config.facts.data == "folder"
    assert train(["--resume", str(out), "--max-steps", "4", "--device", "cpu"]) == 0
    fast = ["--model", str(out), "--steps", "2", "--device", "cpu", "--out"]
    assert sample(["--set", "Red,-Large", "--n", "2", *fast, str(tmp_path / "s.png")]) == 0
    assert interpolate(["--attr", "Red", "--n", "1", "--columns", "3", *fast, str(tmp_path / "i.png")]) == 0
    assert interpolate(["--attr", "Red", "--attr", "Large", "--columns", "2", *fast, str(tmp_path / "b.png")]) == 0
    capsys.readouterr()
    assert sample(["--set", "Reed", *fast, str(tmp_path / "n.png")]) == 2
    assert "did you mean Red" in one_line(capsys.readouterr().err)


def test_arrays_become_a_dataset(monkeypatch):
    rng = np.random.default_rng(0)
    images, values = rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8), np.array([[1, -1], [-1, 0], [1, 1]] * 2)
    dataset = from_arrays(images, values, ("Red", "Large"))
    assert (
        np.array_equal(dataset.images, images)
        and np.array_equal(dataset.conditions, values)
        and dataset.names == ("Red", "Large")
    )
    floats = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    assert np.array_equal(from_arrays(floats, torch.from_numpy(values > 0), ("Red", "Large")).images, images)
    classes = from_arrays(images[..., :1], np.array([0, 1, 2, 0, 1, 2]), ("a", "b", "c"))
    assert classes.labels.one_hot and classes.conditions.argmax(axis=1).tolist() == [0, 1, 2] * 2
    assert from_arrays(images).labels.kind == "unconditional"
    for wrong, complaint in (
        ((images, values), "2 attributes, but 0 names"),
        ((images.astype(float),), r"\[-1, 1\]"),
        ((images[:, :, :, :2],), "1 or 3 channels"),
        ((images, np.array([0, 1, 2, 3, 0, 0]), ("a", "b")), "0 to 1"),
        ((images, values[:3], ("a", "b")), "conditions of 6 images"),
        ((images, np.abs(values), ("a", "b")), "0 means not said"),
        ((images, None, ("a",)), "no conditions"),
    ):
        with pytest.raises(UserError, match=complaint):
            from_arrays(*wrong)


def test_classes_are_asked_for_by_name(digit_file, tmp_path, capsys):
    fast = ["--model", digit_file, "--steps", "2", "--device", "cpu", "--out"]
    assert sample(["--classes", "3,8", "--n", "2", *fast, str(tmp_path / "s.png")]) == 0
    assert interpolate(["--classes", "3,8", "--n", "1", "--columns", "2", *fast, str(tmp_path / "i.png")]) == 0
    assert (
        interpolate(["--from-digit", "3", "--to-digit", "8", "--n", "1", "--columns", "2", *fast, str(tmp_path / "d.png")]) == 0
    )
    with Image.open(tmp_path / "i.png") as one, Image.open(tmp_path / "d.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
    capsys.readouterr()
    for flags, complaint in (
        (["--classes", "3"], "from one class to another"),
        (["--classes", "3,cat"], "'cat' is not a class"),
        (["--classes", "3,8", "--from-digit", "3"], "give one of them"),
    ):
        assert interpolate([*flags, *fast, str(tmp_path / "n.png")]) == 2
        assert complaint in one_line(capsys.readouterr().err)
