"""Signals and closed outputs end with a saved state; what only shows something may fail; what a launcher says is heeded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from quick_runs import flags, refuse, run

from ddpm_faces.models import checkpoint
from ddpm_faces.training import run_folder


def endless(celeba: Path, out: Path, **values) -> list[str]:
    return flags(data="celeba", data_root=celeba, out=out, epochs=9999, save_every=100_000, **values)


def start(argv: list[str], out: Path, **environment: str) -> subprocess.Popen:
    """A training process that has begun its steps."""
    command, env = [sys.executable, "-m", "ddpm_faces.train", *argv], os.environ | environment
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    wait_until(lambda: (out / "tensorboard").exists(), process)
    time.sleep(2)
    return process


def wait_until(true, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not true() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_a_saved_state(celeba, tmp_path, number, status):
    out = tmp_path / "run"
    process = start(endless(celeba, out, sample_every=100_000), out)
    process.send_signal(number)
    said, error = process.communicate(timeout=120)
    assert process.returncode == status, error
    assert "go on with" in said and "sample from it with" in said and "Traceback" not in error
    step = run_folder.latest_state(out)[2].step
    assert step >= 1 and (out / "samples" / f"step-{step:08d}.png").exists(), "every stop leaves a grid"


def test_sigusr1_saves_and_goes_on_and_a_closed_terminal_saves_and_ends_even_where_plots_fail(celeba, tmp_path):
    out = tmp_path / "run"
    process = start(endless(celeba, out), out, MPLBACKEND="not_installed")
    process.send_signal(signal.SIGUSR1)
    wait_until(lambda: run_folder.states(out) and (out / "model.safetensors").exists(), process)
    time.sleep(1)
    assert run_folder.states(out) and process.poll() is None
    first = run_folder.latest_state(out)[2].step
    process.send_signal(signal.SIGHUP)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 129 and "Traceback" not in error
    assert run_folder.latest_state(out)[2].step > first >= 1
    assert error.count("warning: loss.png failed") == 1 and not (out / "loss.png").exists(), "told once, in two saves"
    assert run_folder.read_losses(out) and checkpoint.load(out)


def test_who_ignores_sighup_is_not_stopped_by_it(celeba, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        out = tmp_path / "run"
        process = start(endless(celeba, out), out)
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
    finally:
        signal.signal(signal.SIGHUP, before)
        process.kill()
        process.communicate()


def test_a_broken_pipe_ends_with_a_saved_state(celeba, tmp_path):
    """As `train ... 2>&1 | head` does."""
    out = tmp_path / "run"
    process = start(endless(celeba, out), out)
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=120) == 141
    assert run_folder.latest_state(out)[2].step >= 1


def test_what_only_shows_something_may_fail(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    for name in ("loss.csv", "loss.png"):
        (out / name).mkdir(parents=True)
    for name in ("tensorboard", "samples"):
        (out / name).write_text("in the way")
    assert run(celeba, out, epochs=3, sample_every=2) == 0
    error = capsys.readouterr().err
    for what in ("TensorBoard", "a sample grid", "loss.csv", "loss.png"):
        assert error.count(f"warning: {what} failed") == 1, what
    assert run_folder.latest_state(out)[2].step == 6 and checkpoint.load(out)


def test_without_an_error_output(celeba, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as pythonw has it
    assert run(celeba, tmp_path / "run") == 0


def test_a_bar_that_fails_is_given_up(celeba, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tqdm.tqdm.update", lambda *_: 1 / 0)
    assert run(celeba, tmp_path / "run") == 0
    assert capsys.readouterr().err.count("warning: the progress bar failed (ZeroDivisionError") == 1


def test_samples_are_captioned_by_their_run(celeba, tmp_path, monkeypatch):
    from ddpm_faces.utils import images

    titles, grid = [], images.grid
    monkeypatch.setattr(images, "grid", lambda *a, title="", **k: titles.append(title) or grid(*a, title=title, **k))
    assert run(celeba, tmp_path / "my-run", sample_every=2) == 0
    assert titles == ["my-run, step 2, 8 images seen"]


def test_what_a_launcher_says_is_heeded(celeba, tmp_path, capsys, monkeypatch):
    argv = flags(data="celeba", data_root=celeba, out=tmp_path / "run")
    for name, value, said in (
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "is not supported: unset it"),
        ("ACCELERATE_USE_FSDP", "true", "ACCELERATE_USE_FSDP is not supported"),
        ("RANK", "0", "has RANK, but not MASTER_ADDR and WORLD_SIZE"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert said in refuse(capsys, argv)
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert run(celeba, tmp_path / "run", precision="no") == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["settings"]["precision"] == "no"
