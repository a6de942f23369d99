"""How a condition enters the U-Net: by a linear embedding, spread over the image and concatenated as channels.

Conditions are vectors: attributes in [-1, 1], digits one-hot. A zero vector leaves only the biases, so they are the
learned null condition of classifier-free guidance, and naming only some attributes is nothing special.
"""

from __future__ import annotations

import torch
from einops import repeat
from torch import Tensor, nn

from ddpm_faces.diffusion.process import at
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.unet import UNet

# Conditions enter enlarged, and the maps that take them begin smaller by as much. Adam moves every weight at the same pace,
# whatever the size of its gradient; this lets the few that say what was asked for, whose gradient is nearly all noise, keep up.
GAIN = 8.0


class ConditionalUNet(nn.Module):
    """eps_theta(x, t, c): a U-Net whose input is the noisy image and the embedded condition, side by side.

    image_channels: of x, and of the noise predicted. conditions: length K of a condition vector; 0 builds the
    unconditional model, with no embedding at all. embedding: channels that the condition becomes. schedule: says how
    noisy x is at t. The rest goes to UNet.

    A second linear map adds the condition to the time embedding, from zero at the start: constant planes alone reach the
    deeper levels faintly, and are learned slowly.

    The U-Net's output is v of Salimans & Ho 2022 (section 4): eps = sqrt(1 - alpha_bar) x + sqrt(alpha_bar) v. At the
    noisiest steps x is nearly all noise, and the image that eps implies has eps' error divided by sqrt(alpha_bar), 5e-5
    at the last: a network that must copy x to predict eps, and is 1% off, tints the whole picture. Here the copy is exact.
    """

    def __init__(self, image_channels: int, conditions: int, embedding: int = 32, schedule: Schedule | None = None, **unet):
        super().__init__()
        self.image_channels, self.conditions, self.schedule = image_channels, conditions, schedule or Schedule()
        self.embed = nn.Linear(conditions, embedding) if conditions else None
        self.unet = UNet(image_channels + (embedding if conditions else 0), image_channels, **unet)
        if self.embed is not None:
            nn.init.uniform_(self.embed.weight, -1 / GAIN / conditions**0.5, 1 / GAIN / conditions**0.5)
            self.modulate = nn.Linear(conditions, self.unet.time_width)
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x (B, C, H, W) noisy images, t (B,) integer steps, c (B, K) conditions -> predicted noise (B, C, H, W)."""
        inputs, extra = x, None
        if self.embed is not None:
            planes = repeat(self.embed(GAIN * c), "b e -> b e h w", h=x.shape[2], w=x.shape[3])
            inputs = torch.cat((x, planes), dim=1)  # (B, C + E, H, W)
            extra = self.modulate(GAIN * c)  # (B, time_width)
        v = self.unet(inputs, t, extra).float()
        alpha_bar = at(self.schedule.alpha_bar, t, x)  # (B, 1, 1, 1)
        return (1 - alpha_bar).sqrt() * x + alpha_bar.sqrt() * v
