"""Many images: one file each or one array, written as they come, shared between processes, and taken up where a call ended.

Image i depends on its seed and condition alone (`generate`), so any number of processes writes the same images.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.generation.generate import generate
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_uint8

CHUNK = 64  # images that a process samples and writes at a time
HOW, TABLE = "sampling.json", "samples.csv"


class Processes(NamedTuple):
    """This process's rank, how many there are, the device of each, and a function that waits for all of them."""

    rank: int = 0
    total: int = 1
    device: str | None = None
    wait: Callable[[], None] = lambda: None


ALONE = Processes()


def processes() -> Processes:
    """Those that `accelerate launch` started; one, where it started none."""
    if "LOCAL_RANK" not in os.environ:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes, str(state.device), state.wait_for_everyone)


def place_for(out: Path) -> Path:
    """The folder that images of `out` are gathered in: itself, or one beside an .npz file."""
    return out.with_name(f"{out.name}.parts") if out.suffix.lower() == ".npz" else out


def describe_sampling(model: DiffusionModel, options: dict[str, Any], seed: int, asked: str) -> dict[str, Any]:
    """What the images depend on, beside their number. Only with the same may a call go on with another's images."""
    source = Path(model.source)
    return {
        "model": model.name,
        "weights": files.digest(source) if source.is_file() else "in memory",
        "asked": asked,
        "seed": seed,
        **{key: options[key] for key in ("guidance", "sampler", "steps", "precision")},
    }


def check_place(out: Path, how: dict[str, Any]) -> None:
    """Raise a UserError unless `out` can be begun, or gone on with, by images that are sampled in this way."""
    if out.suffix.lower() == ".npz" and out.exists():
        raise UserError(f"{out} is there already: choose another --out, or delete it")
    folder = place_for(out)
    files.check_folder(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        before = json.loads((folder / HOW).read_text())
    except (OSError, ValueError):
        raise UserError(f"{folder} holds files already: choose a new folder") from None
    for key, value in how.items():
        if before.get(key) != value:
            raise UserError(f"{folder} holds images with {key} {before.get(key)!r}, not {value!r}: choose a new folder")


def sample_many(
    model: DiffusionModel,
    conditions: Tensor,
    seeds: list[int],
    out: Path,
    how: dict[str, Any],
    options: dict[str, Any],
    ours: Processes = ALONE,
) -> Path:
    """Write an image for each condition (N, K) and seed; those that are there already are not sampled again.

    out: a folder, for 000000.png, 000001.png, ..., or an .npz file, for "arr_0" (N, H, W, C) uint8. Beside the images stand
    samples.csv, the seed and condition of each, and sampling.json, `how`. Raises UserError.
    """
    folder, array = place_for(out), out.suffix.lower() == ".npz"
    if ours.rank == 0:
        check_place(out, how)
        files.write(folder / HOW, json.dumps(how, indent=1).encode())
        files.write(folder / TABLE, table(model, conditions, seeds))
    ours.wait()  # or another process would take the first's half-made folder for a foreign one
    chunks = [range(start, min(start + CHUNK, len(seeds))) for start in range(0, len(seeds), CHUNK)]
    missing = [chunk for chunk in chunks if not all(path.exists() for path in names(folder, chunk, array))]
    ours.wait()  # before anything is written: all must share out the same list
    mine = missing[ours.rank :: ours.total]
    with tqdm(total=sum(map(len, mine)), desc="sampling", unit="img", leave=False, disable=ours.rank > 0) as bar:
        for chunk in mine:
            rows = slice(chunk.start, chunk.stop)
            pixels = to_uint8(generate(model, conditions[rows], seed=seeds[rows], **options | {"progress": False}))
            for path, part in zip(names(folder, chunk, array), [pixels] if array else pixels, strict=True):
                files.write(path, encode(part, array))
            bar.update(len(chunk))
    ours.wait()
    if array and ours.rank == 0:
        whole = np.concatenate([np.load(path) for chunk in chunks for path in names(folder, chunk, True)])
        content = io.BytesIO()
        np.savez(content, whole)
        files.write(out, content.getvalue())
        files.write(out.with_name(f"{out.stem}-{TABLE}"), (folder / TABLE).read_bytes())
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return out


def names(folder: Path, chunk: range, array: bool) -> list[Path]:
    """The files of a chunk: one for each image, or one for all of them."""
    return [folder / f"{chunk.start:06d}.npy"] if array else [folder / f"{i:06d}.png" for i in chunk]


def encode(pixels: np.ndarray, array: bool) -> bytes:
    """A file's content: PNG of one image (H, W, C), or an array of several."""
    content = io.BytesIO()
    if array:
        np.save(content, pixels)
    else:
        Image.fromarray(pixels.squeeze()).save(content, "PNG")
    return content.getvalue()


def table(model: DiffusionModel, conditions: Tensor, seeds: list[int]) -> bytes:
    """samples.csv: a row for each image, with its number, its seed and its condition's spec."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "seed", "condition"])
    specs: dict[bytes, str] = {}
    for i, (seed, row) in enumerate(zip(seeds, conditions.numpy(), strict=True)):
        spec = specs.setdefault(row.tobytes(), "") or model.labels.describe(row.tolist())
        specs[row.tobytes()] = spec
        writer.writerow([i, seed, spec])
    return text.getvalue().encode()
