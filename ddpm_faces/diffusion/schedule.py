"""The noise schedule: how much of the image is left at each step.

Notation of Ho et al. 2020: beta_t is the variance added at step t, alpha_t = 1 - beta_t, and alpha_bar_t the product of all
alpha up to step t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

KINDS = ("cosine", "linear")
SIGMA_MAX = 80.0  # where Karras spacing begins (Karras et al. 2022, table 1)


@dataclass(frozen=True)
class Schedule:
    """kind: "cosine" (Nichol & Dhariwal 2021, (17)) or "linear" (DDPM, section 4). steps: T; steps run from 0 to T - 1.

    The derived tensors have shape (T,), float64, on the CPU. Raises ValueError on another kind or fewer than two steps.
    """

    kind: str = "cosine"
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no schedule '{self.kind}': choose {', '.join(KINDS)}")
        if not isinstance(self.steps, int) or not 2 <= self.steps <= 100_000:
            raise ValueError(f"a schedule has 2 to 100,000 steps, not {self.steps}")

    @cached_property
    def beta(self) -> Tensor:
        """beta_t in (0, 0.999], the variance that step t adds."""
        if self.kind == "linear":  # the paper's 1e-4 to 0.02 belong to 1000 steps; other lengths add the same total noise
            scale = 1000 / self.steps
            return torch.linspace(1e-4 * scale, 0.02 * scale, self.steps, dtype=torch.float64, device="cpu").clamp(max=0.999)
        u = torch.arange(self.steps + 1, dtype=torch.float64, device="cpu") / self.steps
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2  # improved DDPM (17)
        return (1 - f[1:] / f[:-1]).clamp(max=0.999)  # clipped, so that the last step does not divide by zero

    @cached_property
    def alpha_bar(self) -> Tensor:
        """alpha_bar_t in (0, 1), falling: the image's share of the variance at step t."""
        return torch.cumprod(1 - self.beta, dim=0)  # DDPM (4)

    def timesteps(self, n: int, spacing: str = "even") -> list[int]:
        """n different steps from the noisiest, T - 1, downwards. Raises ValueError unless 1 <= n <= T.

        spacing: "even" over the schedule, or "karras" (Karras et al. 2022, (5)): even in the 7th root of sigma / alpha, from 80
        down to that of step 0. Karras spacing takes long steps where the image changes slowly and short ones where it
        changes fast; of 20 even steps the first alone goes from 20,000 to 13, where much of a face is decided. "open": the
        Karras grid of n + 1 steps without its last, which a sampler of few steps would waste on noise that nobody sees.
        """
        if not 1 <= n <= self.steps:
            raise ValueError(f"steps {n} is impossible: this model's schedule has 1 to {self.steps}")
        if spacing == "open":
            return self.timesteps(n + 1, "karras")[:-1] if n < self.steps else self.timesteps(n)
        if spacing == "even":
            return [math.ceil(self.steps * (n - i) / n) - 1 for i in range(n)]
        sigma = ((1 - self.alpha_bar) / self.alpha_bar).sqrt()  # of x / alpha, "variance exploding" units
        roots = torch.linspace(min(float(sigma[-1]), SIGMA_MAX) ** (1 / 7), float(sigma[0]) ** (1 / 7), n, dtype=torch.float64)
        wanted = roots[1:] ** 7
        above = torch.searchsorted(sigma, wanted).clamp(1, self.steps - 1)  # sigma rises with the step
        nearest = torch.where(wanted - sigma[above - 1] < sigma[above] - wanted, above - 1, above)
        steps = [self.steps - 1]
        for i, step in enumerate(nearest.tolist(), start=1):
            steps.append(max(min(step, steps[-1] - 1), n - 1 - i))  # different steps, with room for those to come
        return steps
