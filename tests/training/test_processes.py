"""Two processes, started as a user would by `accelerate launch`, train what one process trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ddpm_faces.train import main
from ddpm_faces.training import run_folder

FLAGS = ["--data", "celeba", "--preset", "toy32", "--batch-size", "4", "--epochs", "6", "--warmup", "2", "--save-every", "4"]
FLAGS += ["--log-every", "1", "--sample-every", "6", "--precision", "no", "--device", "cpu"]

# Python runs this before anything else: it writes down every file that a process opens to write, renames or makes.
WATCH = """
import os, sys
if "RANK" in os.environ:
    def note(event, args):
        writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or event in ("os.rename", "os.mkdir"):
            os.write(log, f"{os.environ['RANK']} {event} {args[0]}\\n".encode())
    log = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.addaudithook(note)
"""


def launch(tmp_path: Path, *arguments: str) -> str:
    """What two processes print."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "ddpm_faces.train"]
    watch = tmp_path / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    env = os.environ | {"PYTHONPATH": str(watch), "WATCH_LOG": str(tmp_path / "writes.log"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_two_processes_train_what_one_does(celeba, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    data = ["--data-root", str(celeba)]
    assert main([*FLAGS, *data, "--out", str(one)]) == 0
    said = launch(tmp_path, *FLAGS, *data, "--out", str(two), "--max-steps", "7")
    assert said.count("on 2 x cpu") == 1 and said.count("step 7 of 12") == 1, "both were there, and one of them spoke"
    assert "step 12 of 12" in launch(tmp_path, "--resume", str(two))

    losses = [[row["loss"] for row in run_folder.read_losses(folder)] for folder in (one, two)]
    assert len(losses[0]) == 12
    assert max(abs(a - b) for a, b in zip(*losses, strict=True)) < 1e-4
    (weights, _, progress), (shared, _, resumed) = run_folder.latest_state(one), run_folder.latest_state(two)
    assert progress.step == resumed.step == 12
    for name, tensor in weights.items():
        assert (tensor - shared[name]).abs().max() < 1e-4, name

    writes = [line.split(" ", 2) for line in (tmp_path / "writes.log").read_text().splitlines()]
    ranks = {rank for rank, _, path in writes if str(two) in path}
    assert ranks == {"0"}, f"processes that wrote in the run's folder: {ranks}"
    assert (two / "samples" / "step-00000012.png").exists() and (two / "model.safetensors").exists()
