"""`python -m ddpm_faces.train`: what a run leaves behind, that it resumes exactly, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_model, write_celeba, write_mnist
from PIL import Image

from ddpm_faces import checkpoint, runs
from ddpm_faces.data import open_data
from ddpm_faces.generation import generate
from ddpm_faces.models.report import ReportUNet
from ddpm_faces.train import main

QUICK = ["--preset", "toy32", "--batch-size", "4", "--log-every", "2", "--device", "cpu", "--epochs", "1", "--save-every", "3"]


def run(celeba: Path, out: Path, *more: str) -> int:
    return main(["--data", "celeba", "--data-root", str(celeba), *QUICK, "--out", str(out), *more])


def test_a_run_leaves_a_whole_folder(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(celeba, out, "--epochs", "3", "--sample-every", "4") == 0  # 8 pictures, 6 steps
    assert "step 6 of 6" in capsys.readouterr().out
    saved = json.loads((out / "config.json").read_text())
    assert saved["settings"]["batch_size"] == 4 and saved["settings"]["flip"] is True
    assert saved["versions"]["torch"] == torch.__version__.split("+")[0] and saved["command"] and saved["commit"]
    assert [row["step"] for row in runs.read_losses(out)] == [2, 4, 6]
    assert Image.open(out / "loss.png").size[0] > 300
    assert {p.name for p in (out / "samples").iterdir()} == {"step-00000004.png", "step-00000006.png"}
    assert [p.name for p in runs.states(out)] == ["step-00000006.safetensors", "step-00000003.safetensors"]
    assert list((out / "tensorboard").rglob("events*"))
    model = checkpoint.load(out)
    assert model.image_shape == (3, 64, 64) and model.config.facts["crop"] == "center140"
    assert model.config.facts["images_seen"] == 24


def test_stopping_and_resuming_is_bit_equal(celeba, tmp_path, capsys):
    """--max-steps, then --resume from the folder alone, gives the weights and the loss curve of an uninterrupted run."""
    assert run(celeba, tmp_path / "whole", "--epochs", "4", "--sample-every", "0") == 0
    assert run(celeba, tmp_path / "parts", "--epochs", "4", "--sample-every", "0", "--max-steps", "5") == 0
    assert f"--resume {tmp_path / 'parts'}" in capsys.readouterr().out
    assert main(["--resume", str(tmp_path / "parts")]) == 0
    whole, parts = (runs.latest_state(tmp_path / name) for name in ("whole", "parts"))
    assert whole[2]["step"] == parts[2]["step"] == 8
    curves = [[(r["step"], r["loss"], r["lr"]) for r in runs.read_losses(tmp_path / name)] for name in ("whole", "parts")]
    assert curves[0] == curves[1] and [step for step, *_ in curves[0]] == [2, 4, 6, 8]
    for name, tensor in whole[0].items():
        assert torch.equal(parts[0][name], tensor), name


def test_a_damaged_newest_state_gives_way_to_the_one_before(celeba, tmp_path, capsys):
    run(celeba, tmp_path / "run", "--epochs", "3", "--sample-every", "0")
    newest = runs.states(tmp_path / "run")[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    assert main(["--resume", str(tmp_path / "run")]) == 0
    assert "trying the state before it" in capsys.readouterr().err
    assert runs.latest_state(tmp_path / "run")[2]["step"] == 6


def test_what_a_resumed_run_is_told_counts(celeba, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.chdir(celeba.parent)
    assert run(Path(celeba.name), out, "--guidance", "2", "--max-steps", "1", "--sample-every", "0") == 0
    monkeypatch.chdir("/")
    assert main(["--resume", str(out), "--guidance", "7", "--precision", "no"]) == 0, "from another place, in fp32"
    assert checkpoint.load(out).guidance == 7
    described = json.loads((out / "config.json").read_text())
    assert described["settings"]["guidance"] == 7 and [b["settings"]["guidance"] for b in described["before"]] == [2]
    capsys.readouterr()
    assert main(["--resume", str(out)]) == 0
    assert "nothing to do, step 2 of 2" in capsys.readouterr().out


def test_rare_attributes_are_known_as_rare(celeba, tmp_path):
    run(celeba, tmp_path / "run", "--max-steps", "1", "--sample-every", "0")
    store, config = open_data("celeba", celeba), checkpoint.load(tmp_path / "run").config
    assert config.frequencies == tuple((store.conditions > 0).mean(axis=0).round(4))


def test_a_run_begins_with_the_spectrum_of_its_pictures(celeba, tmp_path):
    assert run(celeba, tmp_path / "run", "--max-steps", "1", "--sample-every", "0") == 0
    gaussian = checkpoint.load(tmp_path / "run").network.gaussian
    images = torch.from_numpy(open_data("celeba", celeba, "train").images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    assert (gaussian.mean - (images + images.flip(3)).mean(0) / 2).abs().max() < 1e-5, "mirrored, as faces are in training"
    assert gaussian.variance[-1, 0, 0] > 100 * gaussian.variance[-1, 40:, 40:].mean() > 0, "pictures are smooth"


def test_the_reports_own_network_is_trained_and_used_like_ours(celeba, tmp_path, capsys):
    argv = ["--preset", "report", "--sample-every", "0"]
    assert run(celeba, tmp_path / "whole", *argv) == 0
    assert run(celeba, tmp_path / "parts", *argv, "--max-steps", "1") == 0
    assert main(["--resume", str(tmp_path / "parts")]) == 0
    whole, parts = (runs.latest_state(tmp_path / name)[0] for name in ("whole", "parts"))
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    model = checkpoint.load(tmp_path / "whole")
    assert isinstance(model.network, ReportUNet) and sum(p.numel() for p in model.network.parameters()) == 1_380_080
    assert generate(model, "Smiling", n=2, steps=2).shape == (2, 3, 64, 64)
    settings = runs.read_config(tmp_path / "whole")
    assert settings["weighting"] == "uniform" and settings["p_null"] == settings["p_each"] == 0, "its own recipe"
    assert not settings["flip"] and settings["clip"] == settings["ema"] == 0 and settings["precision"] == "no"
    assert all(torch.equal(whole[name.replace("ema.", "model.")], t) for name, t in whole.items() if name.startswith("ema."))
    capsys.readouterr()
    assert run(celeba, tmp_path / "other", *argv, "--weighting", "unit") == 2
    assert "networks with a Gaussian" in capsys.readouterr().err
    assert main(["--data", "toydigits", "--guidance-alone", "4", "--out", str(tmp_path / "digits")]) == 2
    assert "a digit says all" in capsys.readouterr().err and not (tmp_path / "digits").exists()


def test_a_run_begins_with_the_weights_of_another(celeba, tmp_path):
    first, same, tuned, whole = (tmp_path / name for name in ("first", "same", "tuned", "whole"))
    assert run(celeba, first, "--sample-every", "0", "--guidance", "1.5", "--guidance-alone", "4", "--embedding", "7") == 0
    other = write_celeba(tmp_path / "other", n=24)
    start = ["--data-root", str(other), *QUICK[2:], "--init-from", str(first), "--sample-every", "0"]
    assert main([*start, "--lr", "0", "--out", str(same)]) == 0
    assert main([*start, "--guidance", "3", "--out", str(whole)]) == 0
    assert main([*start, "--out", str(tuned), "--max-steps", "1"]) == 0
    assert main(["--resume", str(tuned)]) == 0
    old, kept, new = (checkpoint.load(folder) for folder in (first, same, tuned))
    assert (kept.guidance, new.guidance_alone, kept.guidance_alone) == (1.5, 4, 4)
    assert checkpoint.load(whole).guidance_alone == 3, "who says one scale gets one"
    assert kept.config.embedding == 7 and kept.config.facts["data"] == "celeba", "all the model's own"
    assert kept.config.frequencies == old.config.frequencies != open_data("celeba", other).frequencies
    assert kept.config.facts["init_from"]["images_seen"] == 8 and kept.config.facts["init_from"]["model"] == "first"
    assert new.config.facts["images_seen"] == len(open_data("celeba", other)) == 20, "what this run adds is counted by itself"
    weights = old.network.state_dict()
    assert all(torch.equal(kept.network.state_dict()[name], t) for name, t in weights.items())
    moved = {name for name, t in weights.items() if not torch.equal(new.network.state_dict()[name], t)}
    assert "unet.enter.weight" in moved and "gaussian.mean" not in moved
    unbroken, resumed = (runs.latest_state(folder)[0] for folder in (whole, tuned))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in unbroken.items())


def test_the_licence_of_the_first_pictures_stays(tmp_path):
    write_mnist(tmp_path)
    argv = [*QUICK[2:], "--preset", "mnist32", "--max-steps", "1", "--sample-every", "0", "--data-root", str(tmp_path)]
    assert main(["--data", "mnist", *argv, "--out", str(tmp_path / "a")]) == 0
    assert main(["--data", "toydigits", *argv, "--init-from", str(tmp_path / "a"), "--out", str(tmp_path / "b")]) == 0
    facts = checkpoint.load(tmp_path / "b").config.facts
    assert facts["data"] == "toydigits" and "MIT" in facts["licence"] and "CC BY-SA" in facts["licence"]


def test_what_a_run_cannot_begin_with_is_refused_before_anything_is_done(celeba, tmp_path, capsys):
    first, out = tmp_path / "first", tmp_path / "none"
    run(celeba, first, "--max-steps", "1", "--sample-every", "0")
    capsys.readouterr()
    base = ["--data", "celeba", "--data-root", str(tmp_path / "no data is asked for"), *QUICK[2:], "--out", str(out)]
    mine = [*base, "--init-from", str(first)]
    assert "no model 'nowhere'" in refuse(capsys, [*base, "--init-from", "nowhere"])
    assert "--preset toy32 cannot be with" in refuse(capsys, [*base, "--preset", "toy32", "--init-from", "celeba64"])
    assert "--embedding 5 cannot be with" in refuse(capsys, [*mine, "--embedding", "5"])
    assert "--unconditional True cannot be with" in refuse(capsys, [*mine, "--unconditional"])
    assert "--schedule-steps 50 cannot be with" in refuse(capsys, [*mine, "--schedule-steps", "50"])
    assert "begins a new run" in refuse(capsys, ["--resume", str(first), "--init-from", "celeba64"])
    odd = random_model((), (3, 16, 16))
    assert "none of the presets" in refuse(
        capsys, [*base, "--init-from", str(checkpoint.save(tmp_path / "odd.safetensors", odd))]
    )
    base[3] = str(celeba)
    assert "draws other pictures" in refuse(capsys, [*base, "--init-from", "mnist32"])
    assert not out.exists()


def test_a_run_of_other_pictures_is_not_gone_on_with(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    run(celeba, out, "--max-steps", "1", "--sample-every", "0")
    path = runs.states(out)[0]
    tensors, config, entries = checkpoint.read(path)
    other = replace(config, image=(3, 32, 32))
    path.write_bytes(checkpoint.encode(tensors, other, progress=entries["progress"]))
    capsys.readouterr()
    assert "pictures of (32, 32)" in refuse(capsys, ["--resume", str(out)])


def test_what_cannot_be_is_refused_before_anything_is_fetched(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("ddpm_faces.train.fetch", lambda *_: pytest.fail("this would download 1.4 GB"))
    base = ["--data", "celeba", "--download", "--data-root", str(tmp_path / "data")]
    assert "no crop" in refuse(capsys, [*base, "--crop", "square"])
    assert "no preset" in refuse(capsys, [*base, "--preset", "huge"])
    assert "no schedule" in refuse(capsys, [*base, "--schedule", "sigmoid"])
    assert "cannot write in" in refuse(capsys, [*base, "--out", str(tmp_path / "file" / "run")])


def test_max_minutes_ends_with_a_saved_state(celeba, tmp_path):
    assert run(celeba, tmp_path / "run", "--epochs", "1000", "--sample-every", "0", "--max-minutes", "0.01") == 0
    assert 1 <= runs.latest_state(tmp_path / "run")[2]["step"] < 2000


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_a_saved_state(celeba, tmp_path, number, status):
    flags = ["--data", "celeba", "--data-root", str(celeba), *QUICK, "--epochs", "9999", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "ddpm_faces.train", *flags, "--sample-every", "0", "--save-every", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    while not (tmp_path / "run" / "tensorboard").exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "go on with" in out and "Traceback" not in err
    assert runs.latest_state(tmp_path / "run")[2]["step"] >= 1


def test_the_unconditional_baseline_trains(celeba, tmp_path):
    assert run(celeba, tmp_path / "plain", "--unconditional", "--max-steps", "1") == 0
    model = checkpoint.load(tmp_path / "plain")
    assert model.config.kind == "unconditional" and model.names == ()


def test_digits_train_and_a_short_schedule_is_sampled(tmp_path):
    write_mnist(tmp_path)
    flags = ["--data", "mnist", "--data-root", str(tmp_path), *QUICK, "--sample-every", "2", "--max-steps", "2"]
    assert main([*flags, "--out", str(tmp_path / "run"), "--schedule-steps", "10"]) == 0
    assert checkpoint.load(tmp_path / "run").config.kind == "digits"
    assert (tmp_path / "run" / "samples" / "step-00000002.png").exists()


def test_a_diverged_run_says_so_and_keeps_the_states_before(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    run(celeba, out, "--epochs", "50", "--sample-every", "0", "--max-steps", "3")
    before = runs.latest_state(out)
    capsys.readouterr()
    assert main(["--resume", str(out), "--lr", "1", "--clip", "0", "--max-steps", "90"]) == 2
    assert "is not a number at step" in capsys.readouterr().err
    after = runs.latest_state(out)
    assert all(bool(t.isfinite().all()) for t in after[0].values()) and after[2]["step"] >= before[2]["step"]


def test_other_pictures_are_not_resumed_on(celeba, tmp_path, capsys):
    run(celeba, tmp_path / "run", "--max-steps", "1", "--sample-every", "0")
    (celeba / "celeba/img_align_celeba/000001.jpg").unlink()
    open_data("celeba", celeba)  # decoded now, so that what is printed below is the refusal alone
    capsys.readouterr()
    assert "does not hold the pictures" in refuse(capsys, ["--resume", str(tmp_path / "run")])


def refuse(capsys, argv: list[str]) -> str:
    """The one line that main prints when it refuses argv with status 2."""
    assert main(argv) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("ddpm_faces: ") and "Traceback" not in err
    return lines[0]


def test_bad_input_is_one_line_and_leaves_nothing(celeba, tmp_path, capsys):
    base = ["--data", "celeba", "--data-root", str(celeba), *QUICK, "--out", str(tmp_path / "run")]
    nowhere = ["--data", "celeba", "--data-root", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert "ways to get it" in refuse(capsys, nowhere)
    assert "no MNIST in" in refuse(capsys, ["--data", "mnist", *nowhere[2:]])
    assert "no crop" in refuse(capsys, [*base, "--crop", "square"])
    assert "no preset" in refuse(capsys, [*base, "--preset", "huge"])
    assert "no schedule" in refuse(capsys, [*base, "--schedule", "sigmoid"])
    assert "no device 'tpu'" in refuse(capsys, [*base, "--device", "tpu"])
    assert "fp16" in refuse(capsys, [*base, "--precision", "fp16"])
    assert "is outside" in refuse(capsys, [*base, "--batch-size", "0"])
    assert "not the folder of a run" in refuse(capsys, ["--resume", str(tmp_path / "nothing")])
    assert "--embedding" in refuse(capsys, [*base, "--embedding", "0"])
    assert "--max-steps" in refuse(capsys, [*base, "--max-steps", "0"])
    assert not (tmp_path / "run").exists()


def test_a_typo_in_a_flag_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--bacth-size", "4"])
    assert caught.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()) == 1


def test_runs_are_not_overwritten_and_keep_their_nature(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    run(celeba, out, "--max-steps", "1", "--sample-every", "0")
    capsys.readouterr()
    same = ["--data", "celeba", "--data-root", str(celeba), *QUICK, "--out", str(out)]
    assert "already holds a run" in refuse(capsys, same)
    assert "must stay 4" in refuse(capsys, ["--resume", str(out), "--batch-size", "8"])
    assert "leave --out away" in refuse(capsys, ["--resume", str(out), "--out", str(tmp_path / "b")])
    assert "must stay celeba" in refuse(capsys, ["--resume", str(out), "--data", "toy"])
    for path in runs.states(out):
        path.unlink()
    assert "no state to go on from" in refuse(capsys, ["--resume", str(out)])


def test_a_folder_that_cannot_be_written(celeba, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write in" in refuse(
        capsys, ["--data", "celeba", "--data-root", str(celeba), *QUICK, "--out", str(tmp_path / "file" / "run")]
    )
