"""The training loop: noise a batch, predict the noise, step, and let a slow average of the weights (EMA) follow.

    state = TrainState.new(network, Recipe(), accelerator, total_steps)
    for record in train(state, store, Schedule(), total_steps): ...

Everything a step does is a function of the state and of (seed, step): which pictures, which noise, what is hidden. So a
resumed run repeats bit for bit what an uninterrupted one does, and several processes share the batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_faces.cli import arg, check_ranges
from ddpm_faces.data.feed import Feed
from ddpm_faces.data.store import Store, batch_indices
from ddpm_faces.devices import place
from ddpm_faces.diffusion.process import draw, loss
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.diffusion.weighting import WEIGHTINGS, weights
from ddpm_faces.ema import EMA
from ddpm_faces.errors import UserError


@dataclass(kw_only=True)
class Recipe:
    """How to train. The defaults are the report's (batch, Adam at 1e-3, both cosines), with condition dropout, an average of
    the weights, clipping and the weighting of the steps added."""

    batch_size: int = arg(128, "pictures a step, over all processes together")
    epochs: float = arg(12.0, "passes over the data; the learning rate's cosine ends with the last")
    lr: float = arg(1e-3, "highest learning rate, after the warm-up")
    warmup: int = arg(500, "steps in which the learning rate rises from 0 (at most a tenth of all)")
    clip: float = arg(1.0, "largest norm of the gradient; 0 for no limit")
    ema: float = arg(0.999, "decay of the averaged weights, at most (n + 1) / (n + 10) after n steps")
    p_null: float = arg(0.1, "probability that a whole condition is hidden, for guidance")
    p_each: float = arg(0.7, "probability that single attributes are hidden, in some pictures few, in others all but one")
    weighting: str = arg(
        "unit", "how much each noise level counts: unit, snr+1 or uniform (the DDPM paper's)", choices=WEIGHTINGS
    )
    skip_bad_steps: int = arg(0, "steps, of the whole run, that may be left out because their loss or gradient is no number")
    flip: bool = arg(False, "mirror every other picture (the default for faces)")
    seed: int = arg(0, "of weights, order and noise")

    def __post_init__(self):
        ranges = {
            "batch_size": (1, 65536), "epochs": (0, 1e6), "lr": (0, 1), "warmup": (0, 1e7), "clip": (0, 1e6), "ema": (0, 1),
            "p_null": (0, 1), "p_each": (0, 1), "seed": (0, 2**62), "skip_bad_steps": (0, 1e6),
        }  # fmt: skip
        check_ranges(self, ranges)
        if self.weighting not in WEIGHTINGS:
            raise UserError(f"no weighting '{self.weighting}': choose {', '.join(WEIGHTINGS)}")

    def total_steps(self, pictures: int) -> int:
        """Steps in all epochs of a set of so many pictures, at least 1."""
        return max(1, round(self.epochs * pictures / self.batch_size))


class Record(NamedTuple):
    """A finished step: its number (from 1), loss (a tensor: reading it waits for the device), learning rate, pictures seen.

    skipped: whether it was a bad step that moved no weight (`Recipe.skip_bad_steps`).
    """

    step: int
    loss: Tensor
    lr: float
    images_seen: int
    skipped: bool = False


class Saved(NamedTuple):
    """A TrainState as plain data: tensors by name, and numbers that JSON can hold."""

    tensors: dict[str, Tensor]
    numbers: dict


@dataclass
class TrainState:
    """All that training changes, and the accelerator that it runs on."""

    accelerator: Any  # accelerate's Accelerator
    recipe: Recipe
    network: nn.Module  # the raw weights
    ema: EMA
    adam: torch.optim.Adam
    scheduler: torch.optim.lr_scheduler.LRScheduler
    parallel: nn.Module  # network as accelerate wraps it: mixed precision, several processes
    optimizer: Any  # adam as accelerate wraps it
    step: int = 0
    skipped: int = 0  # of these steps, the bad ones that were left out

    @classmethod
    def new(cls, network: nn.Module, recipe: Recipe, accelerator, total_steps: int, saved: Saved | None = None) -> TrainState:
        """A fresh state, or the one that `save` gave.

        total_steps: length of the learning rate's schedule. KeyError or RuntimeError if `saved` does not fit the network.
        """
        from diffusers.optimization import get_cosine_schedule_with_warmup

        network = place(network, accelerator.device)
        ema = EMA(network, recipe.ema)
        adam = torch.optim.Adam(network.parameters(), lr=recipe.lr, fused=True)
        if saved is not None:
            _restore(network, ema, adam, saved)
        step, skipped = (saved.numbers["step"], saved.numbers.get("skipped", 0)) if saved else (0, 0)
        for group in adam.param_groups:
            group["initial_lr"] = recipe.lr
        warmup = min(recipe.warmup, total_steps // 10)
        scheduler = get_cosine_schedule_with_warmup(adam, warmup, total_steps, last_epoch=step - 1)
        parallel, optimizer = accelerator.prepare(network, adam)
        if saved is not None and accelerator.scaler is not None and saved.numbers["scaler"]:
            accelerator.scaler.load_state_dict(saved.numbers["scaler"])
        return cls(accelerator, recipe, network, ema, adam, scheduler, parallel, optimizer, step, skipped)

    def save(self) -> Saved:
        """Weights, their average, and Adam's moments, by name, and the few numbers besides: all that `new` needs."""
        result = {f"model.{name}": t for name, t in self.network.state_dict().items()}
        result |= {f"ema.{name}": t for name, t in self.ema.module.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for moment in ("exp_avg", "exp_avg_sq"):  # none yet if half precision has skipped every step so far
                result[f"{moment}.{name}"] = self.adam.state[parameter].get(moment, torch.zeros_like(parameter))
        moves = [int(values["step"]) for values in self.adam.state.values() if "step" in values]
        scaler = self.accelerator.scaler
        numbers = {"step": self.step, "skipped": self.skipped, "adam_step": max(moves, default=0)}
        return Saved(result, {**numbers, "scaler": scaler.state_dict() if scaler else None})

    def finite(self) -> bool:
        """Whether every weight is a number; waits for the device."""
        return all(bool(parameter.isfinite().all()) for parameter in self.network.parameters())


def _restore(network: nn.Module, ema: EMA, adam: torch.optim.Adam, saved: Saved) -> None:
    tensors, numbers = saved

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

    network.load_state_dict(part("model."))
    ema.module.load_state_dict(part("ema."))
    ema.count = numbers["step"] - numbers.get("skipped", 0)
    moments: dict[int, dict[str, Tensor]] = {}
    for i, (name, parameter) in enumerate(network.named_parameters()):
        moments[i] = {"step": torch.tensor(float(numbers["adam_step"]))}
        for moment in ("exp_avg", "exp_avg_sq"):
            values = tensors[f"{moment}.{name}"]
            if values.shape != parameter.shape:
                raise RuntimeError(f"{moment}.{name} has shape {tuple(values.shape)}, not {tuple(parameter.shape)}")
            # laid out in memory as the parameter is: the fused Adam walks through both without looking at strides
            moments[i][moment] = torch.empty_like(parameter).copy_(values).detach()
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})


def train(state: TrainState, store: Store, schedule: Schedule, total_steps: int) -> Iterator[Record]:
    """Step from state.step to total_steps; each Record comes after the optimiser and the average have moved.

    Raises UserError where the batch cannot be shared among the processes.
    """
    recipe, accelerator = state.recipe, state.accelerator
    batch, parts, rank = recipe.batch_size, accelerator.num_processes, accelerator.process_index
    if batch % parts:
        raise UserError(f"--batch-size {batch} cannot be shared by {parts} processes: use a multiple of {parts}")
    mine = slice(rank * batch // parts, (rank + 1) * batch // parts)
    device = accelerator.device
    conditions: int = state.network.conditions  # type: ignore[assignment]
    gaussian: Any = getattr(state.network, "gaussian", None)
    rest = gaussian.rest if gaussian is not None else None
    rng = torch.Generator(device)
    feed = Feed(store, device)

    while state.step < total_steps:
        rng.manual_seed(int(np.random.SeedSequence([recipe.seed, state.step]).generate_state(1, np.uint64)[0] >> 1))
        images, c = feed(batch_indices(len(store), batch, state.step, recipe.seed)[mine])
        draws = draw(
            torch.Size((batch, *images.shape[1:])), conditions, schedule, recipe.p_null, recipe.p_each, rng
        )  # of the whole batch
        draws = type(draws)(*(d[mine].contiguous(memory_format=_format(d)) for d in draws))
        x0 = images.float() / 127.5 - 1  # (B, C, H, W) in [-1, 1]
        if recipe.flip:
            mirrored = torch.rand(batch, generator=rng, device=device)[mine] < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(3), x0)
        counts = weights(recipe.weighting, draws.t, schedule, rest)
        value = loss(state.parallel, x0, c[:, :conditions], draws, schedule, counts)

        state.optimizer.zero_grad()
        accelerator.backward(value)
        norm = accelerator.clip_grad_norm_(state.parallel.parameters(), recipe.clip or math.inf)
        lr = float(state.scheduler.get_last_lr()[0])
        skip = state.skipped < recipe.skip_bad_steps and not finite(accelerator, value, norm)
        if skip:  # weights, moments and average stay as they were
            state.skipped += 1
        if not skip or accelerator.scaler is not None:  # which leaves it out by itself, and lowers the scale
            state.optimizer.step()
        if not skip:
            state.ema.update(state.network)
        state.scheduler.step()
        state.step += 1
        if accelerator.scaler is None:  # the step that breaks the weights is the one to be told, not the next
            value = torch.where(norm.isfinite(), value, torch.nan)
        yield Record(state.step, value.detach(), lr, state.step * batch, skip)


def finite(accelerator, value: Tensor, norm: Tensor) -> bool:
    """Whether a step's loss, on all processes, and the norm of its gradient are numbers; waits for the device.

    With a loss scaler (fp16) infinite gradients are its own business: it leaves such steps out and lowers the scale.
    """
    good = bool(accelerator.reduce(value.detach(), "mean").isfinite())
    return good and (accelerator.scaler is not None or bool(norm.isfinite()))


def _format(t: Tensor) -> torch.memory_format:
    return torch.channels_last if t.ndim == 4 else torch.contiguous_format
