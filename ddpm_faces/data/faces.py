"""Find faces in a photo, with dlib: by oriented gradients, by a convolutional network where they find none, and five points.

The weights come with a package: `pip install "ddpm_faces[photo]"`. Without it a face can be placed by its eyes.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ddpm_faces.data.alignment import EYES, FIVE_POINTS, Similarity, fit
from ddpm_faces.utils.errors import UserError

LARGEST = 1024  # pixels of the longer side in which faces are looked for
SMALLEST = 48  # pixels of the photo that a face must be wide: below, enlarging it to the model's 64 would invent most of it
MISSING = 'finding faces needs dlib: pip install "ddpm_faces[photo]", or say where the eyes are: --eyes x1,y1,x2,y2'


class Face(NamedTuple):
    """A face: its width in the photo's pixels, and the similarity to CelebA's frame."""

    width: float
    similarity: Similarity


def available() -> bool:
    """Whether dlib and its weights are installed."""
    return find_spec("dlib") is not None and find_spec("face_recognition_models") is not None


def weights(name: str) -> str:
    """The path of a file of weights. face_recognition_models is not imported: it needs a part of setuptools that is gone."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(MISSING)
    return str(Path(spec.submodule_search_locations[0]) / "models" / name)


@cache
def _dlib() -> tuple[Any, Any, Any]:
    """The two detectors and the predictor of five points."""
    import dlib

    return (
        dlib.get_frontal_face_detector(),
        dlib.cnn_face_detection_model_v1(weights("mmod_human_face_detector.dat")),
        dlib.shape_predictor(weights("shape_predictor_5_face_landmarks.dat")),
    )


def find_faces(photo: np.ndarray) -> list[Face]:
    """The faces in a photo (H, W, 3) uint8, the largest first; [] if none is found. UserError if dlib is not installed."""
    if not available():
        raise UserError(MISSING)
    oriented, convolutional, predictor = _dlib()
    height, width, _ = photo.shape
    scale = min(1.0, LARGEST / max(height, width))
    small = np.asarray(Image.fromarray(photo).resize((max(1, round(width * scale)), max(1, round(height * scale)))))
    boxes = list(oriented(small, 1))  # 1: enlarged once, or it looks for faces of 80 pixels and more
    if not boxes:
        boxes = [found.rect for found in convolutional(small, 1 if max(small.shape) < LARGEST else 0)]
    faces = []
    for box in sorted(boxes, key=lambda box: -box.width()):
        points = np.array([complex(p.x + 0.5, p.y + 0.5) for p in predictor(small, box).parts()]) / scale
        faces.append(Face(box.width() / scale, fit(points, FIVE_POINTS)))
    return faces


def face_at(eyes: tuple[float, float, float, float]) -> Face:
    """The face whose eyes' centres lie at (x1, y1) and (x2, y2) of the photo, in either order. UserError if they are one."""
    ends = sorted((complex(*eyes[:2]), complex(*eyes[2:])), key=lambda z: z.real)
    if abs(ends[1] - ends[0]) < 1:
        raise UserError(f"the eyes {eyes} are one point: give the centres of both, as in --eyes 110,140,170,138")
    similarity = fit(np.array(ends), EYES)
    return Face(2.6 * abs(ends[1] - ends[0]), similarity)  # dlib's box of a face is about so many distances of the eyes wide
