"""What keeps noise white, and the figures that tell whether it still is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddpm_faces.diffusion.white_noise import KEEPS, keep_amplitudes, keep_bands, low_frequency_energy, neighbour_correlation

HAZE = torch.ones(3, 1, 32, 32) * torch.linspace(-1, 1, 32)  # of low frequencies only


@pytest.fixture
def start() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_white_noise_is_found_white(start):
    many = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert float(low_frequency_energy(many).mean()) == pytest.approx(1, abs=0.02)
    assert float(neighbour_correlation(many).mean()) == pytest.approx(0, abs=0.005)
    spoiled = many + HAZE[:1]
    assert float(low_frequency_energy(spoiled).mean()) > 2
    assert float(neighbour_correlation(spoiled).mean()) > 0.1


@pytest.mark.parametrize("keep", KEEPS.values(), ids=KEEPS)
def test_what_did_not_move_stays_as_it_was(keep, start):
    assert torch.allclose(keep(start, start), start, atol=1e-5)


@pytest.mark.parametrize("keep", KEEPS.values(), ids=KEEPS)
def test_the_norm_is_kept(keep, start):
    moved = keep(start + HAZE, start)
    assert torch.allclose(moved.flatten(1).norm(dim=1), start.flatten(1).norm(dim=1), rtol=1e-4)
    assert float((moved - start).abs().mean()) > 0.01


@pytest.mark.parametrize("keep", [keep_bands, keep_amplitudes])
def test_low_frequencies_do_not_gather_where_the_spectrum_is_kept(keep, start):
    assert torch.allclose(low_frequency_energy(keep(start + HAZE, start)), low_frequency_energy(start), rtol=1e-3)
    assert bool((low_frequency_energy(KEEPS["norm"](start + HAZE, start)) > 1.5 * low_frequency_energy(start)).all())
