"""Two processes want the same run's folder, or the same dataset: one works, the other waits or is told who does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from conftest import TRAIN, one_line, train_process

from ddpm_faces.data import open_dataset
from ddpm_faces.data.dataset import cache_root
from ddpm_faces.train import main
from ddpm_faces.training import run_folder


def wait_for(path: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists(), process.communicate()


def test_a_run_has_one_trainer_and_a_dead_ones_place_is_free(celeba, tmp_path, capsys):
    run = tmp_path / "run"
    flags = [*TRAIN, "--data-root", str(celeba), "--epochs", "9999", "--out", str(run)]
    owner = train_process(*flags)
    try:
        wait_for(run / "states/step-00000007.safetensors", owner)
        assert main(["--resume", str(run)]) == 2
        assert f"process {owner.pid} on" in one_line(capsys.readouterr().err)
    finally:
        owner.kill()
        owner.communicate()
    assert main(["--resume", str(run), "--max-steps", str(run_folder.latest_state(run)[2].step + 2)]) == 0


HOLD = """
import sys, time
from pathlib import Path
from ddpm_faces.utils.locks import held
with held(Path(sys.argv[1]), "making the dataset", wait=True):
    print("held", flush=True)
    time.sleep(600)
"""
OPEN = """
import sys
from ddpm_faces.data import open_dataset
print(len(open_dataset("celeba", sys.argv[1])))
"""


def test_a_dataset_is_waited_for_and_taken_over_when_its_maker_dies(celeba):
    folder = Path(open_dataset("celeba", celeba).images.filename).parent
    (folder / "store.json").unlink()  # as if it had yet to be made
    (cache_root() / f"{folder.name}.partial-dead").mkdir()  # and its maker had left this
    maker = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache_root() / f"{folder.name}.lock")], stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout is not None and maker.stdout.readline() == "held\n"
    other = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(celeba)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert other.stderr is not None and f"process {maker.pid}" in other.stderr.readline()
    assert other.poll() is None, "it waits"
    maker.kill()
    maker.wait()
    assert other.communicate(timeout=60)[0] == "8\n"
    assert len(open_dataset("celeba", celeba)) == 8 and not list(cache_root().glob("*.partial-*"))


def test_many_open_the_same_new_dataset_at_once(celeba, amount, tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path / "cache"))
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, str(celeba)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(amount(2, 6))
    ]
    said = [process.communicate() for process in processes]
    assert [out for out, _ in said] == ["8\n"] * len(processes)
    assert sum("decoding" in error for _, error in said) == 1, "one makes it, the others open it"
