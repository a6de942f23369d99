"""Feature extractors by name: networks whose features sets of images are compared by.

"attributes" and "classes" are the features of a classifier: at hand offline and made for the size, but comparable with
themselves only. "inception" is torch-fidelity's InceptionV3, the network behind every published FID. Importing this module
registers the first two with torch-fidelity, whose functions then know them by the same names (its own image readers give
colour, so that the digits' "classes" is for tensors of one's own).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_fidelity
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from tqdm import tqdm

from ddpm_faces.evaluation.fingerprints import fingerprint
from ddpm_faces.models.classifier_checkpoint import Classifier, Extracted, load_classifier
from ddpm_faces.utils.devices import find_device
from ddpm_faces.utils.errors import UserError

SHIPPED = {"attributes": "celeba64", "classes": "mnist32"}  # kind of labels -> the classifier that torch-fidelity takes
INCEPTION = "inception"
BATCH = 64
CAUTION = """The classifier was fitted to training images, which makes the floor a little higher than it would be. Precision
says little in these features, in which even noise has some: read FID, KID and recall."""


class ClassifierFeatures(FeatureExtractorBase):  # type: ignore[misc]  # untyped there
    """A classifier by torch-fidelity's rules: uint8 images (B, C, H, W) -> what was asked for of "features" and "logits"."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None, **_: Any):
        super().__init__(name, features_list)
        self.classifier = load_classifier(feature_extractor_weights_path or SHIPPED[name]).network

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The names of what `forward` can give."""
        return ("features", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """Logits for the inception score, features for all other metrics."""
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        """No: compiling takes longer than the second that the network takes in all."""
        return False

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        summary = self.classifier.features(x.float() / 127.5 - 1)[-1]
        found = {"features": summary, "logits": self.classifier.logits(summary)}
        return tuple(found[name] for name in self.features_list)


for _kind in SHIPPED:
    torch_fidelity.register_feature_extractor(_kind, ClassifierFeatures)


@dataclass
class Extractor:
    """An extractor ready for use. one_hot: its logits are of classes, of which one holds at a time. colour: it knows no grey.

    note: with what its figures may be compared. caution: what else to know when reading them.
    """

    name: str
    network: FeatureExtractorBase
    one_hot: bool
    colour: bool
    note: str
    caution: str = ""

    @cached_property
    def identity(self) -> str:
        """A short name for these weights."""
        return fingerprint(self.network)

    @torch.no_grad()
    def extract(self, images: np.ndarray, progress: str = "") -> Extracted:
        """Features and logits of images (N, H, W, C) uint8, a dataset's map or an array. progress: names a bar."""
        device = next(self.network.parameters()).device
        found = []
        for start in tqdm(range(0, len(images), BATCH), progress, unit=f"{BATCH} img", leave=False, disable=not progress):
            x = torch.from_numpy(np.array(images[start : start + BATCH])).permute(0, 3, 1, 2)
            if self.colour:
                x = x.expand(-1, 3, -1, -1)
            found.append([t.float().cpu() for t in self.network(x.to(device))])
        features, logits = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Extracted(logits, features)


def find_extractor(
    name: str | None, classifier: Classifier, weights: Path | None = None, device: str | torch.device = "cpu"
) -> Extractor:
    """The extractor called `name`: by default the features of the classifier in use.

    weights: Inception's, as a file; otherwise they are downloaded once. Raises UserError where they cannot be had.
    """
    kind, stem = classifier.labels.kind, Path(classifier.source).stem
    if name == INCEPTION:
        note = "torch-fidelity's InceptionV3, comparable where crop, size and counts are the same"
        return Extractor(name, load_inception(weights).to(find_device(device)), one_hot=True, colour=True, note=note)
    if name not in (None, kind) and (name, kind) != ("digits", "classes"):  # as it was called in 0.1
        raise UserError(f"no extractor '{name}' for these images: choose {kind} or {INCEPTION}")
    network = ClassifierFeatures(kind, ["features", "logits"], classifier.source).to(find_device(device))
    network.requires_grad_(False).eval()
    note = f"the features of the classifier {stem}, comparable only with figures by the same classifier"
    return Extractor(kind, network, classifier.labels.one_hot, colour=False, note=note, caution=CAUTION)


def load_inception(weights: Path | None) -> FeatureExtractorInceptionV3:
    """torch-fidelity's InceptionV3 with its own weights from a file, or downloaded into torch's hub folder. UserError."""
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", 1)[1]
    if weights is None and not path.is_file():
        download_inception(path)
    if not path.is_file():
        raise UserError(f"no file {path}: the Inception weights are torch-fidelity's, {URL_INCEPTION_V3}")
    try:
        torch.load(path, weights_only=True)  # torch-fidelity unpickles without care: what passes here can run no code there
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
    except Exception as error:  # of every kind, since unpickling what is no pickle may raise any
        raise UserError(
            f"{path} does not hold torch-fidelity's Inception weights ({type(error).__name__}): get {URL_INCEPTION_V3}"
        ) from None


def download_inception(path: Path) -> None:
    """Fetch the weights, checked by the digest in their name. UserError where there is no internet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=path.stem.rsplit("-", 1)[1])
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the Inception weights could not be fetched ({str(error) or type(error).__name__}): get {URL_INCEPTION_V3} where "
            "there is internet and give it as --inception-weights FILE"
        ) from None
