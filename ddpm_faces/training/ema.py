"""The exponential moving average of the weights, which generation uses (Ho et al. 2020, appendix B).

The weights of any one step jitter with its batch. Their slow average does not, and generates much better images.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """Follows a network. module: a copy of it that holds the averaged weights; count: the updates so far.

    decay: of the average, in [0, 1]. The decay after n updates is at most (1 + n) / (10 + n), so that the first weights, which
    are noise, are soon forgotten. torch's AveragedModel does the same, but reads its counter from the GPU in every step, and
    so waits for it.
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
