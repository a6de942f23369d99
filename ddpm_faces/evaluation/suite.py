"""What the parts of an evaluation share: the model's pictures and real ones, the judge, and how much is asked for.

Each part is a function `part(suite) -> Part` in its file: quality.py, control.py, strips.py, memorisation.py, sweep.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddpm_faces import images
from ddpm_faces.data.store import Store, spread
from ddpm_faces.evaluation import detector
from ddpm_faces.evaluation.extractors import Extractor
from ddpm_faces.evaluation.report import FACES
from ddpm_faces.evaluation.samples import SampleCache
from ddpm_faces.judge import Judge

# The attributes that are easiest to see in a small picture, in the data's own names.
EASY = (
    *("Eyeglasses", "Smiling", "Male", "Blond_Hair", "Black_Hair", "Bangs", "Bald", "Wearing_Hat", "Wearing_Lipstick"),
    *("Mouth_Slightly_Open", "Goatee", "Gray_Hair"),
)


class Part(NamedTuple):
    """What a part found: numbers for report.json, and pictures by file name."""

    numbers: dict[str, Any]
    pictures: dict[str, Image.Image]


@dataclass
class Suite:
    """What is measured, and with what. reference: pictures of the test split, at most.

    each: pictures with, and as many without, of each attribute asked alone. persons, columns: of a strip. sweep_n: pictures
    of each of the sweep's points.
    """

    cache: SampleCache
    judge: Judge
    extractor: Extractor
    train: Store
    test: Store
    n: int
    seed: int = 0
    reference: int = 10_000
    each: int = 16
    persons: int = 4
    columns: int = 7
    sweep_n: int = 256

    @property
    def kind(self) -> str:
        return self.cache.model.config.kind

    @property
    def names(self) -> tuple[str, ...]:
        return self.cache.model.names

    @property
    def shows_faces(self) -> bool:
        """Digits are grey."""
        return self.test.image_shape[0] == 3

    def conditions(self, n: int) -> Tensor:
        """Those of the test split, in its own order: each for about as many pictures as any other."""
        rows = np.arange(n) * len(self.test) // n
        vectors = torch.from_numpy(self.test.conditions[rows]).float()
        return vectors if self.names else vectors[:, :0]

    def samples(self, n: int | None = None, what: str = "samples", **changes) -> np.ndarray:
        """Pictures with the test split's conditions, each from noise of its own."""
        n = n or self.n
        return self.cache.draw(self.conditions(n), list(range(self.seed, self.seed + n)), what, **changes)

    def real(self, n: int, store: Store | None = None) -> np.ndarray:
        """Pictures spread over the test split, or over another store."""
        store = store or self.test
        return store.images[spread(len(store), n)]

    def faces_found(self, pictures: np.ndarray) -> dict[str, float]:
        """{FACES: the share of them}, or nothing where pictures are of digits or the detector is not installed."""
        return {FACES: detector.share_with_face(pictures)} if self.shows_faces and detector.available() else {}


def sheet(pictures: Tensor, columns: int, **labels: Any) -> Image.Image:
    """Many small pictures, at least 64 pixels high."""
    return images.grid(pictures, columns, zoom=max(1, 64 // pictures.shape[2]), **labels)
