"""The search over the starting noise: the loss falls, the noise keeps its norm, and each start is on its own."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import ddpm_faces
from ddpm_faces import optimise as the_function_or_command
from ddpm_faces.generation.objective import AsksFor
from ddpm_faces.generation.optimise import optimise
from ddpm_faces.generation.optimise_files import read_state
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
    found = optimise(model, [5, 6], method="best-of", iterations=4, guidance=0.0, margin=50.0)
    again = optimise(model, [5, 6], method="best-of", iterations=4, guidance=0.0, margin=50.0)
    assert found.losses.shape == (5, 2)
    assert len(found.losses.unique()) == 10
    assert torch.equal(found.after, again.after)
    assert torch.equal(optimise(model, [5, 6], method="doodl", iterations=1, guidance=0.0).before, found.before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "doodle"}, "no method 'doodle'.*doodl"),
        ({"iterations": 0}, "iterations 0"),
        ({"beta": 2.0}, "beta 2"),
        ({"guidance": 1000.0}, "out of range"),
        ({"keep": "normal"}, "nothing called 'normal'.*norm"),
        ({"steps": 5000}, "5000 steps"),
    ],
)
def test_what_is_impossible_is_refused_before_any_work(model, options, message):
    with pytest.raises(UserError, match=message):
        optimise(model, [7], **options)


def test_one_step_guidance_keeps_the_start_and_pulls_harder_each_time(model):
    from ddpm_faces.generation.generate import start_noise

    found = optimise(model, [7, 7], seed=3, method="one-step", iterations=4, guidance=0.0, margin=50.0)
    assert torch.equal(found.noise, torch.stack([start_noise(model.image_shape, s)[0] for s in (3, 4)]))
    assert bool((found.losses[1] < found.losses[0]).all())
    assert bool((found.losses.amin(dim=0) < 0.5 * found.losses[0]).all())


def test_a_search_that_goes_on_is_the_one_that_was_never_cut(sevens, model):
    options = {"seed": 3, "method": "doodl", "guidance": 0.0, "margin": 50.0}
    half = optimise(model, [7, 7], iterations=3, **options)
    assert len(half.losses) == 4
    whole = optimise(model, [7, 7], iterations=6, state=half.state, **options)
    assert torch.allclose(whole.losses, sevens.losses, atol=1e-5)
    assert torch.allclose(whole.after, sevens.after, atol=1e-4)


def test_staying_near_keeps_the_picture(sevens, model):
    near = optimise(model, [7, 7], seed=3, method="doodl", iterations=6, guidance=0.0, margin=50.0, stay=1000.0)
    assert torch.allclose(near.before, sevens.before, atol=1e-5)
    assert float((near.after - near.before).abs().mean()) < 0.3 * float((sevens.after - sevens.before).abs().mean())


def test_a_chain_longer_than_float32_bears_runs_in_float64(model, monkeypatch):
    plain = optimise(model, [7], method="doodl", iterations=1, margin=50.0, steps=6)
    monkeypatch.setattr("ddpm_faces.generation.optimise.LONGEST", 5)
    exact = optimise(model, [7], method="doodl", iterations=1, margin=50.0, steps=6)
    assert exact.after.dtype == torch.float32
    assert torch.allclose(exact.losses, plain.losses, rtol=1e-2)
    assert not torch.equal(exact.before, plain.before)
    assert next(model.network.parameters()).dtype == torch.float32, "the model itself stays as it is"


def test_rare_attributes_are_not_asked_for_more_loudly():
    faces = ddpm_faces.load("celeba64")
    classifier = load_classifier("celeba64")
    images = ddpm_faces.generate(faces, "Eyeglasses", n=2, seed=0, steps=4)
    asks = AsksFor(classifier, faces.names, faces.labels.vector({"Eyeglasses": 1.0})[None].repeat(2, 1))
    k = faces.names.index("Eyeglasses")
    logits = classifier.extract(images).logits[:, k]
    odds = classifier.config.frequencies[k]
    assert torch.allclose(asks.margins(images), logits - torch.logit(torch.tensor(odds)), atol=1e-4)


def test_attributes_nobody_asked_for_are_those_of_the_strip():
    from ddpm_faces.conditions.prior import sample_vector
    from ddpm_faces.generation.conditions import draw_others

    faces = ddpm_faces.load("celeba64")
    asked = faces.labels.vector({"Eyeglasses": 1.0})[None].repeat(2, 1)
    rows = draw_others(faces, asked, [5, 6])
    wanted = sample_vector(faces.labels, faces.config.frequencies, 6, {"Eyeglasses": 1.0})
    assert rows[1].tolist() == pytest.approx(wanted.tolist())
    assert not torch.equal(rows[0], rows[1])


def test_a_photo_is_where_its_search_begins_and_what_it_stays_near():
    """A drawn face serves as the photo. At guidance 1, under its own attributes, the inverted chain draws it again."""
    faces = ddpm_faces.load("celeba64")
    photo = ddpm_faces.generate(faces, "Young,-Eyeglasses", n=1, seed=4).clamp(-1, 1)
    options = {"photos": photo, "method": "doodl", "iterations": 1, "steps": 6}
    found = optimise(faces, "Eyeglasses", **options)
    assert torch.equal(found.state.anchor, photo)
    assert float((found.before - photo).abs().mean()) / 2 < 0.1, "the same photo, on the way to glasses"
    back = optimise(faces, "", loss=lambda images: images.mean(dim=(1, 2, 3)), guidance=1.0, **options)
    assert torch.allclose(back.before, photo, atol=1e-3)
    assert back.margins is None


def test_asking_for_nothing_is_refused():
    with pytest.raises(UserError, match="nothing is asked for"):
        optimise(ddpm_faces.load("celeba64"), "", 2)


def test_attributes_that_exclude_each_other_are_refused():
    with pytest.raises(UserError, match="exclude each other"):
        optimise(ddpm_faces.load("celeba64"), "Black_Hair,Blond_Hair", 2)


def test_the_command_writes_a_sheet_a_curve_and_the_starts(tmp_path, capsys):
    from ddpm_faces.optimise import main

    out = tmp_path / "sheet.png"
    argv = ["--model", "mnist32", "--set", "7", "--n", "2", "--iterations", "1", "--margin", "50"]
    assert main([*argv, "--show-saliency", "--gif", "--out", str(out)]) == 0
    assert "0 of 2 starts reached the margin of 50" in capsys.readouterr().out
    assert Image.open(out).height > 3 * 128
    assert Image.open(tmp_path / "sheet-loss.png").width > 600
    assert Image.open(tmp_path / "sheet.gif").n_frames == 2
    assert callable(the_function_or_command)
    assert main(["--model", "mnist32", "--set", "Eyeglasses"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_command_goes_on_from_its_file_of_starts(tmp_path, capsys):
    from ddpm_faces.optimise import main

    argv = ["--model", "mnist32", "--set", "7", "--n", "2", "--margin", "50", "--method", "doodl"]
    assert main([*argv, "--iterations", "3", "--out", str(tmp_path / "whole.png")]) == 0
    assert main([*argv, "--iterations", "1", "--out", str(tmp_path / "cut.png")]) == 0
    assert main(["--resume", str(tmp_path / "cut.safetensors"), "--iterations", "3"]) == 0
    whole, cut = (read_state(tmp_path / f"{name}.safetensors")[0] for name in ("whole", "cut"))
    assert torch.allclose(torch.stack(cut.losses), torch.stack(whole.losses), atol=1e-5)
    assert torch.allclose(cut.z, whole.z, atol=1e-5)
    capsys.readouterr()
    for wrong, message in (
        (["--resume", str(tmp_path / "cut.safetensors"), "--seed", "5"], "another --seed"),
        (["--resume", str(tmp_path / "none.safetensors")], "no file of starts"),
        (["--resume", str(tmp_path / "cut.png")], "safetensors"),
    ):
        assert main(wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_the_command_starts_from_a_photo(tmp_path, capsys):
    from ddpm_faces.optimise import main

    photo = tmp_path / "photo.png"
    ddpm_faces.grid(ddpm_faces.generate(ddpm_faces.load("celeba64"), "-Eyeglasses", n=1, seed=4), 1, zoom=1).crop(
        (10, 2, 74, 66)
    ).save(photo)
    argv = ["--photo", str(photo), "--set", "Eyeglasses", "--iterations", "1", "--steps", "4", "--out", str(tmp_path / "o.png")]
    assert main([*argv, "--aligned"]) == 0
    assert Image.open(tmp_path / "o.png").height > 3 * 128
    assert main([*argv, "--n", "3"]) == 2
    assert "a photo is one start" in capsys.readouterr().err
    assert main(["--set", "Eyeglasses", "--aligned"]) == 2
    assert "--photo" in capsys.readouterr().err
