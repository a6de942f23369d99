"""Samplers: DDPM, DDIM and DPM-Solver++, which turn noise into images by repeated use of `eps(x, t)`.

sampling.py says what they share. `register_sampler` gives a sampler of your own a name; `generate` takes the function, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.process import posterior
from ddpm_faces.diffusion.sampling import Jump, NoiseSource, Sampler, State, jumps, predict
from ddpm_faces.diffusion.schedule import Schedule


def ddpm(eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: NoiseSource, clip: bool = False) -> Iterator[State]:
    """Ancestral sampling, DDPM algorithm 2: sample the posterior given the predicted x0. Fewer steps than T skip evenly."""
    for step, t, ab_t, ab_s in jumps(schedule, steps, x):
        x0, _ = predict(eps, x, t, schedule, clip)
        mean, variance = posterior(x, x0, ab_t, ab_s)  # DDPM (7)
        x = mean + variance**0.5 * noise() if ab_s < 1 else mean
        yield State(step, x, x0)


def ddim(
    eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: NoiseSource, clip: bool = False, eta: float = 0.0
) -> Iterator[State]:
    """Song et al. 2021, (12): deterministic at eta 0 (the noise source is not asked), DDPM's variance at eta 1."""
    for step, t, ab_t, ab_s in jumps(schedule, steps, x):
        x0, e = predict(eps, x, t, schedule, clip)
        sigma = eta * ((1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)) ** 0.5  # DDIM (16)
        x = ab_s**0.5 * x0 + (1 - ab_s - sigma**2) ** 0.5 * e  # DDIM (12)
        if sigma > 0:
            x = x + sigma * noise()
        yield State(step, x, x0)


def dpm(eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: NoiseSource, clip: bool = False) -> Iterator[State]:
    """DPM-Solver++(2M), Lu et al. 2022b, algorithm 2: deterministic, of second order (twice the steps, a quarter of the error).

    DDIM keeps x0 as it is until the step lands. This solver follows the line through the present and the last x0, in
    lambda = log(alpha / sigma), to the middle of the step. The first step has no last x0, and the last step lands on x0
    itself. The steps are spaced as in Karras et al. 2022.
    """
    return dpm_along(eps, x, schedule, jumps(schedule, steps, x, "karras"), clip)


def dpm_along(eps: Eps, x: Tensor, schedule: Schedule, path: Iterable[Jump], clip: bool = False) -> Iterator[State]:
    """`dpm` along any path: a part of the way, for example, which then begins with a first-order step."""
    last_x0, last_width = x, math.inf
    for step, t, ab_t, ab_s in path:
        x0, _ = predict(eps, x, t, schedule, clip)
        width = _log_snr(ab_s) - _log_snr(ab_t)  # h of the paper; infinite for the last step
        ahead = 0.0 if math.isinf(width) else width / last_width / 2  # 1 / (2 r)
        d = x0 + ahead * (x0 - last_x0)
        x = ab_s**0.5 * d + ((1 - ab_s) / (1 - ab_t)) ** 0.5 * (x - ab_t**0.5 * d)  # DDIM (12) with D in x0's place
        last_x0, last_width = x0, width
        yield State(step, x, x0)


def few(eps: Eps, x: Tensor, schedule: Schedule, steps: int, noise: NoiseSource, clip: bool = False) -> Iterator[State]:
    """DDIM at eta 0 on the few steps that a distilled student is trained for (training/distillation.py)."""
    for step, t, _, ab_s in jumps(schedule, steps, x, "open"):
        x0, e = predict(eps, x, t, schedule, clip)
        x = ab_s**0.5 * x0 + (1 - ab_s) ** 0.5 * e  # DDIM (12)
        yield State(step, x, x0)


def _log_snr(alpha_bar: float) -> float:
    """lambda = log(alpha / sigma), half the logarithm of the signal-to-noise ratio."""
    return math.inf if alpha_bar == 1 else 0.5 * math.log(alpha_bar / (1 - alpha_bar))


class NamedSampler(NamedTuple):
    """A sampler, its name, and the number of steps that it takes unless told otherwise."""

    name: str
    function: Sampler
    steps: int

    def steps_on(self, schedule: Schedule) -> int:
        """The default number of steps, and no more than the schedule has."""
        return min(self.steps, schedule.steps)


SAMPLERS: dict[str, NamedSampler] = {}


def register_sampler(name: str, function: Sampler, steps: int) -> None:
    """Make a sampler known by name, with its default number of steps; a name that is taken is replaced."""
    SAMPLERS[name] = NamedSampler(name, function, steps)


def find_sampler(sampler: str | Sampler) -> NamedSampler:
    """A registered sampler by name, or any function with the Sampler signature (by default 15 steps). Raises ValueError."""
    if callable(sampler):
        known = (entry for entry in SAMPLERS.values() if entry.function is sampler)
        return next(known, NamedSampler(getattr(sampler, "__name__", "own"), sampler, 15))
    if sampler not in SAMPLERS:
        raise ValueError(f"no sampler '{sampler}': choose {', '.join(SAMPLERS)}")
    return SAMPLERS[sampler]


register_sampler("dpm", dpm, 15)  # experiments/README.md tells how the 15 were chosen
register_sampler("ddim", ddim, 50)
register_sampler("ddpm", ddpm, 1000)
register_sampler("few", few, 4)
