"""A full disk, a read-only folder, data that has gone, a clock that jumps: one clear line, and nothing saved is lost."""

from __future__ import annotations

import resource
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import TRAIN, one_line, train_process

from ddpm_faces.data import open_dataset
from ddpm_faces.models import checkpoint
from ddpm_faces.train import main
from ddpm_faces.training import run_folder
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError


def mount(folder: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """disk(megabytes): a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(options: str) -> Path:
        mount(folder, options)
        return folder

    yield make
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def flags(celeba: Path, epochs: int = 7) -> list[str]:
    return [*TRAIN, "--data-root", str(celeba), "--epochs", str(epochs)]


def test_a_full_disk_keeps_the_state_before_and_training_goes_on_when_there_is_space(celeba, tmp_path, disk):
    assert main([*flags(celeba), "--out", str(tmp_path / "whole")]) == 0
    run = disk("size=24m") / "run"  # room for one state of 14 MB and the model, not for a second state
    process = train_process(*flags(celeba), "--out", str(run))
    error = process.communicate()[1]
    assert process.returncode == 2 and "No space left" in one_line(error)
    assert run_folder.latest_state(run)[2].step == 7 and checkpoint.load(run)
    assert not list(run.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=200m", str(run.parent)], check=True)
    assert main(["--resume", str(run)]) == 0
    for name, tensor in run_folder.latest_state(tmp_path / "whole")[0].items():
        assert torch.equal(run_folder.latest_state(run)[0][name], tensor), name


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_a_disk_that_is_full_from_the_start(celeba, disk, pages):
    folder = disk("size=256k")
    (folder / "filler").write_bytes(b"x" * (256 * 1024 - 4096 * pages))
    process = train_process(*flags(celeba), "--out", str(folder / "run"))
    error = process.communicate()[1]
    assert process.returncode == 2 and "No space left" in one_line(error)


def test_no_space_for_the_dataset(celeba, disk, monkeypatch):
    cache = disk("size=40k")
    monkeypatch.setenv("DDPM_FACES_CACHE", str(cache))
    with pytest.raises(UserError, match=r"No space left.*DDPM_FACES_CACHE"):
        open_dataset("celeba", celeba)
    assert not [path for path in cache.iterdir() if path.is_dir()], "nothing half-made"
    subprocess.run(["mount", "-o", "remount,size=4m", str(cache)], check=True)
    assert len(open_dataset("celeba", celeba)) == 8


def test_a_read_only_place(celeba, disk, monkeypatch, capsys):
    folder = disk("ro")
    assert main([*flags(celeba), "--out", str(folder / "run")]) == 2
    assert "Read-only" in one_line(capsys.readouterr().err)
    monkeypatch.setenv("DDPM_FACES_CACHE", str(folder / "cache"))
    assert main([*flags(celeba), "--out", str(celeba / "run")]) == 2
    assert "Read-only" in one_line(capsys.readouterr().err) and not (celeba / "run").exists()


@contextmanager
def largest_file(size: int):
    """The system's limit on the size of a file, which needs no rights to set."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path):
    path = files.write(tmp_path / "a", b"before")
    with largest_file(1000), pytest.raises(UserError, match="what was there before is intact"):
        files.write(path, b"x" * 2000)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    with largest_file(1000), pytest.raises(UserError, match="could not write") as caught:
        files.write(tmp_path / "new", b"x" * 2000)
    assert "intact" not in str(caught.value) and list(tmp_path.iterdir()) == [path]


def test_a_save_that_breaks_off_leaves_the_state_before(celeba, tmp_path, capsys):
    assert main([*flags(celeba), "--out", str(tmp_path / "run"), "--max-steps", "7"]) == 0
    with largest_file(2**20):
        assert main(["--resume", str(tmp_path / "run")]) == 2
    assert "File too large" in one_line(capsys.readouterr().err)
    assert run_folder.latest_state(tmp_path / "run")[2].step == 7
    assert main(["--resume", str(tmp_path / "run")]) == 0


def test_data_that_has_gone_and_comes_back(celeba, tmp_path, capsys):
    assert main([*flags(celeba), "--out", str(tmp_path / "run"), "--max-steps", "7"]) == 0
    shutil.move(celeba, tmp_path / "elsewhere")
    assert main(["--resume", str(tmp_path / "run")]) == 2
    assert "no CelebA in" in one_line(capsys.readouterr().err)
    assert main(["--resume", str(tmp_path / "run"), "--data-root", str(tmp_path / "elsewhere")]) == 0
    assert run_folder.latest_state(tmp_path / "run")[2].step == 14


def test_the_clock_may_jump(celeba, tmp_path, monkeypatch):
    """A day back and forth between any two questions: neither --max-minutes nor the order of the states minds."""
    real, asked = time.time, []

    def jumping() -> float:
        asked.append(1)
        return real() + 86_400 * (-1) ** len(asked)

    monkeypatch.setattr(time, "time", jumping)
    assert main([*flags(celeba), "--out", str(tmp_path / "run"), "--max-minutes", "30"]) == 0
    assert [path.stem for path in run_folder.states(tmp_path / "run")] == ["step-00000014", "step-00000007"]
    assert all(row["images_per_second"] > 0 for row in run_folder.read_losses(tmp_path / "run"))
