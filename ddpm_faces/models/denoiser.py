"""The denoiser eps(x, t, c): a U-Net that takes the condition as channels and corrects the linear denoiser.

The condition enters by a linear embedding, spread over the image and concatenated as channels. Conditions are vectors:
attributes in [-1, 1], classes one-hot. The zero vector leaves only the biases, which are the learned null condition of
classifier-free guidance; so a partly specified condition needs no special case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import repeat
from torch import Tensor, nn

from ddpm_faces.diffusion.process import AlphaSigma, tables
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.linear_denoiser import LinearDenoiser
from ddpm_faces.models.unet import UNet

# Conditions are multiplied by GAIN, and the embedding's first weights divided by it. Adam moves every weight at the same pace,
# whatever the size of its gradient; the gain lets the few weights of the condition, whose gradient is mostly noise, keep up.
GAIN = 8.0


def standard_scales(frequencies: Sequence[float], conditions: int) -> Tensor:
    """The factors of entries above 0, and of those below: (2, K), always on the CPU.

    An attribute of frequency p is shown as (1 - p) / s where it is present and -p / s where it is absent, s = sqrt(p (1 - p)):
    mean 0 and variance 1 over the data, and still 0 where nothing is said. As -1 and +1, a rare attribute would be the same
    number for nearly every face, which teaches the bias and little else. 1 and 1 where no frequencies are given.
    """
    p = torch.tensor(frequencies or [0.5] * conditions, dtype=torch.float32, device="cpu").clamp(0.01, 0.99)
    return torch.stack((((1 - p) / p).sqrt(), (p / (1 - p)).sqrt()))


class Denoiser(nn.Module):
    """eps_theta(x, t, c): x (B, C, H, W) noisy images, t (B,) steps, c (B, K) conditions -> predicted noise (B, C, H, W).

    image: (C, H, W). conditions: K; 0 builds the unconditional model, without an embedding. embedding: channels that the
    condition becomes. schedule: the noise at each t. frequencies: of the attributes in the data, see `standard_scales`. The
    other settings are the U-Net's.

    A second linear map adds the condition to the time embedding, from zero at the start: constant planes alone reach the
    deeper levels faintly and are learned slowly.

    eps = estimate + residual_std * F(x, estimate, t, c): the U-Net F corrects the linear denoiser's estimate in units of its
    expected error, so that F's target has variance 1 at every step (Karras et al. 2022, section 5, with a spectrum in place of
    their one sigma_data). At the noisiest steps x is nearly all noise, and an error of eps becomes one of x0 that is 20,000
    times as large: a network that has to copy x to predict eps, and is 1% off, tints the whole image. Here the copy is exact.
    """

    scales: Tensor
    alpha: Tensor
    sigma: Tensor

    def __init__(
        self,
        image: tuple[int, int, int],
        conditions: int,
        embedding: int = 32,
        schedule: Schedule | None = None,
        frequencies: Sequence[float] = (),
        **unet: Any,
    ) -> None:
        super().__init__()
        self.image, self.conditions = image, conditions
        self.register_buffer("scales", standard_scales(frequencies, conditions), persistent=False)
        for name, table in tables(schedule or Schedule(), torch.device("cpu"), torch.float32)._asdict().items():
            self.register_buffer(name, table.clone(), persistent=False)  # (T,)
        self.linear_denoiser = LinearDenoiser(image)
        self.embed = nn.Linear(conditions, embedding) if conditions else None
        entering = 2 * image[0]  # channels of x and of the estimate
        self.unet = UNet(entering + (embedding if conditions else 0), image[0], **unet)
        if self.embed is not None:
            self.modulate = nn.Linear(conditions, self.unet.time_width)
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
            # The planes begin faint, and the image's weights as large as they would be without planes: among so many constant
            # planes the image would be lost in every norm that follows.
            weight = self.unet.enter.weight
            with torch.no_grad():
                self.embed.weight.mul_(0.1 / GAIN)
                self.embed.bias.mul_(0.1)
                weight[:, :entering].mul_((weight.shape[1] / entering) ** 0.5)

    def at(self, t: Tensor) -> AlphaSigma:
        """Alpha and sigma of the network's own schedule at steps t (B,), as (B, 1, 1, 1)."""
        return AlphaSigma(self.alpha[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1))

    def residual_std(self, at: AlphaSigma) -> Tensor:
        """The standard deviation of the noise around the linear denoiser's estimate, (B, 1, 1, 1)."""
        return self.linear_denoiser.residual_std(at)

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        estimate, residual_std = self.linear_denoiser(x, self.at(t))  # (B, C, H, W), (B, 1, 1, 1)
        inputs, extra = torch.cat((x, estimate), dim=1), None  # (B, 2 C, H, W)
        if self.embed is not None:
            present, absent = self.scales
            shown = GAIN * c * torch.where(c > 0, present, absent)  # (B, K)
            planes = repeat(self.embed(shown), "b e -> b e h w", h=x.shape[2], w=x.shape[3])
            inputs = torch.cat((inputs, planes), dim=1)  # (B, 2 C + E, H, W)
            extra = self.modulate(shown)  # (B, time_width)
        eps: Tensor = estimate + residual_std * self.unet(inputs, t, extra).to(x.dtype)
        return eps
