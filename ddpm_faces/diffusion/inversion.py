"""Inversion: from an image back to the noisy states from which a deterministic sampler would draw it.

DDIM's inversion evaluates the network at the state it comes from, not at the one it goes to, so its way back misses the image a
little. The exact chains, O-BELM, BDIA and EDICT, keep a pair of states and solve each step for its input: what they do can be
undone to the last digits, with any network. Every chain works in the dtype of x, and gradients flow through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.schedule import Schedule


class Rung(NamedTuple):
    """A noise level of a ladder: the step t, and alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar) there (DDPM (4))."""

    t: int
    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """sigma / alpha: the noise beside the image, in "variance exploding" units."""
        return self.sigma / self.alpha


def ladder(schedule: Schedule, steps: int, depth: float = 0.95) -> list[Rung]:
    """The clean image and `steps` noise levels above it, even in t, up to `depth` of the schedule: steps + 1 rungs.

    The clean rung has alpha 1 and sigma 0; the network sees it as step 0. A depth of 1 reaches pure noise, where the cosine
    schedule leaves nothing of the image (sigma / alpha is 20,000), and no inversion comes back well from there. Raises
    ValueError unless 0 < depth <= 1 and the part of the schedule has so many steps.
    """
    top = round(depth * schedule.steps)
    if not 0 < depth <= 1 or not 1 <= steps <= top:
        raise ValueError(f"{steps} steps to depth {depth:g} of {schedule.steps} are impossible: depth is above 0 and at most 1")
    timesteps = [-(-top * i // steps) - 1 for i in range(1, steps + 1)]
    alpha_bar = schedule.alpha_bar[timesteps].tolist()
    return [Rung(0, 1.0, 0.0), *(Rung(t, ab**0.5, (1 - ab) ** 0.5) for t, ab in zip(timesteps, alpha_bar, strict=True))]


def evaluate(eps: Eps, x: Tensor, rung: Rung) -> Tensor:
    """eps(x, t) on a rung."""
    return eps(x, torch.full((len(x),), rung.t, device=x.device))


def ddim_step(x: Tensor, e: Tensor, here: Rung, there: Rung) -> Tensor:
    """From one rung to another along the noise e: DDIM (12) at eta 0, which is the same upwards and downwards."""
    a = there.alpha / here.alpha
    return a * x + (there.sigma - a * here.sigma) * e


class Path(NamedTuple):
    """The states x[0] (the image) to x[n] on the rungs of a ladder, and the noise e[i] that the network saw in x[i]."""

    x: list[Tensor]
    e: list[Tensor]


def invert_ddim(eps: Eps, x0: Tensor, rungs: list[Rung]) -> Path:
    """Textbook inversion (Song et al. 2021, 4.3): each step is taken with the noise of the state that it leaves.

    x0: images (B, C, H, W). Costs a call for each rung, the top one too.
    """
    states, noises = [x0], []
    for here, there in zip(rungs, [*rungs[1:], None], strict=True):
        noises.append(evaluate(eps, states[-1], here))
        if there is not None:
            states.append(ddim_step(states[-1], noises[-1], here, there))
    return Path(states, noises)


def noised_path(eps: Eps, x0: Tensor, rungs: list[Rung], noise: Callable[[], Tensor]) -> Path:
    """The image under fresh noise at every rung, as edit-friendly inversion has it (Huberman-Spiegelglas et al. 2024).

    noise: gives standard normal noise of x0's shape, new at each call.
    """
    states = [rung.alpha * x0 + (rung.sigma * noise() if rung.sigma else 0) for rung in rungs]
    return Path(states, [evaluate(eps, x, rung) for x, rung in zip(states, rungs, strict=True)])


def sample_ddim(eps: Eps, x: Tensor, rungs: list[Rung]) -> Tensor:
    """DDIM from the top rung down to the clean image."""
    for here, there in zip(rungs[:0:-1], rungs[-2::-1], strict=True):
        x = ddim_step(x, evaluate(eps, x, here), here, there)
    return x


Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TwoStep:
    """An exact chain of which each step combines two neighbouring states with one network call, at the one in the middle.

    The state is a pair: the last two rungs, the noisier one first. down(middle, above, e, rungs of below, middle, above) gives
    the state below; up is its inverse in exact arithmetic.
    """

    down: Callable[..., Tensor]
    up: Callable[..., Tensor]

    def invert(self, eps: Eps, x0: Tensor, rungs: list[Rung]) -> Pair:
        """Images (B, C, H, W) -> the pair of the two top rungs. The second state comes from one DDIM step at the clean end."""
        below, middle = x0, ddim_step(x0, evaluate(eps, x0, rungs[0]), rungs[0], rungs[1])
        for near, here, far in zip(rungs, rungs[1:], rungs[2:], strict=False):
            below, middle = middle, self.up(middle, below, evaluate(eps, middle, here), near, here, far)
        return middle, below

    def sample(self, eps: Eps, state: Pair, rungs: list[Rung]) -> Tensor:
        """From the pair of the two top rungs down to the clean image."""
        return self.image(self.sample_pair(eps, state, rungs))

    def sample_pair(self, eps: Eps, state: Pair, rungs: list[Rung]) -> Pair:
        """The same, as the pair of the two lowest rungs."""
        above, middle = state
        for near, here, far in zip(rungs[-3::-1], rungs[-2::-1], rungs[::-1], strict=False):
            above, middle = middle, self.down(middle, above, evaluate(eps, middle, here), near, here, far)
        return above, middle

    def image(self, pair: Pair) -> Tensor:
        """The image of the pair that `sample_pair` gives."""
        return pair[1]

    def start(self, eps: Eps, x: Tensor, rungs: list[Rung]) -> Pair:
        """A pair from noise on the top rung alone: the second state comes from one DDIM step."""
        return x, ddim_step(x, evaluate(eps, x, rungs[-1]), rungs[-1], rungs[-2])


def _obelm_down(x: Tensor, above: Tensor, e: Tensor, near: Rung, here: Rung, far: Rung) -> Tensor:
    """O-BELM (Wang et al. 2024, NeurIPS) in y = x / alpha: of second order, the least error of all such chains."""
    h, h_above = here.ratio - near.ratio, far.ratio - here.ratio
    r = (h / h_above) ** 2
    return near.alpha * (r * above / far.alpha + (1 - r) * x / here.alpha - h * (h + h_above) / h_above * e)


def _obelm_up(x: Tensor, below: Tensor, e: Tensor, near: Rung, here: Rung, far: Rung) -> Tensor:
    h, h_above = here.ratio - near.ratio, far.ratio - here.ratio
    r = (h / h_above) ** 2
    return far.alpha * (below / near.alpha / r + (1 - 1 / r) * x / here.alpha + h_above * (h + h_above) / h * e)


BDIA_GAMMA = 0.96  # Zhang et al. 2023 use .96 to 1: below 1, errors die out on the way down and grow on the way up


def _bdia_down(x: Tensor, above: Tensor, e: Tensor, near: Rung, here: Rung, far: Rung) -> Tensor:
    """BDIA (Zhang et al. 2023): DDIM's step down, and what DDIM's step up from here misses of the state above, taken along."""
    missed = above - ddim_step(x, e, here, far)
    return ddim_step(x, e, here, near) + BDIA_GAMMA * missed


def _bdia_up(x: Tensor, below: Tensor, e: Tensor, near: Rung, here: Rung, far: Rung) -> Tensor:
    missed = (below - ddim_step(x, e, here, near)) / BDIA_GAMMA
    return ddim_step(x, e, here, far) + missed


class Edict:
    """EDICT (Wallace et al. 2023): two states, each stepped with the other's noise, then mixed. Two network calls a step.

    mix: p of the paper; 1 does not mix. Which state goes first alternates with the rung's own number, so that a chain of odd
    length is undone as well.
    """

    def __init__(self, mix: float = 0.93) -> None:
        self.mix = mix

    def sample(self, eps: Eps, state: Pair, rungs: list[Rung]) -> Tensor:
        """From the pair on the top rung down to the clean image, the mean of the two."""
        return self.image(self.sample_pair(eps, state, rungs))

    def image(self, pair: Pair) -> Tensor:
        """The image of the pair that `sample_pair` gives."""
        x, y = pair
        return (x + y) / 2

    def sample_pair(self, eps: Eps, state: Pair, rungs: list[Rung]) -> Pair:
        """The same, as the pair that `invert_pair` takes back to the start."""
        x, y = state
        for i in range(len(rungs) - 1, 0, -1):
            x, y = (x, y) if i % 2 else (y, x)
            x = ddim_step(x, evaluate(eps, y, rungs[i]), rungs[i], rungs[i - 1])
            y = ddim_step(y, evaluate(eps, x, rungs[i]), rungs[i], rungs[i - 1])
            x = self.mix * x + (1 - self.mix) * y
            y = self.mix * y + (1 - self.mix) * x
            x, y = (x, y) if i % 2 else (y, x)
        return x, y

    def invert(self, eps: Eps, x0: Tensor, rungs: list[Rung]) -> Pair:
        """Images (B, C, H, W) -> the pair on the top rung; both begin as the image."""
        return self.invert_pair(eps, (x0, x0), rungs)

    def invert_pair(self, eps: Eps, pair: Pair, rungs: list[Rung]) -> Pair:
        """The inverse of `sample_pair`: its lines, each solved for its input, in reverse."""
        x, y = pair
        for i in range(1, len(rungs)):
            x, y = (x, y) if i % 2 else (y, x)
            y = (y - (1 - self.mix) * x) / self.mix
            x = (x - (1 - self.mix) * y) / self.mix
            y = ddim_step(y, evaluate(eps, x, rungs[i]), rungs[i - 1], rungs[i])
            x = ddim_step(x, evaluate(eps, y, rungs[i]), rungs[i - 1], rungs[i])
            x, y = (x, y) if i % 2 else (y, x)
        return x, y

    def start(self, eps: Eps, x: Tensor, rungs: list[Rung]) -> Pair:
        """A pair from noise on the top rung alone: twice the same."""
        return x, x


CHAINS: dict[str, TwoStep | Edict] = {
    "o-belm": TwoStep(_obelm_down, _obelm_up),
    "bdia": TwoStep(_bdia_down, _bdia_up),
    "edict": Edict(),
}
