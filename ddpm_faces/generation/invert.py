"""Invert aligned images exactly: to the noise behind them, and back to the last digits, or on under another condition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm_faces.diffusion.inversion import CHAINS, Pair, Rung, ladder
from ddpm_faces.generation.conditions import Condition, to_conditions
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.devices import full_precision
from ddpm_faces.utils.errors import UserError, hint


@dataclass(frozen=True)
class Inverted:
    """Images as an exact chain's state on its top rung: a pair of (N, C, H, W), on the model's device and in its dtype."""

    model: DiffusionModel
    method: str
    rungs: list[Rung]
    conditions: Tensor
    state: Pair

    def sample(self, condition: Condition | None = None, guidance: float = 1.0) -> Tensor:
        """Go back down to images (N, C, H, W), on the CPU: by default the inverted ones, to 1e-5 in float32.

        condition: another one draws a relative of each image. guidance: away from the condition of the inversion.
        """
        asked = self.conditions if condition is None else _conditions(self.model, condition, self.state[0])
        eps = self.model.eps(asked, guidance, away_from=self.conditions if guidance != 1 else None)
        with full_precision(self.model.device):
            return CHAINS[self.method].sample(eps, self.state, self.rungs).cpu()


def invert(
    model: DiffusionModel,
    images: Tensor,
    condition: Condition = "",
    method: str = "o-belm",
    steps: int = 15,
    depth: float = 0.95,
) -> Inverted:
    """The noise behind images (N, C, H, W) in [-1, 1], by an exact chain: "o-belm", "bdia" or "edict" (diffusion/inversion.py).

    condition: of the images, as `generate` takes it. steps, depth: see `ladder`. The chain runs in the dtype of the model's
    weights: for a round trip to 1e-10, call model.network.double() first. Raises UserError on anything impossible.
    """
    if method not in CHAINS:
        raise UserError(f"no exact chain '{method}': choose {', '.join(CHAINS)}{hint(method, CHAINS)}")
    if images.ndim != 4 or tuple(images.shape[1:]) != model.image_shape:
        raise UserError(f"images are {('N', *model.image_shape)} for this model, not {tuple(images.shape)}")
    rungs = find_rungs(model, steps, depth)
    x = images.to(model.device, next(model.network.parameters()).dtype)
    conditions = _conditions(model, condition, x)
    with full_precision(model.device):
        state = CHAINS[method].invert(model.eps(conditions), x, rungs)
    return Inverted(model, method, rungs, conditions, state)


def find_rungs(model: DiffusionModel, steps: int, depth: float) -> list[Rung]:
    """The `ladder` on this model's schedule. Raises UserError."""
    try:
        return ladder(model.schedule, steps, depth)
    except ValueError as error:
        raise UserError(str(error)) from None


def _conditions(model: DiffusionModel, condition: Condition, x: Tensor) -> Tensor:
    return to_conditions(model, condition, len(x)).to(x.device, torch.promote_types(x.dtype, torch.float32))
