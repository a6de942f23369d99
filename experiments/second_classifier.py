"""`python -m experiments.second_classifier --data-root FOLDER`: an attribute classifier that nothing is tuned to.

Editing, noise search and the mask-aware loss listen to the shipped classifier. Whoever measures them by the same classifier
measures how well it was fooled. This one has another seed, and other widths, sees larger shifts, and is used to
measure only: the shipped `celeba64-judge` is what this command writes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ddpm_faces.models.classifier_checkpoint import save_classifier
from ddpm_faces.training.classifier import train_classifier
from ddpm_faces.training.config import ClassifierSettings
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
    settings = parse(SecondSettings, argv, __doc__)
    classifier = train_classifier(settings, settings.channels)
    facts = classifier.config.facts | {"machine": machine(classifier.device.type)}
    classifier.config = classifier.config.model_copy(update={"facts": facts})
    print(f"{save_classifier(settings.path, classifier)}: {facts['scores']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
