"""The training loop: add noise to a batch, predict the noise, step, and let the averaged weights (EMA) follow.

    state = TrainState.new(network, Recipe(), accelerator, total_steps)
    for record in train(state, dataset, Schedule(), total_steps): ...

All that is random in a step (the images, the noise, the dropped conditions) is a function of (seed, step). So a resumed run
repeats an uninterrupted one bit for bit, and several processes can share one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_faces.data.dataset import Dataset, batch_indices
from ddpm_faces.data.loader import Loader
from ddpm_faces.diffusion.loss import NoiseSample, loss, loss_weights, sample_noise
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.training.config import Recipe
from ddpm_faces.training.ema import EMA
from ddpm_faces.training.rates import rate_schedule
from ddpm_faces.utils.devices import place
from ddpm_faces.utils.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator


class Record(NamedTuple):
    """A finished step: its number (from 1), its loss (a tensor: reading it waits for the device), learning rate, images seen.

    skipped: whether this was a bad step that moved no weight (`Recipe.skip_bad_steps`).
    """

    step: int
    loss: Tensor
    lr: float
    images_seen: int
    skipped: bool = False


class Saved(NamedTuple):
    """A TrainState as plain data: tensors by name, and numbers that JSON can hold."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


@dataclass
class TrainState:
    """All that training changes, and the accelerator that it runs on."""

    accelerator: Accelerator
    recipe: Recipe
    network: nn.Module  # the raw weights
    ema: EMA
    adam: torch.optim.Adam
    scheduler: torch.optim.lr_scheduler.LRScheduler
    parallel: nn.Module  # network as accelerate wraps it: mixed precision, several processes
    optimizer: Any  # adam as accelerate wraps it
    step: int = 0
    skipped: int = 0  # bad steps that were left out, of all steps

    @classmethod
    def new(
        cls, network: nn.Module, recipe: Recipe, accelerator: Accelerator, total_steps: int, saved: Saved | None = None
    ) -> TrainState:
        """A fresh state, or the one that `state_dict` gave.

        total_steps: length of the learning rate's schedule. KeyError or RuntimeError if `saved` does not fit the network.
        """
        network = place(network, accelerator.device)
        ema = EMA(network, recipe.ema)
        adam = torch.optim.Adam(network.parameters(), lr=recipe.lr, fused=True)
        if saved is not None:
            _restore(network, ema, adam, saved)
        step, skipped = (saved.numbers["step"], saved.numbers.get("skipped", 0)) if saved else (0, 0)
        for group in adam.param_groups:
            group["initial_lr"] = recipe.lr
        warmup = min(recipe.warmup, total_steps // 10)
        scheduler = rate_schedule(adam, recipe.lr_schedule, step, warmup, total_steps, recipe.lr_decay)
        parallel, optimizer = accelerator.prepare(network, adam)
        if saved is not None and accelerator.scaler is not None and saved.numbers["scaler"]:
            accelerator.scaler.load_state_dict(saved.numbers["scaler"])
        return cls(accelerator, recipe, network, ema, adam, scheduler, parallel, optimizer, step, skipped)

    def state_dict(self) -> Saved:
        """The weights, their average and Adam's moments by name, and a few numbers: all that `new` needs."""
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
        """Whether every weight is finite; waits for the device."""
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
            # in the parameter's memory layout: the fused Adam walks through both without looking at strides
            moments[i][moment] = torch.empty_like(parameter).copy_(values).detach()
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})


def train(state: TrainState, dataset: Dataset, schedule: Schedule, total_steps: int) -> Iterator[Record]:
    """Step from state.step to total_steps; each Record comes after the optimiser and the average have moved.

    The network must be a module eps(x, t, c) with an attribute `conditions`, its K: it receives the first K columns of the
    dataset's conditions.
    Raises UserError where the processes cannot share the batch, ValueError where the weighting does not suit the network.
    """
    recipe, accelerator = state.recipe, state.accelerator
    batch, parts, rank = recipe.batch_size, accelerator.num_processes, accelerator.process_index
    if batch % parts:
        raise UserError(f"{parts} processes cannot share a batch_size of {batch}: use a multiple of {parts}")
    mine = slice(rank * batch // parts, (rank + 1) * batch // parts)  # this process's part of a batch
    device = accelerator.device
    conditions: int = state.network.conditions  # type: ignore[assignment]
    residual_std: Any = getattr(state.network, "residual_std", None)
    p_each = 0.0 if dataset.labels.one_hot else recipe.p_each  # a class is said or not: there is nothing to drop one by one
    rng = torch.Generator(device)
    loader = Loader(dataset, device)

    while state.step < total_steps:
        rng.manual_seed(batch_seed(recipe.seed, state.step))
        images, c = loader(batch_indices(len(dataset), batch, state.step, recipe.seed)[mine])
        shape = torch.Size((batch, *images.shape[1:]))  # noise for the whole batch, so that processes can share it
        whole = sample_noise(shape, conditions, schedule, recipe.p_null, p_each, rng)
        noise = NoiseSample(*(n[mine].contiguous(memory_format=_layout(n)) for n in whole))
        x0 = images.float() / 127.5 - 1  # (B, C, H, W) in [-1, 1]
        if recipe.flip:
            mirrored = torch.rand(batch, generator=rng, device=device)[mine] < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(3), x0)
        weights = loss_weights(recipe.weighting, noise.t, schedule, residual_std)
        value = loss(state.parallel, x0, c[:, :conditions], noise, schedule, weights)

        state.optimizer.zero_grad()
        accelerator.backward(value)
        norm: Any = accelerator.clip_grad_norm_(state.parallel.parameters(), recipe.clip or math.inf)
        lr = float(state.scheduler.get_last_lr()[0])
        skip = state.skipped < recipe.skip_bad_steps and not _finite(accelerator, value, norm)
        if skip:  # weights, moments and average stay as they were
            state.skipped += 1
        if not skip or accelerator.scaler is not None:  # a loss scaler leaves the step out by itself, and lowers its scale
            state.optimizer.step()
        if not skip:
            state.ema.update(state.network)
        state.scheduler.step()
        state.step += 1
        if accelerator.scaler is None:  # report the step that breaks the weights, not the one after it
            value = torch.where(norm.isfinite(), value, torch.nan)
        yield Record(state.step, value.detach(), lr, state.step * batch, skip)


def batch_seed(seed: int, step: int) -> int:
    """The seed of all that is random in a step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _finite(accelerator: Accelerator, value: Tensor, norm: Tensor) -> bool:
    """Whether a step's loss, on all processes, and the norm of its gradient are finite; waits for the device.

    A loss scaler (fp16) deals with infinite gradients itself: it leaves such steps out and lowers the scale.
    """
    reduced: Any = accelerator.reduce(value.detach(), "mean")
    return bool(reduced.isfinite()) and (accelerator.scaler is not None or bool(norm.isfinite()))


def _layout(t: Tensor) -> torch.memory_format:
    return torch.channels_last if t.ndim == 4 else torch.contiguous_format
