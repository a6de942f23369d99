"""`train --minutes`: a schedule that fits the time, whatever the machine, and a run that is a whole one."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TRAIN

from ddpm_faces.train import main
from ddpm_faces.training import plan, run_folder


@pytest.mark.parametrize(("seconds", "steps"), [(2.0, 3), (100.0, 1)])
def test_the_schedule_fits_the_time(celeba: Path, tmp_path: Path, monkeypatch, capsys, seconds: float, steps: int):
    """The pace is the machine's, so that it is given here; the next test measures it."""
    monkeypatch.setattr(plan, "seconds_a_step", lambda *_: seconds)
    out = tmp_path / "run"
    assert main([*TRAIN, "--data-root", str(celeba), "--out", str(out), "--minutes", str(6.5 / 60)]) == 0
    said = capsys.readouterr().out
    assert f"about 0.108333 min here, {steps} steps" in said and f"step {steps} of {steps}" in said
    assert run_folder.read_config(out)["epochs"] == pytest.approx(steps * 4 / 8), "a resumed run keeps the plan"


def test_the_pace_is_measured_and_leaves_no_trace(celeba: Path, tmp_path: Path, capsys):
    argv = [*TRAIN, "--data-root", str(celeba), "--max-steps", "2"]
    assert main([*argv, "--out", str(tmp_path / "planned"), "--minutes", "0.2"]) == 0
    epochs = run_folder.read_config(tmp_path / "planned")["epochs"]
    assert epochs > 0 and "min here" in capsys.readouterr().out
    assert main([*argv, "--out", str(tmp_path / "plain"), "--epochs", str(epochs)]) == 0
    one, other = (run_folder.latest_state(tmp_path / name)[0] for name in ("planned", "plain"))
    assert all((one[name] == other[name]).all() for name in other), "the steps that took the time left no trace"
