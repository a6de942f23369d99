"""The registry of networks: architectures that a checkpoint can name, and presets that `train --preset` can name.

A new network is one file that registers its architecture and a preset when it is imported; experiments/report_unet.py does so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.denoiser import Denoiser
from ddpm_faces.utils.errors import UserError, hint

LARGEST, MOST = 1024, 16  # of a width or side, and of levels or blocks: so that no file can demand a huge network


@dataclass(frozen=True)
class Description:
    """What a network is built from. image: (C, H, W). conditions: K. embedding: channels that a condition becomes.

    sizes: the architecture's own keyword arguments, which a checkpoint keeps.
    """

    image: tuple[int, int, int]
    conditions: int
    embedding: int
    schedule: Schedule
    frequencies: Sequence[float]
    sizes: dict[str, Any]


@dataclass(frozen=True)
class Architecture:
    """build(description) -> a module eps(x, t, c) with an attribute `conditions`. check(description): ValueError unless its
    sizes are possible and modest; called before anything is built from a file."""

    build: Callable[[Description], nn.Module]
    check: Callable[[Description], None]


@dataclass(frozen=True)
class Preset:
    """architecture: a registered name. sizes: its keyword arguments. recipe: the training settings that suit it, by name."""

    architecture: str
    sizes: dict[str, Any]
    recipe: dict[str, Any] = field(default_factory=dict)


OWN = "as --import experiments.report_unet does for the report's network"  # where an unknown name may be registered
ELSEWHERE = "--import the module that registers it, as --import experiments.report_unet does for the report's network"
ARCHITECTURES: dict[str, Architecture] = {}
PRESETS: dict[str, Preset] = {}


def find_architecture(name: str) -> Architecture:
    """A registered architecture. UserError if there is none of this name."""
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise UserError(f"no architecture '{name}' is registered{hint(str(name), ARCHITECTURES)}: {ELSEWHERE}")
    return ARCHITECTURES[name]


def find_preset(name: str) -> Preset:
    """A registered preset. UserError if there is none of this name."""
    if name not in PRESETS:
        raise UserError(f"no preset '{name}'{hint(name, PRESETS)}; known are {', '.join(PRESETS)}; {ELSEWHERE}")
    return PRESETS[name]


def _build_unet(d: Description) -> nn.Module:
    return Denoiser(d.image, d.conditions, d.embedding, d.schedule, d.frequencies, **d.sizes)


def _check_unet(d: Description) -> None:
    widths, levels, blocks = d.sizes["channels"], d.sizes["attention"], d.sizes["blocks"]
    sizes = [*widths, *d.image, d.embedding, d.sizes.get("time_width", 1)]
    if not all(type(n) is int and 1 <= n <= LARGEST for n in sizes) or type(blocks) is not int or not 1 <= blocks <= MOST:
        raise ValueError("a size is out of range")
    if len(widths) > MOST or len(levels) > MOST or not all(type(n) is int for n in levels):
        raise ValueError("a size is out of range")
    if any(side % 2 ** (len(widths) - 1) for side in d.image[1:]):
        raise ValueError(f"images of shape {d.image}")


ARCHITECTURES["unet"] = Architecture(_build_unet, _check_unet)

# The first level is thin: a channel there costs four times one at the next level. Without the level, single pixels are learned
# badly. toy32's is wider: in flat colours every speck is seen.
PRESETS["toy32"] = Preset("unet", {"channels": (32, 32, 64), "attention": (2,), "blocks": 1})
PRESETS["mnist32"] = Preset("unet", {"channels": (16, 48, 96), "attention": (2,), "blocks": 1})
PRESETS["celeba64"] = Preset("unet", {"channels": (16, 32, 64, 96), "attention": (3,), "blocks": 1})
# For whoever has a GPU: twice the work of celeba64, 3.3M parameters.
PRESETS["celeba64-wide"] = Preset("unet", {"channels": (24, 48, 88, 128), "attention": (3,), "blocks": 1})
