"""The attribute classifier as a file: its network, what its logits mean, and how often it is right.

The rules are those of models (checkpoint.py): safetensors with the description in the metadata, and loading runs no code.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from ddpm_faces.conditions import Labels, known_labels
from ddpm_faces.models import checkpoint
from ddpm_faces.models.architectures import LARGEST, MOST
from ddpm_faces.models.classifier import ClassifierNetwork
from ddpm_faces.models.model import DiffusionModel, Share, Side
from ddpm_faces.utils import files
from ddpm_faces.utils.devices import find_device, place
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_tensor

KEY = "ddpm_faces_classifier"
FORMAT = 2  # 1 knew names and whether they exclude each other
BATCH = 128


class ClassifierConfig(BaseModel):
    """What a classifier's file says of itself.

    labels: of the logits; one-hot labels share a softmax, attributes have a yes or no each. image: (C, H, W). channels: of
    the stages, multiples of 8. frequencies: how often each attribute is present in the training data, () for classes. facts:
    for people, and "scores", as `train_classifier` measured them on the test split.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    labels: Labels
    image: tuple[Side, Side, Side]
    channels: tuple[Annotated[int, Field(ge=8, le=LARGEST, multiple_of=8)], ...] = Field(min_length=1, max_length=MOST)
    facts: dict[str, Any] = {}
    frequencies: tuple[Share, ...] = ()

    @field_validator("labels")
    @classmethod
    def _some(cls, labels: Labels) -> Labels:
        if not labels.names or len(set(labels.names)) != len(labels):
            raise ValueError("the names are not a list of different strings")
        return labels

    @model_validator(mode="after")
    def _possible(self) -> ClassifierConfig:
        if len(self.frequencies) not in (0, len(self.labels)):
            raise ValueError("the frequencies are not one for each name")
        return self

    @property
    def thresholds(self) -> Tensor:
        """The logits (K,) at which yes and no are equally likely where half of the images are yes: the log odds of training.

        A network fitted to rare attributes says no whenever in doubt, which is right for its data, but not for images of which
        half were asked to have the attribute.
        """
        p = torch.tensor(self.frequencies or [0.5] * len(self.labels), dtype=torch.float32).clamp(1e-3, 1 - 1e-3)
        return torch.logit(p)

    def network(self) -> ClassifierNetwork:
        """A new network of this description, with fresh weights."""
        return ClassifierNetwork(self.image[0], len(self.labels), self.channels)


class Extracted(NamedTuple):
    """The classifier's view of N images, on the CPU: logits (N, K), and features (N, F), of which they are a linear map."""

    logits: Tensor
    features: Tensor


@dataclass
class Classifier:
    """A loaded classifier: the network, and the config that says what its outputs mean."""

    network: ClassifierNetwork
    config: ClassifierConfig
    source: str = "memory"

    @property
    def labels(self) -> Labels:
        """What the logits mean."""
        return self.config.labels

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the logits, in order."""
        return self.config.labels.names

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def select(self, names: Sequence[str]) -> Classifier:
        """The same classifier with the logits of these attributes only, in this order. ValueError for a name it lacks."""
        rows = [self.labels.index(name) for name in names]
        network, frequencies = copy.deepcopy(self.network), self.config.frequencies
        network.logits.weight, network.logits.bias = (nn.Parameter(p[rows], False) for p in network.logits.parameters())
        labels = Labels(tuple(names), self.labels.one_hot)
        update = {"labels": labels, "frequencies": tuple(frequencies[i] for i in rows) if frequencies else ()}
        return Classifier(network, self.config.model_copy(update=update), self.source)

    @torch.no_grad()
    def extract(self, images: Tensor | np.ndarray, progress: str = "") -> Extracted:
        """Classify images: a tensor (N, C, H, W) in [-1, 1], or an array (N, H, W, C) uint8, which may be a dataset's map.

        progress: names a bar. A metric: no gradients; call `network` for those. Raises UserError on images of another size.
        """
        from tqdm import tqdm

        shape = tuple(images.shape[1:]) if isinstance(images, Tensor) else (images.shape[-1], *images.shape[1:-1])
        if shape != self.config.image:
            raise UserError(f"the classifier {self.source} is for images of shape {self.config.image}, not {shape}")
        logits, features = [torch.zeros(0, len(self.names))], [torch.zeros(0, self.config.channels[-1])]
        for start in tqdm(range(0, len(images), BATCH), progress, unit=f"{BATCH} img", leave=False, disable=not progress):
            part = images[start : start + BATCH]
            x = part if isinstance(part, Tensor) else to_tensor(part)
            summary = self.network.features(x.to(self.device, memory_format=torch.channels_last))[-1]
            logits.append(self.network.logits(summary).cpu())
            features.append(summary.cpu())
        return Extracted(torch.cat(logits), torch.cat(features))


def save_classifier(path: str | Path, classifier: Classifier) -> Path:
    """Write `classifier` to `path`, atomically; `load_classifier` gives it back bit for bit. Raises UserError."""
    described = {"format": FORMAT, **classifier.config.model_dump()}
    content = checkpoint.pack(checkpoint.sound(classifier.network), {KEY: json.dumps(described)})
    return files.write(files.expand(path), content)


def shipped_classifiers() -> dict[str, Path]:
    """The shipped classifiers: those with a model's name classify its images; `celeba64-judge` only measures."""
    folder = next(iter(checkpoint.shipped().values())).parent / "classifiers"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"), key=lambda path: path.stem)}


def load_classifier(classifier: str | Path = "celeba64", device: str | torch.device = "cpu") -> Classifier:
    """A classifier by its shipped name ("celeba64", "celeba64-judge", "mnist32"), or by file. Raises UserError."""
    device, known = find_device(device), shipped_classifiers()
    path = known.get(str(classifier), files.expand(classifier))
    if not path.is_file():
        raise UserError(f"no classifier '{classifier}': give a file or one of: {', '.join(known) or '(none shipped)'}")
    tensors, metadata = checkpoint.read_tensors(path, KEY)
    config = parse_config(metadata[KEY], path)
    with torch.device("meta"):
        network = config.network()
    checkpoint.fill(network, tensors, path)
    return Classifier(place(network, device).eval().requires_grad_(False), config, str(path))


def find_classifier(model: DiffusionModel, given: Path | None = None, device: str | torch.device = "cpu") -> Classifier:
    """The classifier for a model's images: the file given, or the shipped one that fits. UserError if there is none."""
    train = "train one with `python -m ddpm_faces.train_classifier` and give it as --classifier FILE"
    if given is None:
        known = (load_classifier(name, device) for name in shipped_classifiers())  # a model's own before celeba64-judge
        fitting = [c for c in known if c.config.image == model.image_shape]
        if not fitting:
            raise UserError(f"no shipped classifier is for images of shape {model.image_shape}: {train}")
        found = fitting[0]
    else:
        found = load_classifier(given, device)
    if found.config.image != model.image_shape:
        raise UserError(f"the classifier {found.source} is for images of shape {found.config.image}, not {model.image_shape}")
    if not model.names or found.names == model.names:
        return found
    if found.labels.one_hot or not set(model.names) <= set(found.names):
        raise UserError(f"the classifier {found.source} knows other names than {model.source}: {train}")
    return found.select(model.names)


def parse_config(text: str, path: Path) -> ClassifierConfig:
    """The ClassifierConfig in a file's metadata; UserError if it is not one, or of a newer format."""
    raw = checkpoint.parse_json(text, path, range(1, FORMAT + 1))
    with checkpoint.describing(path):
        if raw.pop("format") == 1:
            labels = known_labels(tuple(raw["names"]))
            raw["labels"] = {"names": raw.pop("names"), "one_hot": raw.pop("exclusive"), "exclusive": labels.exclusive}
        return ClassifierConfig.model_validate_json(json.dumps(raw))
