"""Toy digits: a seed is an image, no two are alike, and what a digit is meant to be can be told."""

from __future__ import annotations

import numpy as np
import pytest

from ddpm_faces.conditions.digits import DIGITS
from ddpm_faces.data import open_dataset
from ddpm_faces.data.toy import digits
from ddpm_faces.data.toy.digits import SIZE, STROKES, render, toy_digit


@pytest.fixture
def small(monkeypatch):
    """Fewer images a split, to be quick: the rest is as it is."""
    monkeypatch.setattr(digits, "SPLITS", {"train": (600, 0), "valid": (100, 1), "test": (100, 2)})


def many(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32) as 0 .. 1 and classes (n,)."""
    pairs = [toy_digit(i, seed) for i in range(n)]
    return np.stack([image[:, :, 0] for image, _ in pairs]) / 255, np.array([label.argmax() for _, label in pairs])


def test_the_same_seed_is_the_same_image_and_another_is_another():
    for digit in range(10):
        first = render(digit, 7)
        assert first.shape == (SIZE, SIZE, 1) and first.dtype == np.uint8
        np.testing.assert_array_equal(first, render(digit, 7))
        assert len({render(digit, seed).tobytes() for seed in range(50)}) == 50
    image, label = toy_digit(3, seed=1)
    np.testing.assert_array_equal(image, toy_digit(3, seed=1)[0])
    assert label.shape == (10,) and label.sum() == 1 and label.dtype == np.int8
    assert (image != toy_digit(3, seed=2)[0]).any()


def test_a_digit_is_white_ink_on_black_whole_and_centred_as_in_mnist():
    for seed in range(200):
        image = render(seed % 10, seed)[:, :, 0]
        edge = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
        assert edge.max() == 0, "ink at the border"
        assert image.max() == 255 and 0.02 < (image > 128).mean() < 0.25
        where = [np.nonzero(image.max(axis=axis) > 128)[0] for axis in (0, 1)]  # columns and rows with ink
        assert 13 <= max(at[-1] - at[0] + 1 for at in where) <= 25
        assert all(abs((at[0] + at[-1] + 1) / 2 - SIZE / 2) <= 2.5 for at in where)


def test_every_way_of_writing_is_used():
    assert sorted(STROKES) == list(range(10)) and all(len(ways) >= 2 for ways in STROKES.values())


def test_classes_can_be_told_from_other_hands():
    """The nearest of 3000 images is of the same class: hands differ, but a digit looks like itself."""

    def directions(images):
        coarse = images.reshape(len(images), 16, 2, 16, 2).mean(axis=(2, 4)).reshape(len(images), -1)
        return coarse / np.linalg.norm(coarse, axis=1, keepdims=True)

    (x, y), (x_test, y_test) = many(3000, seed=0), many(400, seed=9)
    nearest = (directions(x_test) @ directions(x).T).argmax(axis=1)
    assert (y[nearest] == y_test).mean() > 0.9
    assert np.bincount(y, minlength=10).min() > 240


def test_the_dataset_and_its_splits(small):
    train, valid, test = (open_dataset("toydigits", split=split) for split in ("train", "valid", "test"))
    assert train.images.shape == (600, SIZE, SIZE, 1) and train.labels is DIGITS and train.frequencies == ()
    assert len(valid) == len(test) == 100
    np.testing.assert_array_equal(train.conditions.sum(axis=1), 1)
    image, label = toy_digit(5, seed=0)
    np.testing.assert_array_equal(train.images[5], image)
    np.testing.assert_array_equal(train.conditions[5], label)
    drawn = [{image.tobytes() for image in dataset.images} for dataset in (train, valid, test)]
    assert sum(map(len, drawn)) == len(set().union(*drawn)), "an image in two splits"
