"""A dataset is decoded once, whole or not at all, read in a fixed order, and shared with whom the umask says."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.conditions.digits import DIGITS
from ddpm_faces.conditions.labels import NO_LABELS, Labels
from ddpm_faces.data import open_dataset
from ddpm_faces.data.dataset import Dataset, batch_indices, build, cache_root
from ddpm_faces.utils.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def small(n: int = 1000, **facts) -> Dataset:
    """n grey images of 4x4 pixels, each of one shade."""

    def decode(i: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((4, 4, 1), i % 256, np.uint8), np.array([1 if i % 2 else -1, 1])

    return build("small", {"n": n, **facts}, (4, 4, 1), Labels(("Odd", "Grey")), range(n), decode)


def test_every_image_comes_once_an_epoch_and_the_order_needs_no_memory():
    n, batch = 10, 4
    seen = np.concatenate([batch_indices(n, batch, step, seed=3) for step in range(5)])  # two epochs
    assert sorted(seen[:n]) == sorted(seen[n:]) == list(range(n))
    assert not np.array_equal(seen[:n], seen[n:])
    assert np.array_equal(batch_indices(n, batch, 4, seed=3), seen[16:20]), "a step in the middle is found directly"
    assert not np.array_equal(batch_indices(n, batch, 0, seed=4), seen[:4])
    assert len(batch_indices(3, 8, 0, 0)) == 8, "a batch may be larger than the data"


def test_a_dataset_is_made_once_and_anew_when_its_source_changes(celeba):
    first = open_dataset("celeba", celeba)
    made = (first.folder / "images.u8").stat().st_mtime_ns
    assert (open_dataset("celeba", celeba).folder / "images.u8").stat().st_mtime_ns == made
    assert open_dataset("celeba", celeba, crop="center148").folder != first.folder
    Image.new("RGB", (178, 218)).save(celeba / "celeba/img_align_celeba/000001.jpg")
    again = open_dataset("celeba", celeba)
    assert again.folder != first.folder and not again.images[0].any()
    assert not list(cache_root().glob("*partial*"))


@pytest.mark.parametrize("mirror", [False, True])
def test_image_batches_are_spread_over_the_dataset_and_can_be_read_again(cache, mirror):
    dataset = small()
    batches = dataset.image_batches(count=600, mirror=mirror)
    first, second = list(batches()), list(batches())
    assert len(first) == 2 and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    shades = np.linspace(0, 999, 600).astype(int) % 256
    for x, part in zip(first, np.array_split(shades, 2), strict=True):
        assert x.dtype == torch.float32 and x.shape == (300 * (1 + mirror), 1, 4, 4)
        expected = torch.from_numpy(part).float() / 127.5 - 1
        assert torch.equal(x[:300, 0, 0, 0], expected) and (not mirror or torch.equal(x[300:], x[:300].flip(3)))
    assert sum(len(x) for x in dataset.image_batches()()) == 1000, "all, where there are fewer"


def test_frequencies_are_those_of_attributes_and_classes_have_none(cache):
    assert small().frequencies == (0.5, 1.0)

    def all_present(i: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((4, 4, 1), np.uint8), np.ones(2)

    assert build("present", {}, (4, 4, 1), Labels(("A", "B")), range(3), all_present).frequencies == (1.0, 1.0)
    assert build("plain", {}, (4, 4, 1), NO_LABELS, range(3), lambda i: (all_present(i)[0], np.empty(0))).frequencies == ()
    one_hot = np.eye(10, dtype=np.int8)
    assert build("d", {"d": 1}, (4, 4, 1), DIGITS, range(3), lambda i: (all_present(i)[0], one_hot[i])).frequencies == ()


def test_attributes_can_be_selected(celeba):
    whole = open_dataset("celeba", celeba)
    chosen = whole.select(("Male", "Heavy_Makeup", "Smiling"))
    assert chosen.names == ("Male", "Heavy_Makeup", "Smiling") and chosen.labels.exclusive == (("Male", "Heavy_Makeup"),)
    columns = [CELEBA.index(name) for name in chosen.names]
    assert np.array_equal(chosen.conditions, whole.conditions[:, columns]) and whole.conditions.shape == (8, 40)
    assert chosen.batch(np.arange(2))[1].shape == (2, 3) and len(chosen.frequencies) == 3
    assert chosen.fingerprint == whole.fingerprint and chosen.images is whole.images
    nothing = whole.select(())
    assert nothing.labels == NO_LABELS and nothing.batch(np.arange(2))[1].shape == (2, 0) and nothing.frequencies == ()
    with pytest.raises(ValueError):
        whole.select(("Grinning",))


def test_classes_are_selected_all_or_none(cache):
    image, one_hot = np.zeros((4, 4, 1), np.uint8), np.eye(10, dtype=np.int8)
    digits = build("digits", {}, (4, 4, 1), DIGITS, range(10), lambda i: (image, one_hot[i]))
    assert digits.select(DIGITS.names).labels == DIGITS and digits.select(()).labels == NO_LABELS
    with pytest.raises(ValueError, match="classes cannot be selected"):
        digits.select(("3", "8"))


def test_colleagues_can_read_a_shared_cache(cache):
    before = os.umask(0o027)
    try:
        folder = small().folder
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


def test_a_file_system_without_maps_is_read_instead(cache, monkeypatch):
    mapped = small()

    def refused(*args, **kwargs):
        raise OSError(19, "No such device")

    monkeypatch.setattr(np, "memmap", refused)
    read = small()
    assert np.array_equal(read.images, mapped.images) and not read.images.flags.writeable
    assert torch.equal(read.batch(np.array([5, 2]))[0], mapped.batch(np.array([5, 2]))[0])


def test_a_damaged_dataset_is_named_with_the_way_out(cache):
    folder = small().folder
    whole = (folder / "images.u8").read_bytes()
    (folder / "images.u8").write_bytes(whole[:-10])
    with pytest.raises(UserError, match=r"images.u8 has 15,990 bytes instead of 16,000.*delete that folder"):
        small()
    (folder / "images.u8").write_bytes(whole)
    with pytest.raises(UserError, match="its conditions have other names"):
        Dataset(folder, CELEBA)
    (folder / "store.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        small()
    shutil.rmtree(folder)
    assert len(small()) == 1000


def test_what_decodes_as_something_else_is_skipped_with_a_reason(cache, capsys):
    def decode(i: int) -> tuple[np.ndarray, np.ndarray]:
        if i == 1:
            raise ValueError  # which says nothing
        return np.zeros((4, 5 if i == 2 else 4, 1), np.uint8), np.ones(2)

    dataset = build("odd", {}, (4, 4, 1), Labels(("A", "B")), range(4), decode)
    assert len(dataset) == 2
    assert dataset.info["skipped"] == [
        "1: ValueError",
        "2: decoded as (4, 5, 1) uint8, where (4, 4, 1) uint8 is expected",
    ]
    with pytest.raises(UserError, match=r"none of 2 images could be read; first: 1: ValueError"):
        build("odder", {}, (4, 4, 1), Labels(("A", "B")), range(1, 3), decode)


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DDPM_FACES_CACHE", "~/mine")
    assert cache_root() == tmp_path / "mine"
    monkeypatch.delenv("DDPM_FACES_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "ddpm_faces"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == tmp_path / ".cache" / "ddpm_faces"


def test_without_a_home_the_message_names_the_variable(tmp_path, monkeypatch):
    """As in a container whose user id has no entry."""

    def no_entry(uid: int):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path))
    assert cache_root() == tmp_path, "nothing is asked for where the cache is said"
    for said in ("", "~/mine"):
        monkeypatch.setenv("DDPM_FACES_CACHE", said)
        with pytest.raises(UserError, match="set DDPM_FACES_CACHE"):
            cache_root()
