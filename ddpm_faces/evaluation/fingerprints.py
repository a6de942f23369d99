"""Short names for weights and for code, so that figures are kept only as long as what made them stays the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import nn

PACKAGE = Path(__file__).parents[1]
SAMPLING = ("generation/*.py", "diffusion/*.py", "models/*.py")  # a change of this code makes other images,
MEASURING = ("evaluation/*.py", "conditions/*.py")  # and of this other figures


def fingerprint(network: nn.Module) -> str:
    """A short name for a network with these very weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:12]


def code_fingerprint(patterns: tuple[str, ...]) -> str:
    """A short name for the package's files that match these patterns, as they are. ValueError if a pattern matches none."""
    digest = hashlib.sha256()
    for pattern in patterns:
        paths = sorted(PACKAGE.glob(pattern))
        if not paths:
            raise ValueError(f"no file of the package matches {pattern}")
        for path in paths:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
