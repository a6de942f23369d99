"""Classifier-free guidance (Ho & Salimans 2022) in one convention, and the function type that every sampler takes.

A sampler sees a model only as `eps(x, t) -> eps`: x and the result (B, C, H, W), t (B,) integer steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Eps = Callable[[Tensor, Tensor], Tensor]


def guided(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    condition: Tensor,
    scale: float | Tensor = 1.0,
    null: Tensor | None = None,
) -> Eps:
    """Bind a condition to model(x, t, c): eps(null) + scale * (eps(condition) - eps(null)). CFG (6), with scale = 1 + w.

    scale: one number, or (B,), one for each image. 0 is the null model and 1 the plain conditional one, each at one network
    call; values above 1 go beyond it. null: the condition that says nothing, of the same shape; zeros by default. With another
    condition as null, guidance steers an edit: away from null, towards the condition. Both halves of a guided prediction go
    through the model in one batch.
    """
    null = torch.zeros_like(condition) if null is None else null
    if isinstance(scale, Tensor) and bool((scale == scale.flatten()[0]).all()):
        scale = float(scale.flatten()[0])
    if torch.equal(condition, null) or (not isinstance(scale, Tensor) and scale in (0, 1)):
        only = null if not isinstance(scale, Tensor) and scale == 0 else condition
        return lambda x, t: model(x, t, only)
    factor = scale.to(condition.device, condition.dtype).view(-1, 1, 1, 1) if isinstance(scale, Tensor) else scale
    both = torch.cat((null, condition))

    def eps(x: Tensor, t: Tensor) -> Tensor:
        eps_null, eps_cond = model(torch.cat((x, x)), torch.cat((t, t)), both).chunk(2)
        return eps_null + factor * (eps_cond - eps_null)  # CFG (6)

    return eps


def scale_by_count(condition: Tensor, alone: float, whole: float) -> Tensor:
    """A scale for each condition (B, K): `alone` where one entry is said, `whole` where all K are. (B,) float64, on the CPU.

    In between the scale is interpolated in the logarithm of the number of entries, an entry of 0.5 counting half, and the
    fraction is rounded to a twentieth, so that titles stay short and a strip has one scale. eps_cond - eps_null grows with the
    number of entries: the scale that makes one attribute visible gives harsh, distorted images when all forty are given, and
    the scale that suits forty leaves one faint.
    """
    said = condition.detach().cpu().double().abs().sum(dim=1).clamp(min=1)  # (B,)
    share = said.log() / math.log(max(condition.shape[1], 2))
    return alone + (whole - alone) * (20 * share).round() / 20
