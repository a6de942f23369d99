"""The search over the starting noise: the loss falls, the noise keeps its norm, and each start is on its own."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import ddpm_faces
from ddpm_faces import optimise as the_function_or_command
from ddpm_faces.generation.optimise import optimise
from ddpm_faces.models.classifier_checkpoint import load_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.models.saliency import spectral_residual
from ddpm_faces.utils.errors import UserError


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    return ddpm_faces.load("mnist32")


@pytest.fixture(scope="module")
def sevens(model):
    """Two starts of which the model, at guidance 0, would draw anything, searched for a seven."""
    return optimise(model, [7, 7], seed=3, method="doodl", iterations=6, guidance=0.0, margin=50.0)


def test_the_loss_falls_and_the_margin_is_the_best_iterates(sevens):
    assert sevens.losses.shape == (7, 2)
    assert bool((sevens.losses.amin(dim=0) < sevens.losses[0]).all())
    assert sevens.before.shape == sevens.after.shape == sevens.noise.shape == (2, 1, 32, 32)
    assert float((sevens.after - sevens.before).abs().mean()) > 1e-3
    classifier = load_classifier("mnist32")
    share = classifier.extract(sevens.after).logits.softmax(dim=1)[:, 7]
    assert torch.allclose(sevens.margins, share.logit(), atol=1e-3)  # the log odds of a seven


def test_the_noise_keeps_the_norm_that_it_had(sevens, model):
    from ddpm_faces.generation.generate import start_noise

    for noise, seed in zip(sevens.noise, (3, 4), strict=True):
        start, _ = start_noise(model.image_shape, seed)
        assert float(noise.norm()) == pytest.approx(float(start.norm()), rel=1e-5)
        assert not torch.equal(noise, start)


def test_a_start_does_not_depend_on_its_neighbours(sevens, model):
    alone = optimise(model, [7], seed=4, method="doodl", iterations=6, guidance=0.0, margin=50.0)
    assert torch.allclose(alone.losses[:, 0], sevens.losses[:, 1], atol=1e-3)
    assert torch.allclose(alone.after[0], sevens.after[1], atol=2e-2)


def test_a_start_that_is_good_enough_is_left_alone(model):
    found = optimise(model, [7, 7], method="doodl", iterations=5, margin=-100.0)
    assert found.losses.shape == (1, 2)
    assert torch.equal(found.before, found.after)


def test_the_salient_part_enters_the_loss(model):
    whole = optimise(model, [7], method="sgool", iterations=1, beta=0.0, guidance=0.0, margin=50.0)
    plain = optimise(model, [7], method="doodl", iterations=1, guidance=0.0, margin=50.0)
    part = optimise(model, [7], method="sgool", iterations=1, beta=1.0, guidance=0.0, margin=50.0, saliency=spectral_residual)
    assert torch.allclose(whole.losses, plain.losses, atol=1e-4)
    assert float((part.losses - plain.losses).abs().max()) > 1e-3
    assert part.saliency.shape == (1, 1, 32, 32)
    assert plain.saliency is None


def test_a_loss_of_ones_own(model):
    found = optimise(model, [3], method="doodl", iterations=3, loss=lambda images: images.mean(dim=(1, 2, 3)))
    assert found.losses.shape == (4, 1)
    assert float(found.after.mean()) < float(found.before.mean())
    assert found.margins is None


def test_best_of_keeps_the_best_of_fresh_starts(model):
    found = optimise(model, [5, 6], method="best-of", iterations=4, guidance=0.0)
    again = optimise(model, [5, 6], method="best-of", iterations=4, guidance=0.0)
    assert found.losses.shape == (4, 2)
    assert len(found.losses.unique()) == 8
    assert torch.equal(found.after, again.after)
    first = optimise(model, [5, 6], method="best-of", iterations=1, guidance=0.0)
    assert torch.allclose(first.after, found.before, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "doodle"}, "no method 'doodle'.*doodl"),
        ({"iterations": 0}, "iterations 0"),
        ({"beta": 2.0}, "beta 2"),
        ({"guidance": 1000.0}, "out of range"),
    ],
)
def test_what_is_impossible_is_refused_before_any_work(model, options, message):
    with pytest.raises(UserError, match=message):
        optimise(model, [7], **options)


def test_asking_for_nothing_is_refused():
    with pytest.raises(UserError, match="nothing is asked for"):
        optimise(ddpm_faces.load("celeba64"), "", 2)


def test_the_command_writes_a_sheet(tmp_path, capsys):
    from ddpm_faces.optimise import main

    out = tmp_path / "sheet.png"
    argv = ["--model", "mnist32", "--set", "7", "--n", "2", "--iterations", "1", "--show-saliency", "--out", str(out)]
    assert main(argv) == 0
    assert "of 2 starts reached the margin of 3" in capsys.readouterr().out
    assert Image.open(out).height > 3 * 128
    assert callable(the_function_or_command)
    assert main(["--model", "mnist32", "--set", "Eyeglasses"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
