"""The best guess of the noise that needs no network: the data taken for a Gaussian, of their own mean and spectrum.

Under that Gaussian the posterior mean is linear in x_t and known in closed form (Wiener's filter). The network then learns
only what is left, which is what makes a picture a face; without this it would spend its first hundred thousand pictures on
learning the filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_faces.data.store import Store, spread
from ddpm_faces.devices import full_precision
from ddpm_faces.diffusion.process import Mix

LEAST = 1e-6  # variance of a coefficient that never varies: black borders, say


def cosine_transform(n: int) -> Tensor:
    """The orthogonal matrix (n, n) of the discrete cosine transform, DCT-II (Ahmed et al. 1974), float32, on the CPU."""
    i = torch.arange(n, dtype=torch.float64, device="cpu")
    matrix = (2 / n) ** 0.5 * torch.cos(math.pi / n * (i + 0.5) * i[:, None])
    matrix[0] /= 2**0.5
    return matrix.float()


class Guess(NamedTuple):
    """eps (B, C, H, W): the noise expected; rest (B, 1, 1, 1): the deviation expected of the true noise from it."""

    eps: Tensor
    rest: Tensor


class Gaussian(nn.Module):
    """Pictures (C, H, W) as a Gaussian whose coefficients, by frequency and colour, are independent.

    mean (C, H, W); colours (C, C), the principal axes of the pixels' colours, one a row; variance (C, H, W) of each
    coefficient of the cosine transform of each colour. Until `fit`, mean 0 and variance 1, with which the guess is
    sqrt(1 - alpha_bar) x and the rest sqrt(alpha_bar): what is left is then v of Salimans & Ho 2022 (section 4).
    """

    mean: Tensor
    colours: Tensor
    variance: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, image: tuple[int, int, int]):
        super().__init__()
        channels, height, width = image
        self.register_buffer("mean", torch.zeros(image))
        self.register_buffer("colours", torch.eye(channels))
        self.register_buffer("variance", torch.ones(image))
        self.register_buffer("rows", cosine_transform(height), persistent=False)
        self.register_buffer("columns", cosine_transform(width), persistent=False)

    def transform(self, x: Tensor) -> Tensor:
        """Pictures -> coefficients, both (..., C, H, W)."""
        return self.rows @ torch.einsum("dc,...chw->...dhw", self.colours, x) @ self.columns.T

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Coefficients -> pictures, both (..., C, H, W)."""
        return torch.einsum("dc,...dhw->...chw", self.colours, self.rows.T @ coefficients @ self.columns)

    def forward(self, x: Tensor, share: Mix) -> Guess:
        """The noise in x (B, C, H, W), given the `share`s of picture and noise in it.

        A coefficient of x has variance signal^2 s^2 + noise^2, of which noise^2 is noise: E[eps | x] = noise / variance times
        its distance from the mean, and what stays unknown of it has the variance signal^2 s^2 / variance.
        """
        signal, noise = share
        with full_precision(x.device):  # half precision would leave its own noise in every pixel
            variance = self.variance_of_xt(share)
            eps = self.inverse(self.transform(x.float() - signal * self.mean) * noise / variance)
        return Guess(eps, self.rest(share, variance))

    def variance_of_xt(self, share: Mix) -> Tensor:
        """Of each coefficient of x_t, (B, C, H, W)."""
        return share.signal.square() * self.variance + share.noise.square()

    def rest(self, share: Mix, variance: Tensor | None = None) -> Tensor:
        """How far the noise is from the guess, on average: its standard deviation, (B, 1, 1, 1). variance: of x_t, if known."""
        variance = self.variance_of_xt(share) if variance is None else variance
        return share.signal * (self.variance / variance).mean(dim=(1, 2, 3), keepdim=True).sqrt()

    @torch.no_grad()
    def fit(self, store: Store, mirror: bool = False, count: int = 8192) -> None:
        """Measure `count` pictures spread over the store; mirror: each and its mirror image. The same on every machine."""
        chosen = spread(len(store), count)

        def pictures() -> Iterator[Tensor]:
            for part in np.array_split(chosen, -(-len(chosen) // 512)):
                x = store.batch(part)[0].to(self.mean.device).float() / 127.5 - 1
                yield torch.cat((x, x.flip(3))) if mirror else x

        def average(values: Iterator[Tensor]) -> Tensor:
            return sum(v.double().sum(dim=0) for v in values) / (len(chosen) * (1 + mirror))  # type: ignore[return-value]

        self.mean.copy_(average(pictures()))
        pixels = self.mean[0].numel()
        covariance = average(torch.einsum("bchw,bdhw->bcd", y, y) / pixels for x in pictures() for y in (x - self.mean,))
        self.colours.copy_(torch.linalg.eigh(covariance).eigenvectors.T)
        self.variance.copy_(average(self.transform(x - self.mean).square() for x in pictures()).clamp(min=LEAST))
