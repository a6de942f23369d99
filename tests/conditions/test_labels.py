"""Users' words become vectors, and what cannot be understood is told in one line."""

from __future__ import annotations

import pytest
import torch

from ddpm_faces.conditions import CELEBA, DIGITS, NO_LABELS, Labels, known_labels
from ddpm_faces.utils.errors import UserError


def test_the_forty_names_are_celebas():
    assert len(CELEBA) == len(set(CELEBA.names)) == 40
    assert (CELEBA.names[0], CELEBA.names[20], CELEBA.names[39]) == ("5_o_Clock_Shadow", "Male", "Young")


def test_a_spec_says_present_absent_and_between():
    assert CELEBA.parse(" Smiling, -male ,Young=0.5,Bald=-1") == {"Smiling": 1, "Male": -1, "Young": 0.5, "Bald": -1}
    assert CELEBA.parse("") == {}
    vector = CELEBA.vector(CELEBA.parse("Smiling,-Male,Young=0.5"))
    assert vector.shape == (40,) and vector.count_nonzero() == 3
    assert (vector[31], vector[20], vector[39]) == (1, -1, 0.5)


def test_spec_of_a_vector_is_the_inverse():
    vector = torch.zeros(40)
    vector[[3, 20, 31]] = torch.tensor([-1.0, 0.25, 1.0])
    assert torch.equal(CELEBA.vector(CELEBA.parse(CELEBA.describe(vector))), vector)


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
        ("Smiling -Male", "put commas between"),
    ],
)
def test_bad_specs_are_refused_in_one_line(spec, message):
    with pytest.raises(UserError) as caught:
        CELEBA.parse(spec)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_saying_the_same_twice_is_no_contradiction():
    assert CELEBA.parse("Smiling,smiling=1") == {"Smiling": 1}


def test_digits():
    assert DIGITS.parse_classes("0-9") == list(range(10))
    assert DIGITS.parse_classes("3, 8,5-6,2-1") == [3, 8, 5, 6, 2, 1]
    assert torch.equal(DIGITS.one_hot_vectors([2, 0]), torch.eye(10)[[2, 0]])
    assert len(DIGITS) == 10
    for bad in ("", "a", "10", "3-", "1,,2", "-1"):
        with pytest.raises(UserError, match="not a class or a range"):
            DIGITS.parse_classes(bad)


def test_names_are_found_as_people_type_them():
    for word in ("black hair", "Black-Hair", " BLACK_HAIR "):
        assert CELEBA.find(word) == "Black_Hair"
    assert CELEBA.parse("5 o clock shadow,-black hair") == {"5_o_Clock_Shadow": 1, "Black_Hair": -1}


def test_booleans_are_yes_and_no_and_a_rounding_error_is_no_error():
    assert CELEBA.vector({"Smiling": True, "Male": False})[[31, 20]].tolist() == [1, -1]
    assert CELEBA.vector({"Smiling": 1 + 1e-9})[31] == 1


def test_classes_have_names():
    pets = Labels(("cat", "dog", "guinea-pig"), one_hot=True)
    assert (
        pets.parse_classes("dog,cat") == [1, 0]
        and pets.parse_classes("guinea-pig") == [2]
        and pets.parse_classes("cat-dog") == [0, 1]
    )
    with pytest.raises(UserError, match="write cat-guinea-pig or dog,guinea-pig"):
        pets.parse_classes("bird")


def test_labels_say_what_kind_they_are():
    assert [labels.kind for labels in (CELEBA, DIGITS, NO_LABELS)] == ["attributes", "classes", "unconditional"]
    assert known_labels(DIGITS.names) == DIGITS and known_labels(()) == NO_LABELS
    turned = known_labels(CELEBA.names[::-1])
    assert turned.names == CELEBA.names[::-1] and turned.exclusive == CELEBA.exclusive and not turned.one_hot
    assert known_labels(("Red", "Large")) == Labels(("Red", "Large"))


def test_a_range_has_two_ends():
    with pytest.raises(UserError, match="not a class or a range"):
        DIGITS.parse_classes("0-4-7")
