"""What comparisons are made of: a short training that is measured on the way, and figures that are measured only once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from safetensors import safe_open
from torch import Tensor, nn
from tqdm import tqdm

from ddpm_faces.data import open_dataset
from ddpm_faces.data.dataset import Dataset
from ddpm_faces.diffusion.loss import Model
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.evaluation.denoising import denoising_errors, levels
from ddpm_faces.evaluation.fingerprints import code_fingerprint
from ddpm_faces.models import checkpoint
from ddpm_faces.models.architectures import PRESETS
from ddpm_faces.models.denoiser import Denoiser
from ddpm_faces.training.accelerator import make_accelerator
from ddpm_faces.training.config import Recipe
from ddpm_faces.training.loop import Saved, TrainState, train
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.settings import Settings

LEVELS = levels(Schedule().steps)  # steps of noise at which errors are taken
# Code whose change makes another comparison; samplers and guidance have no part in a training.
CODE = (
    "training/loop.py",
    "training/ema.py",
    "models/*.py",
    *(f"diffusion/{name}.py" for name in ("process", "schedule", "loss")),
)


class TrialSettings(Settings):
    """The settings that comparisons of short trainings share."""

    data_root: Path = Field(Path("data"), description="folder that holds CelebA")
    images: int = Field(20_000, ge=1, le=10**9, description="faces that each network sees")
    held_out: int = Field(100, ge=1, le=10**6, description="held-out faces")
    batch_size: int = Field(32, ge=1, le=65536, description="faces a step")
    out: Path = Field(Path("out/trials"), title="FOLDER", description="folder for the results")

    @model_validator(mode="after")
    def _one_step_at_least(self) -> TrialSettings:
        if self.images < self.batch_size:
            raise ValueError(f"--images {self.images} is less than --batch-size {self.batch_size}: not one step")
        return self


class Results:
    """Figures by name, kept in a JSON file as soon as they are measured.

    about: settings, data and all else that the figures depend on, but the code. Raises UserError where the file holds figures
    of another comparison.
    """

    def __init__(self, path: Path, about: dict[str, Any]):
        self.path = path
        self.about = json.loads(json.dumps(about | {"code": code_fingerprint(CODE)}, default=str))
        self.figures: dict[str, Any] = self._read() if path.exists() else {}
        self._write()  # before anything is measured, so that this folder's unfinished trials are of this comparison

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_text())
            about, figures = kept["about"], dict(kept["figures"])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{self.path} is damaged: delete it, or choose another --out") from None
        if about != self.about:
            raise UserError(f"{self.path} holds a comparison with other settings, faces or code: choose another --out")
        return figures

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The figures called `name`: kept ones, or those that `measure` returns, which JSON must be able to hold."""
        if name not in self.figures:
            self.figures[name] = measure()
            self._write()
        return self.figures[name]

    def _write(self) -> None:
        files.write(self.path, json.dumps({"about": self.about, "figures": self.figures}, indent=1).encode())


def open_faces(data_root: Path, held_out: int) -> tuple[Dataset, Dataset]:
    """CelebA's training and validation splits. Raises UserError where the second has fewer faces than are to be held out."""
    faces, valid = open_dataset("celeba", data_root, "train"), open_dataset("celeba", data_root, "valid")
    if held_out > len(valid):
        raise UserError(f"--held-out {held_out}: the validation split has {len(valid)} faces")
    return faces, valid


def facts(settings: TrialSettings, *datasets: Dataset) -> dict[str, Any]:
    """What all figures of a comparison depend on: its settings, its faces and the preset."""
    said = settings.model_dump(exclude={"data_root", "out", "only"})
    return said | {"faces": [dataset.fingerprint for dataset in datasets], "preset": PRESETS["celeba64"].sizes}


def celeba64(faces: Dataset, mirror: bool, embedding: int = 32, **sizes: Any) -> Denoiser:
    """A fresh network of the preset `celeba64`, but for other sizes; its linear denoiser is fitted to the faces."""
    sizes = PRESETS["celeba64"].sizes | sizes
    network = Denoiser(faces.image_shape, len(faces.labels), embedding, frequencies=faces.frequencies, **sizes)
    network.linear_denoiser.fit(faces.image_batches(mirror=mirror))
    return network


def held_out_error(
    network: Model,
    dataset: Dataset,
    count: int,
    precision: str,
    show: Callable[[Tensor], Tensor] = lambda c: c,
    at: Sequence[int] | None = None,
) -> list[float]:
    """Mean squared error of the predicted noise at each of the steps `at`, over the first `count` faces with fixed noise.

    at: LEVELS by default. show: conditions (B, K) -> those that the network is given.
    """
    rows, at = np.arange(count), LEVELS if at is None else at
    errors = denoising_errors(network, dataset, rows, Schedule(), at, precision=precision, show=show)  # (count, len(at))
    return [float(error) for error in errors.mean(dim=0)]


def trial(
    unfinished: Path,
    network: nn.Module,
    recipe: Recipe,
    faces: Dataset,
    marks: Sequence[int],
    measure: Callable[[TrainState], Any],
) -> dict[int, Any]:
    """Train a fresh network for marks[-1] steps; what `measure` returns after each of the steps `marks`.

    unfinished: a file beside the comparison's Results, which an interrupted call leaves and the next one goes on with.
    """
    saved, found = load_unfinished(unfinished) if unfinished.exists() else (None, {})
    steps, accelerator = marks[-1], make_accelerator("cpu", "auto", unfinished.parent)
    state = TrainState.new(network, recipe, accelerator, steps, saved)
    records = train(state, faces, Schedule(), steps)
    for record in tqdm(records, unfinished.stem.partition("-")[2], steps, initial=state.step, unit="step", leave=False):
        if record.step in marks:
            found[record.step] = measure(state)
        if record.step in marks or record.step % 50 == 0:
            tensors, numbers = state.state_dict()
            metadata = {"numbers": json.dumps(numbers), "found": json.dumps(list(found.items()))}
            files.write(unfinished, checkpoint.pack(tensors, metadata))
    unfinished.unlink(missing_ok=True)
    return found


def load_unfinished(path: Path) -> tuple[Saved, dict[int, Any]]:
    """The state of an interrupted `trial`, and what it had measured."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    return Saved(tensors, json.loads(metadata["numbers"])), dict(json.loads(metadata["found"]))
