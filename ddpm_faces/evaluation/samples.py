"""Generated images to be measured, sampled once and kept: an interrupted evaluation goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.evaluation.fingerprints import SAMPLING, code_fingerprint, fingerprint
from ddpm_faces.generation.generate import generate
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import files
from ddpm_faces.utils.devices import find_precision
from ddpm_faces.utils.images import to_uint8

IN_A_FILE = 64  # images


@dataclass(frozen=True)
class Request:
    """Images to sample: conditions (N, K), a seed for each, and the options that differ from the usual ones.

    what: names the progress bar.
    """

    what: str
    conditions: Tensor
    seeds: list[int]
    changes: dict[str, Any] = field(default_factory=dict)

    def parts(self) -> list[slice]:
        """The rows of each file."""
        count = len(self.seeds)
        return [slice(start, min(start + IN_A_FILE, count)) for start in range(0, count, IN_A_FILE)]


class SampleCache:
    """Samples images of one model, in one way, and keeps them in a folder.

    options: the keyword arguments of `generate` that the images depend on: guidance (None for the model's own), sampler, steps.
    """

    def __init__(
        self, model: DiffusionModel, folder: Path, options: dict[str, Any], precision: str = "auto", batch_size: int = 64
    ):
        self.model, self.folder, self.options, self.batch_size = model, folder, options, batch_size
        self.precision = find_precision(precision, model.device)
        self.given: np.ndarray | None = None  # images that were not made here, which stand for every request
        facts = [
            model.config.model_dump(mode="json", exclude={"facts"}),
            fingerprint(model.network),
            code_fingerprint(SAMPLING),
        ]
        self.identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def count(self, requests: Iterable[Request]) -> tuple[int, int]:
        """How many different images these requests are for, and how many of them are still to be sampled."""
        found: dict[Path, tuple[int, int]] = {}
        for request in requests if self.given is None else ():
            folder = self._folder(request)
            missing = (rows for rows in request.parts() if not _file(folder, rows).exists())
            found[folder] = len(request.seeds), sum(rows.stop - rows.start for rows in missing)
        return sum(total for total, _ in found.values()), sum(missing for _, missing in found.values())

    @torch.no_grad()
    def sample(self, request: Request) -> np.ndarray:
        """The images (N, H, W, C) uint8; those that were sampled before are read."""
        if self.given is not None:
            return self.given
        folder, (channels, height, width) = self._folder(request), self.model.image_shape
        images = np.empty((len(request.seeds), height, width, channels), dtype=np.uint8)
        missing = [rows for rows in request.parts() if not _read(_file(folder, rows), images[rows])]
        left, at_once = sum(rows.stop - rows.start for rows in missing), max(1, self.batch_size // IN_A_FILE)
        with tqdm(total=len(images), initial=len(images) - left, desc=request.what, unit="img", leave=False) as bar:
            for i in range(0, len(missing), at_once):
                group = missing[i : i + at_once]
                chosen = np.r_[tuple(group)]
                images[chosen] = to_uint8(self._generate(request, chosen))
                for rows in group:
                    content = io.BytesIO()
                    np.save(content, images[rows])
                    files.write(_file(folder, rows), content.getvalue())
                bar.update(len(chosen))
        return images

    def _generate(self, request: Request, chosen: np.ndarray) -> Tensor:
        options = self.options | request.changes
        seeds = [request.seeds[i] for i in chosen]
        conditions = request.conditions[torch.from_numpy(chosen)]
        return generate(self.model, conditions, seed=seeds, batch_size=self.batch_size, precision=self.precision, **options)

    def _folder(self, request: Request) -> Path:
        """Where these images are kept. A guidance that the model chooses is named by its scales: another default, others."""
        options = self.options | request.changes
        if options["guidance"] is None:
            scales = self.model.guidance_for(request.conditions).tolist()
            options["guidance"] = scales[0] if len(set(scales)) == 1 else scales
        facts = json.dumps([self.identity, self.precision, options, request.seeds], sort_keys=True).encode()
        return self.folder / hashlib.sha256(facts + request.conditions.numpy().tobytes()).hexdigest()[:16]


def _file(folder: Path, rows: slice) -> Path:
    return folder / f"{rows.start:06d}.npy"


def _read(path: Path, into: np.ndarray) -> bool:
    """Fill `into` with a file's images; False where there is none, or a damaged one."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return False
    if found.shape != into.shape:
        return False
    into[:] = found
    return True
