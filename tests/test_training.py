"""The loop: it learns, it repeats itself bit for bit however it was interrupted, and it can be iterated from Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import SMALL

from ddpm_faces.attributes import CELEBA
from ddpm_faces.data.store import build
from ddpm_faces.data.toyfaces import toy_face
from ddpm_faces.diffusion.process import draw
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.models.conditioning import ConditionalUNet
from ddpm_faces.training import Recipe, Saved, TrainState, train

STEPS = 12


@pytest.fixture(scope="module")
def store():
    facts = {"data": "test"}
    return build("test", facts, (16, 16, 3), CELEBA, range(40), lambda i: toy_face(i, 16))


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    from ddpm_faces.devices import best_precision

    return Accelerator(cpu=True, mixed_precision=best_precision(torch.device("cpu")))


def new_state(accelerator, saved: Saved | None = None, **recipe) -> TrainState:
    torch.manual_seed(0)
    network = ConditionalUNet((3, 16, 16), recipe.pop("conditions", 40), embedding=8, **SMALL)
    recipe = Recipe(**{"batch_size": 8, "warmup": 3, "flip": True, **recipe})
    return TrainState.new(network, recipe, accelerator, STEPS, saved)


def steps(state, store, until: int) -> list[float]:
    losses = []
    for record in train(state, store, Schedule(), STEPS):
        losses.append(float(record.loss))
        if record.step == until:
            break
    return losses


def test_resumed_is_bit_equal_to_uninterrupted(accelerator, store):
    whole = new_state(accelerator)
    losses = steps(whole, store, STEPS)
    first = new_state(accelerator)
    before = steps(first, store, 7)  # in the middle of the second epoch
    tensors, numbers = first.save()
    saved = Saved({name: t.contiguous().clone() for name, t in tensors.items()}, numbers)  # as a file gives them back
    torch.randn(1000)  # the global generator has moved on, as in another process
    second = new_state(accelerator, saved)
    assert before + steps(second, store, STEPS) == losses
    resumed = second.save().tensors
    assert set(resumed) == set(whole.save().tensors)
    for name, tensor in whole.save().tensors.items():
        assert torch.equal(resumed[name], tensor), name


def test_records_follow_the_learning_rate_and_count(accelerator, store):
    records = list(train(new_state(accelerator, lr=0.01), store, Schedule(), STEPS))
    assert [r.step for r in records] == list(range(1, STEPS + 1))
    assert [r.images_seen for r in records] == list(range(8, 8 * STEPS + 1, 8))
    rates = [r.lr for r in records]
    assert rates[0] == 0 and rates[1] == 0.01, "a warm-up of a tenth of all steps, at most"
    assert rates[1:] == sorted(rates[1:], reverse=True) and rates[-1] < 0.001


def test_it_learns(accelerator, store):
    """After 300 steps it must know more than the best guess that looks at one pixel at a time.

    That guess knows the pixels' variance s: its error of the noise is ab s / (ab s + 1 - ab), averaged over all steps.
    """
    ab, s = Schedule().alpha_bar, float((store.images / 127.5 - 1).var())
    pixelwise = float((ab * s / (ab * s + 1 - ab)).mean())
    torch.manual_seed(0)
    state = TrainState.new(
        ConditionalUNet((3, 16, 16), 40, embedding=8, **SMALL),
        Recipe(batch_size=16, lr=3e-3, warmup=0, weighting="uniform"),
        accelerator,
        300,
    )
    losses = [float(r.loss) for r in train(state, store, Schedule(), 300)]
    assert np.mean(losses[:3]) > pixelwise > 1.2 * np.mean(losses[-50:])


def test_the_average_follows_the_weights(accelerator, store):
    state = new_state(accelerator, ema=0.5)
    start = {n: p.detach().clone() for n, p in state.network.named_parameters()}
    steps(state, store, 1)
    name = "unet.exit.bias"
    steps(state, store, 3)
    moved, followed = (dict(m.named_parameters())[name].detach() - start[name] for m in (state.network, state.ema.module))
    assert moved.abs().max() > 0
    lag = float((followed / moved).mean())
    assert 0.3 < lag < 1, "behind, but on the way"


def test_every_step_has_its_own_chance(accelerator, store):
    """The draws of step 0 and step 1 differ, and another seed gives other losses."""
    one, other = steps(new_state(accelerator), store, 3), steps(new_state(accelerator, seed=1), store, 3)
    assert len(set(one + other)) == 6
    rng = torch.Generator().manual_seed(0)
    a, b = (draw(torch.Size((4, 3, 8, 8)), 40, Schedule(), 0.1, 0.5, rng) for _ in range(2))
    assert not torch.equal(a.eps, b.eps)


def test_the_unconditional_baseline_trains_with_the_same_code(accelerator, store):
    state = new_state(accelerator, conditions=0)
    assert all(np.isfinite(steps(state, store, 4)))
    assert not any("embed" in name for name in state.save().tensors)


@pytest.mark.parametrize(
    "bad", [{"batch_size": 0}, {"lr": -1}, {"p_null": 1.5}, {"ema": 2}, {"epochs": -3}, {"seed": -1}, {"weighting": "snr"}]
)
def test_recipes_out_of_range_are_refused(bad):
    with pytest.raises(UserError, match=r"is outside|no weighting"):
        Recipe(**bad)
