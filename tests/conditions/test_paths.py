"""Strips and boards: what stays, what changes and how fast; the prior over attributes, and what gives way to a wish."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ddpm_faces.conditions import CELEBA, DIGITS, Labels
from ddpm_faces.conditions.paths import Change, board, class_strip, strip
from ddpm_faces.conditions.prior import sample_vector

index = CELEBA.index


def test_a_strip_keeps_seed_and_face_along_a_row_and_changes_the_attribute():
    layout = strip(CELEBA, "Eyeglasses", {"Smiling": 1}, Change(columns=5), rows=3, seed=4)
    assert layout.conditions.shape == (15, 40)
    assert layout.seeds == [4] * 5 + [5] * 5 + [6] * 5 and layout.left == ["seed 4", "seed 5", "seed 6"]
    assert layout.top == ["-1", "-0.5", "+0", "+0.5", "+1"]
    rows = layout.conditions.view(3, 5, 40)
    assert torch.equal(rows[:, :, index("Eyeglasses")], torch.tensor([-1, -0.5, 0, 0.5, 1]).expand(3, 5))
    others = [i for i in range(40) if i != index("Eyeglasses")]
    assert torch.equal(rows[:, :, others], rows[:, :1, others].expand(3, 5, 39)), "nothing else moves"
    assert (rows[:, :, index("Smiling")] == 1).all()
    assert not torch.equal(rows[0, 0], rows[1, 0]), "the rows are different faces"


def test_steps_are_even_as_the_network_is_shown_them():
    scales = torch.ones(2, 40)
    scales[:, index("Eyeglasses")] = torch.tensor([4.0, 0.25])  # present in 6%
    shown = torch.linspace(-0.25, 4, 6)
    layout = strip(CELEBA, "Eyeglasses", {}, Change(columns=6, scales=scales), rows=1)
    values = layout.conditions[:, index("Eyeglasses")]
    assert torch.allclose(torch.where(values > 0, 4 * values, values / 4), shown)
    assert values[0] == -1 and values[-1] == 1 and layout.top == ["-1", "+0.15", "+0.36", "+0.57", "+0.79", "+1"]
    back = strip(CELEBA, "Eyeglasses", {}, Change(1, -1, 6, scales=scales), rows=1)
    assert torch.allclose(back.conditions, layout.conditions.flip(0))


def test_exclusive_attributes_give_way_at_the_same_pace():
    dark = next(seed for seed in range(50) if sample_vector(CELEBA, (), seed, {})[index("Black_Hair")] == 1)
    layout = strip(CELEBA, "Blond_Hair", {}, Change(columns=5), rows=1, seed=dark)
    assert torch.equal(layout.conditions[:, index("Black_Hair")], torch.tensor([1, 0.5, 0, -0.5, -1]))
    square = board(CELEBA, "Smiling", "Blond_Hair", {}, Change(columns=3), seed=dark)
    down, across = (square.conditions.view(3, 3, 40)[:, :, index(name)] for name in ("Black_Hair", "Smiling"))
    assert torch.equal(down, torch.tensor([1.0, 0, -1])[:, None].expand(3, 3))
    assert torch.equal(across, torch.tensor([-1.0, 0, 1]).expand(3, 3))


def test_a_board_changes_two_attributes_of_one_face():
    layout = board(CELEBA, "Smiling", "Young", {}, Change(0, 1, 3))
    square = layout.conditions.view(3, 3, 40)
    assert torch.equal(square[0, :, index("Smiling")], torch.tensor([0, 0.5, 1]))
    assert torch.equal(square[:, 0, index("Young")], torch.tensor([0, 0.5, 1]))
    assert set(layout.seeds) == {0} and layout.left == ["+0", "+0.5", "+1"]


def test_exclusive_attributes_give_way_but_wishes_stay():
    dark = -np.ones(40)
    dark[[index("Black_Hair"), index("No_Beard")]] = 1
    blond = CELEBA.set_attribute(dark, "Blond_Hair", 1.0)
    assert blond[index("Blond_Hair")] == 1 and blond[index("Black_Hair")] == -1
    half = CELEBA.set_attribute(dark, "Blond_Hair", 0.0)
    assert half[index("Black_Hair")] == 0
    assert CELEBA.set_attribute(dark, "Blond_Hair", -1.0)[index("Black_Hair")] == 1, "where it is absent, the face is untouched"
    assert (
        CELEBA.set_attribute(dark, "Goatee", 1.0)[index("Male")] == 1
        and CELEBA.set_attribute(dark, "Goatee", 1.0)[index("No_Beard")] == -1
    )
    assert CELEBA.set_attribute(dark, "Blond_Hair", 1.0, frozenset({"Black_Hair"}))[index("Black_Hair")] == 1
    assert dark[index("Blond_Hair")] == -1, "the vector given is not changed"


def test_the_prior_grants_wishes_and_nothing_that_excludes_them():
    for seed in range(50):
        values = sample_vector(CELEBA, (), seed, {"Bald": 1.0})  # bald, therefore a man, therefore no lipstick
        touched = {"Bald", "Male"}
        assert values[index("Bald")] == 1 and values[index("Bangs")] == -1 and values[index("Male")] == 1
        signs = {name: values[index(name)] for name in CELEBA.names} | {f"-{n}": -values[index(n)] for n in CELEBA.names}
        together = [(a, b) for a, b in CELEBA.exclusive if signs[a] == signs[b] == 1 and a.removeprefix("-") in touched]
        assert not together, f"seed {seed}"


def test_digits_mix_from_one_to_the_other():
    layout = class_strip(DIGITS, 3, 8, columns=3, rows=2)
    assert torch.equal(layout.conditions[:3, [3, 8]], torch.tensor([[1, 0], [0.5, 0.5], [0, 1]]))
    assert layout.top == ["3", "0.5", "8"] and layout.seeds == [0, 0, 0, 1, 1, 1]


def test_labels_without_a_prior_of_their_own_are_drawn_by_frequency():
    labels = Labels(("Red", "Circle", "Square"), exclusive=(("Circle", "Square"),))
    drawn = np.stack([sample_vector(labels, (0.9, 0.4, 0.4), seed, {}) for seed in range(500)])
    assert set(np.unique(drawn)) == {-1, 1} and not ((drawn[:, 1] == 1) & (drawn[:, 2] == 1)).any()
    assert (drawn[:, 0] > 0).mean() == pytest.approx(0.9, abs=0.05)
    assert (sample_vector(labels, (), 0, {"Square": 1.0})[1:] == [-1, 1]).all()
    layout = strip(labels, "Circle", {"Red": 1}, Change(columns=3), rows=2)
    rows = layout.conditions.view(2, 3, 3)
    assert (rows[:, :, 0] == 1).all() and rows[0, :, 1].tolist() == [-1, 0, 1] and layout.title == "Circle from -1 to +1; Red"


def test_attributes_in_another_order_give_the_same_faces():
    turned = Labels(CELEBA.names[::-1], exclusive=CELEBA.exclusive)
    for seed in range(5):
        assert (sample_vector(turned, (), seed, {})[::-1] == sample_vector(CELEBA, (), seed, {})).all()
