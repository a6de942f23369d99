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
from ddpm_faces.models.gaussian import Gaussian
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

    image: (C, H, W) of x and of the noise predicted. conditions: length K of a condition vector; 0 builds the
    unconditional model, with no embedding at all. embedding: channels that the condition becomes. schedule: says how
    noisy x is at t. frequencies: how often each condition is present in the data, see `standard_scales`. The rest goes
    to UNet.

    A second linear map adds the condition to the time embedding, from zero at the start: constant planes alone reach the
    deeper levels faintly, and are learned slowly.

    eps = guess + rest * F(x, guess, t, c): the U-Net F corrects the best linear guess (gaussian.py), in units of how wrong
    that is expected to be, so that at every step it is asked for numbers of variance 1 (the rule of Karras et al. 2022,
    section 5, with a spectrum in place of their one sigma_data). At the noisiest steps x is nearly all noise, and the image
    that eps implies has eps' error divided by sqrt(alpha_bar), 5e-5 at the last: a network that must copy x to predict
    eps, and is 1% off, tints the whole picture. Here the copy is exact.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        conditions: int,
        embedding: int = 32,
        schedule: Schedule | None = None,
        frequencies: Sequence[float] = (),
        **unet,
    ):
        super().__init__()
        self.scales: Tensor
        self.register_buffer("scales", standard_scales(frequencies, conditions), persistent=False)
        self.image, self.conditions, self.schedule = image, conditions, schedule or Schedule()
        self.gaussian = Gaussian(image)
        self.embed = nn.Linear(conditions, embedding) if conditions else None
        pictures = 2 * image[0]  # channels of x and of the guess
        self.unet = UNet(pictures + (embedding if conditions else 0), image[0], **unet)
        if self.embed is not None:
            self.modulate = nn.Linear(conditions, self.unet.time_width)
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
            # The planes begin faint and the pictures' weights as large as if they came alone: among so many constant planes
            # they would be lost in every norm that follows.
            entering = self.unet.enter.weight
            with torch.no_grad():
                self.embed.weight.mul_(0.1 / GAIN)
                self.embed.bias.mul_(0.1)
                entering[:, :pictures].mul_((entering.shape[1] / pictures) ** 0.5)

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x (B, C, H, W) noisy images, t (B,) integer steps, c (B, K) conditions -> predicted noise (B, C, H, W)."""
        guess, rest = self.gaussian(x, mix(self.schedule, t, x))  # (B, C, H, W), (B, 1, 1, 1)
        inputs, extra = torch.cat((x, guess), dim=1), None  # (B, 2 C, H, W)
        if self.embed is not None:
            present, absent = self.scales
            scaled = GAIN * c * torch.where(c > 0, present, absent)  # (B, K)
            planes = repeat(self.embed(scaled), "b e -> b e h w", h=x.shape[2], w=x.shape[3])
            inputs = torch.cat((inputs, planes), dim=1)  # (B, 2 C + E, H, W)
            extra = self.modulate(scaled)  # (B, time_width)
        return guess + rest * self.unet(inputs, t, extra).float()
