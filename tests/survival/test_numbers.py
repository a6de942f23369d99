"""A loss that is no number: noticed, explained, survived. And half precision that stays beside full."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TRAIN, one_line

from ddpm_faces.data import open_dataset
from ddpm_faces.data.dataset import batch_indices
from ddpm_faces.models import checkpoint
from ddpm_faces.train import main
from ddpm_faces.training import loop, run_folder


@pytest.fixture
def poison(monkeypatch):
    """poison(step, ...): the losses of these steps become infinite, as a bad batch or an overflow would have it."""
    real, at = loop.loss, set()
    steps = {"now": 0}

    def loss(*arguments):
        steps["now"] += 1
        return real(*arguments) * (float("inf") if steps["now"] in at else 1.0)

    def choose(*chosen: int, start: int = 0) -> None:
        at.clear()
        at.update(chosen)
        steps["now"] = start

    monkeypatch.setattr(loop, "loss", loss)
    return choose


def flags(celeba: Path, out: Path, *more: str, epochs: int = 12) -> list[str]:
    return [*TRAIN, "--data-root", str(celeba), "--epochs", str(epochs), "--out", str(out), *more]


def test_a_bad_step_is_written_down_and_skipped_when_asked(celeba, tmp_path, capsys, poison):
    run = tmp_path / "run"
    poison(11)
    assert main(flags(celeba, run)) == 2
    error = one_line(capsys.readouterr().err)
    assert "not a number at step 11" in error and "skip_bad_steps" in error
    written = json.loads((run / "bad-step-11.json").read_text())
    dataset = open_dataset("celeba", celeba)
    expected = batch_indices(len(dataset), 4, 10, seed=0)
    assert [p["index"] for p in written["pictures"]] == expected.tolist()
    assert [p["name"] for p in written["pictures"]] == [dataset.name(i) for i in expected]
    assert all(name.endswith(".jpg") for name in (p["name"] for p in written["pictures"]))
    tensors, _, progress = run_folder.latest_state(run)
    assert progress.step == 7 and all(bool(t.isfinite().all()) for t in tensors.values())

    poison(11, start=7)
    assert main(["--resume", str(run), "--skip-bad-steps", "2"]) == 0
    assert "step 11 left out" in capsys.readouterr().err
    tensors, _, progress = run_folder.latest_state(run)
    assert progress.step == 24 and progress.skipped == 1 and all(bool(t.isfinite().all()) for t in tensors.values())
    assert all(np.isfinite(row["loss"]) for row in run_folder.read_losses(run)) and checkpoint.load(run)


class Exploding(torch.autograd.Function):
    """Changes nothing on the way forward; on the way back every gradient becomes infinite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")


def test_a_gradient_that_is_no_number_is_told_at_its_own_step(celeba, tmp_path, capsys, monkeypatch):
    real, count = loop.loss, []

    def loss(*arguments):
        count.append(1)
        value = real(*arguments)
        return Exploding.apply(value) if len(count) == 4 else value

    monkeypatch.setattr(loop, "loss", loss)
    assert main(flags(celeba, tmp_path / "run")) == 2
    error = one_line(capsys.readouterr().err)
    assert "at step 4 " in error and "no state was saved before it: start again" in error
    assert (tmp_path / "run/bad-step-4.json").exists()
    count.clear()
    assert main(flags(celeba, tmp_path / "again", "--skip-bad-steps", "1")) == 0
    assert "step 4 left out" in capsys.readouterr().err


def test_no_more_steps_are_skipped_than_allowed(celeba, tmp_path, capsys, poison):
    poison(3, 4, 5)
    assert main(flags(celeba, tmp_path / "run", "--skip-bad-steps", "2")) == 2
    error = capsys.readouterr().err
    assert "step 3 left out" in error and "step 4 left out" in error and "not a number at step 5" in error


def test_skipping_resumes_bit_for_bit(celeba, tmp_path, poison):
    poison(3, 12)
    assert main(flags(celeba, tmp_path / "whole", "--skip-bad-steps", "5")) == 0
    poison(3, 12)
    assert main(flags(celeba, tmp_path / "parts", "--skip-bad-steps", "5", "--max-steps", "10")) == 0
    poison(12, start=10)
    assert main(["--resume", str(tmp_path / "parts")]) == 0
    whole, parts = (run_folder.latest_state(tmp_path / name) for name in ("whole", "parts"))
    assert whole[2].skipped == parts[2].skipped == 2 and whole[2].adam_step == 22
    for name, tensor in whole[0].items():
        assert torch.equal(parts[0][name], tensor), name


def test_weights_that_are_no_numbers_are_not_saved(celeba, tmp_path, capsys, monkeypatch):
    """The loss before the last update is fine; what that update made is not."""
    run = tmp_path / "run"
    assert main(flags(celeba, run, "--max-steps", "6")) == 0
    capsys.readouterr()
    real = loop.TrainState.finite

    def break_first(state) -> bool:
        with torch.no_grad():
            next(iter(state.network.parameters()))[0] = float("nan")
        return real(state)

    monkeypatch.setattr(loop.TrainState, "finite", break_first)
    assert main(["--resume", str(run), "--max-steps", "7"]) == 2
    assert "weights are no longer numbers at step 7" in one_line(capsys.readouterr().err)
    assert run_folder.latest_state(run)[2].step == 6


def test_half_precision_stays_beside_full(celeba, tmp_path):
    """bf16 and fp32, the same 60 steps: the losses agree within 3%, the weights within a fifth of the way they went."""
    ends = {}
    for precision in ("bf16", "no"):
        out = tmp_path / precision
        assert main(flags(celeba, out, "--precision", precision, epochs=30)) == 0
        losses = [row["loss"] for row in run_folder.read_losses(out)]
        ends[precision] = np.mean(losses[-6:]), run_folder.latest_state(out)[0]
    assert abs(ends["bf16"][0] / ends["no"][0] - 1) < 0.03
    torch.manual_seed(0)
    start = dict(checkpoint.load(tmp_path / "no").config.network().named_parameters())

    def distance(a, b) -> float:
        return sum(float((a(name) - b(name)).square().sum()) for name in start) ** 0.5

    half, full = ((lambda name, t=ends[p][1]: t[f"model.{name}"]) for p in ("bf16", "no"))
    assert distance(half, full) < 0.2 * distance(full, lambda name: start[name].detach())
