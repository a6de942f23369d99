"""Images depend on their own seed and condition, not on their company; conditions can be said in several ways."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from conftest import random_model

import ddpm_faces
from ddpm_faces.conditions import CELEBA, DIGITS
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.samplers import SAMPLERS, ddim, register_sampler
from ddpm_faces.diffusion.sampling import State, jumps, predict
from ddpm_faces.generation.conditions import to_conditions
from ddpm_faces.generation.generate import generate, start_noise
from ddpm_faces.generation.strips import class_strip
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError


@pytest.mark.parametrize(("sampler", "steps"), [("dpm", 5), ("ddim", 5), ("ddpm", 20)])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_an_image_is_the_same_alone_and_in_any_batch(face_model, sampler, steps, precision):
    options = {"seed": 7, "guidance": 2.0, "sampler": sampler, "steps": steps, "precision": precision}
    whole = generate(face_model, "Smiling", 5, **options)
    assert whole.shape == (5, 3, 16, 16) and whole.abs().max() <= 1
    by_two = generate(face_model, "Smiling", 5, batch_size=2, **options)
    alone = generate(face_model, "Smiling", 1, **{**options, "seed": 10})
    assert (whole - by_two).abs().max() < 1e-4 and (whole[3] - alone[0]).abs().max() < 1e-4
    assert (whole[0] - whole[1]).abs().max() > 0.1, "other seeds give other images"
    assert torch.equal(whole, generate(face_model, "Smiling", 5, **options))


def test_half_precision_gives_the_same_images():
    """The shipped model, whose images people see: to about a shade of 255, on average."""
    model = ddpm_faces.load("celeba64")
    full, half = (generate(model, "Smiling,Male", 2, steps=10, precision=precision) for precision in ("no", "bf16"))
    assert not torch.equal(full, half)
    assert (full - half).abs().mean() * 127.5 < 2


def test_the_condition_changes_the_image_and_guidance_how_much(face_model):
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
        images = generate(model, both, seed=[3, 4], steps=4, **options)
        for i, scale in enumerate((5.0, 2.0)):
            assert (images[i] - generate(model, both[i], seed=3 + i, steps=4, guidance=scale)[0]).abs().max() < 1e-4
    given = generate(model, both, seed=[3, 4], steps=4, guidance=torch.tensor([5.0, 2.0]))
    assert (images - given).abs().max() < 1e-4 and (given - generate(model, both, seed=[3, 4], steps=4, guidance=2)).any()


def test_conditions_in_words_mappings_and_vectors(face_model, digit_model):
    spec = "Smiling,-Male,Young=0.5"
    vector = CELEBA.vector(CELEBA.parse(spec))
    for said in (spec, CELEBA.parse(spec), vector, vector[None]):
        assert torch.equal(to_conditions(face_model, said, 3), vector.expand(3, 40))
    assert torch.equal(to_conditions(face_model, vector.numpy(), 3), vector.expand(3, 40))
    both = to_conditions(face_model, [spec, "Male"])
    assert torch.equal(both, torch.stack([vector, CELEBA.vector({"Male": 1.0})]))
    assert torch.equal(to_conditions(digit_model, "0-2", 5), DIGITS.one_hot_vectors([0, 1, 2, 0, 1]))
    assert torch.equal(to_conditions(digit_model, [4, 2]), DIGITS.one_hot_vectors([4, 2]))


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


def test_start_noise_can_be_passed_in(face_model):
    noise = torch.stack([start_noise((3, 16, 16), s)[0] for s in (3, 4)])
    for sampler in ("dpm", "ddpm"):
        ours = generate(face_model, "Smiling", 2, seed=3, noise=noise, steps=4, sampler=sampler)
        assert torch.equal(ours, generate(face_model, "Smiling", 2, seed=3, steps=4, sampler=sampler))
    assert not torch.equal(ours, generate(face_model, "Smiling", 2, seed=3, noise=0.9 * noise, steps=4, sampler="ddpm"))
    with pytest.raises(UserError, match=r"noise of 2 images is \(2, 3, 16, 16\)"):
        generate(face_model, "Smiling", 2, noise=noise[:1])


def test_gradients_flow_to_the_start_noise(face_model):
    noise = torch.randn(2, 3, 16, 16, requires_grad=True)
    images = generate(face_model, "Smiling", 2, noise=noise, steps=3, sampler="ddim", precision="no")
    (gradient,) = torch.autograd.grad(images.square().sum(), noise)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    assert not generate(face_model, "Smiling", 1, steps=2).requires_grad, "frozen weights alone build no graph"


def test_a_network_in_double_is_sampled_in_double_and_one_in_half_is_told(face_model):
    model = DiffusionModel(copy.deepcopy(face_model.network).double(), face_model.config)
    noise = torch.randn(1, 3, 16, 16).double()
    exact, moved = (generate(model, "Male", 1, noise=x, steps=3, precision="no") for x in (noise, noise + 1e-10))
    assert exact.dtype == torch.float64
    assert 0 < (moved - exact).abs().max() < 1e-4, "no float32 on the way swallows a change of 1e-10"
    for half in (torch.float16, torch.bfloat16):
        with pytest.raises(UserError, match=r"weights are torch.*call model.network.float"):
            generate(DiffusionModel(copy.deepcopy(face_model.network).to(half), face_model.config))


def heun(eps, x, schedule, steps, noise, clip=False):
    """A sampler of a user's own: Karras et al. 2022, algorithm 1, in x / alpha and sigma / alpha."""
    for step, t, ab, ab_next in jumps(schedule, steps, x, "karras"):
        x0, e = predict(eps, x, t, schedule, clip)
        sigma, sigma_next = ((1 - ab) / ab) ** 0.5, ((1 - ab_next) / ab_next) ** 0.5
        y = x / ab**0.5 + (sigma_next - sigma) * e
        x = ab_next**0.5 * y
        yield State(step, x, x0)


def test_a_sampler_may_be_any_function_on_the_contract(face_model):
    ours = generate(face_model, "Smiling", 2, sampler=heun, steps=6)
    assert ours.shape == (2, 3, 16, 16)
    assert torch.equal(
        generate(face_model, "Smiling", 2, sampler=ddim, steps=6), generate(face_model, "Smiling", 2, sampler="ddim", steps=6)
    )
    register_sampler("heun", heun, 6)
    assert torch.equal(generate(face_model, "Smiling", 2, sampler="heun"), ours), "by name, with its own number of steps"


class Latents(DiffusionModel):
    """A model whose null is not zeros, whose samples have no range, and whose images are decoded from them."""

    clip = False

    def null(self, conditions):
        return -torch.ones_like(conditions)

    def decode(self, x):
        return (x / 10).clamp(-1, 1)


def test_null_clip_and_decode_are_the_models(face_model):
    latent = Latents(face_model.network, face_model.config)
    plain = generate(face_model, "Smiling", 1, steps=4, guidance=3, precision="no")
    ours = generate(latent, "Smiling", 1, steps=4, guidance=3, precision="no")
    noise = start_noise((3, 16, 16), 0)[0][None]
    c = CELEBA.vector({"Smiling": 1})[None]
    *_, last = SAMPLERS["dpm"].function(
        guided(face_model.network, c, 3.0, -torch.ones_like(c)), noise, face_model.schedule, 4, lambda: noise, False
    )
    assert (ours - (last.x / 10).clamp(-1, 1)).abs().max() < 1e-5 and not torch.allclose(ours, plain)


def test_surroundings_do_not_change_the_images(face_model):
    """An autocast or a default dtype around the call are the caller's, not the images'."""
    expected = generate(face_model, "Smiling", 1, steps=3, precision="no")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(generate(face_model, "Smiling", 1, steps=3, precision="no"), expected)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        inside = generate(face_model, "Smiling", 1, steps=3, precision="no")
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(inside, expected) and inside.dtype == torch.float32


def test_more_ways_to_say_a_condition(face_model, digit_model):
    yes = CELEBA.vector({"Smiling": 1, "Male": -1})
    assert torch.equal(to_conditions(face_model, {"Smiling": True, "Male": False})[0], yes)
    assert torch.equal(to_conditions(face_model, [{"Smiling": True, "Male": False}, "Smiling,-Male"]), torch.stack([yes, yes]))
    assert torch.equal(to_conditions(face_model, [[0.0] * 40]), torch.zeros(1, 40))
    assert torch.equal(to_conditions(face_model, np.ones((2, 40))[::-1]), torch.ones(2, 40)), "negative strides"
    assert torch.equal(to_conditions(face_model, torch.zeros(40, dtype=torch.bool)), -torch.ones(1, 40)), "False is absent"
    for seven in (7, np.int64(7), torch.tensor(7), "7", [7], torch.tensor([7]), np.array([7])):
        assert torch.equal(to_conditions(digit_model, seven), torch.eye(10)[7:8]), repr(seven)
    assert torch.equal(to_conditions(digit_model, torch.arange(10)), torch.eye(10)), "ten labels are ten digits"
    with pytest.raises(UserError, match="ambiguous"):
        to_conditions(face_model, torch.eye(40, dtype=torch.long)[:2])


@pytest.mark.parametrize("wrong", [None, 3.5, [torch.zeros(3), torch.zeros(2)], np.array(["x"]), object()])
def test_what_is_no_condition_is_told_in_one_line(face_model, wrong):
    with pytest.raises(UserError):
        to_conditions(face_model, wrong)


def test_arguments_that_make_no_sense_are_told(face_model):
    for call, message in (
        (lambda: generate("celeba64", "Smiling"), "generate takes a model"),
        (lambda: generate(face_model, n=-1), "whole number"),
        (lambda: generate(face_model, n="2"), "whole number"),
        (lambda: generate(face_model, seed="3"), "seeds are whole numbers"),
        (lambda: generate(face_model, steps=2.5), "steps is a whole number"),
        (lambda: generate(face_model, seed=-1), "seeds are 0 to"),
        (lambda: generate(face_model, batch_size=2.5), "batch size"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    assert generate(face_model, steps=2.0).shape == (1, 3, 16, 16)


def test_the_package_offers_what_the_readme_shows(face_file):
    model = ddpm_faces.load(face_file)
    assert ddpm_faces.generate(model, "Smiling,-Male", n=2, steps=3).shape == (2, 3, 16, 16)
    strip = ddpm_faces.strip(model, "eyeglasses", "Smiling", columns=3, rows=2, steps=2)
    assert strip.images.shape == (6, 3, 16, 16) and strip.draw().width > 3 * 16 and len(strip.frames()) == 3
    assert ddpm_faces.board(model, "Smiling", "Young", columns=3, steps=2).layout.left == ["-1", "+0", "+1"]
    assert ddpm_faces.grid(strip.images, columns=3).width > 3 * 16
    assert ddpm_faces.UserError is UserError and issubclass(UserError, ValueError)
    assert set(ddpm_faces.__all__) <= set(dir(ddpm_faces)) and all(hasattr(ddpm_faces, name) for name in ddpm_faces.__all__)
    with pytest.raises(AttributeError):
        ddpm_faces.paint  # noqa: B018


def test_a_models_images_may_be_larger_than_its_latents(face_model):
    class Upsampled(Latents):
        @property
        def decoded_shape(self):
            return (3, 32, 32)

        def decode(self, x):
            return torch.nn.functional.interpolate(x, scale_factor=2.0).clamp(-1, 1)

    images = generate(Upsampled(face_model.network, face_model.config), "Smiling", 3, steps=2, batch_size=2)
    assert images.shape == (3, 3, 32, 32) and torch.equal(images[:, :, ::2, ::2], images[:, :, 1::2, 1::2])


def test_one_hot_rows_are_one_condition_and_numbers_0_and_1_are_not_booleans(face_model, digit_model):
    row = np.eye(10, dtype=np.int8)[3]
    assert torch.equal(to_conditions(digit_model, row), torch.eye(10)[3:4])
    assert torch.equal(to_conditions(digit_model, np.arange(10)), torch.eye(10))
    with pytest.raises(UserError, match="ambiguous"):
        to_conditions(face_model, np.eye(40, dtype=np.uint8)[0])
    for wrong in ({"Smiling": "yes"}, {"Smiling": None}, {1: 1.0}):
        with pytest.raises(UserError, match="not a name and a number"):
            to_conditions(face_model, wrong)


def test_strips_have_a_size(face_model, digit_model):
    for call in (
        lambda: ddpm_faces.strip(face_model, "Smiling", rows=0),
        lambda: ddpm_faces.strip(face_model, "Smiling", columns=1),
        lambda: ddpm_faces.board(face_model, "Smiling", "Male", columns=1),
        lambda: class_strip(digit_model, 3, 8, columns=1),
    ):
        with pytest.raises(UserError, match="at least 2 columns"):
            call()
