"""A data set of few toy faces, registered from outside of the package as users do."""

from __future__ import annotations

from pathlib import Path

from ddpm_faces.conditions import CELEBA
from ddpm_faces.data import register_dataset
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.data.source import DataSource
from ddpm_faces.data.toy.faces import toy_face

COUNTS = {"train": 300, "valid": 100, "test": 100}


def open_few(root: Path, split: str, crop: str | None = None, size: int | None = None) -> Dataset:
    size, seed = size or 16, list(COUNTS).index(split)
    facts = {"data": "few", "split": split, "size": size}
    return build(f"few-{split}", facts, (size, size, 3), CELEBA, range(COUNTS[split]), lambda i: toy_face(i, size, seed))


SOURCE = DataSource(open=open_few, licence="none", recipe={"flip": True}, faces=True)
register_dataset("few", SOURCE)
