"""Feature extractors by name: what turns pictures into the numbers that sets of pictures are compared by.

"attributes" and "digits" are the shipped classifiers' features: there offline, at this size, but comparable with themselves
only. "inception" is torch-fidelity's InceptionV3, the network behind every published FID. The first two are registered with
torch-fidelity under the same names, so that its functions know them once this module is imported (its own readers of
pictures give colour, so that "digits" is for tensors of one's own).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch_fidelity
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from ddpm_faces import judge
from ddpm_faces.devices import find_device
from ddpm_faces.errors import UserError
from ddpm_faces.judge import Extracted, Judge

JUDGES = {"attributes": "celeba64", "digits": "mnist32"}
BATCH = 64


def fingerprint(network: nn.Module) -> str:
    """A short name for a network with these very weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:12]


class JudgeFeatures(FeatureExtractorBase):
    """A classifier by torch-fidelity's rules: uint8 pictures (B, C, H, W) -> what was asked of "features" and "logits"."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None, **_):
        super().__init__(name, features_list)
        self.classifier = judge.load(feature_extractor_weights_path or JUDGES[name]).network

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("features", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False  # it takes a second in all

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        summary = self.classifier.features(x.float() / 127.5 - 1)[-1]
        found = {"features": summary, "logits": self.classifier.logits(summary)}
        return tuple(found[name] for name in self.features_list)


for _name in JUDGES:
    torch_fidelity.register_feature_extractor(_name, JudgeFeatures)


class Extractor:
    """An extractor ready for use.

    name: "attributes", "digits" or "inception". identity: tells these weights from others. note: with what its
    figures may be compared.
    """

    def __init__(self, name: str, network: FeatureExtractorBase, image_channels: int | None, note: str):
        self.name, self.network, self.image_channels, self.note = name, network, image_channels, note
        self.identity = fingerprint(network)

    @torch.no_grad()
    def extract(self, pictures: np.ndarray, progress: str = "") -> Extracted:
        """Features and logits of pictures (N, H, W, C) uint8, a store's map or an array. progress: names a bar."""
        from tqdm import tqdm

        device = next(self.network.parameters()).device
        found = []
        for start in tqdm(range(0, len(pictures), BATCH), progress, unit=f"{BATCH} img", leave=False, disable=not progress):
            x = torch.from_numpy(np.array(pictures[start : start + BATCH])).permute(0, 3, 1, 2)
            if self.image_channels == 3 and x.shape[1] == 1:
                x = x.expand(-1, 3, -1, -1)
            found.append([t.float().cpu() for t in self.network(x.to(device))])
        features, logits = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Extracted(logits, features)


def find(name: str, classifier: Judge, weights: Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """The extractor called `name`. classifier: the classifier in use, whose features "attributes" or "digits" are.

    weights: Inception's, as a file; otherwise they are downloaded once. Raises UserError where they cannot be had.
    """
    device = find_device(device) if isinstance(device, str) else device
    own = "digits" if classifier.config.exclusive else "attributes"
    if name not in (own, "inception"):
        raise UserError(f"no extractor '{name}' for these pictures: choose {own} or inception")
    if name == "inception":
        network: FeatureExtractorBase = load_inception(weights).to(device)
        return Extractor(name, network, 3, "torch-fidelity's InceptionV3: comparable where crop, size and counts are the same")
    network = JudgeFeatures(name, ["features", "logits"], classifier.source).to(device)
    note = f"the features of the classifier {Path(classifier.source).stem}: comparable only with figures by the same classifier"
    return Extractor(name, network.requires_grad_(False).eval(), None, note)


def load_inception(weights: Path | None) -> FeatureExtractorInceptionV3:
    """torch-fidelity's InceptionV3 with its own weights from a file, or downloaded into torch's hub folder. UserError."""
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", 1)[1]
    if weights is None and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rsplit("-", 1)[1]
        try:
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=digest)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"the Inception weights could not be fetched ({error}): get {URL_INCEPTION_V3} where there is internet and "
                "give it as --inception-weights FILE"
            ) from None
    if not path.is_file():
        raise UserError(f"no file {path}: --inception-weights takes torch-fidelity's, {URL_INCEPTION_V3}")
    try:
        torch.load(path, weights_only=True)  # torch-fidelity unpickles without care: what passes here can run no code there
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
    except Exception as error:  # of every kind, since unpickling what is no pickle may raise any
        raise UserError(
            f"{path} does not hold torch-fidelity's Inception weights ({type(error).__name__}): get {URL_INCEPTION_V3}"
        ) from None
