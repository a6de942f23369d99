"""Toy digits: endless handwriting-like images of 0 to 9, made from nothing but a seed, for where MNIST cannot be had.

A digit is one or more pen strokes, each a curve through a few points; each digit is written in several ways. A seed moves the
points, slants, turns and stretches the whole, and chooses the width of the pen. As in MNIST the ink is white on black, about 20
of 32 pixels high, and centred. A digit is drawn several times too large and then shrunk, which smooths its edges.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ddpm_faces.conditions.digits import DIGITS
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.data.source import DataSource

SIZE, LARGER = 32, 4  # pixels of an image, and how many times larger it is drawn
SPLITS = {"train": (8_000, 0), "valid": (1_000, 1), "test": (1_000, 2)}  # split -> images, seed
Stroke = list[tuple[float, float]]


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, n: int = 9) -> Stroke:
    """Points of an ellipse around (x, y), from one angle to the other; 0 is right, 90 down, and 270 up."""
    angles = [math.radians(start + (end - start) * i / (n - 1)) for i in range(n)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


# The ways of writing each digit, in a box of x -1 .. 1 to the right and y -1 .. 1 downwards, before the seed bends them.
STROKES: dict[int, list[list[Stroke]]] = {
    0: [[arc(0, 0, 0.68, 1, 270, -90, 13)], [arc(0, 0, 0.55, 1, 300, -85, 13)]],
    1: [[[(0, -1), (0, 0), (0, 1)]], [[(-0.4, -0.6), (0.05, -1), (0.05, 0), (0.05, 1)]]],
    2: [
        [[*arc(0, -0.5, 0.6, 0.5, 195, 395), (0.1, 0.35), (-0.65, 1)], [(-0.65, 1), (0, 0.95), (0.7, 0.95)]],
        [
            [
                *arc(0, -0.45, 0.6, 0.55, 200, 410),
                (-0.1, 0.65),
                (-0.45, 0.95),
                (-0.65, 0.75),
                (-0.35, 0.65),
                (0.1, 0.9),
                (0.7, 0.95),
            ]
        ],
    ],
    3: [
        [[*arc(-0.05, -0.5, 0.55, 0.5, 210, 440), *arc(-0.05, 0.48, 0.65, 0.52, 280, 505)]],
        [[(-0.6, -0.95), (0, -0.98), (0.5, -0.95)], [(0.5, -0.95), (-0.05, -0.15)], arc(-0.05, 0.42, 0.62, 0.57, 270, 505)],
    ],
    4: [
        [[(-0.45, -1), (-0.6, -0.3), (-0.6, 0.1)], [(-0.6, 0.1), (0, 0.1), (0.7, 0.05)], [(0.4, -0.9), (0.38, 0), (0.35, 1)]],
        [[(0.3, -1), (-0.2, -0.4), (-0.7, 0.3)], [(-0.7, 0.3), (0, 0.3), (0.75, 0.28)], [(0.3, -1), (0.3, 0), (0.3, 1)]],
    ],
    5: [
        [[(0.6, -0.95), (0.1, -0.97), (-0.4, -0.95)], [(-0.4, -0.95), (-0.47, -0.15)], arc(-0.1, 0.38, 0.68, 0.6, 235, 500)],
        [[(-0.4, -0.95), (-0.45, -0.1)], arc(-0.1, 0.38, 0.62, 0.6, 240, 500), [(-0.4, -0.95), (0.65, -1)]],
    ],
    6: [
        [[(0.45, -0.95), (-0.1, -0.65), (-0.5, -0.1), (-0.6, 0.45)], arc(0, 0.45, 0.6, 0.55, 180, 540, 11)],
        [[(0.1, -1), (-0.4, -0.4), (-0.6, 0.3), (-0.4, 0.9), (0.1, 1), (0.55, 0.6), (0.35, 0.15), (-0.1, 0.15), (-0.5, 0.55)]],
    ],
    7: [
        [[(-0.65, -0.9), (0, -0.93), (0.65, -0.95)], [(0.65, -0.95), (0.25, -0.1), (-0.15, 1)]],
        [[(-0.65, -0.9), (0.65, -0.95)], [(0.65, -0.95), (0.2, -0.1), (-0.1, 1)], [(-0.25, 0.02), (0.55, -0.05)]],
        [[(-0.6, -0.6), (-0.6, -0.9), (0.6, -0.9)], [(0.6, -0.9), (0.45, -0.2), (0.1, 0.4), (0.05, 1)]],
    ],
    8: [
        [arc(0, -0.5, 0.5, 0.5, 90, 450, 11), arc(0, 0.5, 0.62, 0.5, 270, 630, 11)],
        [
            [
                *[(0.5, -0.75), (0, -1), (-0.5, -0.7), (-0.25, -0.25), (0.3, 0.1), (0.55, 0.55), (0.05, 1), (-0.5, 0.6)],
                *[(-0.25, 0.15), (0.3, -0.3), (0.5, -0.75)],
            ]
        ],
    ],
    9: [
        [arc(-0.02, -0.45, 0.55, 0.55, 360, 0, 11), [(0.53, -0.5), (0.5, 0.2), (0.4, 1)]],
        [arc(0, -0.45, 0.55, 0.52, 340, 0, 11), [(0.55, -0.5), (0.5, 0.4), (0.1, 0.95), (-0.45, 0.8)]],
    ],
}


def smooth(points: np.ndarray, n: int = 6) -> np.ndarray:
    """A curve through points (P, 2), with `n` points for each of them (Catmull & Rom 1974)."""
    if len(points) < 3:
        return points
    p = np.concatenate((2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]))
    u = np.linspace(0, 1, n, endpoint=False)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate((*parts, points[-1:]))


def render(digit: int, seed: int) -> np.ndarray:
    """One image of a digit: (32, 32, 1) uint8. The same digit and seed give the same bytes."""
    rng = np.random.default_rng(seed)
    ways = STROKES[digit]
    strokes = deform([np.array(stroke) for stroke in ways[rng.integers(len(ways))]], rng)
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = min(rng.uniform(8.3, 9.7), 9.7 / max((high - low).max() / 2, 1e-9))  # MNIST's box of 20 pixels, with the pen
    middle = SIZE / 2 + rng.uniform(-1, 1, 2) - scale * (low + high) / 2
    return ink([scale * stroke + middle for stroke in strokes], rng.uniform(1.7, 3.6))


def deform(strokes: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The strokes (P, 2) as one hand writes them: bent, then slanted, turned and stretched. No two hands form a loop alike."""
    bend = rng.normal(0, 0.07, (2, 3, 3))  # a smooth field that moves every point

    def moved(stroke: np.ndarray) -> np.ndarray:
        x, y = (np.stack([np.ones_like(u), np.sin(2 * u), np.cos(2 * u)]) for u in np.clip(stroke, -1, 1).T)
        return smooth(stroke + np.einsum("kij,ip,jp->pk", bend, x, y) + rng.normal(0, 0.025, stroke.shape))

    strokes = [moved(stroke) for stroke in strokes]
    turn, shear = rng.normal(0, 0.08), rng.normal(-0.18, 0.17)
    width, height = rng.uniform(0.75, 1.15), rng.uniform(0.92, 1.05)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shape = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag((width, height))
    return [stroke @ shape.T for stroke in strokes]


def ink(strokes: list[np.ndarray], width: float) -> np.ndarray:
    """Draw strokes (P, 2) with a round pen, both in pixels: (32, 32, 1) uint8."""
    canvas = Image.new("L", (LARGER * SIZE, LARGER * SIZE))
    pen, draw = width * LARGER, ImageDraw.Draw(canvas)
    for stroke in strokes:
        line = [(float(x), float(y)) for x, y in LARGER * stroke]
        draw.line(line, fill=255, width=round(pen), joint="curve")
        for x, y in (line[0], line[-1]):  # round ends
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
    return np.array(canvas.resize((SIZE, SIZE), Image.Resampling.BOX))[:, :, None]


def toy_digit(i: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Digit i of the endless set `seed`: image (32, 32, 1) uint8, its class one-hot (10,) int8."""
    rng = np.random.default_rng((seed, i))
    digit = int(rng.integers(10))
    return render(digit, int(rng.integers(2**32))), np.eye(10, dtype=np.int8)[digit]


def open_toy_digits(root: Path, split: str, crop: str | None, size: int | None) -> Dataset:
    """Toy digits as a Dataset of (32, 32, 1) images and 10 conditions, the digit one-hot, drawn on first use."""
    n, seed = SPLITS[split]
    drawn = b"".join(toy_digit(i)[0].tobytes() for i in range(20))
    source = hashlib.sha256(drawn).hexdigest()  # other drawings, another dataset
    facts = {"data": "toydigits", "split": split, "size": SIZE, "n": n, "source": source}
    return build(f"toydigits-{split}-{SIZE}", facts, (SIZE, SIZE, 1), DIGITS, range(n), lambda i: toy_digit(i, seed))


SOURCE = DataSource(
    open=open_toy_digits,
    licence="procedural drawings, MIT",
    recipe={"preset": "mnist32", "flip": False, "epochs": 10.0, "p_each": 0.0},
    classifier_epochs=6.0,
)
