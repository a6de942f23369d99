"""Conditional accuracy and strips on logits made by hand, and the choice of the guidance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_classifier import random_classifier

from ddpm_faces.conditions import CELEBA, Labels
from ddpm_faces.data import open_dataset
from ddpm_faces.evaluation.accuracy import conditional_accuracy
from ddpm_faces.evaluation.strips import class_pairs, perceptual_distance, rank_correlation, strip_score
from ddpm_faces.evaluation.suite import single_attributes
from ddpm_faces.evaluation.sweep import choose
from ddpm_faces.utils.images import to_tensor


def test_only_what_was_asked_counts():
    asked = torch.tensor([[1.0, 0, 0], [1, -1, 0], [-1, -1, 0], [-1, 0, 0]])
    logits = torch.tensor([[2.0, 9, 9], [-1, -3, 9], [-2, 5, -9], [-1, -9, 9]])
    found = conditional_accuracy(logits, asked, one_hot=False)
    assert found.accuracy[:2] == [0.75, 0.5] and math.isnan(found.accuracy[2])
    assert found.balanced[0] == 0.75 and math.isnan(found.balanced[1]), "asked one way only"
    assert found.yes == [2, 0, 0] and found.no == [2, 2, 0]


def test_digits_are_asked_one_at_a_time():
    found = conditional_accuracy(torch.tensor([[3.0, 1], [0, 1], [2, 1]]), torch.tensor([[1, 0], [0, 1], [0, 1]]), one_hot=True)
    assert found.accuracy == [1, 0.5] and found.balanced == [0.75, 0.75] and (found.yes, found.no) == ([1, 2], [2, 1])


def test_single_attributes_share_their_noise():
    conditions, seeds = single_attributes(Labels(("A", "B", "C")), ["C", "A"], each=2)
    assert conditions.tolist() == [[0, 0, 1], [0, 0, -1]] * 2 + [[1, 0, 0], [-1, 0, 0]] * 2
    assert seeds == [0, 0, 1, 1] * 2


def test_rank_correlation_worked_by_hand():
    values = torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4], [5, 5, 5, 5], [0, 1, 1, 2]])
    assert rank_correlation(values).tolist() == pytest.approx([1, -1, 0.8, 0, 0.9486832980505138])


def test_a_strip_that_keeps_its_promise_and_one_that_does_not():
    logits, features, held = torch.zeros(2, 5, 3), torch.ones(2, 5, 4), torch.tensor([True, False, True])
    logits[:, :, 1] = torch.linspace(-2, 2, 5)
    features[:, :, 0] += torch.linspace(0, 0.1, 5)
    good = strip_score(logits, features, (features[:, 1:] - features[:, :-1]).norm(dim=-1), asked=1, held=held)
    assert good.monotone == pytest.approx(1) and good.rise == 4 and good.others == 0
    assert good.similarity > 0.99 and good.jump == pytest.approx(1, abs=1e-3)
    logits[:, :, 1] = torch.tensor([2.0, -2, 1, -1, 0])
    logits[:, -1, 2] = 3
    features[:, 3:] *= -1
    bad = strip_score(logits, features, (features[:, 1:] - features[:, :-1]).norm(dim=-1), asked=1, held=held)
    assert abs(bad.monotone) < 0.5 and bad.others == 1.5 and bad.similarity < -0.9 and bad.jump > 3


def test_strips_of_classes_have_two_ends_however_many_there_are():
    assert class_pairs(10) == [(k, (k + 3) % 10) for k in range(10)]
    assert class_pairs(1) == [] and class_pairs(2) == [(0, 1), (1, 0)] and len(class_pairs(100)) == 10
    assert all(first != last for count in range(100) for first, last in class_pairs(count))


def test_a_classifier_that_is_right_by_construction_finds_all_that_is_asked():
    """Toy faces have exact labels: all that was asked for is found in its own images, in others by chance or never."""
    dataset = open_dataset("toy", split="test", size=16)
    labels = {image.tobytes(): condition for image, condition in zip(dataset.images, dataset.conditions, strict=True)}

    def oracle(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack([labels[image.tobytes()] for image in images])).float() * 3

    asked = torch.from_numpy(dataset.conditions[:200].copy()).float()
    assert set(conditional_accuracy(oracle(dataset.images[:200]), asked, one_hot=False).accuracy) == {1.0}
    assert set(conditional_accuracy(oracle(dataset.images[:200]), -asked, one_hot=False).accuracy) == {0.0}
    half = np.concatenate([dataset.images[:100], dataset.images[200:300]])
    found = conditional_accuracy(oracle(half), asked, one_hot=False)
    same = (dataset.conditions[100:200] == dataset.conditions[200:300]).mean(axis=0)
    assert np.allclose(found.accuracy, 0.5 + 0.5 * same)


def test_perceptual_distance_is_zero_at_home_and_grows_with_the_difference():
    classifier = random_classifier(CELEBA, (3, 16, 16))
    x = to_tensor(open_dataset("toy", split="test", size=16).images[:8])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    near, far = (perceptual_distance(classifier, x, x + scale * noise) for scale in (0.05, 0.5))
    assert perceptual_distance(classifier, x, x).abs().max() < 1e-6 and (near < far).all() and (near > 0).all()


def test_guidance_is_chosen_among_the_good_ones():
    rows = ((1, 10, 0.6), (2, 10.5, 0.8), (4, 20, 0.95))
    points = [{"guidance": g, "KID": kid, "conditional accuracy": seen} for g, kid, seen in rows]
    assert choose(points, 20) == 2 and choose(points, 19) == 1 and choose(points, 300) == 4
    assert choose([p | {"alone": 1 / p["guidance"]} for p in points], 20) == 1, "single attributes decide"
    assert choose(points, 5) == 1, "better than the ruler, all of it"
    points[1]["conditional accuracy"], points[2]["conditional accuracy"] = 0.9, 0.905
    assert choose(points, 300) == 2, "as well, and more varied"
