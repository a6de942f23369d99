"""The judge as a file: a classifier of attributes or digits, what its logits mean, and how often it is right.

The same rules as for models (checkpoint.py): safetensors with the description in the metadata, and loading runs no code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_faces import checkpoint, files
from ddpm_faces.devices import find_device, place
from ddpm_faces.errors import UserError
from ddpm_faces.images import to_tensor
from ddpm_faces.models.classifier import Classifier

KEY = "ddpm_faces_classifier"
FORMAT = 1
BATCH = 128


@dataclass(frozen=True)
class JudgeConfig:
    """What a classifier's file says of itself. names: of the logits. image: (C, H, W). channels: of the stages.

    exclusive: one of the names at a time, as digits are; otherwise each has its own yes or no. frequencies: how often each is
    present in the training data, () if exclusive. facts: for people, and "scores", what `train_classifier` measured on the
    test split, see `scores`.
    """

    names: tuple[str, ...]
    image: tuple[int, int, int]
    channels: tuple[int, ...]
    exclusive: bool
    facts: dict = field(default_factory=dict)
    frequencies: tuple[float, ...] = ()

    @property
    def thresholds(self) -> Tensor:
        """The logits (K,) at which yes and no are as likely where half of the pictures are yes: the log odds of training.

        A network fitted to rare attributes says no whenever in doubt, which is right for its data, but not for pictures of
        which half were asked to have it.
        """
        p = torch.tensor(self.frequencies or [0.5] * len(self.names)).clamp(1e-3, 1 - 1e-3)
        return torch.logit(p)

    def network(self) -> Classifier:
        """A new network of this description, with fresh weights."""
        return Classifier(self.image[0], len(self.names), self.channels)


class Extracted(NamedTuple):
    """What the judge says of N pictures, on the CPU: logits (N, K), and features (N, F), which they are a linear map of."""

    logits: Tensor
    features: Tensor


@dataclass
class Judge:
    """A loaded classifier: the network, and the config that says what its outputs mean."""

    network: Classifier
    config: JudgeConfig
    source: str = "memory"

    @property
    def names(self) -> tuple[str, ...]:
        """What the logits mean, in order."""
        return self.config.names

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def extract(self, pictures: Tensor | np.ndarray, progress: str = "") -> Extracted:
        """Judge pictures: a tensor (N, C, H, W) in [-1, 1], or an array (N, H, W, C) uint8, which may be a store's map.

        progress: names a bar. Raises UserError where the pictures are of another size.
        """
        from tqdm import tqdm

        tensor = isinstance(pictures, Tensor)
        shape = tuple(pictures.shape[1:]) if tensor else (pictures.shape[-1], *pictures.shape[1:-1])
        if shape != self.config.image:
            raise UserError(f"the classifier {self.source} is for pictures of shape {self.config.image}, not {shape}")
        logits, features = [], []
        for start in tqdm(range(0, len(pictures), BATCH), progress, unit=f"{BATCH} img", leave=False, disable=not progress):
            part = pictures[start : start + BATCH]
            x = part if isinstance(part, Tensor) else to_tensor(part)
            summary = self.network.features(x.to(self.device, memory_format=torch.channels_last))[-1]
            logits.append(self.network.logits(summary).cpu())
            features.append(summary.cpu())
        if not logits:
            return Extracted(torch.zeros(0, len(self.names)), torch.zeros(0, self.config.channels[-1]))
        return Extracted(torch.cat(logits), torch.cat(features))


def balanced_accuracy(said: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """The mean of sensitivity and specificity (Brodersen et al. 2010) by class, (K,); said, yes and no are (N, K) booleans.

    NaN where there is no yes, or no no. What is neither does not count.
    """
    sensitivity = (said & yes).sum(dim=0).double() / yes.sum(dim=0)
    specificity = (~said & no).sum(dim=0).double() / no.sum(dim=0)
    return (sensitivity + specificity) / 2


def scores(logits: Tensor, labels: Tensor, exclusive: bool, thresholds: Tensor | float = 0.0) -> dict[str, list[float]]:
    """How right logits (N, K) are, for each class, where labels (N, K) are -1 and +1, or one-hot.

    "accuracy"; "balanced", see `balanced_accuracy`, where a yes begins at `thresholds` (`JudgeConfig.thresholds`); "majority",
    the accuracy of always giving the more frequent answer; "present", the share of yes.
    """
    truth = labels > 0
    said = torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).bool() if exclusive else logits > 0
    present = truth.double().mean(dim=0)
    return {
        "accuracy": (said == truth).double().mean(dim=0).tolist(),
        "balanced": balanced_accuracy(said if exclusive else logits > thresholds, truth, ~truth).tolist(),
        "majority": torch.maximum(present, 1 - present).tolist(),
        "present": present.tolist(),
    }


def shipped() -> dict[str, Path]:
    """The classifiers that come with the package, by the name of the model whose pictures they judge."""
    return {
        name: file for name, path in checkpoint.shipped().items() if (file := path.parent / "classifiers" / path.name).exists()
    }


def save(path: str | Path, judge: Judge) -> Path:
    """Write `judge` to `path`, atomically; `load` gives it back bit for bit. Raises UserError."""
    metadata = {KEY: json.dumps({"format": FORMAT, **asdict(judge.config)})}
    return files.write(Path(path), checkpoint.pack(judge.network.state_dict(), metadata))


def load(judge: str | Path = "celeba64", device: str | torch.device = "cpu") -> Judge:
    """A classifier by the shipped name of the model it judges ("celeba64", "mnist32"), or by file. Raises UserError."""
    device = find_device(device) if isinstance(device, str) else device
    known = shipped()
    path = known.get(str(judge), Path(judge))
    if not path.is_file():
        raise UserError(f"no classifier '{judge}': give a file or one of: {', '.join(known) or '(none shipped)'}")
    tensors, metadata = checkpoint.read_tensors(path, KEY)
    config = parse_config(metadata[KEY], path)
    with torch.device("meta"):
        network = config.network()
    checkpoint.fill(network, tensors, path)
    return Judge(place(network, device).eval(), config, str(path))


def parse_config(text: str, path: Path) -> JudgeConfig:
    """The JudgeConfig in a file's metadata; UserError if it is not one, or of another format."""
    try:
        raw = json.loads(text)
        version = raw.pop("format")
        if version != FORMAT:
            raise UserError(f"{path} has format {version}; this ddpm_faces reads format {FORMAT}: update the package")
        lists = {name: tuple(raw[name]) for name in ("names", "image", "channels", "frequencies")}
        config = JudgeConfig(**raw | lists)
        sizes = [*config.image, *config.channels]
        if len(config.image) != 3 or not all(type(n) is int and 1 <= n <= checkpoint.LARGEST for n in sizes):
            raise ValueError("a size is out of range")
        if len(config.channels) > checkpoint.MOST or not config.channels or any(n % 8 for n in config.channels):
            raise ValueError(f"stages of {config.channels}")
        if not isinstance(raw["names"], list) or not config.names:
            raise ValueError("the names are not a list")
        checkpoint.check_names(config.names, config.frequencies)
        if not isinstance(config.facts, dict) or not isinstance(config.exclusive, bool):
            raise ValueError("facts")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: the description in it is damaged ({type(error).__name__}: {error})") from None
    return config
