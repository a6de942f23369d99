"""A short training that is measured on the way and goes on where it was interrupted: what comparisons are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from torch import Tensor, nn
from tqdm import tqdm

from ddpm_faces import checkpoint, files
from ddpm_faces.data import open_data
from ddpm_faces.data.store import Store
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.evaluation.denoising import denoising_errors, levels
from ddpm_faces.evaluation.samples import code_fingerprint
from ddpm_faces.processes import make_accelerator
from ddpm_faces.training import Recipe, Saved, TrainState, train

LEVELS = levels(Schedule().steps)  # of noise, at which errors are taken


def held_out_error(
    network: nn.Module,
    store: Store,
    count: int,
    precision: str,
    show: Callable[[Tensor], Tensor] = lambda c: c,
    at: Sequence[int] | None = None,
) -> list[float]:
    """Mean squared error of the predicted noise at each of the steps `at`, over the first `count` faces with fixed noise.

    at: LEVELS by default. show: what the network is shown of the conditions (B, K) of a part.
    """
    rows, at = np.arange(count), LEVELS if at is None else at
    return denoising_errors(network, store, rows, Schedule(), at, precision=precision, show=show).mean(dim=0).tolist()


# A change of this makes another comparison; samplers and guidance have no part in a training.
CODE = ("training.py", "ema.py", "models/*.py", *(f"diffusion/{name}.py" for name in ("process", "schedule", "weighting")))


def open_faces(data_root: Path, held_out: int) -> tuple[Store, Store]:
    """CelebA's training and validation splits. Raises UserError where the second has fewer faces than are to be held out."""
    faces, valid = open_data("celeba", data_root, "train"), open_data("celeba", data_root, "valid")
    if held_out > len(valid):
        raise UserError(f"--held-out {held_out}: the validation split has {len(valid)} faces")
    return faces, valid


def open_results(path: Path, about: dict) -> dict:
    """What earlier calls kept in `path`, or {"about": ...}, which is kept at once.

    about: settings, data and whatever else the figures depend on, but the code. UserError where these were others.
    """
    about = json.loads(json.dumps(about | {"code": code_fingerprint(CODE)}))
    try:
        results = json.loads(path.read_text()) if path.exists() else {"about": about}
        same = results["about"] == about
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: delete it, or choose another --out") from None
    if not same:
        raise UserError(f"{path} holds a comparison with other settings, faces or code: choose another --out")
    files.write(path, json.dumps(results, indent=1).encode())
    return results


def trial(
    unfinished: Path,
    network: nn.Module,
    recipe: Recipe,
    steps: int,
    faces: Store,
    marks: Sequence[int],
    measure: Callable[[TrainState], Any],
) -> dict[int, Any]:
    """Train a fresh network for so many steps; what `measure` says after each of the steps `marks`.

    unfinished: the file that an interrupted call leaves, with which the next one goes on. (That it is of the same comparison,
    `open_results` in the same folder has made sure of.)
    """
    saved, result = load_unfinished(unfinished) if unfinished.exists() else (None, {})
    accelerator = make_accelerator("cpu", "auto", unfinished.parent)
    state = TrainState.new(network, recipe, accelerator, steps, saved)
    todo = train(state, faces, Schedule(), steps)
    for record in tqdm(todo, unfinished.stem.partition("-")[2], steps, initial=state.step, unit="step", leave=False):
        if record.step in marks:
            result[record.step] = measure(state)
        if record.step in marks or record.step % 50 == 0:
            tensors, numbers = state.save()
            facts = {"numbers": json.dumps(numbers), "result": json.dumps(list(result.items()))}
            files.write(unfinished, checkpoint.pack(tensors, facts))
    unfinished.unlink(missing_ok=True)
    return result


def load_unfinished(path: Path) -> tuple[Saved, dict[int, Any]]:
    """The state of an interrupted `trial`, and what it had measured."""
    with safe_open(path, "pt") as file:
        facts = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    return Saved(tensors, json.loads(facts["numbers"])), dict(json.loads(facts["result"]))
