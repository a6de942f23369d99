"""`sample` and `interpolate`: what they draw, and every wish that they must refuse."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_faces import interpolate, sample, train
from ddpm_faces.attributes import CELEBA
from ddpm_faces.data.persons import RIVALS, sample_person, settle
from ddpm_faces.interpolate import InterpolateConfig, lay_out_digits, lay_out_faces

FAST = ["--steps", "3", "--device", "cpu"]


def index(name: str) -> int:
    return CELEBA.index(name)


def test_sample_draws_the_same_grid_whatever_the_batch(face_file, tmp_path, capsys):
    argv = ["--model", face_file, "--set", "Smiling,-Male", "--n", "6", "--guidance", "3", "--seed", "5", *FAST]
    assert sample.main([*argv, "--out", str(tmp_path / "a.png")]) == 0
    assert "6 pictures (Smiling,-Male; faces, guidance 3, dpm 3 steps, seed 5)" in capsys.readouterr().out
    assert sample.main([*argv[:6], *FAST, "--out", str(tmp_path / "default.png")]) == 0
    assert "faces, guidance 2, dpm" in capsys.readouterr().out
    assert sample.main([*argv, "--batch-size", "1", "--out", str(tmp_path / "b.png")]) == 0
    assert sample.main([*argv, "--seed", "6", "--out", str(tmp_path / "c.png")]) == 0
    a, b, c = (np.asarray(Image.open(tmp_path / f"{n}.png")).astype(int) for n in "abc")
    assert np.abs(a - b).max() <= 1 and np.abs(a - c).max() > 50


def test_sample_draws_a_column_for_each_digit(digit_file, tmp_path):
    for sampler in ("dpm", "ddim", "ddpm"):
        path = tmp_path / f"{sampler}.png"
        argv = ["--model", digit_file, "--digits", "0-4", "--n", "10", "--sampler", sampler, *FAST, "--out", str(path)]
        assert sample.main(argv) == 0
        assert Image.open(path).width > 5 * 100


def test_a_strip_keeps_noise_and_person_along_a_row_and_changes_the_attribute():
    layout = lay_out_faces(InterpolateConfig(attr=("eyeglasses",), set="Smiling", columns=5, n=3, seed=4), CELEBA)
    assert layout.conditions.shape == (15, 40)
    assert layout.seeds == [4] * 5 + [5] * 5 + [6] * 5 and layout.left == ["seed 4", "seed 5", "seed 6"]
    assert layout.top == ["-1", "-0.5", "+0", "+0.5", "+1"]
    rows = layout.conditions.view(3, 5, 40)
    assert torch.equal(rows[:, :, index("Eyeglasses")], torch.tensor([-1, -0.5, 0, 0.5, 1]).expand(3, 5))
    others = [i for i in range(40) if i != index("Eyeglasses")]
    assert torch.equal(rows[:, :, others], rows[:, :1, others].expand(3, 5, 39)), "nothing else moves"
    assert (rows[:, :, index("Smiling")] == 1).all()
    assert not torch.equal(rows[0, 0], rows[1, 0]), "the rows are different persons"


def test_steps_are_even_as_the_network_is_shown_them():
    scales = torch.ones(2, 40)
    scales[:, index("Eyeglasses")] = torch.tensor([4.0, 0.25])  # present in 6%
    shown = torch.linspace(-0.25, 4, 6)
    layout = lay_out_faces(InterpolateConfig(attr=("Eyeglasses",), columns=6, n=1), CELEBA, scales)
    values = layout.conditions[:, index("Eyeglasses")]
    assert torch.allclose(torch.where(values > 0, 4 * values, values / 4), shown)
    assert values[0] == -1 and values[-1] == 1 and layout.top == ["-1", "+0.15", "+0.36", "+0.57", "+0.79", "+1"]
    back = lay_out_faces(InterpolateConfig(attr=("Eyeglasses",), columns=6, n=1, from_=1, to=-1), CELEBA, scales)
    assert torch.allclose(back.conditions, layout.conditions.flip(0))


def test_rivals_give_way_at_the_same_pace():
    dark = next(seed for seed in range(50) if sample_person(seed, {})[index("Black_Hair")] == 1)
    layout = lay_out_faces(InterpolateConfig(attr=("Blond_Hair",), columns=5, n=1, seed=dark), CELEBA)
    assert torch.equal(layout.conditions[:, index("Black_Hair")], torch.tensor([1, 0.5, 0, -0.5, -1]))
    board = lay_out_faces(InterpolateConfig(attr=("Smiling", "Blond_Hair"), columns=3, seed=dark), CELEBA)
    down, across = (board.conditions.view(3, 3, 40)[:, :, index(name)] for name in ("Black_Hair", "Smiling"))
    assert torch.equal(down, torch.tensor([1.0, 0, -1])[:, None].expand(3, 3))
    assert torch.equal(across, torch.tensor([-1.0, 0, 1]).expand(3, 3))


def test_a_board_changes_two_attributes_of_one_person():
    layout = lay_out_faces(InterpolateConfig(attr=("Smiling", "Young"), from_=0, to=1, columns=3), CELEBA)
    board = layout.conditions.view(3, 3, 40)
    assert torch.equal(board[0, :, index("Smiling")], torch.tensor([0, 0.5, 1]))
    assert torch.equal(board[:, 0, index("Young")], torch.tensor([0, 0.5, 1]))
    assert set(layout.seeds) == {0} and layout.left == ["+0", "+0.5", "+1"]


def test_rivals_give_way_but_wishes_stay():
    dark = -np.ones(40)
    dark[[index("Black_Hair"), index("No_Beard")]] = 1
    blond = settle(dark, "Blond_Hair", 1.0)
    assert blond[index("Blond_Hair")] == 1 and blond[index("Black_Hair")] == -1
    half = settle(dark, "Blond_Hair", 0.0)
    assert half[index("Black_Hair")] == 0
    assert settle(dark, "Blond_Hair", -1.0)[index("Black_Hair")] == 1, "where it is absent, the person is untouched"
    assert settle(dark, "Goatee", 1.0)[index("Male")] == 1 and settle(dark, "Goatee", 1.0)[index("No_Beard")] == -1
    assert settle(dark, "Blond_Hair", 1.0, frozenset({"Black_Hair"}))[index("Black_Hair")] == 1
    assert dark[index("Blond_Hair")] == -1, "the person given is not changed"


def test_sampled_persons_hold_their_wishes_and_no_rivals():
    for seed in range(50):
        values = sample_person(seed, {"Bald": 1.0})  # bald, therefore a man, therefore no lipstick
        touched = {"Bald", "Male"}
        assert values[index("Bald")] == 1 and values[index("Bangs")] == -1 and values[index("Male")] == 1
        signs = {name: values[index(name)] for name in CELEBA} | {f"-{n}": -values[index(n)] for n in CELEBA}
        together = [(a, b) for a, b in RIVALS if signs[a] == signs[b] == 1 and a.removeprefix("-") in touched]
        assert not together, f"seed {seed}"


def test_digits_mix_from_one_to_the_other():
    layout = lay_out_digits(InterpolateConfig(from_digit=3, to_digit=8, columns=3, n=2))
    assert torch.equal(layout.conditions[:3, [3, 8]], torch.tensor([[1, 0], [0.5, 0.5], [0, 1]]))
    assert layout.top == ["3", "0.5", "8"] and layout.seeds == [0, 0, 0, 1, 1, 1]


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
        (["--digits", "3"], "knows no digits"),
        (["--n", "0"], "out of range"),
        (["--steps", "0"], "--steps 0 is impossible"),
        (["--steps", "2000"], "--steps 2000 is impossible"),
        (["--guidance", "nan"], "out of range"),
        (["--seed", "-1"], "--seed -1 is out of range"),
        (["--batch-size", "0"], "at least 1"),
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
        (["--attr", "Male", "--set", "-Male"], "contradictory: Male is in --attr"),
        (["--attr", "Male", "--from", "-2"], "outside [-1, 1]"),
        (["--attr", "Male", "--from", "1"], "nothing would change"),
        (["--attr", "Male", "--columns", "1"], "out of range"),
        (["--attr", "Male", "--attr", "Young", "--n", "3"], "a board shows one person"),
        (["--attr", "Male", "--seed", "-1"], "out of range"),
        (["--attr", "Male", "--from-digit", "1", "--to-digit", "2"], "not both"),
        (["--from-digit", "1", "--to-digit", "2"], "knows no digits"),
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
    assert "not a digit" in refused(capsys, sample, ["--model", digit_file, "--digits", "x"], out)
    assert "no model 'none'" in refused(capsys, sample, ["--model", "none"], out)
    assert sample.main(["--model", unconditional_file, "--n", "2", *FAST, "--out", str(out)]) == 0


def test_places_that_cannot_be_written(face_file, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write in" in refused(capsys, sample, ["--model", face_file, "--out", f"{tmp_path}/file/x.png"], None)
    assert "does not name a picture" in refused(capsys, sample, ["--model", face_file, "--out", f"{tmp_path}/x.txt"], None)
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
    from ddpm_faces import files
    from ddpm_faces.errors import UserError

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
