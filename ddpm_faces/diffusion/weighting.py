"""How much each level of noise counts in the loss. The loss is always the squared error of the noise (Ho et al. 2020, (14))."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddpm_faces.diffusion.process import Mix, mix
from ddpm_faces.diffusion.schedule import Schedule

WEIGHTINGS = ("unit", "snr+1", "uniform")


def weights(weighting: str, t: Tensor, schedule: Schedule, rest: Callable[[Mix], Tensor] | None = None) -> Tensor:
    """What the squared errors at steps t (B,) are multiplied by: (B,), on t's device.

    rest: says what the model's own guess leaves open at these shares, (B, 1, 1, 1), as `models.gaussian.Gaussian.rest` does.

    "uniform": 1, as in DDPM (14). Noise is easily told at the noisiest steps, where the whole picture and all that a condition
    says is decided, so that they hardly count. "snr+1": Salimans & Ho 2022 (section 4), 1 / alpha_bar, which makes it the
    plain error of v; they count more, but most of it is still what a linear filter cannot know at the least noisy steps.
    "unit": 1 / rest^2, so that what is left after the guess has variance 1 at every step, and each counts alike: the rule of
    Karras et al. 2022 (section 5, lambda = 1 / c_out^2). A ValueError without a `rest`.
    """
    share = mix(schedule, t, t)
    if weighting == "unit":
        if rest is None:
            raise ValueError("the weighting 'unit' is for networks with a Gaussian")
        return rest(share).flatten() ** -2
    signal = share.signal.flatten()
    return signal**-2 if weighting == "snr+1" else torch.ones_like(signal)
