"""Checkpoints: a model's weights as safetensors, and all that is needed to rebuild and use it in the file's metadata.

Loading reads numbers and JSON only: a checkpoint can run no code. Pickles (.pt, .pth, .ckpt) are refused for that reason.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ddpm_faces.conditions import known_labels
from ddpm_faces.models.architectures import find_architecture
from ddpm_faces.models.model import Config, DiffusionModel
from ddpm_faces.utils import files
from ddpm_faces.utils.devices import find_device, place
from ddpm_faces.utils.errors import UserError, hint

KEY = "ddpm_faces"  # of the metadata entry that holds the config
FORMAT = 3  # format 2 held names in place of labels, and called the linear denoiser "gaussian"; format 1 had no linear denoiser
FLOATS = (torch.float16, torch.bfloat16, torch.float32)
MOST_TEXT = 2**22  # characters of a description: ten thousand names fit, and reading one takes little memory
LFS = b"version https://git-lfs"


def encode(tensors: dict[str, Tensor], config: Config, **entries: str) -> bytes:
    """A checkpoint as bytes. entries: further metadata."""
    described = {"format": FORMAT, **config.model_dump(exclude_none=True)}
    return pack(tensors, {KEY: json.dumps(described), **entries})


def pack(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file as bytes."""
    from safetensors.torch import save as to_bytes

    return to_bytes({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside torch.compile, DataParallel, DistributedDataParallel or AveragedModel, which rename its weights."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    inner = network.module if isinstance(network, wrappers) else getattr(network, "_orig_mod", None)
    return unwrapped(inner) if isinstance(inner, nn.Module) else network


def sound(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network, as float32 where they are double. Raises UserError where one is no number."""
    tensors = unwrapped(network).state_dict()
    bad = next((name for name, t in tensors.items() if not bool(t.isfinite().all())), None)
    if bad is not None:
        raise UserError(f"the weights '{bad}' are not all numbers (NaN or infinite): nothing was written")
    return {name: t.float() if t.dtype == torch.float64 else t for name, t in tensors.items()}


def save(path: str | Path, model: DiffusionModel) -> Path:
    """Write `model` to `path`, atomically; `load` gives it back, bit for bit if its weights are float32.

    Raises UserError, with the file that was there intact, where the weights are not numbers or the path cannot be written.
    """
    return files.write(files.expand(path), encode(sound(model.network), model.config))


def shipped() -> dict[str, Path]:
    """The models that come with the package, name -> file."""
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "checkpoints", here.parents[2] / "checkpoints"):  # the first is a link in the repository
        if found := sorted(folder.glob("*.safetensors")):
            return {path.stem: path for path in found}
    return {}


def find(model: str | Path) -> Path:
    """The file of a shipped model's name, of a run's folder or of a path. Raises UserError."""
    names = shipped()
    if not isinstance(model, str | Path):
        raise UserError(f"a model is given as a shipped name, a folder or a file, not as {type(model).__name__}")
    if str(model) in names:
        return names[str(model)]
    path = files.expand(model)
    if os.path.isdir(path):
        path = path / "model.safetensors"
    if not str(model) or not os.path.isfile(path):
        known = ", ".join(names) or "(none shipped)"
        raise UserError(f"no model '{model}'{hint(str(model), names)}; give a file, a run's folder, or one of: {known}")
    return path


def read(path: Path) -> tuple[dict[str, Tensor], Config, dict[str, str]]:
    """(tensors, config, metadata) of a file that ddpm_faces wrote. Raises UserError on every other kind of file."""
    tensors, metadata = read_tensors(path, KEY)
    config = parse_config(metadata[KEY], path)
    if parse_json(metadata[KEY], path, range(2, FORMAT + 1))["format"] != 2:
        return tensors, config, metadata
    return {re.sub(r"(^|\.)gaussian\.", r"\1linear_denoiser.", name): t for name, t in tensors.items()}, config, metadata


def read_tensors(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file whose metadata has the entry `key`. Raises UserError on any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(32)  # a safetensors file: eight bytes of length, then the opening brace of its JSON
        if start[8:9] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
            raise UserError(f"{path} is a pickle: loading one can run any code, so it is refused; give a .safetensors file")
        if start.startswith(LFS):
            raise UserError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull`")
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if key not in metadata:
                raise UserError(f"{path} was not written by ddpm_faces: its metadata has no '{key}' entry")
            return {name: opened.get_tensor(name) for name in opened.keys()}, metadata
    except PermissionError:
        raise UserError(f"{path} may not be read: permission denied") from None
    except SafetensorError as error:
        raise UserError(f"{path} is truncated or not a safetensors file ({error}); copy or train it again") from None
    except OSError as error:  # a drive that refuses to map a file, for example: the file may be whole
        raise UserError(f"{path} cannot be read ({error}); copy it to a local disk") from None


def parse_json(text: str, path: Path, versions: range) -> dict[str, Any]:
    """The object in a file's metadata, of one of these format versions. Raises UserError on any other."""
    if len(text) > MOST_TEXT:
        raise UserError(f"{path}: the description in it is damaged ({len(text):,} characters)")
    with describing(path):
        raw = json.loads(text)
        found = raw["format"]
        if found not in versions:
            advice = "train it again, or use the package that made it" if found == 1 else "update the package"
            raise UserError(f"{path} has format {found}; this ddpm_faces reads format {versions[-1]}: {advice}")
        return dict(raw)


@contextmanager
def describing(path: Path) -> Iterator[None]:
    """Around the reading of a description: whatever a damaged or hostile one raises becomes one line."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> UserError:
    """The one line for a description that no version of ddpm_faces wrote."""
    first = error.errors()[0] if isinstance(error, ValidationError) else None
    reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else f"{type(error).__name__}: {error}"
    return UserError(f"{path}: the description in it is damaged ({reason[:200]})")


def parse_config(text: str, path: Path) -> Config:
    """The Config in a checkpoint's metadata; UserError if it is not one, or of a newer format."""
    raw = parse_json(text, path, range(2, FORMAT + 1))
    with describing(path):
        if raw.pop("format") == 2:
            raw = upgraded(raw)
        find_architecture(raw.get("architecture", "unet"))  # here, since pydantic would word its error anew
        return Config.model_validate_json(json.dumps(raw))


def upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """A description of format 2, which held names where format 3 holds labels."""
    names = raw.pop("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the names are not a list of different strings")
    labels = known_labels(tuple(names))
    return raw | {"labels": {"names": names, "one_hot": labels.one_hot, "exclusive": labels.exclusive}}


def build(tensors: dict[str, Tensor], config: Config, path: Path) -> nn.Module:
    """The network that config describes, with these weights; shapes are compared before anything is allocated."""
    if any(name.startswith("ema.") for name in tensors):
        raise UserError(f"{path} is a state of a training; give the run's folder, {path.parent.parent}, for its model")
    try:
        with torch.device("meta"):
            network = config.network()
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: the network it describes cannot be built ({error})") from None
    fill(network, tensors, path)
    variance = tensors.get("linear_denoiser.variance")
    if variance is not None and not bool((variance > 0).all()):
        raise UserError(f"{path} holds a variance that is not above 0: it was not written by ddpm_faces")
    return network


def fill(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Give these weights to a network without memory (on "meta"). Raises UserError unless they are what it needs."""
    wanted = {name: t.shape for name, t in network.state_dict().items()}
    wrong = sorted(set(wanted) ^ set(tensors)) or [n for n, t in tensors.items() if t.shape != wanted[n]]
    if wrong:
        raise UserError(f"{path}: weights and description disagree at '{wrong[0]}' (and {len(wrong) - 1} more)")
    if not all(t.dtype in FLOATS for t in tensors.values()):
        raise UserError(f"{path} holds weights that are no fp16, bf16 or fp32 numbers: it was not written by ddpm_faces")
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise UserError(f"{path} holds NaN or infinite weights: the training that wrote it diverged")
    network.load_state_dict({n: t.float() for n, t in tensors.items()}, assign=True)


def load(model: str | Path = "celeba64", device: str | torch.device = "cpu") -> DiffusionModel:
    """A model by shipped name ("celeba64", "mnist32"), by a run's folder, or by file, its weights frozen.

    device: "cpu", "auto" (the best there is), "cuda", "cuda:1", "mps". Raises UserError.
    """
    device = find_device(device)
    path = find(model)
    tensors, config, _ = read(path)
    network = place(build(tensors, config, path), device).eval().requires_grad_(False)
    return DiffusionModel(network, config, str(path))
