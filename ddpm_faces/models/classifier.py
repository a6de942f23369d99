"""The attribute classifier's network: a small residual network for a face's attributes, or for classes such as digits.

Residual blocks (He et al. 2016) with group norms and SiLU, as in the U-Net, so that an image's logits do not depend on its
batch. The last stage, averaged over the image, is the package's own feature space for Frechet distances: comparable with
itself only.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_faces.models.unet import GroupNorm


class Residual(nn.Module):
    """norm, SiLU, conv, twice; the input is added, by a strided 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
        self.norm2 = GroupNorm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        result: Tensor = self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))
        return result


class ClassifierNetwork(nn.Module):
    """Images (B, C, H, W) in [-1, 1] -> logits (B, K): a yes or no for each attribute, or a softmax over classes.

    channels: of the stages, multiples of 8; each stage halves the resolution, and the logits are a linear map of the last
    stage's mean over the image. dropout: of that mean, in training. Raises ValueError on impossible widths.
    """

    CHANNELS: ClassVar[tuple[int, ...]] = (24, 48, 96, 144)

    def __init__(self, image_channels: int, classes: int, channels: tuple[int, ...] = CHANNELS, dropout: float = 0.2) -> None:
        super().__init__()
        if not channels or any(width < 8 or width % 8 for width in channels):
            raise ValueError(f"channels must be multiples of 8, not {channels}")
        self.enter = nn.Conv2d(image_channels, channels[0], 3, padding=1)
        self.stages = nn.ModuleList()
        width = channels[0]
        for out in channels:
            self.stages.append(nn.Sequential(Residual(width, out, stride=2), Residual(out, out, stride=1)))
            width = out
        self.norm = GroupNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(width, classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps after each stage, (B, channels[i], H / 2^(i+1), W / 2^(i+1)), and last their summary, (B, channels[-1])."""
        h, maps = self.enter(x), []
        for stage in self.stages:
            h = stage(h)
            maps.append(h)
        return [*maps, F.silu(self.norm(h)).mean(dim=(2, 3))]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.dropout(self.features(x)[-1]))
        return logits
