"""The U-Net: ResNet blocks with time embedding, self-attention, skips from the way down to the way up.

Ho et al. 2020 ("DDPM", appendix B), with the scale-and-shift time embedding of Nichol & Dhariwal 2021. It maps
(B, C_in, H, W) and integer steps (B,) to (B, C_out, H, W), and knows nothing of attributes: conditions arrive as
further input channels and as `extra`, added to the time embedding (see denoiser.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

SINUSOIDS = 64  # sines and cosines that tell the step


def time_embedding(t: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Sinusoids of the step: t (B,) -> (B, width), Vaswani et al. 2017, section 3.5, with frequencies 1 to 1/10000."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2, device=t.device, dtype=dtype) / (width // 2))
    angles = t.to(dtype)[:, None] * frequencies  # (B, width / 2)
    return torch.cat((angles.cos(), angles.sin()), dim=1)


def better_in_float32(x: Tensor) -> bool:
    """Whether bfloat16 is slow for x: on a CPU, norm and attention take two to four times as long to differentiate in it."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16 and x.requires_grad and torch.is_grad_enabled()


class GroupNorm(nn.GroupNorm):
    """Groups of 8 channels (Wu & He 2018), so widths are multiples of 8.

    A batch norm's statistics would mix the images of a batch, and with them noise levels; a group norm's are each image's own.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels // 8, channels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype) if better_in_float32(x) else super().forward(x)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(c)) v for (B, heads, N, c) each: Vaswani et al. 2017, (1)."""
    if better_in_float32(q):
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    return F.scaled_dot_product_attention(q, k, v)


class ResBlock(nn.Module):
    """norm, SiLU, conv, twice; the time embedding scales and shifts the middle; the input is added at the end."""

    def __init__(self, channels_in: int, channels_out: int, time_width: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * channels_out)
        self.norm2 = GroupNorm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))  # (B, C_out, H, W)
        scale, shift = self.time(F.silu(temb))[:, :, None, None].chunk(2, dim=1)  # (B, C_out, 1, 1) each
        h = self.norm2(h) * (1 + scale) + shift
        h = self.conv2(F.silu(h))  # (B, C_out, H, W)
        result: Tensor = self.shortcut(x) + h
        return result


class Attention(nn.Module):
    """Self-attention over the pixels of a feature map, added to its input.

    Its cost grows with the fourth power of the side, so it stands where the sides are small.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        q, k, v = rearrange(
            self.qkv(self.norm(x)), "b (three head c) h w -> three b head (h w) c", three=3, head=self.heads
        )  # (B, heads, H*W, C/heads) each
        h = attend(q, k, v)  # (B, heads, H*W, C/heads)
        result: Tensor = x + self.out(rearrange(h, "b head (h w) c -> b (head c) h w", h=height))
        return result


class Block(nn.Module):
    """A ResBlock, followed by attention on the levels that have it."""

    def __init__(self, channels_in: int, channels_out: int, time_width: int, attention: bool) -> None:
        super().__init__()
        self.res = ResBlock(channels_in, channels_out, time_width)
        self.attention = Attention(channels_out) if attention else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        result: Tensor = self.attention(self.res(x, temb))
        return result


class UNet(nn.Module):
    """The network that `Denoiser` wraps; the meaning of its output is decided there.

    channels: width of each level, multiples of 8; each level after the first has half the resolution. attention: the levels
    with self-attention, 0 being the full resolution. blocks: ResNet blocks a level on the way down (one more on the way up).
    time_width: of the time embedding. The image's sides must be multiples of 2 ** (len(channels) - 1).
    Raises ValueError on impossible settings.

    `encode`, `middle` and `decode` are the way down, the bottom and the way up, so that a control branch (Zhang et al. 2023)
    can copy the first two and add to what the third receives.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: tuple[int, ...] = (16, 32, 64, 96),
        attention: tuple[int, ...] = (3,),
        blocks: int = 1,
        time_width: int = 128,
    ) -> None:
        super().__init__()
        if not channels or any(width < 8 or width % 8 for width in channels):
            raise ValueError(f"channels must be multiples of 8, not {channels}")
        if any(not 0 <= level < len(channels) for level in attention) or blocks < 1:
            raise ValueError(f"attention {attention}, blocks {blocks} do not fit {len(channels)} levels")
        self.divisor, self.time_width = 2 ** (len(channels) - 1), time_width
        self.time = nn.Sequential(nn.Linear(SINUSOIDS, time_width), nn.SiLU(), nn.Linear(time_width, time_width))
        self.enter = nn.Conv2d(in_channels, channels[0], 3, padding=1)

        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        skips, width = [channels[0]], channels[0]
        for level, out in enumerate(channels):
            if level > 0:
                self.downsample.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(Block(width, out, time_width, level in attention))
                skips.append(out)
                width = out
            self.down.append(stage)

        self.middle1 = Block(width, width, time_width, attention=True)
        self.middle2 = Block(width, width, time_width, attention=False)

        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level, out in reversed(list(enumerate(channels))):
            stage = nn.ModuleList()
            for _ in range(blocks + 1):
                stage.append(Block(width + skips.pop(), out, time_width, level in attention))
                width = out
            self.up.append(stage)
            if level > 0:
                self.upsample.append(nn.Conv2d(width, channels[level - 1], 3, padding=1))
                width = channels[level - 1]

        self.norm = GroupNorm(width)
        self.exit = nn.Conv2d(width, out_channels, 3, padding=1)
        with torch.no_grad():  # the first outputs are noise, which would have to be unlearned before anything is learned
            self.exit.weight.mul_(0.05)
            self.exit.bias.zero_()  # type: ignore[union-attr]

    def embed_time(self, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """The time embedding (B, time_width) of steps t (B,), with `extra` (B, time_width) added."""
        temb: Tensor = self.time(time_embedding(t, SINUSOIDS, self.enter.weight.dtype))
        return temb if extra is None else temb + extra

    def encode(self, x: Tensor, temb: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The way down: x (B, C_in, H, W) -> (h at the lowest resolution, the skips from the first to the last).

        Raises ValueError on sides that cannot be halved often enough.
        """
        if x.shape[2] % self.divisor or x.shape[3] % self.divisor:
            raise ValueError(f"image sides {tuple(x.shape[2:])} must be multiples of {self.divisor}")
        h = self.enter(x)  # (B, channels[0], H, W)
        skips = [h]
        for level, stage in enumerate(self.down):
            if level > 0:
                h = self.downsample[level - 1](h)  # half the sides
                skips.append(h)
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, temb)
                skips.append(h)
        return h, skips

    def middle(self, h: Tensor, temb: Tensor) -> Tensor:
        """The bottom: h (B, channels[-1], h, w) -> the same shape."""
        result: Tensor = self.middle2(self.middle1(h, temb), temb)
        return result

    def decode(self, h: Tensor, skips: list[Tensor], temb: Tensor) -> Tensor:
        """The way up: h from `middle`, the skips from `encode` -> (B, C_out, H, W)."""
        remaining = list(skips)
        for i, stage in enumerate(self.up):
            for block in stage:  # type: ignore[attr-defined]
                h = block(torch.cat((h, remaining.pop()), dim=1), temb)
            if i < len(self.upsample):
                h = self.upsample[i](F.interpolate(h, scale_factor=2.0, mode="nearest"))  # twice the sides
        result: Tensor = self.exit(F.silu(self.norm(h)))  # (B, C_out, H, W)
        return result

    def forward(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """x (B, C_in, H, W), t (B,); extra (B, time_width), if given, joins the time embedding -> (B, C_out, H, W)."""
        temb = self.embed_time(t, extra)  # (B, time_width)
        h, skips = self.encode(x, temb)
        return self.decode(self.middle(h, temb), skips, temb)
