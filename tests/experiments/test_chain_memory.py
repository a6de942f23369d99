"""The memory of a gradient through the chain: the plot's command, and all three ways give one gradient."""

from __future__ import annotations

import json

import torch
from PIL import Image

import ddpm_faces
from ddpm_faces.diffusion.inversion import ladder
from ddpm_faces.generation.optimise import DEPTH
from experiments import chain_memory


def test_all_ways_give_the_same_gradient():
    model = ddpm_faces.load("mnist32")
    z = torch.randn(2, *model.image_shape, generator=torch.Generator().manual_seed(0))
    rungs, eps = ladder(model.schedule, 4, DEPTH), model.eps(torch.zeros(2, 10))
    plain, *others = (chain_memory._gradient(way, eps, z, rungs) for way in chain_memory.WAYS)
    for other in others:
        assert torch.allclose(other, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


def test_the_invertible_chain_takes_less_than_the_plain_one(tmp_path, capsys):
    assert chain_memory.main(["--steps", "3,12", "--batch-size", "4", "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    slopes = {way: figures[f"{way}/12"] - figures[f"{way}/3"] for way in chain_memory.WAYS}
    assert slopes["plain"] > 100, "nine steps of a U-Net's activations, in MiB"
    assert slopes["invertible"] < 0.1 * slopes["plain"]
    assert Image.open(tmp_path / "memory.png").width > 600
    assert chain_memory.main(["--steps", "5", "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
