"""How like two images of aligned faces are as persons, by dlib's face recognition network, which knows nothing of diffusion.

Its embeddings are 128 numbers; two photos of one person are usually less than 0.6 apart (King 2017). It needs dlib and its
weights: `pip install "ddpm_faces[photo]"`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.data.celeba import CROPS
from ddpm_faces.data.faces import available, weights

__all__ = ["available", "embed"]

SIDE = 256  # pixels that a crop is enlarged to
FACE = (40, 81, 138, 179)  # the box of the face in CelebA's aligned frame, as dlib's detector draws it


def embed(images: np.ndarray, crop: str) -> Tensor:
    """Embeddings (N, 128) of images (N, H, W, 3) uint8 of a CelebA crop; the five points are looked for in the same box."""
    shown = tqdm(images, "recognising faces", leave=False, unit="img")
    return torch.from_numpy(np.stack([_embed_one(x.tobytes(), x.shape, crop) for x in shown])).float()


@lru_cache(maxsize=4096)  # an evaluation asks for the same photos once for each method and strength
def _embed_one(pixels: bytes, shape: tuple[int, ...], crop: str) -> np.ndarray:
    import dlib

    predictor, network = _networks()
    left, top, right, _ = CROPS[crop]
    scale = SIDE / (right - left)
    box = dlib.rectangle(*(round((edge - start) * scale) for edge, start in zip(FACE, (left, top) * 2, strict=True)))
    image = Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape))
    large = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.array(network.compute_face_descriptor(large, predictor(large, box)))


@cache
def _networks() -> tuple[Any, Any]:
    """The predictor of five points, and the recognition network."""
    import dlib

    return (
        dlib.shape_predictor(weights("shape_predictor_5_face_landmarks.dat")),
        dlib.face_recognition_model_v1(weights("dlib_face_recognition_resnet_model_v1.dat")),
    )
