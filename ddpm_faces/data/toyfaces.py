"""Toy faces: endless cartoon portraits with exact labels for the 40 CelebA attributes, made from nothing but a seed.

A person comes from `persons.sample_attributes`; `draw` turns it into a picture, in which each attribute has one visible
cue of its own, while all the rest (colours, pose, hair length) depends on the seed alone. Flip one attribute, keep the
seed: only that attribute's pixels change. It is drawn several times too large and then shrunk, which smooths the edges.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ddpm_faces.attributes import CELEBA
from ddpm_faces.data import toyparts as parts
from ddpm_faces.data.persons import sample_attributes
from ddpm_faces.data.store import Store, build


def draw(attributes: np.ndarray, seed: int, size: int = 32) -> np.ndarray:
    """One face: `attributes` (40,) in the order of CELEBA, above 0 is "has it"; returns (size, size, 3) uint8.

    The same attributes, seed and size give the same bytes; with the seed kept, a change of attributes changes their
    own cues and nothing else.
    """
    p = parts.Person(attributes, seed)
    canvas = 4 * max(size, 64)
    image = Image.new("RGB", (canvas, canvas), p.background)
    dx, dy = p.shift
    pen, features = parts.Pen(image, dx, dy), parts.Pen(image, dx + p.turn, dy)
    parts.draw_hair_behind(pen, p)
    parts.draw_body(pen, p)
    parts.draw_head(pen, p)
    parts.draw_beard(pen, p)
    parts.draw_skin_details(features, p)
    parts.draw_hair_in_front(pen, p)
    parts.draw_nose(features, p)
    parts.draw_mouth(features, p)
    for side in (-1, 1):  # after the hair: brows show through a fringe
        parts.draw_eye(features, p, side)
    parts.draw_hat(pen, p)
    image = image.resize((size, size), Image.Resampling.BOX)
    if p.has["Blurry"]:
        image = image.filter(ImageFilter.GaussianBlur(size / 32))
    return np.array(image)


def toy_face(i: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Face i of the endless set `seed`: picture (size, size, 3) uint8, attributes (40,) int8 of -1/+1."""
    rng = np.random.default_rng((seed, i))
    attributes = sample_attributes(rng, 1)[0]
    return draw(attributes, int(rng.integers(2**32)), size), attributes


def toy_faces(n: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The first n faces of a set: pictures (n, size, size, 3) uint8 and attributes (n, 40) int8 of -1/+1."""
    pictures, attributes = np.empty((n, size, size, 3), np.uint8), np.empty((n, len(CELEBA)), np.int8)
    for i in range(n):
        pictures[i], attributes[i] = toy_face(i, size, seed)
    return pictures, attributes


SIZES = {"train": (10_000, 0), "valid": (500, 1), "test": (500, 2)}  # split -> pictures, seed


def open_toy(split: str = "train", size: int = 32) -> Store:
    """Toy faces as a Store of (size, size, 3) pictures and 40 attributes of -1/+1, drawn on first use."""
    n, seed = SIZES[split]
    code = [Path(__file__).with_name(name).read_bytes() for name in ("persons.py", "toyparts.py", "toyfaces.py")]
    source = hashlib.sha256(b"".join(code)).hexdigest()  # a change of the drawing makes a new store
    facts = {"data": "toy", "split": split, "size": size, "n": n, "source": source}
    return build(f"toy-{split}-{size}", facts, (size, size, 3), CELEBA, range(n), lambda i: toy_face(i, size, seed))
