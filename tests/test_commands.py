"""`sample` and `interpolate`: what they draw, and every wish that they must refuse."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ddpm_faces
from ddpm_faces import interpolate, sample, train

FAST = ["--steps", "3", "--device", "cpu"]


def test_sample_draws_the_same_grid_whatever_the_batch(face_file, tmp_path, capsys):
    argv = ["--model", face_file, "--set", "Smiling,-Male", "--n", "6", "--guidance", "3", "--seed", "5", *FAST]
    assert sample.main([*argv, "--out", str(tmp_path / "a.png")]) == 0
    assert "6 images (Smiling,-Male; faces, guidance 3, dpm 3 steps, seed 5)" in capsys.readouterr().out
    assert sample.main([*argv[:6], *FAST, "--out", str(tmp_path / "default.png")]) == 0
    assert "faces, guidance 2, dpm" in capsys.readouterr().out
    assert sample.main([*argv, "--batch-size", "1", "--out", str(tmp_path / "b.png")]) == 0
    assert sample.main([*argv[:8], "--seed", "6", *FAST, "--out", str(tmp_path / "c.png")]) == 0
    a, b, c = (np.asarray(Image.open(tmp_path / f"{n}.png")).astype(int) for n in "abc")
    assert np.abs(a - b).max() <= 1 and np.abs(a - c).max() > 50


def test_sample_draws_a_column_for_each_digit(digit_file, tmp_path):
    for sampler in ("dpm", "ddim", "ddpm"):
        path = tmp_path / f"{sampler}.png"
        argv = ["--model", digit_file, "--digits", "0-4", "--n", "10", "--sampler", sampler, *FAST, "--out", str(path)]
        assert sample.main(argv) == 0
        assert Image.open(path).width > 5 * 100


def test_interpolate_writes_strips_boards_and_animations(face_file, digit_file, tmp_path, capsys):
    small = ["--columns", "3", *FAST]
    assert interpolate.main(["--model", face_file, "--attr", "Eyeglasses", "--gif", *small, "--out", f"{tmp_path}/s.png"]) == 0
    assert Image.open(tmp_path / "s.png").height > 4 * 16 and Image.open(tmp_path / "s.gif").n_frames == 4
    two = ["--attr", "Male", "--attr", "Smiling", *small, "--out", f"{tmp_path}/b.png"]
    assert interpolate.main(["--model", face_file, *two]) == 0
    digits = ["--from-digit", "3", "--to-digit", "8", *small, "--out", f"{tmp_path}/d.png"]
    assert interpolate.main(["--model", digit_file, *digits]) == 0
    out = capsys.readouterr().out
    assert "across: Male, down: Smiling" in out and "3 to 8" in out and "animation" in out


def refused(capsys, command, argv: list[str], out: Path | None) -> str:
    """The one line with which a command refuses argv, status 2, nothing written."""
    assert command.main([*argv, *(["--out", str(out)] if out else [])]) == 2
    err = capsys.readouterr().err.strip()
    assert len(err.splitlines()) == 1 and err.startswith("ddpm_faces: ")
    assert out is None or not out.exists()
    return err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--set", "Smilling"], "did you mean Smiling"),
        (["--set", "Smiling=3"], "outside [-1, 1]"),
        (["--set", "Male,-Male"], "contradictory"),
        (["--digits", "3"], "knows no classes"),
        (["--n", "0"], "--n 0 is outside 1 .. 10000"),
        (["--steps", "0"], "steps 0 is impossible"),
        (["--steps", "2000"], "steps 2000 is impossible"),
        (["--guidance", "nan"], "--guidance nan"),
        (["--seed", "-1"], "--seed -1 must be at least 0"),
        (["--batch-size", "0"], "--batch-size 0 is outside 1"),
        (["--device", "cuda:77"], "no device"),
    ],
)
def test_sample_refuses(face_file, tmp_path, capsys, argv, message):
    assert message in refused(capsys, sample, ["--model", face_file, *argv], tmp_path / "x.png")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "say what to change"),
        (["--attr", "Eyeglases"], "did you mean Eyeglasses"),
        (["--attr", "Male", "--attr", "male"], "given twice"),
        (["--attr", "Male,Young,Bald"], "one attribute, or two"),
        (["--attr", "Male", "--set", "-Male"], "contradictory: Male is to change, and to stay"),
        (["--attr", "Male", "--from", "-2"], "--from -2 is outside -1"),
        (["--attr", "Male", "--from", "1"], "nothing would change"),
        (["--attr", "Male", "--columns", "1"], "--columns 1 is outside 2 .. 200"),
        (["--attr", "-Male"], "without a minus"),
        (["--attr", "Male", "--attr", "Young", "--n", "3"], "a board shows one face"),
        (["--attr", "Male", "--seed", "-1"], "--seed -1 must be at least 0"),
        (["--attr", "Male", "--from-digit", "1", "--to-digit", "2"], "not both"),
        (["--from-digit", "1", "--to-digit", "2"], "knows no classes"),
    ],
)
def test_interpolate_refuses(face_file, tmp_path, capsys, argv, message):
    assert message in refused(capsys, interpolate, ["--model", face_file, *argv], tmp_path / "x.png")


def test_models_that_do_not_know_what_is_asked(digit_file, unconditional_file, tmp_path, capsys):
    out = tmp_path / "x.png"
    assert "knows no attributes" in refused(capsys, sample, ["--model", digit_file, "--set", "Smiling"], out)
    assert "knows no attributes" in refused(capsys, interpolate, ["--model", digit_file, "--attr", "Smiling"], out)
    assert "different digits" in refused(capsys, interpolate, ["--model", digit_file, "--from-digit", "4"], out)
    assert "unconditional" in refused(capsys, sample, ["--model", unconditional_file, "--set", "Smiling"], out)
    assert "not a class" in refused(capsys, sample, ["--model", digit_file, "--digits", "x"], out)
    assert "no model 'none'" in refused(capsys, sample, ["--model", "none"], out)
    assert sample.main(["--model", unconditional_file, "--n", "2", *FAST, "--out", str(out)]) == 0


def test_places_that_cannot_be_written(face_file, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write in" in refused(capsys, sample, ["--model", face_file, "--out", f"{tmp_path}/file/x.png"], None)
    assert "names no image" in refused(capsys, sample, ["--model", face_file, "--out", f"{tmp_path}/x.txt"], None)
    long = "x" * 300
    assert "too long" in refused(capsys, sample, ["--model", face_file, "--out", f"{tmp_path}/{long}.png"], None)
    assert "too long" in refused(capsys, sample, ["--model", face_file, "--out", f"{tmp_path}/{long}/x.png"], None)
    assert "no model" in refused(capsys, sample, ["--model", long], None)
    assert "no model ''" in refused(capsys, sample, ["--model", ""], None)


def test_a_refused_command_makes_no_folder(face_file, tmp_path, capsys):
    out = tmp_path / "new" / "sub" / "x.png"
    refused(capsys, sample, ["--model", "nope"], out)
    refused(capsys, sample, ["--model", face_file, "--set", "Grinning"], out)
    refused(capsys, interpolate, ["--model", face_file, "--attr", "Grinning"], out)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_places_that_may_not_be_entered(face_file, tmp_path, capsys):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    try:
        assert "denied" in refused(capsys, sample, ["--model", face_file, "--out", f"{locked}/x.png"], None)
        assert "locked" in refused(capsys, sample, ["--model", f"{locked}/m.safetensors"], None)
        assert "denied" in refused(capsys, train, ["--out", f"{locked}/run"], None)
    finally:
        locked.chmod(0o700)


def test_values_that_begin_with_a_minus(face_file, tmp_path):
    argv = ["--model", face_file, "--attr", "Male", "--from", "-1e-1", "--to", "-.5", "--n", "1", "--columns", "2", *FAST]
    assert interpolate.main([*argv, "--out", str(tmp_path / "x.png")]) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    """Every byte goes to /dev/full, which answers as a full disk does."""
    from ddpm_faces.utils import files
    from ddpm_faces.utils.errors import UserError

    target = files.write(tmp_path / "state.safetensors", b"good")
    monkeypatch.setattr(files.tempfile, "mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "part")))
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)):
        files.write(target, b"x" * 10**6)
    assert target.read_bytes() == b"good"


def test_sampling_imports_nothing_slow(face_file, tmp_path):
    """These take seconds to import and are needed elsewhere only."""
    argv = ["--model", str(face_file), "--attr", "Smiling", "--columns", "2", "--n", "1", "--steps", "2"]
    argv += ["--out", str(tmp_path / "strip.png")]
    code = f"""
import sys
from ddpm_faces.interpolate import main
assert main({argv!r}) == 0
print(*sorted({{"diffusers", "torchvision", "matplotlib", "tensorboard", "pandas", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "", f"imported: {done.stdout.splitlines()[-1]}"


def test_digits_that_are_not_drawn_are_not_in_the_title(digit_file, tmp_path, capsys):
    assert sample.main(["--model", digit_file, "--digits", "0-9", "--n", "2", *FAST, "--out", str(tmp_path / "x.png")]) == 0
    assert "2 images (classes 0,1; " in capsys.readouterr().out


def test_a_flag_given_twice_is_refused(face_file, tmp_path, capsys):
    with pytest.raises(SystemExit):
        sample.main(["--model", face_file, "--set", "Smiling", "--set", "Male", "--out", str(tmp_path / "x.png")])
    assert "--set is given twice" in capsys.readouterr().err


def test_a_sampler_of_ones_own_by_import(face_file, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "from ddpm_faces import register_sampler\n"
        "from ddpm_faces.diffusion.samplers import ddim\n"
        "register_sampler('mine', ddim, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    argv = ["--model", face_file, "--sampler", "mine", "--n", "1", "--device", "cpu", "--out", "x.png"]
    assert "no sampler 'mine'" in refused(capsys, sample, argv, None)
    assert sample.main([*argv, "--import", "mine"]) == 0
    assert "mine 3 steps" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "sample", "interpolate", "evaluate", "train_classifier"])
def test_help_does_not_import_torch(command):
    code = f"""
import sys
from ddpm_faces.{command} import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
print("torch" in sys.modules, "numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "False False", done.stdout[-2000:] + done.stderr
    assert "--seed" in done.stdout


def test_single_images_and_an_array_for_other_tools(face_file, digit_file, tmp_path, capsys):
    argv = ["--model", face_file, "--n", "3", *FAST]
    assert sample.main([*argv, "--out", str(tmp_path / "faces")]) == 0
    assert sample.main([*argv, "--out", str(tmp_path / "faces.npz")]) == 0
    array = np.load(tmp_path / "faces.npz")["arr_0"]
    assert array.shape == (3, 16, 16, 3) and array.dtype == np.uint8
    for i in range(3):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"faces/{i:06d}.png")), array[i])
    assert sample.main(["--model", digit_file, "--n", "1", *FAST, "--out", str(tmp_path / "digits")]) == 0
    assert Image.open(tmp_path / "digits/000000.png").mode == "L"
    capsys.readouterr()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("kept")
    assert "holds files already" in refused(capsys, sample, [*argv, "--out", str(tmp_path / "mine")], None)
    assert "is there already" in refused(capsys, sample, [*argv, "--out", str(tmp_path / "faces.npz")], None)
    assert "names no image" in refused(capsys, sample, [*argv, "--out", str(tmp_path / "x.txt")], None)


def test_names_are_listed(face_file, digit_file, capsys):
    assert sample.main(["--model", digit_file, "--list-attributes"]) == 0
    assert capsys.readouterr().out.split() == list("0123456789")
    assert interpolate.main(["--model", face_file, "--list-attributes"]) == 0
    assert capsys.readouterr().out.splitlines()[20] == "Male"


def test_default_names_overwrite_nothing(face_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert sample.main(["--model", face_file, "--n", "1", *FAST]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["samples-2.png", "samples.png"]


def test_attributes_without_a_comma(face_file, capsys):
    with pytest.raises(SystemExit):
        sample.main(["--model", face_file, "--set", "Smiling", "-Male"])
    assert "commas" in capsys.readouterr().err


def test_the_package_is_found_from_the_folder_that_holds_its_clone(tmp_path):
    """As on Colab, where /content/ddpm_faces is the clone: a folder of that name must not hide the package."""
    (tmp_path / "ddpm_faces").mkdir()
    code = "import ddpm_faces; print(ddpm_faces.__version__, len(dir(ddpm_faces)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.startswith(ddpm_faces.__version__), done.stderr
