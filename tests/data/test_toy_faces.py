"""Toy faces: the same seed gives the same faces, labels are plausible and true, and every attribute can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.conditions.celeba_prior import sample_attributes
from ddpm_faces.data.toy.faces import render, toy_faces

# The fraction of CelebA's 202,599 images that has each attribute, in the order of CELEBA.
CELEBA_FREQUENCY = [
    *(0.111, 0.267, 0.513, 0.205, 0.022, 0.152, 0.241, 0.235, 0.239, 0.148),  # 5_o_Clock_Shadow ... Blond_Hair
    *(0.051, 0.205, 0.142, 0.058, 0.047, 0.065, 0.063, 0.042, 0.387, 0.455),  # Blurry ... High_Cheekbones
    *(0.417, 0.483, 0.042, 0.115, 0.835, 0.284, 0.043, 0.277, 0.080, 0.066),  # Male ... Rosy_Cheeks
    *(0.057, 0.482, 0.208, 0.320, 0.189, 0.048, 0.472, 0.123, 0.073, 0.774),  # Sideburns ... Young
]
SEEDS = range(8)


@pytest.fixture(scope="module")
def people() -> dict[str, np.ndarray]:
    """50,000 sampled faces: attribute name -> bool (50000,)."""
    attributes = sample_attributes(np.random.default_rng(0), 50_000)
    assert attributes.shape == (50_000, 40) and attributes.dtype == np.int8
    assert set(np.unique(attributes)) == {-1, 1}
    return dict(zip(CELEBA.names, (attributes > 0).T, strict=True))


def plain_face(*names: str) -> np.ndarray:
    """A young beardless face that has these attributes and no others: (40,) int8."""
    return np.array([1 if name in {"Young", "No_Beard", *names} else -1 for name in CELEBA.names], np.int8)


def flip(attributes: np.ndarray, name: str) -> np.ndarray:
    flipped = attributes.copy()
    flipped[CELEBA.index(name)] *= -1
    return flipped


def change(base: np.ndarray, name: str, seed: int) -> np.ndarray:
    """What flipping `name` does to the image: (64, 64, 3) in -255..255."""
    return render(flip(base, name), seed, 64).astype(int) - render(base, seed, 64)


def test_same_seed_same_faces_and_larger_sets_begin_with_smaller_ones() -> None:
    images, attributes = toy_faces(12, 32, seed=3)
    assert images.shape == (12, 32, 32, 3) and images.dtype == np.uint8
    assert attributes.shape == (12, 40) and attributes.dtype == np.int8
    first_images, first_attributes = toy_faces(5, 32, seed=3)
    np.testing.assert_array_equal(images[:5], first_images)
    np.testing.assert_array_equal(attributes[:5], first_attributes)
    assert (toy_faces(5, 32, seed=4)[0] != first_images).any(axis=(1, 2, 3)).all()


def test_no_faces_and_other_sizes() -> None:
    assert toy_faces(0)[0].shape == (0, 32, 32, 3)
    for size in (16, 48, 128):
        assert render(plain_face(), 0, size).shape == (size, size, 3)


def test_one_face_at_different_sizes_is_one_face() -> None:
    small, large = render(plain_face("Smiling"), 5, 32), render(plain_face("Smiling"), 5, 64)
    shrunk = large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).max() < 2


def test_frequencies_are_those_of_celeba(people: dict[str, np.ndarray]) -> None:
    for name, expected in zip(CELEBA.names, CELEBA_FREQUENCY, strict=True):
        assert people[name].mean() == pytest.approx(expected, abs=0.015), name


def test_exclusions_always_hold(people: dict[str, np.ndarray]) -> None:
    colours = [people[name] for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")]
    textures = [people["Straight_Hair"], people["Wavy_Hair"]]
    assert np.sum(colours, axis=0).max() == 1
    assert np.sum(textures, axis=0).max() == 1
    for hair in (*colours, *textures, people["Bangs"], people["Receding_Hairline"]):
        assert not (hair & people["Bald"]).any()
    kinds = np.any([people[name] for name in ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")], axis=0)
    np.testing.assert_array_equal(kinds, ~people["No_Beard"])
    assert not (kinds & ~people["Male"]).any()


@pytest.mark.parametrize(
    ("effect", "cause"),
    [
        ("Mouth_Slightly_Open", "Smiling"),
        ("High_Cheekbones", "Smiling"),
        ("Wearing_Lipstick", "Heavy_Makeup"),
        ("Double_Chin", "Chubby"),
        ("Wearing_Necktie", "Male"),
        ("Attractive", "Young"),
    ],
)
def test_attributes_depend_on_their_causes(people: dict[str, np.ndarray], effect: str, cause: str) -> None:
    assert people[effect][people[cause]].mean() > 1.5 * people[effect][~people[cause]].mean()


@pytest.mark.parametrize("base", [plain_face(), plain_face("Male")], ids=["woman", "man"])
@pytest.mark.parametrize("name", CELEBA.names)
def test_every_attribute_can_be_seen(name: str, base: np.ndarray) -> None:
    for seed in SEEDS:
        visible = np.abs(change(base, name, seed)).max(axis=2) > 25
        assert visible.sum() >= 16, f"seed {seed}"  # of 4096 pixels: a patch of 4 x 4


def test_every_attribute_has_a_cue_of_its_own() -> None:
    changes = np.stack([np.stack([change(plain_face(), name, seed) for seed in SEEDS]).ravel() for name in CELEBA.names])
    directions = changes / np.linalg.norm(changes, axis=1, keepdims=True)
    cosine = np.abs(directions @ directions.T) - np.eye(len(CELEBA))
    a, b = np.unravel_index(cosine.argmax(), cosine.shape)
    assert cosine[a, b] < 0.9, f"{CELEBA.names[a]} looks like {CELEBA.names[b]}"


@pytest.mark.parametrize(
    ("name", "rows"),
    [("Smiling", slice(40, 54)), ("Eyeglasses", slice(22, 38)), ("Wearing_Hat", slice(0, 24)), ("Bangs", slice(5, 27))],
)
def test_a_flip_changes_its_own_place_and_nothing_else(name: str, rows: slice) -> None:
    for seed in SEEDS:
        changed = change(plain_face(), name, seed)
        changed[rows] = 0
        assert not changed.any()


def test_the_seed_alone_changes_the_picture_too() -> None:
    images = [render(plain_face(), seed, 32).tobytes() for seed in range(50)]
    assert len(set(images)) == 50


def test_labels_tell_what_is_drawn() -> None:
    images, attributes = toy_faces(150, 32, seed=1)
    has = dict(zip(CELEBA.names, (attributes > 0).T, strict=True))
    clear = ~(has["Wearing_Hat"] | has["Blurry"] | has["Receding_Hairline"])
    crown = images[:, 4:6, 15:17].astype(float).mean(axis=(1, 2))  # the top of the head: (150, 3)
    assert crown[has["Black_Hair"] & clear].max() < 100
    yellow = crown[:, :2].min(axis=1) - crown[:, 2]  # red and green, but no blue
    assert yellow[has["Blond_Hair"] & clear].min() > 60
    assert yellow[~has["Blond_Hair"] & clear].max() < 60
