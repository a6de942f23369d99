"""The forward process and its inverse directions: noising, x0 <-> eps, and the posterior (Ho et al. 2020).

Images x are (B, C, H, W) in [-1, 1]; t is (B,) integer steps, 0 the least noisy. Every result has the dtype of x, and gradients
flow through.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.schedule import Schedule


class AlphaSigma(NamedTuple):
    """x_t = alpha x0 + sigma eps: alpha = sqrt(alpha_bar_t), sigma = sqrt(1 - alpha_bar_t). DDPM (4) in the letters of
    Kingma et al. 2021; this alpha is not DDPM's alpha_t = 1 - beta_t."""

    alpha: Tensor
    sigma: Tensor


@lru_cache(maxsize=64)
def tables(schedule: Schedule, device: torch.device, dtype: torch.dtype) -> AlphaSigma:
    """Alpha and sigma of all steps, (T,). They stay on the device: a copy to a GPU in every step would keep it waiting."""
    with torch.inference_mode(False):  # the first caller may be in inference mode, a later one may want gradients
        alpha_bar = schedule.alpha_bar
        return AlphaSigma(alpha_bar.sqrt().to(device, dtype), (1 - alpha_bar).sqrt().to(device, dtype))


def alpha_sigma(schedule: Schedule, t: Tensor, like: Tensor) -> AlphaSigma:
    """Alpha and sigma at steps t (B,), as (B, 1, 1, 1), on the device of `like` and in its dtype (float32 for integers)."""
    dtype = like.dtype if like.dtype.is_floating_point else torch.float32
    alpha, sigma = tables(schedule, like.device, dtype)
    t = t.to(like.device)
    return AlphaSigma(alpha[t].view(-1, 1, 1, 1), sigma[t].view(-1, 1, 1, 1))


def add_noise(x0: Tensor, eps: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """Sample q(x_t | x_0): x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps. DDPM (4)."""
    alpha, sigma = alpha_sigma(schedule, t, x0)
    return alpha * x0 + sigma * eps


def x0_from_eps(xt: Tensor, eps: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The clean image that the noise eps implies: DDPM (15), which is (4) solved for x0.

    An error of eps becomes an error of x0 that is sigma / alpha times as large: 20,000 times at the last cosine step.
    """
    alpha, sigma = alpha_sigma(schedule, t, xt)
    return (xt - sigma * eps) / alpha


def eps_from_x0(xt: Tensor, x0: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The noise that the clean image x0 implies: DDPM (4) solved for eps."""
    alpha, sigma = alpha_sigma(schedule, t, xt)
    return (xt - alpha * x0) / sigma


class Posterior(NamedTuple):
    """A Gaussian over images: mean (B, C, H, W), and one variance for all pixels."""

    mean: Tensor
    variance: float


def posterior(xt: Tensor, x0: Tensor, alpha_bar_t: float, alpha_bar_s: float) -> Posterior:
    """q(x_s | x_t, x_0) for an earlier step s < t, given the alpha_bar of both; s = t - 1 is DDPM (6), (7)."""
    alpha_ts = alpha_bar_t / alpha_bar_s  # the product of DDPM's alpha over the steps s + 1 to t
    from_x0 = alpha_bar_s**0.5 * (1 - alpha_ts) / (1 - alpha_bar_t)
    from_xt = alpha_ts**0.5 * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return Posterior(from_x0 * x0 + from_xt * xt, (1 - alpha_ts) * (1 - alpha_bar_s) / (1 - alpha_bar_t))
