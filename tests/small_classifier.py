"""A small classifier with random weights, which tests of the evaluation share."""

from __future__ import annotations

import torch

from ddpm_faces.conditions import Labels
from ddpm_faces.models.classifier_checkpoint import Classifier, ClassifierConfig


def random_classifier(labels: Labels, image: tuple[int, int, int], seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    config = ClassifierConfig(labels=labels, image=image, channels=(16, 32))
    return Classifier(config.network().eval(), config)
