"""Editing by the difference: the same path under two conditions, of which only the difference reaches the image.

An inversion that is not exact loses a little of the photo, and guidance blows the loss up. So the photo's own path is kept, and
the recursion runs on d, the distance of the edited path from it. Where both conditions agree d stays 0, and the photo comes
back to the last bit, whatever the path and however few its steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.inversion import Path, Rung, ddim_step, evaluate


def difference(edited: Eps, path: Path, rungs: list[Rung]) -> Tensor:
    """d_0 (B, C, H, W): what the edit adds to the image x[0] of a path.

    From d_n = 0 down, with DDIM's step x -> a x + b e from rung i to i - 1:  d_(i-1) = a_i d_i + b_i [edited(x_i + d_i) - e_i].
    edited: eps(x, t) under the wish, guided away from the source condition: p + w (q - p), see `guided` with `null` the
    source. path: of `invert_ddim` or `noised_path` under the source condition; along the second one, this is FlowEdit (Kulikov
    et al. 2025).
    """
    d = torch.zeros_like(path.x[0])
    for i in range(len(rungs) - 1, 0, -1):
        e = evaluate(edited, path.x[i] + d, rungs[i]) - path.e[i]
        d = ddim_step(d, e, rungs[i], rungs[i - 1])
    return d


def difference_ddpm(edited: Eps, path: Path, rungs: list[Rung]) -> Tensor:
    """d_0 with DDPM's posterior in place of DDIM's step: along a noised path, edit-friendly DDPM inversion.

    There the noise z_t that leads from x_t to x_(t-1) is stored and used again (Huberman-Spiegelglas et al. 2024, (5)). Edited
    and stored path share it, so that it drops out of their difference, and the posterior mean's coefficients remain.
    """
    d = torch.zeros_like(path.x[0])
    for i in range(len(rungs) - 1, 0, -1):
        here, there = rungs[i], rungs[i - 1]
        e = evaluate(edited, path.x[i] + d, here) - path.e[i]
        d_x0 = (d - here.sigma * e) / here.alpha
        kept = (here.alpha / there.alpha) ** 2  # alpha_t of DDPM, between the two rungs
        d = (there.alpha * (1 - kept) * d_x0 + kept**0.5 * there.sigma**2 * d) / here.sigma**2  # DDPM (7)
    return d
