"""Choose the number of epochs by the measured speed, so that the learning rate's schedule completes in the time given."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from ddpm_faces.data.dataset import Dataset
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.training.config import TrainSettings
from ddpm_faces.training.loop import train
from ddpm_faces.training.start import start

if TYPE_CHECKING:
    from accelerate import Accelerator

FIRST = 2  # steps that are not timed: they prepare kernels and memory
LEAST, SECONDS = 3, 4.0  # time at least so many steps, and for so long
SHARE = 0.9  # of the time: states and sample grids take the rest


def planned(settings: TrainSettings, accelerator: Accelerator, dataset: Dataset) -> TrainSettings:
    """The settings with as many epochs as fit `minutes`, and a forecast for the user.

    The steps that measure the pace train a state of their own, which is thrown away.
    """
    pace = seconds_a_step(settings, accelerator, dataset)
    steps = max(1, round(SHARE * 60 * (settings.minutes or 0) / pace))
    if accelerator.is_main_process:
        speed = settings.batch_size / pace
        print(f"{settings.folder}: about {settings.minutes:g} min here, {steps} steps at {speed:.0f} images a second")
    return settings.model_copy(update={"epochs": min(1e6, steps * settings.batch_size / len(dataset))})


def seconds_a_step(settings: TrainSettings, accelerator: Accelerator, dataset: Dataset) -> float:
    """The time of one step, the same on all processes."""
    state = start(settings, accelerator, dataset, 1000).state
    scaler = accelerator.scaler.state_dict() if accelerator.scaler else None
    schedule = Schedule(settings.schedule, settings.schedule_steps)
    began = time.perf_counter()
    for record in train(state, dataset, schedule, 1000):
        record.loss.item()  # waits for the device
        if record.step == FIRST:
            began = time.perf_counter()
        if record.step >= FIRST + LEAST and (accelerator.num_processes > 1 or time.perf_counter() - began > SECONDS):
            break
    pace = torch.tensor((time.perf_counter() - began) / (record.step - FIRST), device=accelerator.device)
    accelerator.free_memory()
    if accelerator.scaler and scaler:  # fp16: the trial moved its scale
        accelerator.scaler.load_state_dict(scaler)
    reduced: Any = accelerator.reduce(pace, "mean")
    return float(reduced)
