"""Classifier-free guidance (Ho & Salimans 2022), in one convention, and the function type that every sampler takes.

A sampler sees a model only as `eps(x, t) -> eps`: x and the result (B, C, H, W), t (B,) integer steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Eps = Callable[[Tensor, Tensor], Tensor]


def guided(model, condition: Tensor, scale: float | Tensor = 1.0) -> Eps:
    """Bind condition (B, K) to model(x, t, c): eps_null + scale * (eps_cond - eps_null). CFG (6), with scale = 1 + w.

    scale: one number, or (B,), one for each picture. Scale 0 is the null model, 1 the plain conditional one (each at one
    network call, where all pictures have it), above 1 exaggerates. Both halves of a guided prediction go through the model in
    one batch. Where every condition is null the two agree, so one is made.
    """
    null = torch.zeros_like(condition)
    if condition.numel() == 0 or not condition.any():
        return lambda x, t: model(x, t, null)
    if isinstance(scale, Tensor) and bool((scale == scale[0]).all()):
        scale = float(scale[0])
    if isinstance(scale, Tensor):
        scale = scale.float().to(condition.device).view(-1, 1, 1, 1)
    elif scale in (0, 1):
        shown = condition if scale else null
        return lambda x, t: model(x, t, shown)
    both = torch.cat((null, condition))

    def eps(x: Tensor, t: Tensor) -> Tensor:
        eps_null, eps_cond = model(torch.cat((x, x)), torch.cat((t, t)), both).chunk(2)
        return eps_null + scale * (eps_cond - eps_null)

    return eps


def scale_by_what_is_said(condition: Tensor, alone: float, whole: float) -> Tensor:
    """A scale for each condition (B, K): `alone` where one entry is named, `whole` where all K are. (B,) float64, on the CPU.

    In between it goes along the logarithm of how many are named, an entry of 0.5 counting half, by twentieths: so that a
    title can say it, and that it stays the same along a strip. eps_cond - eps_null grows with what is said: the scale that
    makes one attribute visible makes forty together hard and irregular, and what suits forty leaves one faint (figures in
    benchmarks/README.md).
    """
    said = condition.detach().cpu().double().abs().sum(dim=1).clamp(min=1)  # (B,)
    share = said.log() / math.log(max(condition.shape[1], 2))
    return alone + (whole - alone) * (20 * share).round() / 20
