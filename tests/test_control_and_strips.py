"""Obedience and strips on logits made by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ddpm_faces.evaluation.control import obedience, single_attributes
from ddpm_faces.evaluation.strips import measure, rank_correlation


def test_only_what_was_asked_counts():
    asked = torch.tensor([[1.0, 0, 0], [1, -1, 0], [-1, -1, 0], [-1, 0, 0]])
    logits = torch.tensor([[2.0, 9, 9], [-1, -3, 9], [-2, 5, -9], [-1, -9, 9]])
    found = obedience(logits, asked, exclusive=False)
    assert found.accuracy[:2] == [0.75, 0.5] and math.isnan(found.accuracy[2])
    assert found.balanced[0] == 0.75 and math.isnan(found.balanced[1]), "asked one way only"
    assert found.yes == [2, 0, 0] and found.no == [2, 2, 0]


def test_digits_are_asked_one_at_a_time():
    found = obedience(torch.tensor([[3.0, 1], [0, 1], [2, 1]]), torch.tensor([[1, 0], [0, 1], [0, 1]]), exclusive=True)
    assert found.accuracy == [1, 0.5] and found.balanced == [0.75, 0.75] and (found.yes, found.no) == ([1, 2], [2, 1])


def test_single_attributes_share_their_noise():
    conditions, seeds = single_attributes(("A", "B", "C"), ["C", "A"], each=2)
    assert conditions.tolist() == [[0, 0, 1], [0, 0, -1]] * 2 + [[1, 0, 0], [-1, 0, 0]] * 2
    assert seeds == [0, 0, 1, 1] * 2


def test_rank_correlation_worked_by_hand():
    values = torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4], [5, 5, 5, 5], [0, 1, 1, 2]])
    assert rank_correlation(values).tolist() == pytest.approx([1, -1, 0.8, 0, 0.9486832980505138])


def test_a_strip_that_keeps_its_promise_and_one_that_does_not():
    logits, features, held = torch.zeros(2, 5, 3), torch.ones(2, 5, 4), torch.tensor([True, False, True])
    logits[:, :, 1] = torch.linspace(-2, 2, 5)
    features[:, :, 0] += torch.linspace(0, 0.1, 5)
    good = measure(logits, features, (features[:, 1:] - features[:, :-1]).norm(dim=-1), asked=1, held=held)
    assert good.monotone == pytest.approx(1) and good.rise == 4 and good.others == 0
    assert good.person > 0.99 and good.jump == pytest.approx(1, abs=1e-3)
    logits[:, :, 1] = torch.tensor([2.0, -2, 1, -1, 0])
    logits[:, -1, 2] = 3
    features[:, 3:] *= -1
    bad = measure(logits, features, (features[:, 1:] - features[:, :-1]).norm(dim=-1), asked=1, held=held)
    assert abs(bad.monotone) < 0.5 and bad.others == 1.5 and bad.person < -0.9 and bad.jump > 3
