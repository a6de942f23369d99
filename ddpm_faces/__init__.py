"""An attribute-conditional DDPM from scratch: `load` a model, `generate` images, train your own.

import ddpm_faces
model = ddpm_faces.load("celeba64")
faces = ddpm_faces.generate(model, "Smiling,-Male", n=16, seed=0)  # (16, 3, 64, 64) in [-1, 1]
ddpm_faces.grid(faces, columns=4).save("faces.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddpm_faces.utils.version import __version__ as __version__

if TYPE_CHECKING:
    from ddpm_faces.diffusion.samplers import register_sampler as register_sampler
    from ddpm_faces.generation.edit import edit as edit
    from ddpm_faces.generation.edit_photo import edit_photo as edit_photo
    from ddpm_faces.generation.generate import generate as generate
    from ddpm_faces.generation.invert import invert as invert
    from ddpm_faces.generation.optimise import optimise as optimise
    from ddpm_faces.generation.strips import board as board
    from ddpm_faces.generation.strips import strip as strip
    from ddpm_faces.models.checkpoint import load as load
    from ddpm_faces.models.checkpoint import save as save
    from ddpm_faces.models.model import DiffusionModel as DiffusionModel
    from ddpm_faces.utils.errors import UserError as UserError
    from ddpm_faces.utils.images import grid as grid

# torch and its friends are imported by the first use, not by `import ddpm_faces`
_HOME = {
    "DiffusionModel": "models.model",
    "UserError": "utils.errors",
    "board": "generation.strips",
    "edit": "generation.edit",
    "edit_photo": "generation.edit_photo",
    "generate": "generation.generate",
    "grid": "utils.images",
    "invert": "generation.invert",
    "load": "models.checkpoint",
    "optimise": "generation.optimise",
    "register_sampler": "diffusion.samplers",
    "save": "models.checkpoint",
    "strip": "generation.strips",
}
__all__ = [
    "DiffusionModel", "UserError", "board", "edit", "edit_photo", "generate", "grid", "invert", "load", "optimise",
    "register_sampler", "save", "strip",
]  # fmt: skip


if not TYPE_CHECKING:  # or a checker would believe every name

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(import_module(f"ddpm_faces.{_HOME[name]}"), name)
        raise AttributeError(f"module 'ddpm_faces' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
