"""Pictures to be judged, drawn once and kept: an interrupted evaluation goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_faces import files
from ddpm_faces.checkpoint import DiffusionModel
from ddpm_faces.evaluation.extractors import fingerprint
from ddpm_faces.generation import generate

PART = 64  # pictures in a file


class Studio:
    """Draws pictures of one model, in one way, and keeps them in a folder.

    options: keyword arguments of `generate` that the pictures depend on: guidance, sampler, steps.
    """

    def __init__(self, model: DiffusionModel, folder: Path, options: dict, precision: str = "auto", batch_size: int = 64):
        self.model, self.folder, self.options = model, folder, options
        self.how: dict[str, Any] = {"precision": precision, "batch_size": batch_size}
        description = json.dumps(asdict(model.config), sort_keys=True).encode()
        self.identity = hashlib.sha256(description + fingerprint(model.network).encode()).hexdigest()[:12]

    def draw(self, conditions: Tensor, seeds: list[int], what: str, **changes) -> np.ndarray:
        """Pictures (N, H, W, C) uint8 for conditions (N, K); those that were drawn before are read.

        what: names the progress bar. changes: other options than the studio's.
        """
        from tqdm import tqdm

        options = self.options | changes
        facts = json.dumps([self.identity, self.how["precision"], options, seeds], sort_keys=True).encode()
        folder = self.folder / hashlib.sha256(facts + conditions.numpy().tobytes()).hexdigest()[:16]
        parts = []
        for start in tqdm(range(0, len(seeds), PART), what, unit=f"{PART} img", leave=False):
            path, rows = folder / f"{start:06d}.npy", slice(start, start + PART)
            if not path.exists():
                content = io.BytesIO()
                x = generate(self.model, conditions[rows], seed=seeds[rows], **options, **self.how)
                np.save(content, to_uint8(x))
                files.write(path, content.getvalue())
            parts.append(np.load(path, allow_pickle=False))
        return np.concatenate(parts)


def to_uint8(pictures: Tensor) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> (N, H, W, C) uint8, the nearest shade."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
