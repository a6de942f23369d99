"""How many images hold a face that a plain detector finds, one that knows nothing of diffusion or of our classifier.

dlib's frontal detector, histograms of oriented gradients under a linear classifier (Dalal & Triggs 2005), at 256 pixels. It
needs a package of its own: `pip install dlib-bin`.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from PIL import Image
from tqdm import tqdm

SIDE = 256  # pixels; the detector looks for faces of 80 and more
FACES = "faces found"
MISSING = f"{FACES}: the detector is not installed (pip install dlib-bin)"


def available() -> bool:
    """Whether dlib is installed."""
    return find_spec("dlib") is not None


def with_face(images: np.ndarray) -> np.ndarray:
    """In which of the images (N, H, W, 3) uint8 at least one face is found: (N,) booleans."""
    import dlib

    find = dlib.get_frontal_face_detector()
    found = np.zeros(len(images), dtype=bool)
    for i, image in enumerate(tqdm(images, "looking for faces", leave=False, unit="img")):
        enlarged = Image.fromarray(np.asarray(image)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found[i] = len(find(np.asarray(enlarged), 0)) > 0
    return found


def share_with_face(images: np.ndarray) -> float:
    """The share, in [0, 1], of images (N, H, W, 3) uint8 in which at least one face is found."""
    return float(with_face(images).mean())
