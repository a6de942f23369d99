"""The network of the report that this package began from, as it printed it, built on diffusers: the one to be measured against.

Its listing names three up blocks for four levels, which diffusers refuses; the fourth is restored here. Everything else is
its own: widths 32, 32, 32, 64, attention at 32x32, 16x16 and 8x8, 40 attributes through a linear map to 5 channels.
`--preset report` trains it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from einops import repeat
from torch import Tensor, nn


class ReportUNet(nn.Module):
    """eps_theta(x, t, c) on diffusers' UNet2DModel, 1,380,080 parameters for faces; called like `ConditionalUNet`.

    image_channels: of x and of the noise. conditions: length K of a condition vector, 0 for none. size: (H, W) of a picture.
    """

    LIKE: ClassVar[dict] = {"channels": (32, 32, 32, 64), "attention": (1, 2, 3), "blocks": 2}  # in the words of our UNet
    memory_format = torch.contiguous_format  # channels last, which make our U-Net fast, make diffusers' slower

    def __init__(self, image_channels: int = 3, conditions: int = 40, embedding: int = 5, size: tuple[int, int] = (64, 64)):
        from diffusers import UNet2DModel  # slow to import

        super().__init__()
        self.image_channels, self.conditions = image_channels, conditions
        self.class_emb = nn.Linear(conditions, embedding) if conditions else None
        self.model = UNet2DModel(
            sample_size=size,
            in_channels=image_channels + (embedding if conditions else 0),
            out_channels=image_channels,
            layers_per_block=2,
            block_out_channels=self.LIKE["channels"],
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x (B, C, H, W) noisy images, t (B,) integer steps, c (B, K) conditions -> predicted noise (B, C, H, W)."""
        if self.class_emb is not None:
            x = torch.cat((x, repeat(self.class_emb(c), "b e -> b e h w", h=x.shape[2], w=x.shape[3])), dim=1)
        return self.model(x, t).sample  # type: ignore[operator]
