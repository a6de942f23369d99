"""The loop: it learns, it repeats itself bit for bit however it was interrupted, and it can be iterated from Python."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import SMALL

from ddpm_faces.conditions import CELEBA
from ddpm_faces.data.dataset import build
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.diffusion.loss import WEIGHTINGS, sample_noise
from ddpm_faces.diffusion.schedule import KINDS, Schedule
from ddpm_faces.models.denoiser import Denoiser
from ddpm_faces.training.accelerator import make_accelerator
from ddpm_faces.training.config import Recipe, TrainSettings
from ddpm_faces.training.loop import Saved, TrainState, train
from ddpm_faces.utils.devices import PRECISIONS
from ddpm_faces.utils.errors import UserError

STEPS = 12


@pytest.fixture(scope="module")
def dataset():
    facts = {"data": "test"}
    return build("test", facts, (16, 16, 3), CELEBA, range(40), lambda i: toy_face(i, 16))


@pytest.fixture(scope="module")
def accelerator(tmp_path_factory) -> Accelerator:
    return make_accelerator("cpu", "auto", tmp_path_factory.mktemp("run"))  # whatever another test trained with before


def new_state(accelerator, saved: Saved | None = None, **recipe) -> TrainState:
    torch.manual_seed(0)
    network = Denoiser((3, 16, 16), recipe.pop("conditions", 40), embedding=8, **SMALL)
    recipe = Recipe(**{"batch_size": 8, "warmup": 3, "flip": True, **recipe})
    return TrainState.new(network, recipe, accelerator, STEPS, saved)


def steps(state, dataset, until: int) -> list[float]:
    losses = []
    for record in train(state, dataset, Schedule(), STEPS):
        losses.append(float(record.loss))
        if record.step == until:
            break
    return losses


def test_resumed_is_bit_equal_to_uninterrupted(accelerator, dataset):
    whole = new_state(accelerator)
    losses = steps(whole, dataset, STEPS)
    first = new_state(accelerator)
    before = steps(first, dataset, 7)  # in the middle of the second epoch
    tensors, numbers = first.state_dict()
    saved = Saved({name: t.contiguous().clone() for name, t in tensors.items()}, numbers)  # as a file gives them back
    torch.randn(1000)  # the global generator has moved on, as in another process
    second = new_state(accelerator, saved)
    assert before + steps(second, dataset, STEPS) == losses
    resumed = second.state_dict().tensors
    assert set(resumed) == set(whole.state_dict().tensors)
    for name, tensor in whole.state_dict().tensors.items():
        assert torch.equal(resumed[name], tensor), name


def test_records_follow_the_learning_rate_and_count(accelerator, dataset):
    records = list(train(new_state(accelerator, lr=0.01), dataset, Schedule(), STEPS))
    assert [r.step for r in records] == list(range(1, STEPS + 1))
    assert [r.images_seen for r in records] == list(range(8, 8 * STEPS + 1, 8))
    rates = [r.lr for r in records]
    assert rates[0] == 0 and rates[1] == 0.01, "a warm-up of a tenth of all steps, at most"
    assert rates[1:] == sorted(rates[1:], reverse=True) and rates[-1] < 0.001


def test_it_learns(accelerator, dataset):
    """After 300 steps it must know more than the best guess that looks at one pixel at a time.

    That guess knows the pixels' variance s: its error of the noise is ab s / (ab s + 1 - ab), averaged over all steps.
    """
    ab, s = Schedule().alpha_bar, float((dataset.images / 127.5 - 1).var())
    pixelwise = float((ab * s / (ab * s + 1 - ab)).mean())
    torch.manual_seed(0)
    state = TrainState.new(
        Denoiser((3, 16, 16), 40, embedding=8, **SMALL),
        Recipe(batch_size=16, lr=3e-3, warmup=0, weighting="uniform"),
        accelerator,
        300,
    )
    losses = [float(r.loss) for r in train(state, dataset, Schedule(), 300)]
    assert np.mean(losses[:3]) > pixelwise > 1.2 * np.mean(losses[-50:])


def test_the_average_follows_the_weights(accelerator, dataset):
    state = new_state(accelerator, ema=0.5)
    start = {n: p.detach().clone() for n, p in state.network.named_parameters()}
    steps(state, dataset, 1)
    name = "unet.exit.bias"
    steps(state, dataset, 3)
    moved, followed = (dict(m.named_parameters())[name].detach() - start[name] for m in (state.network, state.ema.module))
    assert moved.abs().max() > 0
    lag = float((followed / moved).mean())
    assert 0.3 < lag < 1, "behind, but on the way"


def test_every_step_has_noise_of_its_own(accelerator, dataset):
    """The noise of step 0 and of step 1 differs, and another seed gives other losses."""
    one, other = steps(new_state(accelerator), dataset, 3), steps(new_state(accelerator, seed=1), dataset, 3)
    assert len(set(one + other)) == 6
    rng = torch.Generator().manual_seed(0)
    a, b = (sample_noise(torch.Size((4, 3, 8, 8)), 40, Schedule(), 0.1, 0.5, rng) for _ in range(2))
    assert not torch.equal(a.eps, b.eps)


def test_the_unconditional_baseline_trains_with_the_same_code(accelerator, dataset):
    state = new_state(accelerator, conditions=0)
    assert all(np.isfinite(steps(state, dataset, 4)))
    assert not any("embed" in name for name in state.state_dict().tensors)


@pytest.mark.parametrize(
    "bad", [{"batch_size": 0}, {"lr": -1}, {"p_null": 1.5}, {"ema": 2}, {"epochs": -3}, {"seed": -1}, {"weighting": "snr"}]
)
def test_recipes_out_of_range_are_refused(bad):
    with pytest.raises(UserError, match=rf"{next(iter(bad))}=.* (is outside|should be 'unit')"):
        Recipe(**bad)


def test_a_weighting_that_the_network_has_no_residual_for_is_refused(accelerator, dataset):
    class Plain(torch.nn.Module):
        conditions = 40

        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, t, c):
            return self.factor * x

    state = TrainState.new(Plain(), Recipe(batch_size=8, weighting="uniform"), accelerator, STEPS)
    assert np.isfinite(steps(state, dataset, 1)).all(), "any module eps(x, t, c) with `conditions` is trained"
    state = TrainState.new(Plain(), Recipe(batch_size=8, weighting="unit"), accelerator, STEPS)
    with pytest.raises(ValueError, match="linear denoiser"):
        steps(state, dataset, 1)


def test_settings_name_what_the_library_has():
    """The settings import no torch, so they repeat these names."""
    fields = TrainSettings.model_fields
    for name, known in (("weighting", WEIGHTINGS), ("schedule", KINDS), ("precision", PRECISIONS)):
        assert set(get_args(fields[name].annotation)) == set(known)
