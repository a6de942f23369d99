"""The linear denoiser: the best estimate of the noise that needs no network.

Model the data as a Gaussian with their own mean and spectrum. The posterior mean is then linear in x_t and known in closed form
(Wiener's filter). The network learns only the residual, which is what makes an image a face; without the filter it would spend
its first hundred thousand images on learning the filter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ddpm_faces.diffusion.process import AlphaSigma
from ddpm_faces.utils.devices import full_precision

LEAST = 1e-6  # variance of a coefficient that never varies: black borders, for example


def cosine_transform(n: int) -> Tensor:
    """The orthogonal matrix (n, n) of the discrete cosine transform, DCT-II (Ahmed et al. 1974), float32, on the CPU."""
    i = torch.arange(n, dtype=torch.float64, device="cpu")
    matrix: Tensor = (2 / n) ** 0.5 * torch.cos(math.pi / n * (i + 0.5) * i[:, None])
    matrix[0] /= 2**0.5
    return matrix.float()


class LinearEstimate(NamedTuple):
    """eps (B, C, H, W): the expected noise; residual_std (B, 1, 1, 1): the standard deviation of the true noise around it."""

    eps: Tensor
    residual_std: Tensor


class LinearDenoiser(nn.Module):
    """Images (C, H, W) as a Gaussian whose coefficients, by frequency and colour, are independent.

    mean (C, H, W); colours (C, C), the principal axes of the pixels' colours, one a row; variance (C, H, W) of each
    coefficient of the cosine transform of each colour. Before `fit`, mean 0 and variance 1: the estimate is
    sqrt(1 - alpha_bar) x, and residual_std sqrt(alpha_bar), so the residual is v of Salimans & Ho 2022 (section 4).
    """

    mean: Tensor
    colours: Tensor
    variance: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, image: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = image
        self.register_buffer("mean", torch.zeros(image))
        self.register_buffer("colours", torch.eye(channels))
        self.register_buffer("variance", torch.ones(image))
        self.register_buffer("rows", cosine_transform(height), persistent=False)
        self.register_buffer("columns", cosine_transform(width), persistent=False)

    def transform(self, x: Tensor) -> Tensor:
        """Images -> coefficients, both (..., C, H, W)."""
        return self.rows @ torch.einsum("dc,...chw->...dhw", self.colours, x) @ self.columns.T

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Coefficients -> images, both (..., C, H, W)."""
        return torch.einsum("dc,...dhw->...chw", self.colours, self.rows.T @ coefficients @ self.columns)

    def forward(self, x: Tensor, at: AlphaSigma) -> LinearEstimate:
        """The noise in x (B, C, H, W), which is alpha x0 + sigma eps.

        A coefficient of x has the variance V = alpha^2 s^2 + sigma^2, of which sigma^2 is noise: E[eps | x] is sigma / V times
        its distance from the mean, and the part that stays unknown has the variance alpha^2 s^2 / V.
        """
        with full_precision(x.device):  # half precision would leave rounding noise in every pixel
            variance = self.variance_of_xt(at)
            eps = self.inverse(self.transform(x.to(self.mean.dtype) - at.alpha * self.mean) * at.sigma / variance)
        return LinearEstimate(eps, self.residual_std(at, variance))

    def variance_of_xt(self, at: AlphaSigma) -> Tensor:
        """The variance of each coefficient of x_t, (B, C, H, W)."""
        return at.alpha.square() * self.variance + at.sigma.square()

    def residual_std(self, at: AlphaSigma, variance: Tensor | None = None) -> Tensor:
        """The standard deviation of the noise around the estimate, (B, 1, 1, 1). variance: of x_t, if known."""
        variance = self.variance_of_xt(at) if variance is None else variance
        return at.alpha * (self.variance / variance).mean(dim=(1, 2, 3), keepdim=True).sqrt()

    @torch.no_grad()
    def fit(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Measure mean, colours and variance. batches() gives all images anew at each call, as (B, C, H, W) in [-1, 1]."""

        def average(function: Callable[[Tensor], Tensor]) -> Tensor:
            total, count = torch.zeros((), dtype=torch.float64), 0
            for x in batches():
                total = total + function(x.to(self.mean.device)).double().sum(dim=0).cpu()
                count += len(x)
            return total / count

        self.mean.copy_(average(lambda x: x))
        pixels = self.mean[0].numel()
        covariance = average(lambda x: torch.einsum("bchw,bdhw->bcd", x - self.mean, x - self.mean) / pixels)
        self.colours.copy_(torch.linalg.eigh(covariance).eigenvectors.T)
        self.variance.copy_(average(lambda x: self.transform(x - self.mean).square()).clamp(min=LEAST))
