"""The same seed and machine, in two processes: the same weights, the same images, and a record of what made them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from conftest import TRAIN, train_process

from ddpm_faces.data import open_dataset
from ddpm_faces.training import run_folder


def test_the_same_seed_gives_the_same_weights_and_images(celeba, tmp_path):
    images, tensors = [], []
    for name in ("a", "b"):
        run = tmp_path / name / "run"
        process = train_process(*TRAIN, "--data-root", str(celeba), "--epochs", "4", "--seed", "5", "--out", str(run))
        error = process.communicate()[1]
        assert process.returncode == 0, error
        tensors.append(run_folder.latest_state(run)[0])
        command = [
            sys.executable,
            "-m",
            "ddpm_faces.sample",
            "--model",
            str(run),
            "--n",
            "3",
            "--steps",
            "4",
            "--device",
            "cpu",
        ]
        subprocess.run([*command, "--out", str(run / "x.png")], check=True, capture_output=True)
        images.append((run / "x.png").read_bytes())
    assert images[0] == images[1]
    for name, tensor in tensors[0].items():
        assert torch.equal(tensors[1][name], tensor), name
    described = json.loads((tmp_path / "a/run/config.json").read_text())
    dataset = open_dataset("celeba", celeba)
    assert described["data"] == {"fingerprint": dataset.fingerprint, "pictures": 8}
    assert described["versions"]["torch"] == torch.__version__.split("+")[0]
    assert described["settings"]["seed"] == 5 and "--seed" in described["command"] and described["commit"]
    assert Path(described["settings"]["data_root"]).is_absolute()
