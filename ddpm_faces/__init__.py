"""An attribute-conditional DDPM from scratch: `load` a model, `generate` pictures, train your own.

import ddpm_faces
model = ddpm_faces.load("celeba64")
faces = ddpm_faces.generate(model, "Smiling,-Male", n=16, seed=0)  # (16, 3, 64, 64) in [-1, 1]
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["UserError", "generate", "load", "save"]


def __getattr__(name: str):  # torch and its friends are imported by whoever uses them, not by `import ddpm_faces`
    if name in ("load", "save"):
        from ddpm_faces import checkpoint

        return getattr(checkpoint, name)
    if name == "generate":
        from ddpm_faces.generation import generate

        return generate
    if name == "UserError":
        from ddpm_faces.errors import UserError

        return UserError
    raise AttributeError(f"module 'ddpm_faces' has no attribute '{name}'")
