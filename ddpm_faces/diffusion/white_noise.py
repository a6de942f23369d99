"""Noise that a search moves, kept white: a network knows standard normal noise only.

A gradient gathers in the low frequencies, where a little change moves the whole picture; the norm of all values together, which
DOODL restores, does not notice. Everything here takes noise (B, C, H, W), H = W.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BANDS = (0.5, 1.5, 2.5, 4.0, 6.0, 9.0, 13.0, 18.0, 24.0)  # edges of rings around the constant, in cycles a picture
LOW = 9.0  # cycles a picture up to which a frequency counts as low: the edge of a ring
Keep = Callable[[Tensor, Tensor], Tensor]  # noise that was moved, the noise it began as -> noise that is as white as that was


def keep_norm(noise: Tensor, start: Tensor) -> Tensor:
    """The moved noise with the start's norm (DOODL, Wallace et al. 2023)."""
    before, now = (torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True) for x in (start, noise))
    kept: Tensor = noise * (before / now)
    return kept


def keep_bands(noise: Tensor, start: Tensor) -> Tensor:
    """The moved noise with the start's energy in every ring of frequencies: the norm, kept ring by ring."""
    spectrum, before = torch.fft.fft2(noise), torch.fft.fft2(start)
    rings = torch.bucketize(_frequencies(noise), torch.tensor(BANDS, device=noise.device))
    members = torch.nn.functional.one_hot(rings).to(noise.dtype)  # (H, W, rings)
    energies = [torch.einsum("bchw,hwr->br", s.abs().square(), members) for s in (spectrum, before)]
    gain = (energies[1] / energies[0].clamp(min=1e-30)).sqrt()
    kept: Tensor = torch.fft.ifft2(spectrum * torch.einsum("br,hwr->bhw", gain, members)[:, None]).real
    return kept


def keep_amplitudes(noise: Tensor, start: Tensor) -> Tensor:
    """The moved noise with the start's amplitude at every single frequency: only phases move."""
    kept: Tensor = torch.fft.ifft2(torch.polar(torch.fft.fft2(start).abs(), torch.fft.fft2(noise).angle())).real
    return kept


KEEPS: dict[str, Keep] = {"bands": keep_bands, "norm": keep_norm, "amplitudes": keep_amplitudes}


def low_frequency_energy(noise: Tensor) -> Tensor:
    """(B,): the mean energy of the low frequencies beside that of white noise, which has 1."""
    energy: Tensor = torch.fft.fft2(noise, norm="ortho").abs().square().mean(dim=1)
    return energy[:, _frequencies(noise) <= LOW].mean(dim=1)


def neighbour_correlation(noise: Tensor) -> Tensor:
    """(B,): the correlation of values that lie side by side or one below the other; white noise has 0, give or take 0.01."""
    beside = (noise[..., 1:] * noise[..., :-1]).mean(dim=(1, 2, 3)) + (noise[..., 1:, :] * noise[..., :-1, :]).mean(
        dim=(1, 2, 3)
    )
    return beside / 2 / noise.square().mean(dim=(1, 2, 3))


def _frequencies(noise: Tensor) -> Tensor:
    """(H, W): the distance of each entry of a spectrum from the constant, in cycles a picture."""
    y, x = (torch.fft.fftfreq(side, 1 / side, device=noise.device) for side in noise.shape[2:])
    distance: Tensor = (y[:, None].square() + x[None, :].square()).sqrt()
    return distance
