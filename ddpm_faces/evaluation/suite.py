"""What the parts of an evaluation share: the settings, the model's images and real ones, the classifier and the extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddpm_faces.conditions import Labels
from ddpm_faces.data import DataSource
from ddpm_faces.data.dataset import Dataset, spread
from ddpm_faces.evaluation import detector
from ddpm_faces.evaluation.accuracy import ConditionalAccuracy, conditional_accuracy
from ddpm_faces.evaluation.extractors import Extractor
from ddpm_faces.evaluation.samples import Request, SampleCache
from ddpm_faces.evaluation.settings import EvaluateSettings
from ddpm_faces.models.classifier_checkpoint import Classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import images

# The attributes of CelebA that people and classifiers see most reliably in a small image.
EASILY_SEEN = (
    *("Eyeglasses", "Smiling", "Male", "Blond_Hair", "Black_Hair", "Bangs", "Bald", "Wearing_Hat", "Wearing_Lipstick"),
    *("Mouth_Slightly_Open", "Goatee", "Gray_Hair"),
)


@dataclass(frozen=True)
class Suite:
    """What is measured, and with what. train and test are splits of `data`, whose source says what is known of it."""

    settings: EvaluateSettings
    cache: SampleCache
    classifier: Classifier
    extractor: Extractor
    data: str
    source: DataSource
    crop: str | None
    train: Dataset
    test: Dataset

    @property
    def model(self) -> DiffusionModel:
        """The model that is measured."""
        return self.cache.model

    @property
    def folder(self) -> Path:
        """Where the report is written."""
        return self.cache.folder.parent

    @property
    def labels(self) -> Labels:
        """What the model's conditions mean; empty, and so false, for an unconditional model."""
        return self.model.labels

    @property
    def easily_seen(self) -> list[str]:
        """Those of EASILY_SEEN that the model knows, or all of its attributes if it knows none of them; [] for classes."""
        attributes = () if self.labels.one_hot else self.labels.names
        return [name for name in EASILY_SEEN if name in attributes] or list(attributes)

    def conditions(self, n: int) -> Tensor:
        """Those of the test split, in its own order: each for about as many images as any other."""
        rows = np.arange(n) * len(self.test) // n
        return torch.from_numpy(self.test.conditions[rows]).float()

    def samples(self, n: int | None = None, what: str = "samples", **changes: Any) -> Request:
        """Images with the test split's conditions, each from noise of its own: settings.n unless said otherwise."""
        n, seed = n or self.settings.n, self.settings.seed
        return Request(what, self.conditions(n), list(range(seed, seed + n)), changes)

    def alone(self, attributes: Sequence[str], each: int, what: str, **changes: Any) -> Request:
        """Images of which one attribute alone is asked for, see `single_attributes`."""
        vectors, seeds = single_attributes(self.labels, attributes, each)
        return Request(what, vectors, [self.settings.seed + s for s in seeds], changes)

    def real(self, n: int, dataset: Dataset | None = None) -> np.ndarray:
        """Images spread over the test split, or over another dataset."""
        dataset = dataset or self.test
        return np.asarray(dataset.images[spread(len(dataset), n)])

    def accuracy(self, generated: np.ndarray, asked: Tensor) -> ConditionalAccuracy:
        """How often the classifier sees in images (N, H, W, C) uint8 what was asked for (N, K)."""
        logits = self.classifier.extract(generated, "the classifier").logits
        return conditional_accuracy(logits, asked, self.labels.one_hot, self.classifier.config.thresholds)

    def faces_found(self, shown: np.ndarray) -> dict[str, float]:
        """{FACES: the share of them}, or nothing where the data shows no faces or the detector is not installed."""
        asked = self.source.faces and detector.available()
        return {detector.FACES: detector.share_with_face(shown)} if asked else {}


def single_attributes(labels: Labels, attributes: Sequence[str], each: int) -> tuple[Tensor, list[int]]:
    """Conditions (2 * each * len(attributes), K) in which one attribute alone is named, +1 and -1 in turn, and seeds.

    The same seeds for every attribute, and for yes and no: what differs is what was asked for.
    """
    vectors = torch.zeros(len(attributes), each, 2, len(labels))
    for i, name in enumerate(attributes):
        vectors[i, :, 0, labels.index(name)], vectors[i, :, 1, labels.index(name)] = 1, -1
    seeds = [seed for _ in attributes for seed in range(each) for _ in range(2)]
    return vectors.flatten(0, 2), seeds


def sheet(shown: Tensor, columns: int, **labels: Any) -> Image.Image:
    """Many small images in a grid, at least 64 pixels high."""
    return images.grid(shown, columns, zoom=max(1, 64 // shown.shape[2]), **labels)
