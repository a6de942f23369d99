"""The learning rate over a training: warm-up, then half a cosine, or constant with a decay at the end."""

from __future__ import annotations

import math

import torch

from ddpm_faces.training.config import LrSchedule


def rate_factor(kind: LrSchedule, step: int, warmup: int, total: int, decay: float) -> float:
    """The share of the highest learning rate, in [0, 1], at a step of `total`, after a linear warm-up of `warmup` steps.

    "cosine": half a cosine from 1 to 0 (Loshchilov & Hutter 2017). "wsd", warm-up, stable, decay: 1, and in the last share
    `decay` of the steps 1 - sqrt(progress) (Hägele et al. 2024, section 4). Before its decay it does not depend on `total`, so
    that a training can be cut anywhere, and begun anew from its weights, without the rate having come down in between.
    """
    if step < warmup:
        return step / warmup
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
    length = decay * total
    return 1 - math.sqrt(min(1.0, max(0.0, step - (total - length)) / length)) if length else 1.0


def rate_schedule(
    optimizer: torch.optim.Optimizer, kind: LrSchedule, step: int, warmup: int, total: int, decay: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """torch's scheduler that multiplies each group's initial_lr by `rate_factor`, at `step` steps done."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: rate_factor(kind, n, warmup, total, decay), step - 1)
