"""The noise schedule: how much of the image is left at each step. Its only fact is the recipe; everything derives.

Notation of Ho et al. 2020: beta_t is the variance added at step t, alpha_t = 1 - beta_t, alpha_bar_t their product up to t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ddpm_faces.errors import UserError

KINDS = ("cosine", "linear")


@dataclass(frozen=True)
class Schedule:
    """kind: "cosine" (Nichol & Dhariwal 2021, (17)) or "linear" (DDPM, section 4). steps: T; steps run from 0 to T - 1.

    The derived tensors have shape (T,), float64, on the CPU. Raises UserError on another kind or fewer than two steps.
    """

    kind: str = "cosine"
    steps: int = 1000

    def __post_init__(self):
        if self.kind not in KINDS or not isinstance(self.steps, int) or not 2 <= self.steps <= 100_000:
            raise UserError(f"no schedule '{self.kind}' of {self.steps} steps: kinds are {', '.join(KINDS)}, steps 2 up")

    @cached_property
    def beta(self) -> Tensor:
        """beta_t in (0, 0.999], the variance that step t adds."""
        if self.kind == "linear":  # the paper's 1e-4 to 0.02 are for 1000 steps; others add the same total noise
            scale = 1000 / self.steps
            return torch.linspace(1e-4 * scale, 0.02 * scale, self.steps, dtype=torch.float64).clamp(max=0.999)
        u = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2  # improved DDPM (17)
        return (1 - f[1:] / f[:-1]).clamp(max=0.999)  # clipped, so that the last step does not divide by zero

    @cached_property
    def alpha_bar(self) -> Tensor:
        """alpha_bar_t in (0, 1), falling: the share of the variance that is still the image's at step t."""
        return torch.cumprod(1 - self.beta, dim=0)  # DDPM (4)

    def timesteps(self, n: int, spacing: str = "even") -> list[int]:
        """n different steps from the noisiest, T - 1, downwards. Raises UserError if n > T.

        spacing: "even" over the schedule, or "karras" (Karras et al. 2022, (5)): even in the 7th root of the noise-to-signal
        ratio sigma, from 80 down to that of step 0. There a step's length follows how much the picture changes; of 20 even
        steps the first alone takes sigma from 20,000 to 13, where much of what a face becomes is decided.
        """
        if not 1 <= n <= self.steps:
            raise UserError(f"--steps {n} is impossible: this model's schedule has 1 to {self.steps}")
        if spacing == "even":
            return [math.ceil(self.steps * (n - i) / n) - 1 for i in range(n)]
        sigma = ((1 - self.alpha_bar) / self.alpha_bar).sqrt()
        roots = torch.linspace(min(float(sigma[-1]), 80.0) ** (1 / 7), float(sigma[0]) ** (1 / 7), n, dtype=torch.float64)
        wanted = roots[1:] ** 7
        above = torch.searchsorted(sigma, wanted).clamp(1, self.steps - 1)  # sigma rises with the step
        nearest_steps = torch.where(wanted - sigma[above - 1] < sigma[above] - wanted, above - 1, above)
        steps = [self.steps - 1]
        for i, nearest in enumerate(nearest_steps.tolist(), start=1):
            steps.append(max(min(nearest, steps[-1] - 1), n - 1 - i))  # below the last, and above as many as are to come
        return steps
