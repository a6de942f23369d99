"""Checkpoints: a model's weights as safetensors, and all that is needed to rebuild and use it in the file's metadata.

Loading reads numbers and JSON only: a checkpoint can run no code. Pickles (.pt, .pth, .ckpt) are refused for that reason.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ddpm_faces import files
from ddpm_faces.attributes import DIGITS
from ddpm_faces.data.store import Store
from ddpm_faces.devices import find_device, place
from ddpm_faces.diffusion.guidance import scale_by_what_is_said
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.models.conditioning import ConditionalUNet
from ddpm_faces.models.report import ReportUNet

KEY = "ddpm_faces"  # of the metadata entry that holds the config
FORMAT = 2  # 1 had no Gaussian guess
# Width of a level or side of a picture, number of levels or blocks, number of names: so that no file asks for the moon.
LARGEST, MOST, NAMES = 1024, 16, 10_000
FLOATS = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True)
class Config:
    """What a checkpoint says of itself. names: the conditions in the order of the vector's entries, () if unconditional.

    image: (C, H, W). embedding: channels that the condition becomes. unet, schedule: keyword arguments of UNet and Schedule.
    architecture: "unet", this package's own, or "report", the one that it is measured against, whose `unet` is {}.
    frequencies: how often each condition is present in the training data, () where that does not matter. facts: what it
    was trained on and for how long, for people to read, and "guidance", the scale that suits it, with "guidance_alone", that
    for one attribute alone, where it is another.
    """

    names: tuple[str, ...]
    image: tuple[int, int, int]
    embedding: int
    unet: dict
    schedule: dict = field(default_factory=lambda: {"kind": "cosine", "steps": 1000})
    facts: dict = field(default_factory=dict)
    frequencies: tuple[float, ...] = ()
    architecture: str = "unet"

    def network(self, store: Store | None = None, mirror: bool = False) -> ConditionalUNet | ReportUNet:
        """A new network of this description, with fresh weights; its Gaussian fitted to `store`, if given (`Gaussian.fit`)."""
        if self.architecture == "report":
            return ReportUNet(self.image[0], len(self.names), self.embedding, self.image[1:])
        schedule = Schedule(**self.schedule)
        network = ConditionalUNet(self.image, len(self.names), self.embedding, schedule, self.frequencies, **self.unet)
        if store is not None:
            network.gaussian.fit(store, mirror)
        return network

    @property
    def kind(self) -> str:
        """ "digits", "attributes", or "unconditional"."""
        return "digits" if self.names == DIGITS else "attributes" if self.names else "unconditional"


@dataclass
class DiffusionModel:
    """A loaded model: the network eps(x, t, c) and the config that says what its inputs mean."""

    network: nn.Module
    config: Config
    source: str = "memory"

    @cached_property
    def schedule(self) -> Schedule:
        """The noise schedule that the network was trained with."""
        return Schedule(**self.config.schedule)

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of a condition vector mean, in order."""
        return self.config.names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture."""
        return self.config.image

    @property
    def scales(self) -> Tensor:
        """By what the network multiplies what is present, and what is absent, of each condition: (2, K), on the CPU."""
        return getattr(self.network, "scales", torch.ones(2, len(self.names))).cpu()

    @property
    def guidance(self) -> float:
        """The CFG scale that suits this model where all conditions are said, 1 (plain) unless its checkpoint says otherwise."""
        return float(self.config.facts.get("guidance", 1.0))

    @property
    def guidance_alone(self) -> float:
        """The CFG scale that suits it where one attribute alone is said, the same unless its checkpoint says otherwise.

        A digit says all that there is to say.
        """
        return self.guidance if self.config.kind == "digits" else float(self.config.facts.get("guidance_alone", self.guidance))

    def guidance_for(self, conditions: Tensor) -> Tensor:
        """The CFG scales (N,) that suit conditions (N, K): from one attribute to all of them, see `scale_by_what_is_said`."""
        return scale_by_what_is_said(conditions, self.guidance_alone, self.guidance)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device


def encode(tensors: dict[str, Tensor], config: Config, **entries: str) -> bytes:
    """A checkpoint as bytes. entries: further metadata."""
    return pack(tensors, {KEY: json.dumps({"format": FORMAT, **asdict(config)}), **entries})


def pack(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file as bytes."""
    from safetensors.torch import save as to_bytes

    return to_bytes({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)


def save(path: str | Path, model: DiffusionModel) -> Path:
    """Write `model` to `path`, atomically; `load` gives it back bit for bit. Raises UserError."""
    return files.write(Path(path), encode(model.network.state_dict(), model.config))


def shipped() -> dict[str, Path]:
    """The models that come with the package, name -> file: in the installed package, or in the repository it runs from."""
    here = Path(__file__).resolve().parent
    for folder in (here / "checkpoints", here.parent / "checkpoints"):
        if found := sorted(folder.glob("*.safetensors")):
            return {path.stem: path for path in found}
    return {}


def find(model: str | Path) -> Path:
    """The file of a shipped model's name, of a run's folder or of a path. Raises UserError."""
    names = shipped()
    if str(model) in names:
        return names[str(model)]
    path = Path(model)
    if os.path.isdir(path):
        path = path / "model.safetensors"
    if not str(model) or not os.path.isfile(path):
        raise UserError(f"no model '{model}': give a file, a run's folder, or one of: {', '.join(names) or '(none shipped)'}")
    return path


def read(path: Path) -> tuple[dict[str, Tensor], Config, dict[str, str]]:
    """(tensors, config, metadata) of a file that ddpm_faces wrote. Raises UserError on every other kind of file."""
    tensors, metadata = read_tensors(path, KEY)
    return tensors, parse_config(metadata[KEY], path), metadata


def read_tensors(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file whose metadata has the entry `key`. Raises UserError on any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(9)  # a safetensors file: eight bytes of length, then the opening brace of its JSON
        if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
            raise UserError(f"{path} is a pickle: loading one can run any code, so it is refused; give a .safetensors file")
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if key not in metadata:
                raise UserError(f"{path} was not written by ddpm_faces: its metadata has no '{key}' entry")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    except PermissionError:
        raise UserError(f"{path} may not be read: permission denied") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is truncated or not a safetensors file ({error}); copy or train it again") from None
    return tensors, metadata


def parse_config(text: str, path: Path) -> Config:
    """The Config in a checkpoint's metadata; UserError if it is not one, or of a newer format."""
    try:
        raw = json.loads(text)
        version = raw.pop("format")
        if version != FORMAT:
            what = "train it again, or use the package that made it" if version == 1 else "update the package"
            raise UserError(f"{path} has format {version}; this ddpm_faces reads format {FORMAT}: {what}")
        unet = {name: tuple(v) if isinstance(v, list) else v for name, v in raw["unet"].items()}  # JSON has no tuples
        lists = {name: tuple(raw.get(name, ())) for name in ("names", "image", "frequencies")}
        config = Config(**raw | lists | {"unet": unet})
        Schedule(**config.schedule)
        if config.architecture not in ("unet", "report") or (config.architecture == "report" and config.unet):
            raise ValueError(f"no architecture {config.architecture} with {config.unet}")
        unet = ReportUNet.LIKE if config.architecture == "report" else config.unet
        widths, image, levels = unet["channels"], config.image, unet["attention"]
        sizes = [*widths, *image, config.embedding, unet.get("time_width", 1)]
        counts = [len(widths), unet["blocks"]]
        in_range = all(type(n) is int and 1 <= n <= LARGEST for n in sizes + counts) and max(counts) <= MOST
        if len(image) != 3 or not in_range or not all(type(n) is int for n in levels) or len(levels) > MOST:
            raise ValueError("a size is out of range")
        grain = 2 ** (len(widths) - 1)
        if any(side % grain for side in image[1:]) or image[0] not in (1, 3):
            raise ValueError(f"pictures of shape {image}")
        if not isinstance(config.facts, dict):
            raise ValueError("facts")
        if not all(-100 <= config.facts.get(name, 1.0) <= 100 for name in ("guidance", "guidance_alone")):
            raise ValueError("guidance")
        if not isinstance(raw["names"], list):
            raise ValueError("the names are not a list")
        check_names(config.names, config.frequencies)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: the description in it is damaged ({type(error).__name__}: {error})") from None
    return config


def check_names(names: tuple, frequencies: tuple) -> None:
    """ValueError unless the names are different strings, and the frequencies none or one for each."""
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names) or len(names) > NAMES:
        raise ValueError("the names are not a list of different strings")
    if len(frequencies) not in (0, len(names)) or not all(0 <= p <= 1 for p in frequencies):
        raise ValueError("the frequencies are not one for each name")


def build(tensors: dict[str, Tensor], config: Config, path: Path) -> ConditionalUNet | ReportUNet:
    """The network that config describes, with these weights; shapes are compared before anything is allocated."""
    try:
        with torch.device("meta"):
            network = config.network()
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: the network it describes cannot be built ({error})") from None
    if any(name.startswith("ema.") for name in tensors):
        raise UserError(f"{path} is a state of a training; give the run's folder, {path.parent.parent}, for its model")
    fill(network, tensors, path)
    if config.architecture == "unet" and not bool((tensors["gaussian.variance"] > 0).all()):
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
    """A model by shipped name ("celeba64", "mnist32"), by a run's folder, or by file.

    device: "cpu", "auto" (the best there is), "cuda", "cuda:1", "mps". Raises UserError.
    """
    device = find_device(device) if isinstance(device, str) else device
    path = find(model)
    tensors, config, _ = read(path)
    return DiffusionModel(place(build(tensors, config, path), device).eval(), config, str(path))


def require(model: DiffusionModel, kind: str) -> None:
    """UserError unless the model is conditioned on `kind`: "attributes" or "digits"."""
    has = model.config.kind
    if has == kind:
        return
    what = {"attributes": "attributes (--set, --attr)", "digits": "digits (--digits, --from-digit)"}
    instead = {"digits": "a digit model: use --digits 0-9", "attributes": 'a face model: use --set "Smiling,-Male"'}
    hint = instead.get(has, "an unconditional model: nothing can be asked of it")
    raise UserError(f"{model.source} knows no {what[kind]}; it is {hint}")
