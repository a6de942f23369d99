"""Where a picture draws the eye: maps in [0, 1] of what a loss on a picture should look at, and the box around the most of it.

A detector is a function of pictures (B, C, H, W) in [-1, 1]; it gives maps (B, 1, H, W), each with its largest value at 1. No
gradient is meant to flow through a map: a search asks for it anew at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from ddpm_faces.models.classifier_checkpoint import Classifier

Saliency = Callable[[Tensor], Tensor]
SIDE = 64  # of the small picture whose spectrum is taken (Hou & Zhang 2007, section 4)


def spectral_residual(images: Tensor) -> Tensor:
    """What is unexpected in the spectrum: Hou & Zhang 2007. The logarithm of the amplitudes, less its local average, goes back
    to the picture with the phases as they were; the square of that, blurred, is the map."""
    grey = F.interpolate(images.mean(dim=1, keepdim=True), size=(SIDE, SIDE), mode="bilinear", antialias=True)
    spectrum = torch.fft.fft2(grey.double())
    amplitude = (spectrum.abs() + 1e-12).log()
    expected = F.avg_pool2d(F.pad(amplitude, (1, 1, 1, 1), mode="circular"), 3, stride=1)  # (6) of the paper
    residual = torch.polar((amplitude - expected).exp(), spectrum.angle())
    energy = _blurred(torch.fft.ifft2(residual).abs().square().to(images.dtype), 2.5)  # (9)
    return _scaled(F.interpolate(energy, size=images.shape[2:], mode="bilinear"))


class GradCam:
    """What the classifier looks at for these logits: Selvaraju et al. 2017, (1), (2). signs (B, K): +1 where an attribute is
    asked for, -1 where its absence is, 0 where nothing is said."""

    def __init__(self, classifier: Classifier, signs: Tensor, stage: int = -1) -> None:
        self.classifier, self.signs, self.stage = classifier, signs, stage

    def __call__(self, images: Tensor) -> Tensor:
        network = self.classifier.network
        with torch.enable_grad():
            *maps, summary = network.features(images.detach().requires_grad_(True))
            asked = (network.logits(summary) * self.signs.to(summary)).sum()
            (gradient,) = torch.autograd.grad(asked, maps[self.stage])
        weights = gradient.mean(dim=(2, 3), keepdim=True)  # alpha of (1)
        # a map is a fact about a picture, and not differentiated
        seen = F.relu((weights * maps[self.stage].detach()).sum(dim=1, keepdim=True))  # (2)
        return _scaled(F.interpolate(seen, size=images.shape[2:], mode="bilinear"))


def centre_prior(images: Tensor) -> Tensor:
    """An aligned face's place, whatever the picture: a Gaussian around the middle."""
    y, x = (torch.linspace(-1, 1, side, device=images.device, dtype=images.dtype) for side in images.shape[2:])
    bump = torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * 0.45**2))
    return _scaled(bump.expand(len(images), 1, -1, -1))


def salient_boxes(maps: Tensor, quantile: float = 0.8, widen: float = 0.1) -> list[tuple[int, int, int, int]]:
    """For each map (B, 1, H, W), the box (top, left, bottom, right) of the largest connected region above its quantile, wider
    by a share of its sides on each side. The whole picture where a map is flat. Raises ValueError unless 0 <= quantile < 1."""
    if not 0 <= quantile < 1:
        raise ValueError(f"quantile {quantile} is not from 0 to below 1")
    return [_box(one[0], quantile, widen) for one in maps.float().cpu()]


def crop(images: Tensor, boxes: Sequence[tuple[int, int, int, int]]) -> Tensor:
    """Each picture's box, enlarged to the picture's own size (bilinear); gradients flow through."""
    size = images.shape[2:]
    parts = [image[None, :, top:bottom, left:right] for image, (top, left, bottom, right) in zip(images, boxes, strict=True)]
    return torch.cat([F.interpolate(part, size=size, mode="bilinear", align_corners=False) for part in parts])


def _box(one: Tensor, quantile: float, widen: float) -> tuple[int, int, int, int]:
    height, width = one.shape
    regions, count = ndimage.label((one > torch.quantile(one, quantile)).numpy())
    if not count:
        return 0, 0, height, width
    sizes = ndimage.sum_labels(regions > 0, regions, range(1, count + 1))
    rows, columns = ndimage.find_objects(regions)[int(sizes.argmax())]
    more_y, more_x = round(widen * (rows.stop - rows.start)), round(widen * (columns.stop - columns.start))
    return (
        *(max(0, rows.start - more_y), max(0, columns.start - more_x)),
        *(min(height, rows.stop + more_y), min(width, columns.stop + more_x)),
    )


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    reach = round(3 * sigma)
    line = torch.exp(-(torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype) ** 2) / (2 * sigma**2))
    line = line / line.sum()
    padded = F.pad(maps, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, line[None, None, :, None]), line[None, None, None, :])


def _scaled(maps: Tensor) -> Tensor:
    return maps / maps.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
