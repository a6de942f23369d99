"""Samplers: plain generators that turn noise into images by repeated use of `eps(x, t)`.

Each yields a State a step, so that progress bars and animations need no second copy of it; the last state's x is the
sample. Gradients flow through: whoever needs none says so (`torch.no_grad`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.process import posterior, x0_from_eps
from ddpm_faces.diffusion.schedule import Schedule


class State(NamedTuple):
    """After a step: the step t that was taken, x (B, C, H, W) now, and the clean image x0 that was predicted on the way."""

    t: int
    x: Tensor
    x0: Tensor


Sampler = Callable[[Eps, Tensor, Schedule, int, Callable[[], Tensor]], Iterator[State]]


def jumps(schedule: Schedule, steps: int, like: Tensor) -> Iterator[tuple[int, Tensor, float, float]]:
    """From the noisiest step down: (step, t as (B,), alpha_bar there, alpha_bar where the step lands); the last lands at 1."""
    ts = schedule.timesteps(steps)
    alpha_bar = [*schedule.alpha_bar[ts].tolist(), 1.0]
    for i, step in enumerate(ts):
        yield step, torch.full((like.shape[0],), step, device=like.device), alpha_bar[i], alpha_bar[i + 1]


def ddpm(eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: Callable[[], Tensor]) -> Iterator[State]:
    """Ancestral sampling, DDPM algorithm 2: sample the posterior given the predicted x0. Fewer steps than T skip evenly.

    noise() gives a standard normal tensor of x's shape for each step but the last.
    """
    for step, t, ab_t, ab_s in jumps(schedule, steps, x):
        x0 = x0_from_eps(x, eps(x, t), t, schedule)  # DDPM (15)
        mean, variance = posterior(x, x0, ab_t, ab_s)  # DDPM (7)
        x = mean + variance**0.5 * noise() if ab_s < 1 else mean
        yield State(step, x, x0)


def ddim(
    eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: Callable[[], Tensor], eta: float = 0.0
) -> Iterator[State]:
    """Song et al. 2021, (12): deterministic at eta 0 (noise is not asked for), DDPM's variance at eta 1."""
    for step, t, ab_t, ab_s in jumps(schedule, steps, x):
        e = eps(x, t)
        x0 = x0_from_eps(x, e, t, schedule)
        sigma = eta * ((1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)) ** 0.5  # DDIM (16)
        x = ab_s**0.5 * x0 + (1 - ab_s - sigma**2) ** 0.5 * e  # DDIM (12)
        if sigma > 0:
            x = x + sigma * noise()
        yield State(step, x, x0)


def dpm(eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: Callable[[], Tensor]) -> Iterator[State]:
    """DPM-Solver++(2M) of Lu et al. 2022, from diffusers, behind the same contract; deterministic, 15 to 20 steps do."""
    from diffusers import DPMSolverMultistepScheduler  # a slow import, wanted only here

    solver = DPMSolverMultistepScheduler(
        trained_betas=schedule.beta.float().numpy(), algorithm_type="dpmsolver++", solver_order=2, prediction_type="epsilon"
    )
    solver.set_timesteps(timesteps=schedule.timesteps(steps), device=x.device)
    for step in schedule.timesteps(steps):
        t = torch.full((x.shape[0],), step, device=x.device)
        e = eps(x, t)
        x0 = x0_from_eps(x, e, t, schedule)
        x = solver.step(e, step, x).prev_sample
        yield State(step, x, x0)


SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim, "dpm": dpm}
