"""Many images: the same by any number of processes, taken up where a call ended, and never mixed with others."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
from conftest import one_line
from PIL import Image

from ddpm_faces.generation import many
from ddpm_faces.sample import main


def flags(model: str, out, *more: str) -> list[str]:
    return ["--model", model, "--steps", "2", "--device", "cpu", "--precision", "no", "--out", str(out), *more]


def read(folder) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_a_folder_has_a_table_of_seeds_and_conditions(face_file, tmp_path):
    assert main(flags(face_file, tmp_path / "a", "--n", "5", "--set", "Smiling,-Male", "--seed", "7")) == 0
    rows = list(csv.DictReader((tmp_path / "a" / many.TABLE).open()))
    assert [row["seed"] for row in rows] == ["7", "8", "9", "10", "11"]
    assert {row["condition"] for row in rows} == {"-Male,Smiling"}
    assert json.loads((tmp_path / "a" / many.HOW).read_text())["steps"] == 2 and len(read(tmp_path / "a")) == 5


def test_a_call_goes_on_where_another_ended_and_draws_nothing_twice(face_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(many, "CHUNK", 2)
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert main(flags(face_file, whole, "--n", "7")) == 0
    drawn, generate, stopped = [], many.generate, []

    def until_the_third(model, conditions, **options):
        if len(drawn) == 2 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        drawn.append(len(conditions))
        return generate(model, conditions, **options)

    monkeypatch.setattr(many, "generate", until_the_third)
    main(flags(face_file, part, "--n", "7"))
    assert len(list(part.glob("*.png"))) == 4
    (part / "000001.png").unlink()
    assert main(flags(face_file, part, "--n", "7")) == 0
    assert drawn == [2, 2, 2, 2, 1], "the chunk that lost an image, and those that were missing"
    assert np.array_equal(read(part), read(whole))
    assert main(flags(face_file, part, "--n", "9")) == 0 and len(read(part)) == 9, "more of the same"
    capsys.readouterr()
    for change in (["--steps", "3"], ["--seed", "1"], ["--set", "Male"]):
        argv = flags(face_file, part, "--n", "9")
        argv = [*argv[:2], *argv[4:], *change] if change[0] == "--steps" else [*argv, *change]
        assert main(argv) == 2
        assert "choose a new folder" in one_line(capsys.readouterr().err)


def test_an_array_is_put_together_and_its_parts_removed(face_file, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "CHUNK", 2)
    assert main(flags(face_file, tmp_path / "x.npz", "--n", "5")) == 0
    assert main(flags(face_file, tmp_path / "x", "--n", "5")) == 0
    assert np.array_equal(np.load(tmp_path / "x.npz")["arr_0"], read(tmp_path / "x"))
    assert {path.name for path in tmp_path.iterdir()} == {"x", "x.npz", f"x-{many.TABLE}"}


def test_two_processes_write_the_same_images(face_file, tmp_path, monkeypatch):
    assert main(flags(face_file, tmp_path / "one", "--n", "130")) == 0
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--main_process_port",
        "0",
    ]
    command = [*launch, "-m", "ddpm_faces.sample", *flags(face_file, tmp_path / "two", "--n", "130")]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("130 images") == 1, "one process reports"
    assert np.array_equal(read(tmp_path / "two"), read(tmp_path / "one"))


def test_a_grid_of_very_many_images_is_refused(face_file, tmp_path, capsys):
    assert main(flags(face_file, tmp_path / "x.png", "--n", "20000")) == 2
    assert "--out FOLDER" in one_line(capsys.readouterr().err) and not (tmp_path / "x.png").exists()
