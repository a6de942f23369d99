"""The learning rate over a training."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup

from ddpm_faces.training.rates import rate_factor, rate_schedule


def rates(kind, step, warmup, total, decay=0.2, until=None):
    adam = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler, found = rate_schedule(adam, kind, step, warmup, total, decay), []
    for _ in range(step, until or total + 1):
        found.append(scheduler.get_last_lr()[0])
        adam.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(("warmup", "total"), [(0, 7), (10, 100), (3, 4)])
def test_the_cosine_is_that_of_diffusers(warmup, total):
    adam = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    oracle, expected = get_cosine_schedule_with_warmup(adam, warmup, total), []
    for _ in range(total + 1):
        expected.append(oracle.get_last_lr()[0])
        adam.step()
        oracle.step()
    assert rates("cosine", 0, warmup, total) == pytest.approx(expected, abs=1e-12)


def test_wsd_warms_up_stays_and_decays_to_nothing():
    found = rates("wsd", 0, 10, 100)
    assert found[:11] == pytest.approx([0.2 * i for i in range(11)])
    assert all(rate == 2.0 for rate in found[10:81])
    assert all(a > b for a, b in itertools.pairwise(found[80:])) and found[100] == 0
    assert found[85] == pytest.approx(2 * (1 - (5 / 20) ** 0.5)), "Hägele et al. 2024: 1 - sqrt"


def test_wsd_before_its_decay_does_not_depend_on_the_length_of_the_training():
    assert rates("wsd", 0, 10, 100, until=80) == rates("wsd", 0, 10, 100_000, until=80)
    assert rates("cosine", 0, 10, 100, until=80) != rates("cosine", 0, 10, 100_000, until=80)


def test_a_resumed_schedule_goes_on_where_it_was():
    for kind in ("cosine", "wsd"):
        assert rates(kind, 60, 10, 100) == rates(kind, 0, 10, 100)[60:]


def test_a_decay_of_no_steps_and_of_all():
    assert rate_factor("wsd", 99, 0, 100, 0.0) == 1.0
    assert rate_factor("wsd", 0, 0, 100, 1.0) == 1.0 and rate_factor("wsd", 25, 0, 100, 1.0) == 0.5
