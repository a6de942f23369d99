"""Where in an aligned face an attribute lives: soft masks, so that an edit leaves everything else the photo's own.

The shapes are drawn by hand on CelebA's aligned frame of 178x218 pixels, in which the eyes lie near (70, 112) and (108, 112),
and the corners of the mouth near (72, 153) and (105, 153).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ddpm_faces.data.celeba import CROPS

Ellipse = tuple[float, float, float, float]  # centre x, y; radii x, y: of the frame's pixels
EDGE = 7.0  # pixels of the frame, to both sides of a shape's outline, over which a region fades out

ALL: tuple[Ellipse, ...] = ((89, 109, 1e4, 1e4),)
HEAD: tuple[Ellipse, ...] = ((88.5, 113, 59, 79),)
REGIONS: dict[str, tuple[Ellipse, ...]] = {
    "eyes": ((64, 113, 39, 29), (113, 113, 39, 29), (88.5, 111, 45, 25)),
    "brows": ((66, 99, 30, 16), (111, 99, 30, 16)),
    "nose": ((88.5, 125, 22, 28),),
    "cheeks": ((62, 133, 24, 22), (115, 133, 24, 22)),
    "mouth": ((88.5, 148, 42, 31),),
    "lips": ((88.5, 153, 27, 15),),
    "jaw": ((88.5, 152, 47, 34),),
    "top": ((88.5, 66, 74, 48),),
    "hair": ((88.5, 118, 84, 98),),
    "ears": ((42, 142, 17, 26), (135, 142, 17, 26)),
    "neck": ((88.5, 186, 60, 22),),
    "head": HEAD,
}
PLACES: dict[str, str] = {
    "eyes": "Eyeglasses Narrow_Eyes Bags_Under_Eyes",
    "brows": "Arched_Eyebrows Bushy_Eyebrows",
    "nose": "Big_Nose Pointy_Nose",
    "cheeks": "Rosy_Cheeks High_Cheekbones",
    "mouth": "Smiling Mouth_Slightly_Open",
    "lips": "Wearing_Lipstick Big_Lips",
    "jaw": "Goatee Mustache No_Beard 5_o_Clock_Shadow Sideburns Double_Chin",
    "top": "Wearing_Hat Bangs Bald Receding_Hairline",
    "hair": "Blond_Hair Black_Hair Brown_Hair Gray_Hair Straight_Hair Wavy_Hair",
    "ears": "Wearing_Earrings",
    "neck": "Wearing_Necklace Wearing_Necktie",
    "head": "Male Young Attractive Heavy_Makeup Pale_Skin Chubby Oval_Face",
}
REGION_OF = {name: region for region, names in PLACES.items() for name in names.split()}


def region(names: Iterable[str], shape: Sequence[int], crop: str | None) -> Tensor:
    """The mask (1, H, W) in [0, 1] of the places of some attributes together, for images of shape (C, H, W) in a CelebA crop.

    A name that has no place, and images that are no CelebA crop, are given the whole image.
    """
    height, width = shape[-2:]
    if crop not in CROPS:
        return torch.ones(1, height, width)
    left, top, right, bottom = CROPS[crop]
    x = left + (torch.arange(width) + 0.5) * (right - left) / width
    y = (top + (torch.arange(height) + 0.5) * (bottom - top) / height)[:, None]
    mask = torch.zeros(height, width)
    for name in names:
        for centre_x, centre_y, radius_x, radius_y in REGIONS.get(REGION_OF.get(name, ""), ALL):
            away = (((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2).sqrt()
            inside = ((1 - away) * min(radius_x, radius_y) / (2 * EDGE) + 0.5).clamp(0, 1)
            mask = torch.maximum(mask, inside**2 * (3 - 2 * inside))  # smooth at both ends, and 0 a little outside
    return mask[None]
