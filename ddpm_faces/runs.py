"""A run's folder: what a training leaves behind, and how it is taken up again.

config.json            every setting, versions, commit, command, what the data is; the same of each time it was resumed
loss.csv, loss.png     the loss, averaged over the steps between two rows
samples/               a grid of samples every so often, always from the same noise
states/                the last two states, each with all that --resume needs
model.safetensors      the averaged weights: what `--model RUN` loads
tensorboard/           the same figures for TensorBoard
bad-step-N.json        if the loss was not a number at step N: which pictures it was made of
run.lock               held while a process trains here
"""

from __future__ import annotations

import csv
import io
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from torch import Tensor

from ddpm_faces import checkpoint, files, locks
from ddpm_faces.errors import UserError

COLUMNS = ("step", "images", "loss", "lr", "images_per_second")
KEPT = 2  # states


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only process that trains in `folder`; what a killed one left half-written there goes. Raises UserError."""
    with locks.held(folder / "run.lock", f"training in {folder}", wait=False):
        for place in (folder, folder / "states", folder / "samples"):
            files.sweep(place)
        yield


def describe_environment() -> dict:
    """Versions, git commit, command line and machine, so that a run can be understood later."""
    versions = {name: metadata.version(name) for name in ("torch", "torchvision", "diffusers", "accelerate", "numpy")}
    try:
        here = Path(__file__).resolve().parent
        ask = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="]  # the commit, and whether files differ
        commit = subprocess.run(ask, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    started = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return {"versions": versions, "commit": commit, "command": sys.argv, "machine": platform.platform(), "started": started}


def read_config(folder: Path) -> dict:
    """The settings that a run was started with. Raises UserError."""
    try:
        settings = json.loads((folder / "config.json").read_text())["settings"]
        return dict(settings)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{folder} is not the folder of a run: no readable config.json in it ({error})") from None


def write_config(folder: Path, settings: dict, data: dict) -> None:
    """data: what the run trains on. What an earlier config.json says of how the run began is kept, under "before"."""
    try:
        earlier = json.loads((folder / "config.json").read_text())
        before = [*earlier.pop("before", []), earlier]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        before = []
    described = {"settings": settings, "data": data, **describe_environment(), "before": before}
    files.write(folder / "config.json", json.dumps(described, indent=1, default=str).encode())


def state_path(folder: Path, step: int) -> Path:
    """Where the state after so many steps is kept; the names sort as the steps do."""
    return folder / "states" / f"step-{step:08d}.safetensors"


def states(folder: Path) -> list[Path]:
    """A run's saved states, newest first."""
    return sorted((folder / "states").glob("step-*.safetensors"), reverse=True)


def latest_state(folder: Path) -> tuple[dict[str, Tensor], checkpoint.Config, dict]:
    """(tensors, model config, progress) of the newest state that can be read. Raises UserError where there is none."""
    problems = []
    for path in states(folder):
        try:
            tensors, config, entries = checkpoint.read(path)
            return tensors, config, parse_progress(entries.get("progress", ""), path)
        except UserError as error:
            problems.append(str(error))
            print(f"ddpm_faces: {error}; trying the state before it", file=sys.stderr)
    raise UserError(f"{folder} has no state to go on from{': ' + problems[0] if problems else ''}")


def parse_progress(text: str, path: Path) -> dict:
    """The numbers that a state holds besides its tensors. Raises UserError if they are not what `save_state` wrote."""
    try:
        progress = json.loads(text)
        counts = [progress[name] for name in ("step", "adam_step", "images_seen")]
        counts += [progress.get("skipped", 0), progress["pending"][1], progress["data"][1]]
        numbers = [progress["minutes"], progress["pending"][0]]
        if not all(type(n) is int and 0 <= n < 2**53 for n in counts) or not all(math.isfinite(n) for n in numbers):
            raise ValueError("a number is out of range")
        if not isinstance(progress["data"][0], str) or not isinstance(progress["scaler"], dict | None):
            raise ValueError("an entry is of another kind")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: the progress noted in it is damaged ({type(error).__name__}: {error})") from None
    return progress


def save_state(folder: Path, tensors: dict[str, Tensor], config: checkpoint.Config, progress: dict) -> Path:
    """Write a state and, from its averaged weights, model.safetensors; older states than the last two go."""
    path = files.write(state_path(folder, progress["step"]), checkpoint.encode(tensors, config, progress=json.dumps(progress)))
    average = {name.removeprefix("ema."): t for name, t in tensors.items() if name.startswith("ema.")}
    files.write(folder / "model.safetensors", checkpoint.encode(average, config))
    for old in states(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


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
    """loss.csv and its picture, with the smoothed curve that the eye wants."""
    if not rows:
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    files.write(folder / "loss.csv", text.getvalue().encode())

    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="pictures seen", ylabel="loss (MSE of the noise, weighted over steps)", yscale="log")
    images, losses = [row["images"] for row in rows], [row["loss"] for row in rows]
    smooth, total, weight = [], 0.0, 0.0
    for value in losses:  # an exponential average, of which the first rows are a fair share
        total, weight = 0.8 * total + value, 0.8 * weight + 1
        smooth.append(total / weight)
    axes.plot(images, losses, color="#b8cbe0", linewidth=1, label="each row of loss.csv")
    axes.plot(images, smooth, color="#1f4e8c", linewidth=2, label="smoothed")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    files.write(folder / "loss.png", picture.getvalue())
