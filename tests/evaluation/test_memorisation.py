"""Copies are noticed, in images and in the error of denoising, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from few_faces import open_few

from ddpm_faces.diffusion.process import alpha_sigma
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.evaluation.denoising import denoising_errors, harder, levels
from ddpm_faces.evaluation.nearest import Distances, nearest, pixel_parts, pixels
from ddpm_faces.utils.images import to_tensor


class Memory(torch.nn.Module):
    """The best prediction of the noise for a world of a few images (K, C, H, W): nothing but overfitting."""

    def __init__(self, known: torch.Tensor):
        super().__init__()
        self.known = known

    def forward(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        alpha, sigma = alpha_sigma(Schedule(), t, x)
        distances = (x[:, None] - alpha[:, None] * self.known).square().sum(dim=(2, 3, 4))
        likely = torch.softmax(-distances / (2 * sigma.flatten(1) ** 2), dim=1)
        return (x - alpha * torch.einsum("bk,kchw->bchw", likely, self.known)) / sigma


class Nothing(Memory):
    def forward(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def test_who_knows_images_by_heart_finds_others_harder():
    dataset, schedule, at = open_few(Path(), "train"), Schedule(), levels(1000)
    assert at == tuple(range(50, 1000, 100))
    rows, others = np.arange(60), np.arange(100, 160)
    images = to_tensor(dataset.images[rows])
    known, unknown = (denoising_errors(Memory(images), dataset, which, schedule, at) for which in (rows, others))
    assert known.shape == (60, 10) and known[:, :5].max() < 1e-4 < 0.1 < unknown[:, :5].mean()
    share, error = harder(known + 0.01, unknown + 0.01)
    assert share > 10 * error > 0
    known, unknown = (denoising_errors(Nothing(images), dataset, which, schedule, at) for which in (rows, others))
    assert abs(known.mean() - 1) < 0.01, "the noise itself has variance one"
    assert abs(harder(known, unknown).harder) < 1e-6, "and is the same for both"


def test_the_nearest_image_is_found_and_copies_are_noticed():
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    queries = np.concatenate([images[[250, 3]], images[[7]][:, :, ::-1]])
    found = nearest(pixels(queries), pixel_parts(images, mirror=True, size=64))
    assert found.which.tolist() == [250, 3, 307] and found.distance.max() < 1e-3
    a, b = torch.randn(70, 5), torch.randn(90, 5)
    brute = (a[:, None] - b[None]).square().sum(-1).sqrt()
    parts = nearest(a, b.split(40))
    assert torch.allclose(parts.distance, brute.min(1).values, atol=1e-5) and torch.equal(parts.which, brute.argmin(1))
    black, white = (np.full((1, 8, 8, 3), v, dtype=np.uint8) for v in (0, 255))
    assert nearest(pixels(black), [pixels(white)]).distance.item() == pytest.approx(2), "root mean square of [-1, 1] pixels"
    second = (a[:, None] - b[None]).square().sum(-1).sqrt().sort(1).values[:, 1]
    assert torch.allclose(parts.second, second, atol=1e-5)
    among = [torch.randn(500, 8)]
    copied = Distances(nearest(among[0][:50] + 0.01, among), nearest(torch.randn(300, 8), among)).summary()
    assert copied["share of copies, generated"] == 1 and copied["share of copies, held-out"] < 0.02
    dull = Distances(nearest(0.5 * torch.randn(300, 8), among), nearest(torch.randn(300, 8), among)).summary()
    assert dull["distance, generated"] < dull["distance, held-out"], "what varies little lies nearer"
    assert dull["share of copies, generated"] < 0.02, "but is no copy"
