"""The exponential moving average of the weights, which is what samples are drawn from (Ho et al. 2020, appendix B).

The weights of any one step jitter with its batch; their slow average does not, and draws much better pictures.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """Follows a network: module is a copy of it whose weights are the average, count how many updates it has had.

    decay: of the average, in [0, 1]; it begins lower, as (1 + n) / (10 + n) after n updates, so that the first weights, which
    are noise, are soon forgotten. torch's own AveragedModel does the same but waits for a GPU in every step, to read its
    counter.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """average <- decay * average + (1 - decay) * weights; the first update copies the weights."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count)) if self.count else 0.0
        torch._foreach_lerp_(list(self.module.parameters()), list(network.parameters()), 1 - decay)
        self.count += 1
