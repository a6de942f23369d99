"""Pictures depend on their own seed and condition, not on their company; conditions can be said in several ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import random_model

import ddpm_faces
from ddpm_faces.attributes import CELEBA, one_hot, parse_spec, to_vector
from ddpm_faces.errors import UserError
from ddpm_faces.generation import generate, start_noise, to_conditions


@pytest.mark.parametrize(("sampler", "steps"), [("dpm", 5), ("ddim", 5), ("ddpm", 20)])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_picture_is_the_same_alone_and_in_any_batch(face_model, sampler, steps, precision):
    options = {"seed": 7, "guidance": 2.0, "sampler": sampler, "steps": steps, "precision": precision}
    whole = generate(face_model, "Smiling", 5, **options)
    assert whole.shape == (5, 3, 16, 16) and whole.abs().max() <= 1
    by_two = generate(face_model, "Smiling", 5, batch_size=2, **options)
    alone = generate(face_model, "Smiling", 1, **{**options, "seed": 10})
    assert (whole - by_two).abs().max() < 1e-4 and (whole[3] - alone[0]).abs().max() < 1e-4
    assert (whole[0] - whole[1]).abs().max() > 0.1, "other seeds give other pictures"
    assert torch.equal(whole, generate(face_model, "Smiling", 5, **options))


def test_half_precision_gives_the_same_pictures():
    """The shipped model, whose pictures people see: to about a shade of 255, on average."""
    model = ddpm_faces.load("celeba64")
    full, half = (generate(model, "Smiling,Male", 2, steps=10, precision=precision) for precision in ("no", "bf16"))
    assert not torch.equal(full, half)
    assert (full - half).abs().mean() * 127.5 < 2


def test_the_condition_changes_the_picture_and_guidance_how_much(face_model):
    def smile(guidance):
        return generate(face_model, "Smiling", 1, guidance=guidance, steps=5)

    nothing = generate(face_model, "", 1, guidance=3, steps=5)
    assert torch.allclose(smile(0), nothing, atol=1e-5)
    assert (smile(3) - nothing).abs().mean() > (smile(1) - nothing).abs().mean() > 1e-3


def test_guidance_defaults_to_the_checkpoints_own(face_model):
    assert torch.equal(generate(face_model, "Male", 1, steps=4), generate(face_model, "Male", 1, steps=4, guidance=2.0))
    model = random_model(CELEBA, (3, 16, 16), guidance=2.0, guidance_alone=5.0)
    both = torch.stack((torch.eye(40)[6], torch.ones(40)))  # one attribute, and all
    for options in ({"batch_size": 2}, {"batch_size": 1}):
        pictures = generate(model, both, seed=[3, 4], steps=4, **options)
        for i, scale in enumerate((5.0, 2.0)):
            assert (pictures[i] - generate(model, both[i], seed=3 + i, steps=4, guidance=scale)[0]).abs().max() < 1e-4
    given = generate(model, both, seed=[3, 4], steps=4, guidance=torch.tensor([5.0, 2.0]))
    assert (pictures - given).abs().max() < 1e-4 and (given - generate(model, both, seed=[3, 4], steps=4, guidance=2)).any()


def test_conditions_in_words_mappings_and_vectors(face_model, digit_model):
    spec = "Smiling,-Male,Young=0.5"
    vector = to_vector(parse_spec(spec))
    for said in (spec, parse_spec(spec), vector, vector[None]):
        assert torch.equal(to_conditions(face_model, said, 3), vector.expand(3, 40))
    assert torch.equal(to_conditions(face_model, vector.numpy(), 3), vector.expand(3, 40))
    both = to_conditions(face_model, [spec, "Male"])
    assert torch.equal(both, torch.stack([vector, to_vector({"Male": 1.0})]))
    assert torch.equal(to_conditions(digit_model, "0-2", 5), one_hot([0, 1, 2, 0, 1]))
    assert torch.equal(to_conditions(digit_model, [4, 2]), one_hot([4, 2]))


def test_seeds_may_come_from_numpy_and_torch(face_model):
    expected = generate(face_model, "", 2, seed=3, steps=2)
    for seed in (np.int64(3), np.array([3, 4]), torch.tensor([3, 4]), (3, 4)):
        assert torch.equal(generate(face_model, "", 2, seed=seed, steps=2), expected)


def test_impossible_wishes_are_refused(face_model, digit_model):
    for wish in (
        lambda: to_conditions(digit_model, {"Smiling": 1}),
        lambda: to_conditions(digit_model, "Smiling"),
        lambda: to_conditions(digit_model, [11]),
        lambda: to_conditions(digit_model, []),
        lambda: to_conditions(face_model, [3]),
        lambda: to_conditions(face_model, torch.zeros(10)),
        lambda: to_conditions(face_model, torch.full((40,), 2.0)),
        lambda: to_conditions(face_model, torch.zeros(3, 40), 2),
        lambda: generate(face_model, "", 2, seed=[1, 2, 3]),
        lambda: generate(face_model, "", 2, seed=-1),
        lambda: generate(face_model, "", 2, seed=[1.5, 2]),
        lambda: generate(face_model, "", 0),
        lambda: generate(face_model, "", 2, steps=0),
        lambda: generate(face_model, "", 2, steps=1001),
        lambda: generate(face_model, "", 2, sampler="euler"),
        lambda: generate(face_model, "", 2, guidance=float("nan")),
        lambda: generate(face_model, "", 2, guidance=torch.tensor([-101.0, 1.0])),
        lambda: generate(face_model, "", 2, guidance=torch.ones(3)),
        lambda: generate(face_model, "", 2, batch_size=0),
        lambda: generate(face_model, "", 2, precision="fp16"),
        lambda: generate(face_model, "", 2, precision="fp8"),
    ):
        with pytest.raises(UserError) as caught:
            wish()
        assert "\n" not in str(caught.value)


def test_start_noise_is_standard_normal_and_the_generator_goes_on():
    noise, generator = start_noise((3, 64, 64), 0)
    assert abs(float(noise.mean())) < 0.03 and abs(float(noise.std()) - 1) < 0.03
    assert not torch.equal(torch.randn((3, 64, 64), generator=generator), noise)


def test_the_package_offers_what_the_readme_shows(face_file):
    model = ddpm_faces.load(face_file)
    assert ddpm_faces.generate(model, "Smiling,-Male", n=2, steps=3).shape == (2, 3, 16, 16)
    assert ddpm_faces.UserError is UserError
    with pytest.raises(AttributeError):
        ddpm_faces.paint  # noqa: B018
