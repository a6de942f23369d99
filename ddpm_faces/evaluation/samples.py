"""Pictures to be judged, drawn once and kept: an interrupted evaluation goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ddpm_faces import files
from ddpm_faces.checkpoint import DiffusionModel
from ddpm_faces.devices import find_precision
from ddpm_faces.evaluation.extractors import fingerprint
from ddpm_faces.generation import generate
from ddpm_faces.images import to_uint8

PART = 64  # pictures in a file
DRAWS = ("generation.py", "diffusion/*.py", "models/*.py")  # a change of this code makes other pictures,
MEASURES = ("evaluation/*.py", "judge.py", "interpolate.py", "data/persons.py")  # and of this other figures


def code_fingerprint(code: tuple[str, ...] = DRAWS) -> str:
    """A short name for the package's files that fit these patterns, as they are."""
    here = Path(__file__).parents[1]
    return hashlib.sha256(b"".join(path.read_bytes() for glob in code for path in sorted(here.glob(glob)))).hexdigest()[:12]


class SampleCache:
    """Draws pictures of one model, in one way, and keeps them in a folder.

    options: keyword arguments of `generate` that the pictures depend on: guidance (None for what suits the model), sampler,
    steps.
    """

    def __init__(self, model: DiffusionModel, folder: Path, options: dict, precision: str = "auto", batch_size: int = 64):
        self.model, self.folder, self.options, self.batch_size = model, folder, options, batch_size
        self.precision = find_precision(precision, model.device)
        described = {key: value for key, value in asdict(model.config).items() if key != "facts"}
        facts = [described, fingerprint(model.network), code_fingerprint()]
        self.identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def draw(self, conditions: Tensor, seeds: list[int], what: str, **changes) -> np.ndarray:
        """Pictures (N, H, W, C) uint8 for conditions (N, K); those that were drawn before are read.

        what: names the progress bar. changes: other options than the cache's.
        """
        from tqdm import tqdm

        options = self.options | changes
        known = options
        if options["guidance"] is None:  # by the scales themselves: these may be written anew, or be asked for as a number
            scales = self.model.guidance_for(conditions).tolist()
            known = options | {"guidance": scales[0] if len(set(scales)) == 1 else scales}
        facts = json.dumps([self.identity, self.precision, known, seeds], sort_keys=True).encode()
        folder = self.folder / hashlib.sha256(facts + conditions.numpy().tobytes()).hexdigest()[:16]
        height, width, channels = *self.model.image_shape[1:], self.model.image_shape[0]
        pictures = np.empty((len(seeds), height, width, channels), dtype=np.uint8)
        parts = [slice(start, min(start + PART, len(seeds))) for start in range(0, len(seeds), PART)]
        missing = []
        for rows in parts:
            try:
                pictures[rows] = np.load(folder / f"{rows.start:06d}.npy", allow_pickle=False)
            except (OSError, EOFError, ValueError):  # not there, or damaged
                missing.append(rows)
        at_once = max(1, self.batch_size // PART)
        with tqdm(
            total=len(seeds), initial=len(seeds) - sum(len(seeds[rows]) for rows in missing), desc=what, leave=False
        ) as bar:
            for i in range(0, len(missing), at_once):
                group = missing[i : i + at_once]
                x = generate(
                    self.model,
                    torch.cat([conditions[rows] for rows in group]),
                    seed=[seed for rows in group for seed in seeds[rows]],
                    batch_size=self.batch_size,
                    precision=self.precision,
                    **options,
                )
                for rows, part in zip(group, x.split([len(seeds[rows]) for rows in group]), strict=True):
                    pictures[rows] = to_uint8(part)
                    content = io.BytesIO()
                    np.save(content, pictures[rows])
                    files.write(folder / f"{rows.start:06d}.npy", content.getvalue())
                bar.update(len(x))
        return pictures
