"""`python -m ddpm_faces.edit`: photos in, edited photos out, and one clear line for everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import one_line, random_model
from PIL import Image
from small_classifier import random_classifier

import ddpm_faces
from ddpm_faces.conditions import CELEBA
from ddpm_faces.data import faces, photo
from ddpm_faces.edit import main
from ddpm_faces.models import checkpoint
from ddpm_faces.models.classifier_checkpoint import save_classifier
from ddpm_faces.utils.images import to_uint8


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> list[str]:
    """Flags of a small model and its classifier."""
    folder = tmp_path_factory.mktemp("edit")
    model = checkpoint.save(folder / "m.safetensors", random_model(CELEBA, (3, 16, 16), crop="center140"))
    classifier = save_classifier(folder / "c.safetensors", random_classifier(CELEBA, (3, 16, 16)))
    return ["--model", str(model), "--classifier", str(classifier), "--steps", "2", "--device", "cpu"]


@pytest.fixture
def portrait(tmp_path) -> Path:
    """A picture of the shape of CelebA's aligned images, twice as large."""
    rng = np.random.default_rng(0)
    path = tmp_path / "portrait.png"
    Image.fromarray(rng.integers(60, 200, (436, 356, 3), dtype=np.uint8)).save(path)
    return path


def test_an_edit_is_written_with_a_note_and_the_rest_of_the_photo(small, portrait, tmp_path, capsys):
    out = tmp_path / "edited.png"
    assert main([str(portrait), "--set", "Smiling", "--strength", "3", "--aligned", "--out", str(out), *small]) == 0
    printed = capsys.readouterr().out
    assert "estimated" in printed and "%" in printed and "Smiling at strength 3" in printed
    before, after = (photo.open_photo(path).pixels.astype(int) for path in (portrait, out))
    moved = (before != after).any(axis=2)
    assert moved.any() and not moved[:180].any(), "a smile does not reach the eyes' height"
    with Image.open(out) as image:
        assert image.getexif()[photo.DESCRIPTION] == "edited with ddpm_faces: Smiling"
    again = tmp_path / "again.png"
    main([str(portrait), "--set", "Smiling", "--strength", "3", "--aligned", "--no-note", "--out", str(again), *small])
    with Image.open(again) as image:
        assert not dict(image.getexif())


def test_nothing_asked_for_gives_the_file_back_byte_for_byte(small, portrait, tmp_path, capsys):
    out = tmp_path / "same.png"
    assert main([str(portrait), "--aligned", "--out", str(out), *small]) == 0
    assert out.read_bytes() == portrait.read_bytes() and "as it was" in capsys.readouterr().out


def test_comparison_strip_and_animation_are_written_beside_it(small, portrait, tmp_path, capsys):
    out = tmp_path / "new" / "x.png"
    flags = ["--set", "-Male,Young=0.5", "--strength", "2", "--aligned", "--compare", "--strip", "--gif", "--out", str(out)]
    assert main([str(portrait), *flags, *small]) == 0
    assert {path.name for path in out.parent.iterdir()} == {"x.png", "x-compare.png", "x-strip.png", "x.gif"}
    with Image.open(out.parent / "x.gif") as animation:
        assert animation.n_frames == 12, "seven columns, there and back"
    assert "strengths 0 to 3" in capsys.readouterr().out


def test_a_folder_is_edited_and_what_cannot_be_read_is_skipped_and_counted(small, portrait, tmp_path, capsys):
    folder = tmp_path / "album"
    folder.mkdir()
    portrait.rename(folder / "a.png")
    (folder / "b.jpg").write_text("no image")
    (folder / "notes.txt").write_text("not looked at")
    flags = ["--set", "-Eyeglasses", "--strength", "2", "--aligned", "--out", str(tmp_path / "done"), *small]
    assert main([str(folder), *flags]) == 1
    captured = capsys.readouterr()
    assert "skipped" in captured.err and "b.jpg" in captured.err and "1 of 2 photos edited, 1 skipped" in captured.err
    assert [path.name for path in (tmp_path / "done").iterdir()] == ["a-no-Eyeglasses.png"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "say which photo to edit"),
        (["PHOTO", "--set", "Smilling"], "did you mean Smiling"),
        (["PHOTO", "--set", "Male,Wearing_Lipstick"], "exclude each other"),
        (["PHOTO", "--strip"], "needs something to change"),
        (["PHOTO", "--eyes", "1,2,3"], "four numbers"),
        (["PHOTO", "--aligned", "--all-faces"], "hold one face"),
        (["PHOTO", "--aligned", "--set", "Smiling", "--out", "PHOTO"], "the photo itself"),
        (["PHOTO", "--aligned", "--set", "Smiling", "--out", "x.tiff"], "is written as"),
        (["nowhere.jpg", "--aligned", "--set", "Smiling"], "nowhere.jpg"),
        (["PHOTO", "--aligned", "--set", "Smiling", "--method", "magic"], "choose difference"),
    ],
)
def test_what_cannot_be_done_is_one_line(small, portrait, tmp_path, capsys, monkeypatch, flags, complaint):
    monkeypatch.chdir(tmp_path)
    assert main([str(portrait) if flag == "PHOTO" else flag for flag in flags] + small) == 2
    assert complaint in one_line(capsys.readouterr().err)
    assert list(tmp_path.rglob("*")) == [portrait], "nothing is lost, nothing is left"


def test_a_flag_that_does_not_exist_is_named_and_its_value_is_no_photo(portrait, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--set", "Smiling", str(portrait), "--colour", "red"])
    assert stop.value.code == 2 and "no flag --colour" in capsys.readouterr().err


def test_models_of_other_things_are_refused(digit_file, face_file, portrait, capsys):
    assert main([str(portrait), "--aligned", "--set", "Smiling", "--model", digit_file]) == 2
    assert "knows no attributes" in one_line(capsys.readouterr().err)
    assert main([str(portrait), "--aligned", "--set", "Smiling", "--model", face_file]) == 2
    assert "crop" in one_line(capsys.readouterr().err)


def test_photos_of_one_name_do_not_overwrite_each_other(small, portrait, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "me.png").write_bytes(portrait.read_bytes())
    both = [str(tmp_path / name / "me.png") for name in ("a", "b")]
    assert main([*both, "--aligned", "--out", str(tmp_path / "done"), *small]) == 0
    assert len(list((tmp_path / "done").iterdir())) == 2
    assert main([*both, "--aligned", "--out", str(tmp_path / "done.png"), *small]) == 2
    assert "name a folder" in one_line(capsys.readouterr().err)


def test_several_words_stand_alone_anywhere(small, portrait, tmp_path):
    other = portrait.with_name("other.png")
    other.write_bytes(portrait.read_bytes())
    out = tmp_path / "both"
    assert main([str(portrait), "--aligned", "--out", str(out), str(other), *small]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["other-unchanged.png", "portrait-unchanged.png"]


@pytest.mark.skipif(not faces.available(), reason='pip install "ddpm_faces[photo]"')
def test_a_real_photo_smiles_and_keeps_everything_else(tmp_path, capsys):
    """Rear Admiral Grace Hopper, a photo in the public domain that comes with matplotlib."""
    from matplotlib.cbook import get_sample_data

    source, out = Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False))), tmp_path / "smiles.png"
    assert main([str(source), "--set", "Smiling", "--out", str(out)]) == 0
    assert "Smiling at strength" in capsys.readouterr().out
    before, after = (photo.open_photo(path).pixels.astype(int) for path in (source, out))
    moved = np.abs(before - after).max(axis=2)
    rows, columns = np.nonzero(moved > 8)
    assert 190 < rows.min() and rows.max() < 380, "from below the eyes to the chin"
    assert 130 < columns.min() and columns.max() < 400
    assert not moved[400:].any() and not moved[:150].any(), "to the bit"


@pytest.mark.skipif(not faces.available(), reason='pip install "ddpm_faces[photo]"')
def test_a_photo_without_a_face_and_a_small_face_say_what_to_do(tmp_path, capsys):
    plain = tmp_path / "plain.png"
    Image.new("RGB", (200, 200), (90, 90, 90)).save(plain)
    assert main([str(plain), "--set", "Smiling"]) == 2
    assert "--eyes x1,y1,x2,y2" in one_line(capsys.readouterr().err)
    model = ddpm_faces.load("celeba64")
    face = Image.fromarray(to_uint8(ddpm_faces.generate(model, "Smiling,Young,-Male", seed=2))[0]).resize((50, 50))
    small = Image.new("RGB", (200, 200), (90, 90, 90))
    small.paste(face, (75, 75))
    small.save(plain)
    main([str(plain), "--set", "Male"])
    assert "wide" in one_line(capsys.readouterr().err)
