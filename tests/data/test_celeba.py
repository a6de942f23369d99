"""CelebA from whatever copy there is; damage is named instead of trained on."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import write_celeba
from PIL import Image

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data import fetch, open_dataset
from ddpm_faces.data.celeba import CROPS, load_face
from ddpm_faces.data.celeba.files import present
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.utils.errors import UserError

FOLDER = "celeba/img_align_celeba"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9912422\n"


def same(root: Path, other: Path, split: str = "train") -> bool:
    """Whether two copies give the same images and attributes."""
    a, b = (open_dataset("celeba", place, split) for place in (root, other))
    return np.array_equal(a.images, b.images) and np.array_equal(a.conditions, b.conditions)


@pytest.fixture
def plain(tmp_path) -> Path:
    """A second copy, to compare with."""
    return write_celeba(tmp_path / "plain")


def test_celeba_images_and_labels_belong_together(celeba):
    dataset = open_dataset("celeba", celeba)
    assert dataset.labels is CELEBA and dataset.images.shape == (8, 64, 64, 3)
    for i in range(8):
        assert np.array_equal(dataset.conditions[i], toy_face(i, 178)[1])
        assert np.array_equal(dataset.images[i], load_face(celeba / FOLDER / f"{i + 1:06d}.jpg", "center140", 64))
    images, conditions = dataset.batch(np.array([3, 1]))
    assert images.shape == (2, 3, 64, 64) and conditions.shape == (2, 40)
    assert np.array_equal(images[1].permute(1, 2, 0).numpy(), dataset.images[1])
    assert len(open_dataset("celeba", celeba, "valid")) == len(open_dataset("celeba", celeba, "test")) == 2


def test_kaggles_layout(celeba):
    root = celeba / "celeba"
    (root / "img_align_celeba").rename(celeba / "inner")
    (root / "img_align_celeba").mkdir()
    (celeba / "inner").rename(root / "img_align_celeba" / "img_align_celeba")
    rows = [line.split() for line in (root / "list_attr_celeba.txt").read_text().splitlines()[1:]]
    table = [",".join(["image_id", *rows[0]]), *(",".join(row) for row in rows[1:])]
    (root / "list_attr_celeba.txt").unlink()
    (root / "list_attr_celeba.csv").write_text("\n".join(table))
    parts = (root / "list_eval_partition.txt").read_text().replace(" ", ",")
    (root / "list_eval_partition.txt").unlink()
    (root / "list_eval_partition.csv").write_text("image_id,partition\n" + parts)
    dataset = open_dataset("celeba", root)
    assert len(dataset) == 8 and np.array_equal(dataset.conditions[2], toy_face(2, 178)[1])


def test_a_half_size_copy_gives_the_same_crop(celeba, tmp_path):
    for path in sorted((celeba / "celeba/img_align_celeba").iterdir())[:3]:
        small = Image.open(path).resize((89, 109), Image.Resampling.BICUBIC)
        small.save(tmp_path / "half.png")
        for crop in CROPS:
            whole, half = (load_face(p, crop, 32).astype(float) for p in (path, tmp_path / "half.png"))
            assert np.abs(whole - half).mean() < 6, "shifted by a pixel it would be more"


def test_damaged_images_are_named_and_skipped(celeba, capsys):
    folder = celeba / "celeba/img_align_celeba"
    whole = (folder / "000002.jpg").read_bytes()
    (folder / "000002.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "000003.jpg").write_bytes(b"")
    (folder / "000004.jpg").write_bytes(b"<html>quota exceeded</html>")
    Image.new("RGB", (300, 40)).save(folder / "000005.jpg")
    bomb = bytearray(whole)
    at = bomb.index(b"\xff\xc0")  # the frame header: its height and width become 65535
    bomb[at + 5 : at + 9] = b"\xff" * 4
    (folder / "000007.jpg").write_bytes(bomb)
    Image.new("L", (178, 218), 77).save(folder / "000006.jpg")  # grey is sound
    dataset = open_dataset("celeba", celeba)
    assert len(dataset) == 3 and len(dataset.info["skipped"]) == 5
    assert [text[:10] for text in dataset.info["skipped"]] == [f"00000{i}.jpg" for i in (2, 3, 4, 5, 7)]
    assert [list(c) for c in dataset.conditions] == [list(toy_face(i, 178)[1]) for i in (0, 5, 7)], "no label slips"
    assert "skipped 5 unreadable images" in capsys.readouterr().out


def test_incomplete_copies_are_told_with_the_ways_to_get_it(celeba, tmp_path):
    with pytest.raises(UserError, match=r"img_align_celeba.*list_attr_celeba.*mmlab"):
        open_dataset("celeba", tmp_path / "nowhere")
    (celeba / "celeba/list_attr_celeba.txt").rename(tmp_path / "attributes")
    with pytest.raises(UserError, match=r"data: list_attr_celeba.txt\|csv not found.*Kaggle"):
        open_dataset("celeba", celeba)
    shutil.move(tmp_path / "attributes", celeba / "celeba/list_attr_celeba.txt")
    shutil.rmtree(celeba / "celeba/img_align_celeba")
    with pytest.raises(UserError, match=r"img_align_celeba/ or .zip not found"):
        open_dataset("celeba", celeba)


def test_what_is_there_is_not_fetched_over(celeba):
    before = sorted(celeba.rglob("*"))
    fetch("celeba", celeba)  # would need the network otherwise
    assert sorted(celeba.rglob("*")) == before


def test_a_download_that_cannot_be_names_the_other_ways(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # urllib keeps the proxies of its first request for good
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the hub's library tries again and again
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(UserError, match=r"Google Drive: .*Hugging Face hub: .*Kaggle"):
        fetch("celeba", mine)
    with pytest.raises(UserError, match=r"could not be downloaded .*ossci"):
        fetch("mnist", mine)
    assert mine.is_dir(), "the folder was there before"
    with pytest.raises(UserError):
        fetch("celeba", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def zipped(root: Path, inner: str = "img_align_celeba/") -> Path:
    """Turn the folder of images into the archive that the authors offer, with what macOS adds; returns the archive."""
    folder = root / FOLDER
    with zipfile.ZipFile(root / "celeba/img_align_celeba.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{inner}{path.name}")
            archive.writestr(f"__MACOSX/img_align_celeba/._{path.name}", b"Mac OS X")
    shutil.rmtree(folder)
    return root / "celeba/img_align_celeba.zip"


def test_the_zip_is_read_where_it_lies(celeba, plain, tmp_path):
    zipped(celeba)
    for split in ("train", "valid"):
        assert same(celeba, plain, split)
    assert open_dataset("celeba", celeba).folder == open_dataset("celeba", plain).folder, "the same images, however they lie"
    assert present(celeba) and not (celeba / FOLDER).exists()


def test_a_damaged_zip(celeba, tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path / "cache"))  # datasets are known by names and sizes
    archive = zipped(celeba)
    whole = archive.read_bytes()
    at = whole.index(b"\xff\xd8") + 3000
    archive.write_bytes(whole[:at] + bytes(100) + whole[at + 100 :])
    dataset = open_dataset("celeba", celeba)
    assert len(dataset) == 7 and dataset.info["skipped"][0].startswith("000001.jpg: Bad CRC")
    for content, reason in ((whole[:5000], "not a zip"), (b"", "not a zip"), (POINTER, "git lfs pull")):
        archive.write_bytes(content)
        with pytest.raises(UserError, match=f"img_align_celeba.zip cannot be read: .*{reason}"):
            open_dataset("celeba", celeba)


def test_what_macos_adds_is_never_data(celeba, plain):
    (celeba / FOLDER / "._000001.jpg").write_bytes(b"Mac OS X")
    shutil.copytree(celeba / FOLDER, celeba / "__MACOSX/img_align_celeba")
    assert same(celeba, plain)
    assert not open_dataset("celeba", celeba).info["skipped"]
    shutil.rmtree(celeba / "celeba")
    assert not present(celeba)


def test_git_lfs_pointers_are_named_as_such(celeba):
    path = celeba / FOLDER / "000003.jpg"
    path.write_bytes(POINTER)
    assert open_dataset("celeba", celeba).info["skipped"] == [
        "000003.jpg: a Git LFS pointer, not the file itself: `git lfs pull` fetches it"
    ]
    (celeba / "celeba/list_attr_celeba.txt").write_bytes(POINTER)
    with pytest.raises(UserError, match=r"list_attr_celeba.txt cannot be read: a Git LFS pointer"):
        open_dataset("celeba", celeba)


def test_photographs_are_turned_upright(celeba, tmp_path):
    upright = Image.open(celeba / FOLDER / "000001.jpg")
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    for orientation, turn in turns.items():  # how the camera lay, and so how the pixels are stored
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(turn).save(tmp_path / "turned.png", exif=exif)
        for crop in CROPS:
            assert np.array_equal(
                load_face(tmp_path / "turned.png", crop, 32), load_face(celeba / FOLDER / "000001.jpg", crop, 32)
            )


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_say_nothing_and_a_cut_photograph_stays_damaged(celeba, tmp_path):
    path = celeba / FOLDER / "000001.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(path).save(tmp_path / "whole.jpg", exif=exif)
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="truncated"):
        load_face(tmp_path / "cut.jpg", "center140", 32)
    Image.open(path).save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\0\0\xff\xff" + b"\xff" * 30)
    assert load_face(tmp_path / "odd.jpg", "center140", 32).shape == (32, 32, 3)


def test_a_split_without_images(celeba):
    lonely = write_celeba(celeba / "other", n=3)
    (lonely / "celeba/list_eval_partition.txt").write_text("")
    with pytest.raises(UserError, match="no image of CelebA's test split"):
        open_dataset("celeba", lonely, "test")
