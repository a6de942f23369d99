"""The face detector: it finds the shipped model's faces, and none in noise or in nothing."""

from __future__ import annotations

import numpy as np

import ddpm_faces
from ddpm_faces.evaluation import detector
from ddpm_faces.evaluation.reference import noise
from ddpm_faces.utils.images import to_uint8


def test_faces_are_found_in_faces_only():
    faces = to_uint8(ddpm_faces.generate(ddpm_faces.load("celeba64"), "Smiling", n=8, seed=0))
    assert faces.shape == (8, 64, 64, 3)
    share = detector.share_with_face(faces)
    assert share >= 0.75
    assert detector.share_with_face(noise(faces)) == 0
    assert detector.share_with_face(np.zeros_like(faces)) == 0
    assert detector.share_with_face(np.concatenate([faces, np.zeros_like(faces)])) == share / 2
