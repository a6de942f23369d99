"""What every sampler shares: its signature, the clean image that it predicts, and the steps that it takes.

A sampler is a generator: sampler(eps, x, schedule, steps, noise, clip) yields a State a step, so that progress bars and
animations need no sampler of their own. The last State's x is the sample. Gradients flow through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.process import eps_from_x0, x0_from_eps
from ddpm_faces.diffusion.schedule import Schedule


class State(NamedTuple):
    """After a step: the step t that was taken, x (B, C, H, W) now, and the clean image x0 that was predicted on the way."""

    t: int
    x: Tensor
    x0: Tensor


NoiseSource = Callable[[], Tensor]  # standard normal noise of x's shape, new at each call
Sampler = Callable[[Eps, Tensor, Schedule, int, NoiseSource, bool], Iterator[State]]


def predict(eps: Eps, x: Tensor, t: Tensor, schedule: Schedule, clip: bool) -> tuple[Tensor, Tensor]:
    """The model's clean image and noise, (x0, eps); with `clip`, x0 held to [-1, 1] and eps made to agree with it.

    At the noisiest steps a small error of eps is a huge one of x0 (divided by sqrt(alpha_bar), 5e-5 at the end of the cosine
    schedule), and guidance pushes x0 out of range, too. Leave `clip` off for inversion, where each step must be invertible,
    and for latents, which have no fixed range.
    """
    e = eps(x, t)
    x0 = x0_from_eps(x, e, t, schedule)  # DDPM (15)
    if clip:
        x0 = x0.clamp(-1, 1)
        e = eps_from_x0(x, x0, t, schedule)
    return x0, e


class Jump(NamedTuple):
    """From a step to an earlier one: the step, the same as t (B,), alpha_bar there, and where the jump lands (1: clean)."""

    step: int
    t: Tensor
    alpha_bar: float
    landing: float


def jumps(schedule: Schedule, steps: int, like: Tensor, spacing: str = "even") -> Iterator[Jump]:
    """From the noisiest step down, for `steps` model calls; the last lands on the clean image."""
    return jumps_along(schedule, schedule.timesteps(steps, spacing), None, like)


def jumps_along(schedule: Schedule, timesteps: Sequence[int], last: int | None, like: Tensor) -> Iterator[Jump]:
    """From each of `timesteps` to the next, and at the end to `last`, or to the clean image if that is None."""
    end = 1.0 if last is None else float(schedule.alpha_bar[last])
    landings = [*(float(schedule.alpha_bar[t]) for t in timesteps[1:]), end]
    for step, landing in zip(timesteps, landings, strict=True):
        t = torch.full((like.shape[0],), step, device=like.device)
        yield Jump(step, t, float(schedule.alpha_bar[step]), landing)
