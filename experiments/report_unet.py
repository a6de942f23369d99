"""The network of the report that this package began from, as the report printed it, built on diffusers.

Its listing names three up blocks for four levels, which diffusers refuses; the fourth is restored here. Everything else is as
printed: widths 32, 32, 32, 64, attention at 32x32, 16x16 and 8x8, 40 attributes through a linear map to 5 channels.
`python -m ddpm_faces.train --import experiments.report_unet --preset report` trains it by the report's recipe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from einops import repeat
from torch import Tensor, nn

from ddpm_faces.models.architectures import ARCHITECTURES, PRESETS, Architecture, Description, Preset

LIKE: dict[str, Any] = {"channels": (32, 32, 32, 64), "attention": (1, 2, 3), "blocks": 2}  # the sizes, as our U-Net names them
# The report knew no linear denoiser, dropped no condition, and averaged no weights.
RECIPE: dict[str, Any] = {
    "weighting": "uniform", "embedding": 5, "p_null": 0.0, "p_each": 0.0, "guidance": 1.0, "batch_size": 128, "lr": 1e-3,
    "warmup": 0, "flip": False, "clip": 0.0, "ema": 0.0, "precision": "no",
}  # fmt: skip


class ReportUNet(nn.Module):
    """eps_theta(x, t, c) on diffusers' UNet2DModel, 1,380,080 parameters for faces; called like `Denoiser`.

    image_channels: of x and of the noise. conditions: length K of a condition vector, 0 for none. size: (H, W) of an image.
    """

    memory_format = torch.contiguous_format  # channels last, which makes our U-Net fast, makes diffusers' slower

    def __init__(self, image_channels: int = 3, conditions: int = 40, embedding: int = 5, size: tuple[int, int] = (64, 64)):
        from diffusers import UNet2DModel  # slow to import

        super().__init__()
        self.image_channels, self.conditions = image_channels, conditions
        self.class_emb = nn.Linear(conditions, embedding) if conditions else None
        self.model: Any = UNet2DModel(  # type: ignore[no-untyped-call]
            sample_size=size,
            in_channels=image_channels + (embedding if conditions else 0),
            out_channels=image_channels,
            layers_per_block=LIKE["blocks"],
            block_out_channels=LIKE["channels"],
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x (B, C, H, W) noisy images, t (B,) integer steps, c (B, K) conditions -> predicted noise (B, C, H, W)."""
        if self.class_emb is not None:
            x = torch.cat((x, repeat(self.class_emb(c), "b e -> b e h w", h=x.shape[2], w=x.shape[3])), dim=1)
        eps: Tensor = self.model(x, t).sample
        return eps


def _build(d: Description) -> nn.Module:
    return ReportUNet(d.image[0], d.conditions, d.embedding, d.image[1:])


def _check(d: Description) -> None:
    if d.sizes:
        raise ValueError(f"the report's network has no sizes to choose, not {d.sizes}")
    ARCHITECTURES["unet"].check(replace(d, sizes=LIKE))


ARCHITECTURES["report"] = Architecture(_build, _check)
PRESETS["report"] = Preset("report", {}, RECIPE)
