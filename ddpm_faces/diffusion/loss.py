"""The loss: the squared error of the predicted noise (Ho et al. 2020, (14)), and how much each noise level counts in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.process import AlphaSigma, add_noise, alpha_sigma
from ddpm_faces.diffusion.schedule import Schedule

Model = Callable[[Tensor, Tensor, Tensor], Tensor]  # eps(x, t, c)
WEIGHTINGS = ("unit", "snr+1", "uniform")


class NoiseSample(NamedTuple):
    """The random numbers of one training step, kept apart from the loss so that a step can be repeated exactly."""

    t: Tensor  # (B,) steps, uniform over 0 .. T - 1
    eps: Tensor  # (B, C, H, W) standard normal
    keep: Tensor  # (B, K) of 0 and 1: 0 where an entry of the condition is dropped


def sample_noise(
    shape: torch.Size, conditions: int, schedule: Schedule, p_null: float, p_each: float, rng: torch.Generator
) -> NoiseSample:
    """The random numbers of a step on images of `shape` (B, C, H, W) with K = `conditions`, on the generator's device.

    p_null: probability that a whole condition is dropped (Ho & Salimans 2022, algorithm 1). p_each: probability that an image
    has single entries dropped. Such an image keeps each entry with a probability of its own, K^-u with u uniform in [0, 1]:
    keeping one or two of 40 entries is about as likely as keeping twenty to all. A uniform probability would keep a single
    entry, which is what people ask for, in one image of K only.
    """
    batch, device = shape[0], rng.device
    t = torch.randint(0, schedule.steps, (batch,), generator=rng, device=device)
    eps = torch.randn(shape, generator=rng, device=device)
    u = torch.rand((batch, 3 + conditions), generator=rng, device=device)
    keeps_any = u[:, :1] >= p_null
    share = torch.where(u[:, 1:2] < p_each, max(conditions, 1) ** -u[:, 2:3], 1.0)  # (B, 1)
    return NoiseSample(t, eps, (keeps_any & (u[:, 3:] < share)).float())


def loss(model: Model, x0: Tensor, c: Tensor, noise: NoiseSample, schedule: Schedule, weights: Tensor | float = 1.0) -> Tensor:
    """Mean squared error of the predicted noise, DDPM (14), a scalar; dropped entries of the condition are shown as 0.

    model(x, t, c) -> eps; x0 (B, C, H, W); c (B, K). weights (B,): of each image's error, see `loss_weights`.
    """
    xt = add_noise(x0, noise.eps, noise.t, schedule)
    error = (model(xt, noise.t, c * noise.keep).to(noise.eps) - noise.eps).square().mean(dim=(1, 2, 3))  # (B,)
    return (weights * error).mean()


def loss_weights(
    weighting: str, t: Tensor, schedule: Schedule, residual_std: Callable[[AlphaSigma], Tensor] | None = None
) -> Tensor:
    """The factors (B,) of the squared errors at steps t (B,), on t's device.

    "uniform": 1, as in DDPM (14). At the noisiest steps the noise is easy to predict, so they contribute little, although they
    decide the composition and whether the image shows what the condition says. "snr+1": 1 / alpha_bar, which makes the loss
    the unweighted error of v (Salimans & Ho 2022, section 4). "unit": 1 / residual_std^2, so that the network's target has
    variance 1 at every step and all steps count alike (the rule lambda = 1 / c_out^2 of Karras et al. 2022, section 5).

    residual_std: the standard deviation (B, 1, 1, 1) of the noise around the network's linear estimate at an AlphaSigma, as
    `Denoiser.residual_std` gives it. Raises ValueError on "unit" without it, and on an unknown weighting.
    """
    at = alpha_sigma(schedule, t, t)
    if weighting == "unit":
        if residual_std is None:
            raise ValueError("the weighting 'unit' needs a network with a linear denoiser: use snr+1 or uniform")
        return residual_std(at).flatten() ** -2
    if weighting == "snr+1":
        return at.alpha.flatten() ** -2
    if weighting == "uniform":
        return torch.ones_like(at.alpha.flatten())
    raise ValueError(f"no weighting '{weighting}': choose {', '.join(WEIGHTINGS)}")
