"""Extractors: what real images look like is measured once, and weights from elsewhere are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_classifier import random_classifier

from ddpm_faces.conditions import CELEBA
from ddpm_faces.data import open_dataset
from ddpm_faces.evaluation import extractors
from ddpm_faces.evaluation.extractors import find_extractor
from ddpm_faces.evaluation.reference import blurred, extract_dataset
from ddpm_faces.models.classifier_checkpoint import load_classifier, save_classifier
from ddpm_faces.utils.errors import UserError


@pytest.fixture(scope="module")
def face_classifier(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("classifiers") / "small.safetensors"
    return save_classifier(path, random_classifier(CELEBA, (3, 16, 16)))


def test_the_reference_is_measured_once_for_these_weights(face_classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path))
    dataset, classifier = open_dataset("toy", split="test", size=16), load_classifier(face_classifier)
    extractor = find_extractor("attributes", classifier)
    found = extract_dataset(extractor, dataset, 70, "")
    (path,) = (tmp_path / "features").iterdir()
    assert path.name.startswith("toy-test-16-") and "-70-attributes-" in path.name
    direct = classifier.extract(dataset.images[np.unique(np.linspace(0, len(dataset) - 1, 70).astype(int))])
    assert torch.allclose(found.features, direct.features, atol=1e-5) and torch.allclose(found.logits, direct.logits, atol=1e-4)
    monkeypatch.setattr(extractor, "extract", None)
    assert torch.equal(extract_dataset(extractor, dataset, 70, "").features, found.features)
    path.write_bytes(b"half")
    with pytest.raises(UserError, match="damaged"):
        extract_dataset(extractor, dataset, 70, "")


def test_torch_fidelity_knows_our_extractor(face_classifier):
    from torch_fidelity.utils import create_feature_extractor

    path = str(face_classifier)
    network = create_feature_extractor("attributes", ["features"], cuda=False, feature_extractor_weights_path=path)
    images = open_dataset("toy", split="test", size=16).images[:4]
    (features,) = network(torch.from_numpy(images.copy()).permute(0, 3, 1, 2))
    assert torch.allclose(features, load_classifier(path).extract(images).features, atol=1e-5)


def test_inception_comes_from_a_file_that_was_checked(tmp_path, face_classifier):
    class Blank(extractors.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_):  # torch-fidelity's network without its weights, to make a file in its format
            return None

    torch.save({}, tmp_path / "empty.pth")
    torch.manual_seed(0)
    blank = Blank("inception-v3-compat", ["2048"], str(tmp_path / "empty.pth"))
    torch.save(blank.state_dict(), tmp_path / "weights.pth")
    extractor = find_extractor("inception", load_classifier(face_classifier), tmp_path / "weights.pth")
    grey = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    found = extractor.extract(grey)
    assert found.features.shape == (2, 2048) and found.logits.shape == (2, 1008)
    again = extractor.extract(np.repeat(grey, 3, axis=3))
    assert torch.equal(found.features, again.features), "grey images are shown in three equal colours"
    torch.save({"Conv2d_1a_3x3": torch.zeros(2)}, tmp_path / "other.pth")
    trace = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return open, (str(trace), "w")

    torch.save({"fc.weight": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "garbage.pth").write_bytes(b"x" * 100)
    for name in ("other", "bomb", "garbage", "empty"):
        with pytest.raises(UserError, match="does not hold torch-fidelity's Inception weights"):
            find_extractor("inception", load_classifier(face_classifier), tmp_path / f"{name}.pth")
    assert not trace.exists(), "no code of the file was run"


def test_weights_that_cannot_be_fetched_say_how_to_give_a_file(face_classifier, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(extractors, "URL_INCEPTION_V3", "http://127.0.0.1:9/weights-0123abcd.pth")
    with pytest.raises(UserError, match="--inception-weights FILE"):
        find_extractor("inception", load_classifier(face_classifier))


def test_blurred_images_keep_their_colour_and_lose_their_edges():
    images = open_dataset("toy", split="test").images[:16]
    soft = blurred(images)
    assert soft.shape == images.shape and abs(float(soft.mean()) - float(images.mean())) < 2
    assert np.abs(np.diff(soft.astype(int), axis=1)).mean() < 0.8 * np.abs(np.diff(images.astype(int), axis=1)).mean()
