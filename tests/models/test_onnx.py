"""The ONNX file: the same eps as torch's, and a sampler in numpy that needs nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_faces import export
from ddpm_faces.generation.generate import generate
from ddpm_faces.models.checkpoint import load
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.models.onnx import difference_from_torch, export_onnx

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
EXAMPLE = Path(__file__).parents[2] / "docs" / "sample_onnx.py"


@pytest.fixture(scope="module", params=["celeba64-two", "mnist32"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DiffusionModel, Path]:
    model, path = load(request.param), tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path)
    return model, path


def test_eps_is_torchs(exported):
    assert difference_from_torch(*exported) < 1e-4


def test_the_difference_is_seen(exported):
    model, path = exported
    other = load(model.source)
    with torch.no_grad():
        next(other.network.parameters()).add_(0.1)
    assert difference_from_torch(other, path) > 1e-3


def test_the_example_samples_what_the_package_samples(exported, monkeypatch):
    model, path = exported
    spec = importlib.util.spec_from_file_location("sample_onnx", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    word = "Smiling" if "Smiling" in model.names else "7"
    noise = np.random.default_rng(0).standard_normal((1, *model.image_shape)).astype(np.float32)
    wanted = generate(model, model.labels.vector({word: 1.0})[None], noise=torch.from_numpy(noise), precision="no")[0]
    difference = np.abs(example.sample(str(path), word) - wanted.numpy())
    assert difference.mean() < 2e-3
    assert difference.max() < 5e-2


def test_the_example_needs_no_torch(exported, tmp_path):
    _, path = exported
    code = f"import sys; sys.modules['torch'] = None; sys.argv = ['x', {str(path)!r}, '', {str(tmp_path / 'a.png')!r}]; "
    run = f"exec(compile(open({str(EXAMPLE)!r}).read(), 'sample_onnx.py', 'exec'), {{'__name__': '__main__'}})"
    subprocess.run([sys.executable, "-c", code + run], check=True)
    assert (tmp_path / "a.png").stat().st_size > 200
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 45


def test_the_command(tmp_path, capsys):
    assert export.main(["--model", "mnist32-fast", "--out", str(tmp_path / "new" / "m.onnx")]) == 0
    assert "differs from torch's by" in capsys.readouterr().out
    assert export.main(["--model", "nobody"]) == 2
