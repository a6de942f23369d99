"""Metrics on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from ddpm_faces.evaluation.metrics import frechet, inception_score, kernel_distance, precision_recall, statistics
from ddpm_faces.utils.errors import UserError


def gaussian(mean: list[float], spread: list[float], n: int = 20_000, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed)) * torch.tensor(spread) + torch.tensor(mean)


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    one, other = gaussian([0, 0, 0], [1, 2, 1]), gaussian([1, 0, 2], [1, 1, 3], seed=1)
    expected = (1 + 4) + (0 + 1 + 4)  # squared distance of the means, and of the deviations
    assert frechet(statistics(one), statistics(other)) == pytest.approx(expected, rel=0.03)


def test_the_frechet_distance_with_covariances_that_do_not_commute():
    rng = np.random.default_rng(0)
    a, b = (m @ m.T for m in rng.normal(size=(2, 5, 5)))
    one, other = {"mu": np.zeros(5), "sigma": a}, {"mu": np.ones(5), "sigma": b}
    expected = 5 + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-6)


def test_a_set_against_itself():
    x = gaussian([0] * 8, [1] * 8, 500)
    assert abs(frechet(statistics(x), statistics(x))) < 1e-6
    mean, _ = kernel_distance(x, x.clone())
    assert mean <= 0.001 and precision_recall(x, x.clone()) == (1.0, 1.0)


def test_kid_and_precision_tell_sets_apart():
    near, far = gaussian([0] * 8, [1] * 8, 600, seed=1), gaussian([3] * 8, [1] * 8, 600, seed=2)
    real = gaussian([0] * 8, [1] * 8, 600)
    (close, spread), (away, _) = kernel_distance(near, real), kernel_distance(far, real)
    assert abs(close) < 4 * spread + 0.01 and away > 1
    assert spread > 1e-3, "of equal sets, too, the subsets differ"
    assert min(precision_recall(near, real)) > 0.6 and max(precision_recall(far, real)) < 0.05


def test_collapse_is_high_precision_and_low_recall():
    real, collapsed = gaussian([0] * 4, [1] * 4, 600), gaussian([0] * 4, [0.05] * 4, 600, seed=1)
    precision, recall = precision_recall(collapsed, real)
    assert precision > 0.95 and recall < 0.1


def test_the_inception_score_of_certain_and_even_answers_is_the_number_of_classes():
    sure = 100.0 * torch.eye(10).repeat(1000, 1)  # enough for each of the ten parts to have all classes alike
    mean, spread = inception_score(sure)
    assert mean == pytest.approx(10, rel=0.05) and spread < 0.2
    assert inception_score(torch.zeros(1000, 10))[0] == pytest.approx(1)


def test_too_few_images_are_refused_with_the_least_count():
    few = torch.randn(10, 4)
    for call in (lambda: statistics(few), lambda: kernel_distance(few, few), lambda: precision_recall(few, few)):
        with pytest.raises(UserError, match="at least 64 images, here are 10"):
            call()
