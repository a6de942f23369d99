"""`python -m experiments.second_classifier --data-root FOLDER`: an attribute classifier that nothing is tuned to.

Editing, noise search and the mask-aware loss listen to the shipped classifier. Whoever measures them by the same classifier
measures how well it was fooled. This one has another seed, and other widths, sees larger shifts, and is used to
measure only: the shipped `celeba64-judge` is what this command writes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch
from pydantic import Field

from ddpm_faces.data import find_source, open_dataset
from ddpm_faces.models.classifier_checkpoint import Classifier, ClassifierConfig, save_classifier
from ddpm_faces.training.classifier import fit, measure
from ddpm_faces.training.config import ClassifierSettings
from ddpm_faces.utils.devices import find_device, place
from ddpm_faces.utils.settings import command, parse
from experiments.machine import machine


class SecondSettings(ClassifierSettings):
    """The settings of `experiments.second_classifier`: those of train_classifier, with other defaults, and the widths."""

    channels: tuple[int, ...] = Field((32, 64, 96, 128), description="widths of the stages, multiples of 8")
    seed: int = Field(7, ge=0, le=2**62, description="seed of weights, order and shifts")
    epochs: float | None = Field(12.0, ge=0, le=1e6, description="passes over the training split")
    shift: int = Field(6, ge=0, le=16, description="training images are moved by up to so many pixels")
    out: Path | None = Field(Path("runs/celeba64-judge.safetensors"), title="FILE", description="the file to write")


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings, start = parse(SecondSettings, argv, __doc__), time.monotonic()
    source, device = find_source(settings.data), find_device(settings.device)
    train, test = (open_dataset(settings.data, settings.data_root, split, settings.crop) for split in ("train", "test"))
    torch.manual_seed(settings.seed)
    config = ClassifierConfig(
        labels=train.labels, image=train.image_shape, channels=settings.channels, frequencies=train.frequencies
    )
    network = place(config.network(), device)
    fit(network, train, settings)
    facts = {
        "data": settings.data,
        "licence": source.licence,
        "crop": settings.crop or source.crops[0],
        "settings": settings.model_dump(mode="json", exclude={"data_root", "out", "import_"}),
        "pictures": {"train": len(train), "test": len(test)},
        "minutes": round((time.monotonic() - start) / 60, 1),
        "machine": machine(device.type),
        "date": date.today().isoformat(),
        **measure(Classifier(network, config, str(settings.path)), test),
    }
    path = save_classifier(settings.path, Classifier(network, config.model_copy(update={"facts": facts}), str(settings.path)))
    print(f"{path}: {facts['scores']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
