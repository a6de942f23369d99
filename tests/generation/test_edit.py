"""Edits of aligned faces: what was not asked for stays, to the bit; what was is seen by the classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import random_model
from small_classifier import random_classifier

import ddpm_faces
from ddpm_faces.conditions import CELEBA, DIGITS, NO_LABELS
from ddpm_faces.generation import edit as editing
from ddpm_faces.generation.edit import METHODS, conditions, edit, estimate
from ddpm_faces.generation.edit_photo import aligned, edit_photo
from ddpm_faces.generation.regions import PLACES, REGION_OF, REGIONS, region
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_uint8


@pytest.fixture(scope="module")
def model():
    return random_model(CELEBA, (3, 16, 16), crop="center140")


@pytest.fixture(scope="module")
def classifier():
    return random_classifier(CELEBA, (3, 16, 16))


@pytest.fixture(scope="module")
def photos():
    torch.manual_seed(0)
    return torch.rand(3, 3, 16, 16) * 2 - 1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_edits_and_the_difference_keeps_what_lies_outside(model, classifier, photos, method):
    result = edit(model, photos, "Eyeglasses", strength=3, steps=4, method=method, classifier=classifier)
    assert result.image.shape == photos.shape and result.region.shape == (3, 1, 16, 16)
    assert torch.allclose(photos + result.change, result.image, atol=1e-6)
    outside = (result.region == 0).expand_as(photos)
    far = result.region.expand_as(photos) < 1e-3
    assert bool(far.any()) and float(result.change[far].abs().max()) < 5e-3 and not outside.all()
    assert float(result.change.abs().max()) > 0.01 and result.strength.tolist() == [3, 3, 3]


def test_nothing_asked_for_changes_nothing(model, classifier, photos):
    for wish in ("", {}, {"Smiling": 0.0}):
        strength = 4 if wish else "auto"
        result = edit(model, photos, wish, strength=strength, steps=3, classifier=classifier, attributes={"Smiling": 0})
        assert float(result.change.abs().max()) < (1e-4 if wish else 1e-12), "also where a wish says what is already there"
    assert torch.equal(edit(model, photos, "", classifier=classifier).image, photos)


def test_an_edit_of_a_photo_does_not_depend_on_the_others(model, classifier, photos):
    options = {"steps": 3, "strength": 3, "classifier": classifier, "precision": "no"}
    together = edit(model, photos, ["Smiling", "-Male", "Young=0.5"], **options)
    alone = edit(model, photos[1:2], "-Male", **options)
    assert torch.allclose(together.image[1:2], alone.image, atol=1e-5)
    parts = edit(model, photos, ["Smiling", "-Male", "Young=0.5"], batch_size=2, **options)
    assert torch.allclose(together.image, parts.image, atol=1e-5)
    scaled = edit(model, photos, "Smiling", steps=3, strength=[0, 1, 5], classifier=classifier)
    sizes = scaled.change.abs().amax(dim=(1, 2, 3))
    assert float(sizes[0]) < 1e-5 and sizes[0] < sizes[1] < sizes[2]


def test_the_conditions_of_an_edit_differ_in_the_wish_and_what_excludes_it():
    shipped = ddpm_faces.load("celeba64")
    names = shipped.names
    estimated = torch.full((1, 40), -0.8)
    estimated[0, names.index("Black_Hair")] = 0.9
    source, target = conditions(shipped, [{"Blond_Hair": 1.0}], estimated)
    moved = {name for name, a, b in zip(names, source[0], target[0], strict=True) if a != b}
    assert moved == {"Blond_Hair", "Black_Hair", "Brown_Hair", "Gray_Hair", "Bald"} - {
        name for name in ("Brown_Hair", "Gray_Hair", "Bald") if estimated[0, names.index(name)] == target[0, names.index(name)]
    }
    assert source[0, names.index("Blond_Hair")] == -1 and target[0, names.index("Blond_Hair")] == 1
    assert source[0, names.index("Black_Hair")] == pytest.approx(0.9) and target[0, names.index("Black_Hair")] == -1
    assert estimated[0, names.index("Blond_Hair")] == pytest.approx(-0.8), "the estimate is left alone"


def test_automatic_strength_stops_at_the_first_that_the_classifier_believes(model, classifier, photos, monkeypatch):
    seen, found = [], iter([[-3.0, -3, -3], [-2.0, -2, -2], [0.5, -1, -2.5], [-0.5, -2.2], [-0.7, -1]])

    def margin(self, image, wanted, least):
        seen.append(len(image))
        return torch.tensor(next(found))

    monkeypatch.setattr(editing._Plan, "margin", margin)
    monkeypatch.setattr(editing, "STRENGTHS", (2.0, 4.0, 6.0, 8.0))
    result = edit(model, photos, "Smiling", steps=2, classifier=classifier)
    assert seen == [3, 3, 3, 2, 2], "asked of the photos themselves, then of those that are open"
    assert result.strength.tolist() == [4, 6, 8], "the first that is believed, or else the one that comes nearest"
    assert result.met.tolist() == [True, False, False]


def test_the_estimate_is_the_classifiers_with_what_is_known_in_its_place(classifier, photos):
    found = estimate(classifier, photos)
    assert torch.allclose((found + 1) / 2, classifier.extract(photos).logits.sigmoid(), atol=1e-6)
    known = estimate(classifier, photos, {"male": 1.0, "Young": -1.0})
    assert known[:, CELEBA.index("Male")].tolist() == [1, 1, 1] and known[:, CELEBA.index("Young")].tolist() == [-1] * 3


def test_every_place_is_a_region_and_every_region_lies_in_the_face():
    assert set(PLACES) <= set(REGIONS) and set(REGION_OF) <= set(CELEBA.names)
    for name in REGION_OF:
        mask = region([name], (3, 64, 64), "center140")
        assert mask.shape == (1, 64, 64) and float(mask.mean()) > 0.02 and float(mask.max()) > 0.9 and float(mask.min()) == 0
    eyes, mouth = (region([name], (3, 64, 64), "center140")[0] for name in ("Eyeglasses", "Smiling"))
    assert eyes[33, 23] > 0.9 and eyes[33, 40] > 0.9 and eyes[52, 32] < 0.01, "the eyes lie at (23, 33) and (40, 33)"
    assert mouth[52, 32] > 0.9 and mouth[30, 32] < 0.05
    both = region(["Eyeglasses", "Smiling"], (3, 64, 64), "center140")[0]
    assert torch.equal(both, torch.maximum(eyes, mouth))
    assert bool((region(["Blurry"], (3, 64, 64), "center140") == 1).all()) and bool((region(["X"], (3, 8, 8), None) == 1).all())
    wide = region(["Eyeglasses"], (3, 64, 64), "center148")[0]
    assert not torch.equal(wide, eyes) and wide[33, 23] > 0.9


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"wish": "Smilling"}, "did you mean Smiling"),
        ({"wish": "Male,Wearing_Lipstick"}, "exclude each other"),
        ({"wish": ["Smiling", "Male"]}, "2 wishes for 3 photos"),
        ({"method": "difference2"}, "did you mean difference"),
        ({"strength": "much"}, "auto or a number"),
        ({"strength": float("nan")}, "up to 100"),
        ({"strength": [1, 2]}, "one for each of 3 photos"),
        ({"steps": 0}, "impossible"),
        ({"photos": torch.zeros(1, 3, 20, 20)}, "align them first"),
        ({"attributes": "Nose"}, "unknown attribute"),
    ],
)
def test_what_cannot_be_edited_is_refused(model, classifier, photos, changes, complaint):
    arguments = {"photos": photos, "wish": "Smiling", "classifier": classifier} | changes
    with pytest.raises(UserError, match=complaint):
        edit(model, **arguments)


def test_a_model_without_attributes_or_without_a_classifier_says_so(digit_model, face_model):
    with pytest.raises(UserError, match="knows no attributes"):
        edit(digit_model, torch.zeros(1, 1, 16, 16), "Smiling")
    with pytest.raises(UserError, match="unconditional"):
        edit(random_model(NO_LABELS, (3, 16, 16)), torch.zeros(1, 3, 16, 16), "Smiling")
    with pytest.raises(UserError, match="train_classifier"):
        edit(face_model, torch.zeros(1, 3, 16, 16), "Smiling")


def test_a_shipped_face_gets_glasses_and_keeps_the_rest():
    shipped = ddpm_faces.load("celeba64")
    face = ddpm_faces.generate(shipped, "-Eyeglasses,Young,-Male", seed=2)
    result = edit(shipped, face, "Eyeglasses")
    assert bool(result.met) and float(result.strength) in editing.STRENGTHS
    again = estimate(ddpm_faces.generation.edit.find_classifier(shipped), result.image)
    glasses = shipped.names.index("Eyeglasses")
    assert float(again[0, glasses]) > 0.3 > float(result.estimated[0, glasses])
    assert np.array_equal(to_uint8(result.image)[0, 50:], to_uint8(face)[0, 50:]), "chin and collar, to the bit"


def test_an_inverted_face_comes_back_and_its_relative_does_not(model, photos):
    for method in ("o-belm", "bdia", "edict"):
        found = ddpm_faces.invert(model, photos, "Smiling", method=method, steps=5)
        assert float((found.sample() - photos).abs().max()) < 1e-5
        assert float((found.sample("-Smiling", guidance=2.0) - photos).abs().max()) > 1e-2
    digits = random_model(DIGITS, (1, 16, 16))
    digits.network.double()
    image = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    assert float((ddpm_faces.invert(digits, image, "3", steps=4).sample() - image).abs().max()) < 1e-10
    for wrong in ({"method": "belm"}, {"steps": 0}, {"images": torch.zeros(1, 3, 8, 8)}):
        with pytest.raises(UserError):
            ddpm_faces.invert(**({"model": model, "images": photos} | wrong))


def test_a_classifier_of_other_names_is_sorted_or_refused(model, classifier, photos):
    backwards = classifier.select(CELEBA.names[::-1])
    result, same = (edit(model, photos, "Smiling", strength=2, steps=2, classifier=c) for c in (backwards, classifier))
    assert torch.allclose(result.image, same.image, atol=1e-5)
    with pytest.raises(UserError, match="other names"):
        edit(model, photos, "Smiling", classifier=classifier.select(CELEBA.names[:5]))


def test_the_public_name_is_the_function_also_beside_the_command(model, classifier, photos):
    import importlib

    importlib.import_module("ddpm_faces.edit")
    found = ddpm_faces.edit(model, photos, "Smiling", strength=2, steps=2, classifier=classifier)
    assert torch.equal(found.image, edit(model, photos, "Smiling", strength=2, steps=2, classifier=classifier).image)


def test_a_photo_of_any_size_gets_the_change_enlarged(model, classifier):
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 200, (218 * 3, 178 * 3, 3), dtype=np.uint8)
    place = aligned(picture, "center140")
    assert place.scale == pytest.approx(3)
    after, edited = edit_photo(model, picture, [place], "Smiling", strength=3, steps=2, classifier=classifier)
    moved = np.abs(after.astype(int) - picture).max(axis=2) > 0
    assert moved[440:460, 250:280].any() and not moved[:200].any() and not moved[:, :60].any()
    same, _ = edit_photo(model, picture, [place], "", classifier=classifier)
    assert np.array_equal(same, picture) and edited.image.shape == (1, 3, 16, 16)
    with pytest.raises(UserError, match="178x218"):
        aligned(np.zeros((50, 100, 3), np.uint8), "center140")
