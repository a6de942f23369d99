"""How a condition enters the U-Net: by a linear embedding, spread over the image and concatenated as channels.

Conditions are vectors: attributes in [-1, 1], digits one-hot. A zero vector leaves only the biases, so they are the
learned null condition of classifier-free guidance, and naming only some attributes is nothing special.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import repeat
from torch import Tensor, nn

from ddpm_faces.diffusion.process import mix
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.unet import UNet

# Conditions enter enlarged, and the maps that take them begin smaller by as much. Adam moves every weight at the same pace,
# whatever the size of its gradient; this lets the few that say what was asked for, whose gradient is nearly all noise, keep up.
GAIN = 8.0


def standard_scales(frequencies: Sequence[float], conditions: int) -> Tensor:
    """By what to multiply an entry that is above 0, and one that is below: (2, K), always on the CPU.

    An attribute that p of all faces have becomes (1 - p) / s where it is present and -p / s where it is absent, with s =
    sqrt(p (1 - p)): mean 0 and variance 1 over the data, 0 still for what is not said. As -1 and +1, a rare one would be the
    same number for nearly every face, which teaches the bias and little else. 1 and 1 where no frequencies are given.
    """
    p = torch.tensor(frequencies or [0.5] * conditions, dtype=torch.float32, device="cpu").clamp(0.01, 0.99)
    return torch.stack((((1 - p) / p).sqrt(), (p / (1 - p)).sqrt()))


class ConditionalUNet(nn.Module):
    """eps_theta(x, t, c): a U-Net whose input is the noisy image and the embedded condition, side by side.

    image_channels: of x, and of the noise predicted. conditions: length K of a condition vector; 0 builds the
    unconditional model, with no embedding at all. embedding: channels that the condition becomes. schedule: says how
    noisy x is at t. frequencies: how often each condition is present in the data, see `standard_scales`. The rest goes
    to UNet.

    A second linear map adds the condition to the time embedding, from zero at the start: constant planes alone reach the
    deeper levels faintly, and are learned slowly.

    The U-Net's output is v of Salimans & Ho 2022 (section 4): eps = sqrt(1 - alpha_bar) x + sqrt(alpha_bar) v. At the
    noisiest steps x is nearly all noise, and the image that eps implies has eps' error divided by sqrt(alpha_bar), 5e-5
    at the last: a network that must copy x to predict eps, and is 1% off, tints the whole picture. Here the copy is exact.
    """

    def __init__(
        self,
        image_channels: int,
        conditions: int,
        embedding: int = 32,
        schedule: Schedule | None = None,
        frequencies: Sequence[float] = (),
        **unet,
    ):
        super().__init__()
        self.scales: Tensor
        self.register_buffer("scales", standard_scales(frequencies, conditions), persistent=False)
        self.image_channels, self.conditions, self.schedule = image_channels, conditions, schedule or Schedule()
        self.embed = nn.Linear(conditions, embedding) if conditions else None
        self.unet = UNet(image_channels + (embedding if conditions else 0), image_channels, **unet)
        if self.embed is not None:
            nn.init.uniform_(self.embed.weight, -1 / GAIN / conditions**0.5, 1 / GAIN / conditions**0.5)
            self.modulate = nn.Linear(conditions, self.unet.time_width)
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
            # The image's weights begin as large as if it came alone: among the condition's planes, ten to one and constant, it
            # would be faint in every norm that follows.
            entering, image = self.unet.enter.weight, image_channels * self.unet.patch**2
            with torch.no_grad():
                entering[:, :image] *= (entering.shape[1] / image) ** 0.5

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x (B, C, H, W) noisy images, t (B,) integer steps, c (B, K) conditions -> predicted noise (B, C, H, W)."""
        inputs, extra = x, None
        if self.embed is not None:
            present, absent = self.scales
            scaled = GAIN * c * torch.where(c > 0, present, absent)  # (B, K)
            planes = repeat(self.embed(scaled), "b e -> b e h w", h=x.shape[2], w=x.shape[3])
            inputs = torch.cat((x, planes), dim=1)  # (B, C + E, H, W)
            extra = self.modulate(scaled)  # (B, time_width)
        v = self.unet(inputs, t, extra).float()
        signal, noise = mix(self.schedule, t, x)  # (B, 1, 1, 1) each
        return noise * x + signal * v
