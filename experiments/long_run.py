"""`python -m experiments.long_run --data celeba --data-root FOLDER --init-from celeba64 ...`: a training watched closely.

It trains as `ddpm_faces.train` does, with its flags, but keeps several averages of the weights (EMA) beside each other, and
takes the error of the predicted noise on held-out faces on the way. Nothing can be resumed: it is for a machine that is lent
for minutes, where a cut run is begun anew from weights. What it leaves in --out:

mark-N.safetensors       the averaged weights at each mark on the way (the average of --ema)
average-D.safetensors    at the end, the weights averaged with decay D
results.json             the machine, the speed, the loss, and the held-out error of each, beside the error of --init-from
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from ddpm_faces.data import open_dataset
from ddpm_faces.data.dataset import Dataset, spread
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.evaluation.denoising import denoising_errors, levels
from ddpm_faces.models import checkpoint
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.training.accelerator import make_accelerator
from ddpm_faces.training.config import TrainSettings
from ddpm_faces.training.defaults import defaults
from ddpm_faces.training.ema import EMA
from ddpm_faces.training.loop import train
from ddpm_faces.training.start import Start, start
from ddpm_faces.utils.settings import command, from_flags, given
from experiments.machine import machine


class LongRunSettings(TrainSettings):
    """The settings of `experiments.long_run`: those of a training, and what is watched."""

    averages: tuple[str, ...] = Field(("0.9995", "0.9998"), description="decays of further averages of the weights")
    marks: int = Field(4, ge=1, le=100, description="how often the held-out error is taken")
    held_out: int = Field(500, ge=1, description="held-out faces, of the validation and the test split each")


class HeldOut:
    """The error of the predicted noise on held-out faces, each noise level counting alike, as a share of `before`'s."""

    def __init__(self, settings: LongRunSettings, schedule: Schedule, device: torch.device):
        self.parts = [open_dataset(settings.data, settings.data_root, split, settings.crop) for split in ("valid", "test")]
        self.count, self.schedule, self.device = settings.held_out, schedule, device
        self.scale: torch.Tensor | float = 1.0

    def __call__(self, network: nn.Module) -> float:
        errors = torch.cat([self._errors(network, part) for part in self.parts]).mean(dim=0) / self.scale
        return float(errors.mean())

    def measure_by(self, network: nn.Module) -> None:
        """Make this network's errors the unit at each level."""
        self.scale = torch.cat([self._errors(network, part) for part in self.parts]).mean(dim=0)

    def _errors(self, network: nn.Module, dataset: Dataset) -> torch.Tensor:
        rows = spread(len(dataset), min(self.count, len(dataset)))
        return denoising_errors(network, dataset, rows, self.schedule, levels(self.schedule.steps), self.device)


def run(settings: LongRunSettings) -> dict[str, Any]:
    accelerator = make_accelerator(settings.device, settings.precision, settings.folder)
    dataset = open_dataset(settings.data, settings.data_root, "train", settings.crop)
    total = settings.total_steps(len(dataset))
    begun = start(settings, accelerator, dataset, total)
    schedule = Schedule(settings.schedule, settings.schedule_steps)
    held_out = HeldOut(settings, schedule, accelerator.device)
    held_out.measure_by(begun.state.ema.module)
    averages = {decay: EMA(begun.state.network, float(decay)) for decay in settings.averages}
    results: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "machine": machine(accelerator.device.type)}
    results["marks"] = []
    settings.folder.mkdir(parents=True, exist_ok=True)
    since, at, losses = time.monotonic(), 0, []
    began = since
    for record in train(begun.state, dataset, schedule, total):
        for average in averages.values():
            average.update(begun.state.network)
        losses.append(record.loss)
        late = settings.max_minutes is not None and time.monotonic() - began > 60 * settings.max_minutes
        if late or record.step == total or record.step % max(1, total // settings.marks) == 0:
            loss = float(torch.stack(losses).mean())
            speed = (record.step - at) * settings.batch_size / (time.monotonic() - since)
            mark = {"step": record.step, "images": record.images_seen, "lr": record.lr, "loss": loss, "images a second": speed}
            mark["minutes"] = (time.monotonic() - began) / 60
            mark["held-out error"] = held_out(begun.state.ema.module)
            mark |= {f"held-out error, average {decay}": held_out(average.module) for decay, average in averages.items()}
            results["marks"].append(mark)
            print(json.dumps(mark), flush=True)
            _save(settings.folder / f"mark-{len(results['marks'])}.safetensors", begun, begun.state.ema.module, mark)
            losses, since, at = [], time.monotonic(), record.step
            (settings.folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        if late:
            break
    for decay, average in averages.items():
        _save(settings.folder / f"average-{decay}.safetensors", begun, average.module, results["marks"][-1])
    return results


def _save(path: Path, begun: Start, network: nn.Module, mark: dict[str, Any]) -> None:
    seen = {"step": mark["step"], "images_seen": mark["images"], "minutes": round(mark["minutes"], 2)}
    config = begun.model.model_copy(update={"facts": begun.model.facts.model_copy(update=seen)})
    checkpoint.save(path, DiffusionModel(network, config, str(path)))


@command
def main(argv: Sequence[str] | None = None) -> int:
    said = given(LongRunSettings, argv, __doc__)
    run(from_flags(LongRunSettings, defaults(said) | said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
