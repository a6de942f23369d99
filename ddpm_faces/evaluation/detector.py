"""How many pictures hold a face that a plain detector finds, one that knows nothing of diffusion or of our judge.

dlib's frontal detector, histograms of oriented gradients under a linear classifier (Dalal & Triggs 2005), at 256 pixels. It is
the one part that needs a package of its own: `pip install dlib-bin`.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from PIL import Image

SIDE = 256  # it looks for faces of 80 pixels and more
MISSING = "faces found: the detector is not installed (pip install dlib-bin)"


def available() -> bool:
    """Whether dlib is installed."""
    return find_spec("dlib") is not None


def share_with_face(pictures: np.ndarray) -> float:
    """The share, in [0, 1], of pictures (N, H, W, 3) uint8 in which at least one face is found."""
    import dlib
    from tqdm import tqdm

    find = dlib.get_frontal_face_detector()
    found = 0
    for picture in tqdm(pictures, "looking for faces", leave=False, unit="img"):
        enlarged = Image.fromarray(np.asarray(picture)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found += len(find(np.asarray(enlarged), 0)) > 0
    return found / len(pictures)
