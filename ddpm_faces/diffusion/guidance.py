"""Classifier-free guidance (Ho & Salimans 2022), in one convention, and the function type that every sampler takes.

A sampler sees a model only as `eps(x, t) -> eps`: x and the result (B, C, H, W), t (B,) integer steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Eps = Callable[[Tensor, Tensor], Tensor]


def guided(model, condition: Tensor, scale: float = 1.0) -> Eps:
    """Bind condition (B, K) to model(x, t, c): eps_null + scale * (eps_cond - eps_null). CFG (6), with scale = 1 + w.

    Scale 0 is the null model, 1 the plain conditional one (each at one network call), above 1 exaggerates. Both halves
    of a guided prediction go through the model in one batch. Where every condition is null the two agree, so one is made.
    """
    null = torch.zeros_like(condition)
    if scale == 0 or condition.numel() == 0 or not condition.any():
        return lambda x, t: model(x, t, null)
    if scale == 1:
        return lambda x, t: model(x, t, condition)
    both = torch.cat((null, condition))

    def eps(x: Tensor, t: Tensor) -> Tensor:
        eps_null, eps_cond = model(torch.cat((x, x)), torch.cat((t, t)), both).chunk(2)
        return eps_null + scale * (eps_cond - eps_null)

    return eps
