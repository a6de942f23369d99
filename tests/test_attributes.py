"""Users' words become vectors, and what cannot be understood is told in one line."""

from __future__ import annotations

import pytest
import torch

from ddpm_faces.attributes import CELEBA, DIGITS, one_hot, parse_digits, parse_spec, to_spec, to_vector
from ddpm_faces.errors import UserError


def test_the_forty_names_are_celebas():
    assert len(CELEBA) == len(set(CELEBA)) == 40
    assert CELEBA[0] == "5_o_Clock_Shadow" and CELEBA[20] == "Male" and CELEBA[39] == "Young"


def test_a_spec_says_present_absent_and_between():
    assert parse_spec(" Smiling, -male ,Young=0.5,Bald=-1") == {"Smiling": 1, "Male": -1, "Young": 0.5, "Bald": -1}
    assert parse_spec("") == {}
    vector = to_vector(parse_spec("Smiling,-Male,Young=0.5"))
    assert vector.shape == (40,) and vector.count_nonzero() == 3
    assert (vector[31], vector[20], vector[39]) == (1, -1, 0.5)


def test_spec_of_a_vector_is_the_inverse():
    vector = torch.zeros(40)
    vector[[3, 20, 31]] = torch.tensor([-1.0, 0.25, 1.0])
    assert torch.equal(to_vector(parse_spec(to_spec(vector))), vector)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("Smilling", "did you mean Smiling"),
        ("Eyeglases,Male", "did you mean Eyeglasses"),
        ("xyzzy", "known: 5_o_Clock_Shadow"),
        ("Smiling=1.5", "outside [-1, 1]"),
        ("Smiling=nan", "outside [-1, 1]"),
        ("-Smiling=2", "outside [-1, 1]"),
        ("Smiling=very", "needs a number"),
        ("Smiling,-Smiling", "contradictory: Smiling is given as both 1 and -1"),
        ("-", "unknown attribute"),
    ],
)
def test_bad_specs_are_refused_in_one_line(spec, message):
    with pytest.raises(UserError) as caught:
        parse_spec(spec)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_saying_the_same_twice_is_no_contradiction():
    assert parse_spec("Smiling,smiling=1") == {"Smiling": 1}


def test_digits():
    assert parse_digits("0-9") == list(range(10))
    assert parse_digits("3, 8,5-6,2-1") == [3, 8, 5, 6, 2, 1]
    assert torch.equal(one_hot([2, 0]), torch.eye(10)[[2, 0]])
    assert len(DIGITS) == 10
    for bad in ("", "a", "10", "3-", "1,,2", "-1"):
        with pytest.raises(UserError, match="not a digit"):
            parse_digits(bad)
