"""A run's folder: what a training leaves behind, and how it is taken up again.

config.json            all settings, versions, commit, command, data; the same of each earlier time that it was resumed
loss.csv, loss.png     the loss, averaged over the steps between two rows
samples/               a grid of samples every so often, always from the same noise
states/                the last two states, each with all that resuming needs
model.safetensors      the averaged weights: what `load(folder)` gives
tensorboard/           the figures of loss.csv for TensorBoard
bad-step-N.json        if the loss was not finite at step N: the images of that step
run.lock               held while a process trains here
"""

from __future__ import annotations

import csv
import io
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from torch import Tensor

from ddpm_faces.data.dataset import Dataset
from ddpm_faces.models import checkpoint
from ddpm_faces.models.model import Config
from ddpm_faces.utils import files, locks
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import encode_figure

COLUMNS = ("step", "images", "loss", "lr", "images_per_second")
KEPT = 2  # states

Count = Annotated[int, Field(ge=0, lt=2**53)]


class Progress(BaseModel):
    """The numbers that a state holds besides its tensors: those of TrainState.state_dict, and what the logger counts.

    pending: the sum and the number of the losses since the last row of the curve. data: the dataset's fingerprint and size.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    step: Count
    skipped: Count = 0
    adam_step: Count
    scaler: dict[str, Any] | None
    images_seen: Count
    minutes: FiniteFloat
    pending: tuple[FiniteFloat, Count]
    data: tuple[str, Count]


def describe_data(dataset: Dataset) -> tuple[str, int]:
    """What a resumed run must find again: the dataset's fingerprint and its number of images."""
    return dataset.fingerprint, len(dataset)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only process that trains in `folder`, and remove what a killed one left half-written. Raises UserError."""
    with locks.held(folder / "run.lock", f"training in {folder}", wait=False):
        for place in (folder, folder / "states", folder / "samples"):
            files.remove_partial(place)
        yield


def describe_environment() -> dict[str, Any]:
    """Versions, git commit, command line and machine, so that a run can be understood later."""
    versions = {name: _version(name) for name in ("torch", "torchvision", "accelerate", "numpy")}
    try:
        here = Path(__file__).resolve().parent
        ask = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="]  # the commit, and whether files differ
        commit = subprocess.run(ask, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    started = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return {"versions": versions, "commit": commit, "command": sys.argv, "machine": platform.platform(), "started": started}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # put on the path by hand, as on a cluster
        return "unknown"


def read_config(folder: Path) -> dict[str, Any]:
    """The settings that a run was started with. Raises UserError."""
    try:
        return dict(_read_json(folder / "config.json")["settings"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{folder} is not the folder of a run: no readable config.json in it ({error})") from None


def write_config(folder: Path, settings: dict[str, Any], data: dict[str, Any]) -> None:
    """data: what the run trains on. What an earlier config.json says of how the run began is kept, under "before"."""
    try:
        earlier = _read_json(folder / "config.json")
        before = [*earlier.pop("before", []), earlier]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        before = []
    described = {"settings": settings, "data": data, **describe_environment(), "before": before}
    files.write(folder / "config.json", json.dumps(described, indent=1).encode())


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))  # an editor may have put a BOM before it


def state_path(folder: Path, step: int) -> Path:
    """Where the state after so many steps is kept; the names sort as the steps do."""
    return folder / "states" / f"step-{step:08d}.safetensors"


def states(folder: Path) -> list[Path]:
    """A run's saved states, newest first."""
    return sorted((folder / "states").glob("step-*.safetensors"), reverse=True)


def latest_state(folder: Path) -> tuple[dict[str, Tensor], Config, Progress]:
    """(tensors, model config, progress) of the newest state that can be read. Raises UserError where there is none."""
    problems = []
    for path in states(folder):
        try:
            tensors, config, entries = checkpoint.read(path)
            return tensors, config, _parse_progress(entries.get("progress", ""), path)
        except UserError as error:
            problems.append(str(error))
            tell(f"ddpm_faces: {error}; trying the state before it")
    raise UserError(f"{folder} has no state to go on from{': ' + problems[0] if problems else ''}")


def _parse_progress(text: str, path: Path) -> Progress:
    try:
        return Progress.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(f"{path}: the progress noted in it is damaged ({reason})") from None


def save_state(folder: Path, tensors: dict[str, Tensor], config: Config, progress: Progress) -> Path:
    """Write a state and, from its averaged weights, model.safetensors; states older than the last two are removed."""
    path = state_path(folder, progress.step)
    files.write(path, checkpoint.encode(tensors, config, progress=progress.model_dump_json()))
    average = {name.removeprefix("ema."): t for name, t in tensors.items() if name.startswith("ema.")}
    files.write(folder / "model.safetensors", checkpoint.encode(average, config))
    for old in states(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def forget_after(folder: Path, step: int) -> None:
    """Remove the states after `step`, which could not be read: they must not push a good one out of the last two."""
    for path in states(folder):
        if path > state_path(folder, step):
            path.unlink(missing_ok=True)


def read_losses(folder: Path) -> list[dict[str, float]]:
    """The rows of loss.csv, up to the first that cannot be read."""
    rows: list[dict[str, float]] = []
    try:
        with (folder / "loss.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                rows.append({name: float(row[name]) for name in COLUMNS})
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        pass
    return rows


def write_losses(folder: Path, rows: list[dict[str, float]]) -> None:
    """loss.csv. Raises UserError."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    files.write(folder / "loss.csv", text.getvalue().encode())


def plot_losses(
    folder: Path, rows: list[dict[str, float]], label: str = "loss (MSE of the noise, weighted over steps)"
) -> None:
    """loss.png: the rows of loss.csv, and a smoothed curve."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="images seen", ylabel=label, yscale="log")
    images, losses = [row["images"] for row in rows], [row["loss"] for row in rows]
    smooth, total, weight = [], 0.0, 0.0
    for value in losses:  # an exponential average, of which the first rows are a fair share
        total, weight = 0.8 * total + value, 0.8 * weight + 1
        smooth.append(total / weight)
    axes.plot(images, losses, color="#b8cbe0", linewidth=1, label="each row of loss.csv")
    axes.plot(images, smooth, color="#1f4e8c", linewidth=2, label="smoothed")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    files.write(folder / "loss.png", encode_figure(figure))
