"""The closed-form estimate: exact for Gaussian images, and as wrong as it says."""

from __future__ import annotations

import pytest
import torch
from scipy.fft import dctn

from ddpm_faces.diffusion.loss import NoiseSample, loss, loss_weights
from ddpm_faces.diffusion.process import alpha_sigma
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.linear_denoiser import LEAST, LinearDenoiser


def batches(images: torch.Tensor):
    """What `fit` asks for: images (N, C, H, W) uint8, in [-1, 1] and in parts."""
    return lambda: iter((images.float() / 127.5 - 1).split(512))


def blurred(count: int, shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """Coloured images of smooth noise, uint8."""
    x = torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2) * torch.tensor([1.5, 1.0, 0.5])[: shape[0], None, None]
    x = x + 0.5 * x.mean(dim=1, keepdim=True)  # the colours go together
    return (x * 110 + 140).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def fitted() -> LinearDenoiser:
    denoiser = LinearDenoiser((3, 8, 16))
    denoiser.fit(batches(blurred(3000, (3, 8, 16))))
    return denoiser


def at(t: int, count: int):
    return alpha_sigma(Schedule(), torch.full((count,), t), torch.zeros(1))


def test_the_transform_is_scipys_and_can_be_undone():
    x = torch.randn(2, 1, 8, 16)
    denoiser = LinearDenoiser((1, 8, 16))
    expected = torch.from_numpy(dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    assert (denoiser.transform(x) - expected).abs().max() < 1e-5
    assert (denoiser.inverse(denoiser.transform(x)) - x).abs().max() < 1e-5


def test_fit_finds_mean_and_spectrum(fitted):
    x = blurred(3000, (3, 8, 16)).float() / 127.5 - 1
    assert (fitted.mean - x.mean(0)).abs().max() < 1e-5
    turned = torch.einsum("dc,bchw->bdhw", fitted.colours, x - x.mean(0))
    covariance = torch.einsum("bchw,bdhw->cd", turned, turned) / turned[:, 0].numel()
    assert (covariance - covariance.diagonal().diag()).abs().max() < 1e-5, "the colours' axes are the principal ones"
    expected = torch.from_numpy(dctn(turned.numpy(), axes=(2, 3), norm="ortho")).square().mean(0)
    assert torch.allclose(fitted.variance, expected.clamp(min=LEAST), rtol=1e-3)


def test_mirrored_images_make_a_mirrored_mean():
    denoiser = LinearDenoiser((3, 8, 16))
    denoiser.fit(lambda: (torch.cat((x, x.flip(3))) for x in batches(blurred(40, (3, 8, 16)))()))
    assert (denoiser.mean - denoiser.mean.flip(2)).abs().max() < 1e-6


def test_the_guess_is_the_posterior_mean_of_the_gaussian(fitted):
    basis = fitted.inverse(torch.eye(3 * 8 * 16).reshape(-1, 3, 8, 16)).flatten(1)  # a coefficient's image in each row
    covariance = (basis.T * fitted.variance.flatten()) @ basis
    x = torch.randn(5, 3, 8, 16)
    for t in (5, 300, 900):
        alpha, sigma = (float(s.flatten()[0]) for s in at(t, 1))
        away = (x - alpha * fitted.mean).flatten(1).double()
        whole = alpha**2 * covariance.double() + sigma**2 * torch.eye(len(covariance)).double()
        expected = sigma * torch.linalg.solve(whole, away.T).T  # E[eps | x], Bishop 2006, (2.116)
        assert (fitted(x, at(t, 5)).eps.flatten(1) - expected).abs().max() < 1e-3 * expected.abs().max()


def test_it_is_as_wrong_as_it_says(fitted):
    x0 = blurred(500, (3, 8, 16), seed=1).float() / 127.5 - 1
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
    for t in (5, 300, 900):
        alpha, sigma = at(t, 500)
        estimate = fitted(alpha * x0 + sigma * eps, at(t, 500))
        error = (estimate.eps - eps).square().mean().sqrt()
        assert abs(error / estimate.residual_std.mean() - 1) < 0.03
        assert error < 0.9 * alpha.mean(), "better than v's zero, which knows only that images have variance 1"


def test_before_fit_it_is_v():
    x = torch.randn(2, 3, 8, 8)
    alpha, sigma = at(400, 2)
    estimate = LinearDenoiser((3, 8, 8))(x, at(400, 2))
    assert torch.allclose(estimate.eps, sigma * x, atol=1e-5) and torch.allclose(estimate.residual_std, alpha)


def test_half_precision_does_not_reach_it(fitted):
    x = torch.randn(2, 3, 8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = fitted(x, at(50, 2)).eps
    assert torch.equal(inside, fitted(x, at(50, 2)).eps)


def test_images_that_never_vary_are_no_division_by_zero():
    denoiser = LinearDenoiser((1, 8, 8))
    denoiser.fit(batches(torch.full((3, 1, 8, 8), 7, dtype=torch.uint8)))
    estimate = denoiser(torch.randn(2, 1, 8, 8), at(0, 2))
    assert estimate.eps.isfinite().all() and (estimate.residual_std > 0).all()


def test_the_unit_weighting_makes_every_step_count_alike(fitted):
    x0 = blurred(500, (3, 8, 16), seed=1).float() / 127.5 - 1
    for t in (5, 300, 900):
        steps = torch.full((500,), t)
        noise_sample = NoiseSample(
            steps, torch.randn(x0.shape, generator=torch.Generator().manual_seed(t)), torch.zeros(500, 1)
        )

        def estimate(x, t, c):
            return fitted(x, alpha_sigma(Schedule(), t, x)).eps

        weighted = loss(
            estimate,
            x0,
            torch.zeros(500, 1),
            noise_sample,
            Schedule(),
            loss_weights("unit", steps, Schedule(), fitted.residual_std),
        )
        assert abs(weighted - 1) < 0.06, "the estimate alone is at 1, at every step"
    with pytest.raises(ValueError, match="linear denoiser"):
        loss_weights("unit", steps, Schedule())
