"""The closed-form guess: exact for Gaussian pictures, and as wrong as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from ddpm_faces.diffusion.process import Draws, loss, mix
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.diffusion.weighting import weights
from ddpm_faces.models.gaussian import LEAST, Gaussian


class Pictures:
    """As much of a store as `fit` reads: (N, C, H, W) uint8."""

    def __init__(self, images: torch.Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: np.ndarray):
        return self.images[indices], None


def blurred(count: int, shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """Coloured pictures of smooth noise, uint8."""
    x = torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2) * torch.tensor([1.5, 1.0, 0.5])[: shape[0], None, None]
    x = x + 0.5 * x.mean(dim=1, keepdim=True)  # the colours go together
    return (x * 110 + 140).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def fitted() -> Gaussian:
    gaussian = Gaussian((3, 8, 16))
    gaussian.fit(Pictures(blurred(3000, (3, 8, 16))))
    return gaussian


def share(t: int, count: int):
    return mix(Schedule(), torch.full((count,), t), torch.zeros(1))


def test_the_transform_is_scipys_and_can_be_undone():
    x = torch.randn(2, 1, 8, 16)
    gaussian = Gaussian((1, 8, 16))
    expected = torch.from_numpy(dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    assert (gaussian.transform(x) - expected).abs().max() < 1e-5
    assert (gaussian.inverse(gaussian.transform(x)) - x).abs().max() < 1e-5


def test_fit_finds_mean_and_spectrum(fitted):
    x = blurred(3000, (3, 8, 16)).float() / 127.5 - 1
    assert (fitted.mean - x.mean(0)).abs().max() < 1e-5
    turned = torch.einsum("dc,bchw->bdhw", fitted.colours, x - x.mean(0))
    covariance = torch.einsum("bchw,bdhw->cd", turned, turned) / turned[:, 0].numel()
    assert (covariance - covariance.diagonal().diag()).abs().max() < 1e-5, "the colours' axes are the principal ones"
    expected = torch.from_numpy(dctn(turned.numpy(), axes=(2, 3), norm="ortho")).square().mean(0)
    assert torch.allclose(fitted.variance, expected.clamp(min=LEAST), rtol=1e-3)


def test_mirrored_pictures_make_a_mirrored_mean():
    gaussian = Gaussian((3, 8, 16))
    gaussian.fit(Pictures(blurred(40, (3, 8, 16))), mirror=True)
    assert (gaussian.mean - gaussian.mean.flip(2)).abs().max() < 1e-6


def test_the_guess_is_the_posterior_mean_of_the_gaussian(fitted):
    basis = fitted.inverse(torch.eye(3 * 8 * 16).reshape(-1, 3, 8, 16)).flatten(1)  # a coefficient's picture in each row
    covariance = (basis.T * fitted.variance.flatten()) @ basis
    x = torch.randn(5, 3, 8, 16)
    for t in (5, 300, 900):
        signal, noise = (float(s.flatten()[0]) for s in share(t, 1))
        away = (x - signal * fitted.mean).flatten(1).double()
        whole = signal**2 * covariance.double() + noise**2 * torch.eye(len(covariance)).double()
        expected = noise * torch.linalg.solve(whole, away.T).T  # E[eps | x], Bishop 2006, (2.116)
        assert (fitted(x, share(t, 5)).eps.flatten(1) - expected).abs().max() < 1e-3 * expected.abs().max()


def test_it_is_as_wrong_as_it_says(fitted):
    x0 = blurred(500, (3, 8, 16), seed=1).float() / 127.5 - 1
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
    for t in (5, 300, 900):
        signal, noise = share(t, 500)
        guess = fitted(signal * x0 + noise * eps, share(t, 500))
        error = (guess.eps - eps).square().mean().sqrt()
        assert abs(error / guess.rest.mean() - 1) < 0.03
        assert error < 0.9 * signal.mean(), "better than v's zero, which knows only that pictures have variance 1"


def test_before_fit_it_is_v():
    x = torch.randn(2, 3, 8, 8)
    signal, noise = share(400, 2)
    guess = Gaussian((3, 8, 8))(x, share(400, 2))
    assert torch.allclose(guess.eps, noise * x, atol=1e-5) and torch.allclose(guess.rest, signal)


def test_half_precision_does_not_reach_it(fitted):
    x = torch.randn(2, 3, 8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = fitted(x, share(50, 2)).eps
    assert torch.equal(inside, fitted(x, share(50, 2)).eps)


def test_pictures_that_never_vary_are_no_division_by_zero():
    gaussian = Gaussian((1, 8, 8))
    gaussian.fit(Pictures(torch.full((3, 1, 8, 8), 7, dtype=torch.uint8)))
    guess = gaussian(torch.randn(2, 1, 8, 8), share(0, 2))
    assert guess.eps.isfinite().all() and (guess.rest > 0).all()


def test_the_unit_weighting_makes_every_step_count_alike(fitted):
    x0 = blurred(500, (3, 8, 16), seed=1).float() / 127.5 - 1
    for t in (5, 300, 900):
        steps = torch.full((500,), t)
        draws = Draws(steps, torch.randn(x0.shape, generator=torch.Generator().manual_seed(t)), torch.zeros(500, 1))

        def guess(x, t, c):
            return fitted(x, mix(Schedule(), t, x)).eps

        weighted = loss(guess, x0, torch.zeros(500, 1), draws, Schedule(), weights("unit", steps, Schedule(), fitted.rest))
        assert abs(weighted - 1) < 0.06, "the guess alone is at 1, at every step"
    with pytest.raises(ValueError, match="Gaussian"):
        weights("unit", steps, Schedule())
