"""MNIST from whatever copy there is: torchvision's or Kaggle's layout, packed or not, whatever the names say."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest
from conftest import write_mnist

from ddpm_faces.conditions.digits import DIGITS
from ddpm_faces.data import fetch, open_dataset
from ddpm_faces.data.mnist import fetch_mnist, find_files
from ddpm_faces.utils.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_padded_and_one_hot(tmp_path, packed):
    images, labels = write_mnist(tmp_path, packed=packed)
    dataset = open_dataset("mnist", tmp_path)
    assert dataset.labels is DIGITS and dataset.images.shape == (20, 32, 32, 1)
    assert np.array_equal(dataset.images[:, 2:30, 2:30, 0], images) and not dataset.images[:, :2].any()
    assert np.array_equal(dataset.conditions.argmax(axis=1), labels) and (dataset.conditions.sum(axis=1) == 1).all()
    assert len(open_dataset("mnist", tmp_path, "valid")) == len(open_dataset("mnist", tmp_path, "test")) == 20


def check(root, images, labels) -> None:
    for split in ("train", "test"):
        dataset = open_dataset("mnist", root, split)
        assert np.array_equal(dataset.images[:, 2:30, 2:30, 0], images)
        assert np.array_equal(dataset.conditions.argmax(axis=1), labels)
    before = sorted(root.rglob("*"))
    fetch_mnist(root)  # would need the network otherwise
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("where", [".", "raw", "mnist/MNIST/raw", "mnist"])
def test_places(tmp_path, where):
    images, labels = write_mnist(tmp_path / "made")
    (tmp_path / "root" / where).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(tmp_path / "made/MNIST/raw", tmp_path / "root" / where, dirs_exist_ok=True)
    check(tmp_path / "root", images, labels)


@pytest.mark.parametrize("nested", [False, True])
def test_kaggles_names(tmp_path, nested):
    """A dot for a dash; and each file again, in a folder of its own name."""
    images, labels = write_mnist(tmp_path, packed=False)
    for path in sorted((tmp_path / "MNIST/raw").iterdir()):
        name = path.name.replace("-idx", ".idx")
        target = tmp_path / name / name if nested else tmp_path / name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    check(tmp_path, images, labels)


def test_what_is_packed_is_seen_in_the_file_and_not_in_its_name(tmp_path):
    images, labels = write_mnist(tmp_path, packed=False)
    for path in (tmp_path / "MNIST/raw").iterdir():
        if "images" in path.name:
            path.rename(path.with_name(f"{path.name}.gz"))  # unpacked by a browser
        else:
            path.write_bytes(gzip.compress(path.read_bytes()))
    check(tmp_path, images, labels)


def test_missing_and_damaged_mnist(tmp_path):
    with pytest.raises(UserError, match=r"no MNIST in .*ossci"):
        open_dataset("mnist", tmp_path)
    write_mnist(tmp_path)
    raw = tmp_path / "MNIST/raw"
    whole = (raw / f"{IMAGES}.gz").read_bytes()
    for damaged in (whole[:300], b"", b"<html>", gzip.compress(b"nonsense"), gzip.compress(gzip.decompress(whole)[:-100])):
        (raw / f"{IMAGES}.gz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"MNIST's .* damaged \(\w.*\)"):
            open_dataset("mnist", tmp_path)
    (raw / f"{IMAGES}.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9912422\n")
    with pytest.raises(UserError, match=r"damaged \(a Git LFS pointer.*git lfs pull"):
        open_dataset("mnist", tmp_path)
    (raw / f"{LABELS}.gz").unlink()
    assert find_files(tmp_path, "train") == [] and len(find_files(tmp_path, "test")) == 2


def test_files_that_do_not_go_together_and_labels_that_are_no_digits(tmp_path):
    write_mnist(tmp_path, packed=False)
    raw = tmp_path / "MNIST/raw"
    content = bytearray((raw / LABELS).read_bytes())
    content[-1] = 26
    (raw / LABELS).write_bytes(content)  # as EMNIST's letters
    with pytest.raises(UserError, match=r"holds the label 26: those of digits are 0 to 9"):
        open_dataset("mnist", tmp_path)
    shutil.copy(raw / IMAGES, raw / LABELS)
    with pytest.raises(UserError, match="do not go together"):
        open_dataset("mnist", tmp_path)


def test_a_download_that_cannot_be_says_why_and_names_the_other_way(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, root: str, download: bool):
            raise RuntimeError("Error downloading train-images:\nTried https://example.org, got:\nquota exceeded\n")

    monkeypatch.setattr("torchvision.datasets.MNIST", Failing)
    with pytest.raises(UserError, match=r"could not be downloaded \(.*quota exceeded\); .*ossci"):
        fetch("mnist", tmp_path)
