"""The judge: it learns what it is shown, says how right it is, and its file is as safe as a model's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from conftest import write_mnist
from safetensors.torch import load_file, save_file

from ddpm_faces import judge
from ddpm_faces.attributes import CELEBA, DIGITS
from ddpm_faces.data import open_data
from ddpm_faces.errors import UserError
from ddpm_faces.evaluate import EvaluateConfig, find_judge
from ddpm_faces.evaluation.control import obedience
from ddpm_faces.judge import Judge, JudgeConfig, scores
from ddpm_faces.models.classifier import Classifier
from ddpm_faces.train_classifier import ClassifierConfig, augment, fit, main


@pytest.fixture(scope="module")
def toy_judge() -> Judge:
    """Trained for a few seconds on toy faces, whose labels are exact."""
    store = open_data("toy")
    config = JudgeConfig(store.names, (3, 32, 32), (16, 32, 64), exclusive=False)
    torch.manual_seed(0)
    network = config.network()
    fit(
        network,
        store,
        ClassifierConfig(data="toy", epochs=1.5, lr=4e-3, batch_size=32, shift=2, device="cpu"),
        torch.device("cpu"),
        exclusive=False,
    )
    return Judge(network, config)


def test_it_learns_what_can_be_seen(toy_judge):
    test = open_data("toy", split="test")
    truth = torch.from_numpy(np.array(test.conditions))
    balanced = dict(zip(test.names, scores(toy_judge.extract(test.images).logits, truth, False)["balanced"], strict=True))
    for name, least in (("Male", 0.95), ("Black_Hair", 0.9), ("Blond_Hair", 0.85), ("Wearing_Lipstick", 0.75)):
        assert balanced[name] > least, f"{name}: {balanced[name]}"


def test_what_it_says_does_not_depend_on_the_batch_or_the_kind_of_array(toy_judge):
    images = open_data("toy", split="test").images[:130]
    whole = toy_judge.extract(images)
    assert whole.logits.shape == (130, 40) and whole.features.shape == (130, 64)
    tensor = torch.from_numpy(images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    alone = toy_judge.extract(tensor[129:])
    assert torch.allclose(whole.logits[129:], alone.logits, atol=1e-4)
    assert torch.allclose(toy_judge.network.logits(whole.features), whole.logits, atol=1e-4), "a linear map of the features"
    assert toy_judge.extract(tensor[:0]).logits.shape == (0, 40)


def test_features_come_by_stage():
    maps = Classifier(3, 40).features(torch.randn(2, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [
        *[(2, 24, 32, 32), (2, 48, 16, 16), (2, 96, 8, 8), (2, 144, 4, 4)],
        (2, 144),
    ]
    assert 0.8e6 < sum(p.numel() for p in Classifier(3, 40).parameters()) < 1.6e6


def test_scores_of_a_case_worked_by_hand():
    labels = torch.tensor([[1, -1, -1], [1, -1, -1], [1, -1, -1], [-1, 1, -1]])
    logits = torch.tensor([[2.0, -1, -1], [1, -1, -1], [-1, -1, -1], [1, -1, -1]])
    result = scores(logits, labels, exclusive=False)
    assert result["accuracy"] == [0.5, 0.75, 1.0]
    assert result["balanced"][:2] == pytest.approx([(2 / 3 + 0) / 2, 0.5]) and math.isnan(result["balanced"][2])
    assert result["majority"] == [0.75, 0.75, 1.0] and result["present"] == [0.75, 0.25, 0.0]
    one = scores(torch.tensor([[0.1, 0.2], [0.3, 0.2]]), torch.tensor([[0, 1], [0, 1]]), exclusive=True)
    assert one["accuracy"] == [0.5, 0.5], "of the two classes the larger logit counts, whatever its sign"


def test_rare_attributes_are_judged_where_yes_and_no_are_as_likely():
    config = JudgeConfig(("Bald", "Male"), (3, 8, 8), (8,), False, frequencies=(0.02, 0.5))
    assert config.thresholds.tolist() == pytest.approx([math.log(0.02 / 0.98), 0])
    logits, labels = torch.tensor([[-2.0, 1], [-5, 1]]), torch.tensor([[1, 1], [-1, -1]])
    plain, fair = scores(logits, labels, False), scores(logits, labels, False, config.thresholds)
    assert (
        plain["balanced"] == [0.5, 0.5] and fair["balanced"] == [1, 0.5] and fair["accuracy"] == plain["accuracy"] == [0.5, 0.5]
    )
    assert obedience(logits, labels.float(), False, config.thresholds).balanced == [1, 0.5]
    digits = JudgeConfig(DIGITS, (1, 8, 8), (8,), True)
    assert digits.thresholds.tolist() == [0] * 10


def test_augment_shifts_and_mirrors_and_keeps_every_picture():
    rng = torch.Generator().manual_seed(0)
    images = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(200, 1, 1, 1)
    assert torch.equal(augment(images, 0, False, rng), images)
    mirrored = augment(images, 0, True, rng)
    same = (mirrored == images).flatten(1).all(dim=1)
    assert 60 < same.sum() < 140 and torch.equal(mirrored[~same], images.flip(3)[~same])
    moved = augment(images, 2, False, rng)
    corners = {(int(v) // 8, int(v) % 8) for v in moved[:, 0, 4, 4]}
    assert corners == {(y, x) for y in range(2, 7) for x in range(2, 7)}


def test_a_file_gives_the_same_judge_back(toy_judge, tmp_path):
    path = judge.save(tmp_path / "judge.safetensors", toy_judge)
    again = judge.load(path)
    images = open_data("toy", split="test").images[:4]
    assert torch.equal(again.extract(images).logits, toy_judge.extract(images).logits)
    assert again.names == toy_judge.names and again.config == toy_judge.config


def test_pictures_of_another_size_are_refused(toy_judge):
    with pytest.raises(UserError, match=r"for pictures of shape \(3, 32, 32\), not \(3, 64, 64\)"):
        toy_judge.extract(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 9},
        {"names": ["Smiling"]},
        {"names": ["a"] * 40},
        {"image": [3, 10**9, 3]},
        {"channels": [10**6] * 40},
        {"channels": [12]},
        {"exclusive": "yes"},
        {"frequencies": [0.5]},
        {"surprise": 1},
    ],
)
def test_damaged_descriptions_are_refused(toy_judge, tmp_path, changes):
    path = judge.save(tmp_path / "judge.safetensors", toy_judge)
    _, metadata = judge.checkpoint.read_tensors(path, judge.KEY)
    raw = json.loads(metadata[judge.KEY]) | changes
    save_file(load_file(path), tmp_path / "changed.safetensors", {judge.KEY: json.dumps(raw)})
    with pytest.raises(UserError, match=r"damaged|disagree|format 9"):
        judge.load(tmp_path / "changed.safetensors")


def test_models_and_nothing_are_no_classifiers(face_file):
    with pytest.raises(UserError, match="not written by"):
        judge.load(face_file)
    with pytest.raises(UserError, match="no classifier 'nobody'"):
        judge.load("nobody")


def test_the_command_trains_measures_and_keeps_what_it_measured(tmp_path, capsys):
    write_mnist(tmp_path, 64)
    argv = ["--data", "mnist", "--data-root", str(tmp_path), "--epochs", "1", "--batch-size", "32", "--device", "cpu"]
    assert main([*argv, "--out", str(tmp_path / "digits.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "always the more frequent" in said and "digits.safetensors" in said
    made = judge.load(tmp_path / "digits.safetensors")
    assert made.names == DIGITS and made.config.exclusive and len(made.config.facts["scores"]["accuracy"]) == 10
    assert main([*argv, "--out", str(tmp_path / "digits.safetensors")]) == 2, "nothing is written over"
    assert main([*argv, "--out", str(tmp_path / "other.safetensors"), "--lr", "7"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert not (tmp_path / "other.safetensors").exists()


def test_shipped_classifiers_judge_the_shipped_models():
    known = judge.shipped()
    assert set(known) == {"celeba64", "mnist32"}
    for name, path in known.items():
        classifier, model = judge.load(name), judge.checkpoint.load(name)
        assert classifier.config.image == model.image_shape and classifier.names == model.names
        assert classifier.config.facts["licence"] and path.stat().st_size < 8e6
    faces, digits = (judge.load(name).config.facts for name in ("celeba64", "mnist32"))
    assert np.mean(faces["scores"]["accuracy"]) > np.mean(faces["scores"]["majority"]) and digits["recognised"] > 0.99
    assert find_judge(EvaluateConfig(), judge.checkpoint.load("mnist32")).names == DIGITS


def test_the_toy_names_are_celebas(toy_judge):
    assert toy_judge.names == CELEBA
