"""The attribute classifier: it learns what it is shown, says how right it is, and its file is as safe as a model's."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_mnist
from safetensors.torch import load_file, save_file

from ddpm_faces.conditions import CELEBA, DIGITS, Labels
from ddpm_faces.data import open_dataset
from ddpm_faces.evaluation.accuracy import conditional_accuracy, scores
from ddpm_faces.models import checkpoint
from ddpm_faces.models.classifier import ClassifierNetwork
from ddpm_faces.models.classifier_checkpoint import (
    KEY,
    Classifier,
    ClassifierConfig,
    find_classifier,
    load_classifier,
    save_classifier,
    shipped_classifiers,
)
from ddpm_faces.train_classifier import main
from ddpm_faces.training.classifier import augment, fit
from ddpm_faces.training.config import ClassifierSettings
from ddpm_faces.utils.errors import UserError


@pytest.fixture(scope="module")
def toy_classifier() -> Classifier:
    """Trained for a few seconds on toy faces, whose labels are exact."""
    dataset = open_dataset("toy")
    config = ClassifierConfig(labels=dataset.labels, image=(3, 32, 32), channels=(16, 32, 64))
    torch.manual_seed(0)
    network = config.network()
    fit(network, dataset, ClassifierSettings(data="toy", epochs=1.5, lr=4e-3, batch_size=32, shift=2))
    return Classifier(network, config)


def test_it_learns_what_can_be_seen(toy_classifier):
    test = open_dataset("toy", split="test")
    truth = torch.from_numpy(np.array(test.conditions))
    balanced = dict(zip(test.names, scores(toy_classifier.extract(test.images).logits, truth, False)["balanced"], strict=True))
    for name, least in (("Male", 0.95), ("Black_Hair", 0.9), ("Blond_Hair", 0.85), ("Wearing_Lipstick", 0.75)):
        assert balanced[name] > least, f"{name}: {balanced[name]}"


def test_what_it_says_does_not_depend_on_the_batch_or_the_kind_of_array(toy_classifier):
    images = open_dataset("toy", split="test").images[:130]
    whole = toy_classifier.extract(images)
    assert whole.logits.shape == (130, 40) and whole.features.shape == (130, 64)
    tensor = torch.from_numpy(images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    alone = toy_classifier.extract(tensor[129:])
    assert torch.allclose(whole.logits[129:], alone.logits, atol=1e-4)
    assert torch.allclose(toy_classifier.network.logits(whole.features), whole.logits, atol=1e-4), (
        "a linear map of the features"
    )
    assert toy_classifier.extract(tensor[:0]).logits.shape == (0, 40)


def test_features_come_by_stage():
    maps = ClassifierNetwork(3, 40).features(torch.randn(2, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [
        *[(2, 24, 32, 32), (2, 48, 16, 16), (2, 96, 8, 8), (2, 144, 4, 4)],
        (2, 144),
    ]
    assert 0.8e6 < sum(p.numel() for p in ClassifierNetwork(3, 40).parameters()) < 1.6e6


def test_scores_of_a_case_worked_by_hand():
    labels = torch.tensor([[1, -1, -1], [1, -1, -1], [1, -1, -1], [-1, 1, -1]])
    logits = torch.tensor([[2.0, -1, -1], [1, -1, -1], [-1, -1, -1], [1, -1, -1]])
    result = scores(logits, labels, one_hot=False)
    assert result["accuracy"] == [0.5, 0.75, 1.0]
    assert result["balanced"][:2] == pytest.approx([(2 / 3 + 0) / 2, 0.5]) and math.isnan(result["balanced"][2])
    assert result["majority"] == [0.75, 0.75, 1.0] and result["present"] == [0.75, 0.25, 0.0]
    one = scores(torch.tensor([[0.1, 0.2], [0.3, 0.2]]), torch.tensor([[0, 1], [0, 1]]), one_hot=True)
    assert one["accuracy"] == [0.5, 0.5], "of the two classes the larger logit counts, whatever its sign"


def test_rare_attributes_are_counted_where_yes_and_no_are_as_likely():
    config = ClassifierConfig(labels=Labels(("Bald", "Male")), image=(3, 8, 8), channels=(8,), frequencies=(0.02, 0.5))
    assert config.thresholds.tolist() == pytest.approx([math.log(0.02 / 0.98), 0])
    logits, labels = torch.tensor([[-2.0, 1], [-5, 1]]), torch.tensor([[1, 1], [-1, -1]])
    plain, fair = scores(logits, labels, False), scores(logits, labels, False, config.thresholds)
    assert (
        plain["balanced"] == [0.5, 0.5] and fair["balanced"] == [1, 0.5] and fair["accuracy"] == plain["accuracy"] == [0.5, 0.5]
    )
    assert conditional_accuracy(logits, labels.float(), False, config.thresholds).balanced == [1, 0.5]
    digits = ClassifierConfig(labels=DIGITS, image=(1, 8, 8), channels=(8,))
    assert digits.thresholds.tolist() == [0] * 10


def test_augment_shifts_and_mirrors_and_keeps_every_image():
    rng = torch.Generator().manual_seed(0)
    images = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(200, 1, 1, 1)
    assert torch.equal(augment(images, 0, False, rng), images)
    mirrored = augment(images, 0, True, rng)
    same = (mirrored == images).flatten(1).all(dim=1)
    assert 60 < same.sum() < 140 and torch.equal(mirrored[~same], images.flip(3)[~same])
    moved = augment(images, 2, False, rng)
    corners = {(int(v) // 8, int(v) % 8) for v in moved[:, 0, 4, 4]}
    assert corners == {(y, x) for y in range(2, 7) for x in range(2, 7)}


def test_a_file_gives_the_same_classifier_back(toy_classifier, tmp_path):
    path = save_classifier(tmp_path / "classifier.safetensors", toy_classifier)
    again = load_classifier(path)
    images = open_dataset("toy", split="test").images[:4]
    assert torch.equal(again.extract(images).logits, toy_classifier.extract(images).logits)
    assert again.names == toy_classifier.names and again.config == toy_classifier.config


def test_images_of_another_size_are_refused(toy_classifier):
    with pytest.raises(UserError, match=r"for images of shape \(3, 32, 32\), not \(3, 64, 64\)"):
        toy_classifier.extract(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 9},
        {"labels": {"names": ["Smiling"]}},
        {"labels": {"names": ["a"] * 40}},
        {"labels": {"names": "Smiling"}},
        {"image": [3, 10**9, 3]},
        {"channels": [10**6] * 40},
        {"channels": [12]},
        {"labels": {"names": CELEBA.names, "one_hot": "yes"}},
        {"frequencies": [0.5]},
        {"surprise": 1},
    ],
)
def test_damaged_descriptions_are_refused(toy_classifier, tmp_path, changes):
    path = save_classifier(tmp_path / "classifier.safetensors", toy_classifier)
    _, metadata = checkpoint.read_tensors(path, KEY)
    raw = json.loads(metadata[KEY]) | changes
    save_file(load_file(path), tmp_path / "changed.safetensors", {KEY: json.dumps(raw)})
    with pytest.raises(UserError, match=r"damaged|disagree|format 9"):
        load_classifier(tmp_path / "changed.safetensors")


def test_models_and_nothing_are_no_classifiers(face_file):
    with pytest.raises(UserError, match="not written by"):
        load_classifier(face_file)
    with pytest.raises(UserError, match="no classifier 'nobody'"):
        load_classifier("nobody")


def test_the_command_trains_measures_and_keeps_what_it_measured(tmp_path, capsys):
    write_mnist(tmp_path, 64)
    argv = ["--data", "mnist", "--data-root", str(tmp_path), "--epochs", "1", "--batch-size", "32", "--device", "cpu"]
    assert main([*argv, "--out", str(tmp_path / "digits.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "always the more frequent" in said and "digits.safetensors" in said
    made = load_classifier(tmp_path / "digits.safetensors")
    assert made.labels == DIGITS and len(made.config.facts["scores"]["accuracy"]) == 10
    assert main([*argv, "--out", str(tmp_path / "digits.safetensors")]) == 2, "nothing is written over"
    assert main([*argv, "--out", str(tmp_path / "other.safetensors"), "--lr", "7"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert not (tmp_path / "other.safetensors").exists()


def test_shipped_classifiers_fit_the_shipped_models():
    known = shipped_classifiers()
    assert list(known) == ["celeba64", "celeba64-judge", "mnist32"]
    for name, path in known.items():
        classifier, model = load_classifier(name), checkpoint.load(name.removesuffix("-judge"))
        assert classifier.config.image == model.image_shape and classifier.names == model.names
        assert classifier.config.facts["licence"] and path.stat().st_size < 8e6
    faces, digits = (load_classifier(name).config.facts for name in ("celeba64", "mnist32"))
    assert np.mean(faces["scores"]["accuracy"]) > np.mean(faces["scores"]["majority"]) and digits["recognised"] > 0.99
    assert find_classifier(checkpoint.load("mnist32")).labels == DIGITS
    for name in ("celeba64", "celeba64-fast"):
        assert Path(find_classifier(checkpoint.load(name)).source).stem == "celeba64", "the other one only measures"


def test_the_toy_names_are_celebas(toy_classifier):
    assert toy_classifier.labels == CELEBA
