"""Distillation: a student learns to land in a few large steps where its teacher lands in many small ones, guidance included.

Simple and Fast Distillation (Zhou et al. 2024, NeurIPS): the student samples, and at each of its steps the teacher goes on from
the same point x_t to the student's next step s, in several steps of its own, under guidance, to y. One DDIM step from x_t lands
on y if it takes the clean image

    x0* = (y - (sigma_s / sigma_t) x_t) / (alpha_s - (sigma_s / sigma_t) alpha_t)        Salimans & Ho 2022, appendix G

for the present one; so x0* is what the student is asked to predict. Then the student takes its step, and learns from where it
stands, not from where the teacher would have been: sampling will bring it there, too. No images are needed, only conditions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm_faces.conditions.prior import sample_vector
from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.loss import sample_noise
from ddpm_faces.diffusion.process import x0_from_eps
from ddpm_faces.diffusion.samplers import dpm_along
from ddpm_faces.diffusion.sampling import jumps_along
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.training.loop import Record, TrainState, batch_seed


@dataclass(frozen=True)
class Plan:
    """A student's steps on a schedule, each with the teacher's steps on the way to the next one (or to the clean image)."""

    schedule: Schedule
    steps: tuple[int, ...]
    between: tuple[tuple[int, ...], ...]

    @classmethod
    def make(cls, schedule: Schedule, steps: int, substeps: int) -> Plan:
        """`steps` student steps, and about `substeps` teacher steps for each. Raises ValueError if the schedule has too few."""
        own = schedule.timesteps(steps, "open")
        fine = schedule.timesteps(steps * substeps + 1, "karras")[:-1]  # every substeps-th is near one of the student's
        parts = []
        for t, s in zip(own, [*own[1:], -1], strict=True):
            parts.append((t, *(f for f in fine if s < f < t)))
        return cls(schedule, tuple(own), tuple(parts))

    def landing(self, i: int) -> int | None:
        """The step on which the student's i-th step lands; None for the clean image."""
        return self.steps[i + 1] if i + 1 < len(self.steps) else None

    def teach(self, teacher: Eps, x: Tensor, i: int, clip: bool) -> Tensor:
        """y: where the teacher lands from x (B, C, H, W) at the student's i-th step, by DPM-Solver++."""
        *_, last = dpm_along(teacher, x, self.schedule, jumps_along(self.schedule, self.between[i], self.landing(i), x), clip)
        return last.x

    def coefficients(self, i: int) -> tuple[float, float]:
        """(a, b) of the student's i-th DDIM step, x_s = a x_t + b x0: DDIM (12) with eps written by x_t and x0."""
        landing = self.landing(i)
        ab_t = float(self.schedule.alpha_bar[self.steps[i]])
        ab_s = 1.0 if landing is None else float(self.schedule.alpha_bar[landing])
        a = math.sqrt((1 - ab_s) / (1 - ab_t))
        return a, math.sqrt(ab_s) - a * math.sqrt(ab_t)

    def target(self, x: Tensor, y: Tensor, i: int, clip: bool) -> Tensor:
        """x0*: the clean image with which the student's i-th step from x lands on y; in [-1, 1] where sampling clips."""
        a, b = self.coefficients(i)
        x0 = (y - a * x) / b
        return x0.clamp(-1, 1) if clip else x0

    def land(self, x: Tensor, x0: Tensor, i: int, clip: bool) -> Tensor:
        """Where the student's i-th step from x lands, given its clean image."""
        a, b = self.coefficients(i)
        return a * x + b * (x0.clamp(-1, 1) if clip else x0)


def plausible_conditions(model: DiffusionModel, count: int, seed: int = 0) -> Tensor:
    """Conditions (count, K) as a user would say them in full: from the prior over attributes, or each class in turn."""
    labels = model.labels
    if labels.one_hot:
        return labels.one_hot_vectors([i % len(labels) for i in range(count)])
    rows = [sample_vector(labels, model.config.frequencies, seed + i, {}) for i in range(count)]
    return torch.stack([torch.as_tensor(row, dtype=torch.float32) for row in rows]) if labels.names else torch.zeros(count, 0)


def distil(state: TrainState, teacher: DiffusionModel, plan: Plan, conditions: Tensor, batches: int) -> Iterator[Record]:
    """Train state's network, a copy of the teacher's, from state.step to len(plan.steps) * batches updates; a Record each.

    A batch of noise is worth an update for each step of the student. conditions (N, K): drawn from; entries are dropped as in
    training, so that the student knows partial conditions, too. The teacher's guidance is what suits each condition
    (`DiffusionModel.guidance_for`), and the student needs none. Raises ValueError where state.step is inside a batch.
    """
    recipe, device, many = state.recipe, state.accelerator.device, len(plan.steps)
    if state.step % many:
        raise ValueError(f"step {state.step} is no multiple of the student's {many} steps")
    shape = torch.Size((recipe.batch_size, *teacher.image_shape))
    rng, pool = torch.Generator(device), conditions.to(device)
    for batch in range(state.step // many, batches):
        rng.manual_seed(batch_seed(recipe.seed, batch))
        noise = sample_noise(shape, pool.shape[1], plan.schedule, recipe.p_null, recipe.p_each, rng)
        c = pool[torch.randint(0, len(pool), (recipe.batch_size,), generator=rng, device=device)] * noise.keep
        guided = teacher.eps(c, teacher.guidance_for(c))
        x = noise.eps.contiguous(memory_format=torch.channels_last)
        for i, step in enumerate(plan.steps):
            with torch.no_grad(), state.accelerator.autocast():
                target = plan.target(x, plan.teach(guided, x, i, teacher.clip), i, teacher.clip)
            t = torch.full((recipe.batch_size,), step, device=device)
            x0 = x0_from_eps(x, state.parallel(x, t, c).to(x.dtype), t, plan.schedule)
            value = (x0 - target).abs().mean()
            state.optimizer.zero_grad()
            state.accelerator.backward(value)
            norm: Any = state.accelerator.clip_grad_norm_(state.parallel.parameters(), recipe.clip or math.inf)
            lr = float(state.scheduler.get_last_lr()[0])
            state.optimizer.step()
            state.ema.update(state.network)
            state.scheduler.step()
            state.step += 1
            x = plan.land(x, x0.detach(), i, teacher.clip).contiguous(memory_format=torch.channels_last)
            value = torch.where(norm.isfinite(), value.detach(), torch.nan)
            yield Record(state.step, value, lr, (batch + 1) * recipe.batch_size)
