"""Toy faces: endless cartoon faces with exact CelebA attributes, made from nothing but a seed.

Each attribute is drawn as one cue of its own; all the rest of an image depends on the seed alone. Flip one attribute, keep the
seed: only that attribute's pixels change. A face is drawn several times too large and then shrunk, which smooths its edges.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ddpm_faces.conditions import celeba_prior
from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.data.source import DataSource
from ddpm_faces.data.toy import face_parts as parts
from ddpm_faces.data.toy.face import Face
from ddpm_faces.data.toy.pen import Pen

SPLITS = {"train": (10_000, 0), "valid": (500, 1), "test": (500, 2)}  # split -> images, seed


def render(attributes: np.ndarray, seed: int, size: int = 32) -> np.ndarray:
    """One face (size, size, 3) uint8. attributes: (40,) in the order of CELEBA; above 0 is present.

    The same arguments give the same bytes. With the seed kept, a change of attributes changes their own cues and nothing else.
    """
    face = Face(attributes, seed)
    canvas = 4 * max(size, 64)
    image = Image.new("RGB", (canvas, canvas), face.background)
    dx, dy = face.shift
    pen, features = Pen(image, dx, dy), Pen(image, dx + face.turn, dy)
    parts.draw_hair_behind(pen, face)
    parts.draw_body(pen, face)
    parts.draw_head(pen, face)
    parts.draw_beard(pen, face)
    parts.draw_skin_details(features, face)
    parts.draw_hair_in_front(pen, face)
    parts.draw_nose(features, face)
    parts.draw_mouth(features, face)
    for side in (-1, 1):  # after the hair: brows show through a fringe
        parts.draw_eye(features, face, side)
    parts.draw_hat(pen, face)
    image = image.resize((size, size), Image.Resampling.BOX)
    if face.has["Blurry"]:
        image = image.filter(ImageFilter.GaussianBlur(size / 32))
    return np.array(image)


def toy_face(i: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Face i of the endless set `seed`: image (size, size, 3) uint8, attributes (40,) int8 of -1/+1."""
    rng = np.random.default_rng((seed, i))
    attributes = celeba_prior.sample_attributes(rng, 1)[0]
    return render(attributes, int(rng.integers(2**32)), size), attributes


def toy_faces(n: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The first n faces of a set: images (n, size, size, 3) uint8 and attributes (n, 40) int8 of -1/+1."""
    images, attributes = np.empty((n, size, size, 3), np.uint8), np.empty((n, len(CELEBA)), np.int8)
    for i in range(n):
        images[i], attributes[i] = toy_face(i, size, seed)
    return images, attributes


def open_toy_faces(root: Path, split: str, crop: str | None, size: int | None) -> Dataset:
    """Toy faces as a Dataset of (size, size, 3) images and 40 attributes of -1/+1, drawn on first use."""
    (n, seed), size = SPLITS[split], size or 32
    source = hashlib.sha256(toy_faces(8, size)[0].tobytes()).hexdigest()  # other drawings, another dataset
    facts = {"data": "toy", "split": split, "size": size, "n": n, "source": source}
    return build(f"toy-{split}-{size}", facts, (size, size, 3), CELEBA, range(n), lambda i: toy_face(i, size, seed))


SOURCE = DataSource(
    open=open_toy_faces,
    licence="procedural drawings, MIT",
    recipe={"preset": "toy32", "flip": True, "epochs": 12.0},
    classifier_epochs=6.0,
    faces=True,
)
