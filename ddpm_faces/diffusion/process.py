"""The forward process and what it gives: noising, x0 <-> eps, the posterior, and the loss (Ho et al. 2020).

Images x are (B, C, H, W) in [-1, 1]; t is (B,) integer steps, 0 the least noisy. Nothing here stops gradients.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.schedule import Schedule


class Mix(NamedTuple):
    """What x_t is made of, DDPM (4): signal = sqrt(alpha_bar_t) of the image and noise = sqrt(1 - alpha_bar_t) of the noise."""

    signal: Tensor
    noise: Tensor


@lru_cache(maxsize=64)
def _tables(schedule: Schedule, device: torch.device) -> Mix:
    """Both for all steps, (T,), float32 (MPS has no float64). They stay on the device: a copy to a GPU waits for it, and one
    in every step would keep it from being fed ahead."""
    with torch.inference_mode(False):  # whoever asks first, others may want gradients
        alpha_bar = schedule.alpha_bar
        return Mix(alpha_bar.sqrt().float().to(device), (1 - alpha_bar).sqrt().float().to(device))


def mix(schedule: Schedule, t: Tensor, like: Tensor) -> Mix:
    """The shares at steps t (B,), as (B, 1, 1, 1) on `like`'s device."""
    tables, t = _tables(schedule, like.device), t.to(like.device)
    return Mix(tables.signal[t].view(-1, 1, 1, 1), tables.noise[t].view(-1, 1, 1, 1))


def add_noise(x0: Tensor, eps: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """Sample q(x_t | x_0): x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps. DDPM (4)."""
    signal, noise = mix(schedule, t, x0)
    return signal * x0 + noise * eps


def x0_from_eps(xt: Tensor, eps: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The clean image that the noise eps implies: DDPM (4) solved for x0, its (15)."""
    signal, noise = mix(schedule, t, xt)
    return (xt - noise * eps) / signal


def eps_from_x0(xt: Tensor, x0: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The noise that the clean image x0 implies: DDPM (4) solved for eps."""
    signal, noise = mix(schedule, t, xt)
    return (xt - signal * x0) / noise


class Posterior(NamedTuple):
    """A Gaussian over images: mean (B, C, H, W) and one variance for all pixels."""

    mean: Tensor
    variance: float


def posterior(xt: Tensor, x0: Tensor, alpha_bar_t: float, alpha_bar_s: float) -> Posterior:
    """q(x_s | x_t, x_0) for an earlier step s < t, given both steps' alpha_bar; s = t - 1 is DDPM (6), (7)."""
    alpha = alpha_bar_t / alpha_bar_s  # DDPM's alpha_t when s = t - 1, and its product over skipped steps otherwise
    from_x0 = alpha_bar_s**0.5 * (1 - alpha) / (1 - alpha_bar_t)
    from_xt = alpha**0.5 * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return Posterior(from_x0 * x0 + from_xt * xt, (1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t))


class Draws(NamedTuple):
    """What chance decides in one training step. Kept apart from the loss so that a step can be repeated exactly."""

    t: Tensor  # (B,) steps, uniform over 0 .. T - 1
    eps: Tensor  # (B, C, H, W) standard normal
    keep: Tensor  # (B, K) of 0 and 1: the condition's entries that the model is shown


def draw(shape: torch.Size, conditions: int, schedule: Schedule, p_null: float, p_each: float, rng: torch.Generator) -> Draws:
    """Draw a step's randomness on the generator's device.

    p_null: probability that a whole condition vector is hidden (Ho & Salimans 2022, algorithm 1). p_each: probability that
    an image has single entries hidden. Each such image shows a share of its own, K^-u with u uniform over [0, 1]: one or
    two of 40 entries as often as twenty to all. With a uniform share a single one, which is what people ask for, would be
    shown by one image in K only.
    """
    batch, device = shape[0], rng.device
    t = torch.randint(0, schedule.steps, (batch,), generator=rng, device=device)
    eps = torch.randn(shape, generator=rng, device=device)
    chance = torch.rand((batch, 3 + conditions), generator=rng, device=device)
    shown = chance[:, :1] >= p_null
    share = torch.where(chance[:, 1:2] < p_each, max(conditions, 1) ** -chance[:, 2:3], 1.0)  # (B, 1)
    return Draws(t, eps, (shown & (chance[:, 3:] < share)).float())


def loss(model, x0: Tensor, c: Tensor, draws: Draws, schedule: Schedule, weights: Tensor | float = 1.0) -> Tensor:
    """Mean squared error of the predicted noise, DDPM (14), with the hidden conditions set to 0. Returns a scalar.

    model(x, t, c) -> eps; x0 (B, C, H, W); c (B, K). weights (B,): of each picture's error, see weighting.py.
    """
    xt = add_noise(x0, draws.eps, draws.t, schedule)
    error = (model(xt, draws.t, c * draws.keep).float() - draws.eps).square().mean(dim=(1, 2, 3))  # (B,)
    return (weights * error).mean()
