"""Toy faces: endless cartoon portraits with exact labels for the 40 CelebA attributes, made from nothing but a seed.

The idea has two halves. `sample_attributes` invents plausible persons: attributes are drawn one after the other, causes
before effects (sex, then age, then beard, then make-up, ...), so that frequencies are close to CelebA's. `draw` turns a
person into a picture: each attribute has one visible cue of its own, and all the rest (colours, pose, hair length) is
the `Look`, which depends on the seed alone. Flip one attribute, keep the seed: only that attribute's pixels change.

All drawing is done on a logical canvas of 64 x 64 units, x to the right and y down, eyes and mouth in the same places
in every face, as in aligned CelebA. It is rendered several times too large and shrunk, which smooths the edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ddpm_faces.attributes import CELEBA

Colour = tuple[int, ...]
Points = list[tuple[float, float]]

# ---------------------------------------------------------------------------------------------- inventing persons

# P(attribute | sex, age), for those that need no other cause: young woman, older woman, young man, older man.
BY_SEX_AND_AGE: dict[str, tuple[float, float, float, float]] = {
    "Bald": (0, 0, 0.012, 0.12),
    "Bangs": (0.21, 0.17, 0.09, 0.055),
    "Receding_Hairline": (0.034, 0.08, 0.10, 0.23),
    "Wearing_Hat": (0.025, 0.02, 0.09, 0.06),
    "Heavy_Makeup": (0.72, 0.33, 0.002, 0.002),
    "Wearing_Earrings": (0.31, 0.31, 0.02, 0.02),
    "Wearing_Necklace": (0.19, 0.23, 0.015, 0.015),
    "Wearing_Necktie": (0, 0, 0.11, 0.29),
    "Smiling": (0.54, 0.54, 0.40, 0.40),
    "Bags_Under_Eyes": (0.09, 0.22, 0.27, 0.45),
    "Big_Lips": (0.31, 0.16, 0.18, 0.15),
    "Big_Nose": (0.09, 0.22, 0.35, 0.52),
    "Blurry": (0.05, 0.05, 0.05, 0.05),
    "Bushy_Eyebrows": (0.08, 0.05, 0.27, 0.18),
    "Chubby": (0.015, 0.08, 0.06, 0.19),
    "Eyeglasses": (0.02, 0.08, 0.07, 0.20),
    "Oval_Face": (0.36, 0.22, 0.22, 0.18),
    "Pale_Skin": (0.055, 0.03, 0.03, 0.03),
    "Pointy_Nose": (0.37, 0.28, 0.17, 0.15),
}
# One of these at most, and the rest have hair of no named colour: the same four groups.
HAIR_COLOURS: dict[str, tuple[float, float, float, float]] = {
    "Black_Hair": (0.23, 0.10, 0.36, 0.15),
    "Blond_Hair": (0.24, 0.21, 0.03, 0.02),
    "Brown_Hair": (0.25, 0.21, 0.16, 0.11),
    "Gray_Hair": (0.001, 0.08, 0.01, 0.24),
}
HAIR_TEXTURES: dict[str, tuple[float, float, float, float]] = {
    "Straight_Hair": (0.19, 0.16, 0.27, 0.21),
    "Wavy_Hair": (0.46, 0.36, 0.16, 0.11),
}


def sample_attributes(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` plausible persons: (n, 40) int8 of -1/+1 in the order of CELEBA, with frequencies close to CelebA's."""
    has: dict[str, np.ndarray] = {}

    def toss(p: float | np.ndarray) -> np.ndarray:
        return rng.random(n) < p

    def pick_one(options: dict[str, tuple[float, float, float, float]]) -> None:
        u = rng.random(n)  # [0, 1) is cut into one piece per option, and a rest for none of them
        for name, p in options.items():
            has[name] = (u >= 0) & (u < np.take(p, group))
            u -= np.take(p, group)

    has["Male"] = man = toss(0.417)
    has["Young"] = young = toss(np.where(man, 0.64, 0.87))
    group = 2 * man + ~young
    for name, p in BY_SEX_AND_AGE.items():
        has[name] = toss(np.take(p, group))
    pick_one(HAIR_COLOURS)
    pick_one(HAIR_TEXTURES)
    for name in ("Bangs", "Receding_Hairline", *HAIR_COLOURS, *HAIR_TEXTURES):
        has[name] &= ~has["Bald"]

    bearded = man & toss(np.where(young, 0.42, 0.35))
    has["No_Beard"] = ~bearded
    has["Goatee"] = bearded & toss(0.38)
    has["Mustache"] = bearded & toss(np.where(has["Goatee"], 0.45, 0.135))
    has["Sideburns"] = bearded & toss(0.345)
    other_beard = has["Goatee"] | has["Mustache"] | has["Sideburns"]
    has["5_o_Clock_Shadow"] = bearded & (toss(0.487) | ~other_beard)  # every beard is of some kind

    makeup, smiling = has["Heavy_Makeup"], has["Smiling"]
    has["Wearing_Lipstick"] = toss(np.where(makeup, 0.97, np.where(man, 0.005, 0.48)))
    has["Rosy_Cheeks"] = toss(np.where(makeup, 0.15, np.where(man, 0.002, 0.03)))
    has["Arched_Eyebrows"] = toss(np.where(makeup, 0.50, np.where(man, 0.05, 0.30)))
    has["Attractive"] = toss(np.where(makeup & young, 0.82, np.take((0.55, 0.25, 0.37, 0.10), group)))
    has["Mouth_Slightly_Open"] = toss(np.where(smiling, 0.76, 0.22))
    has["High_Cheekbones"] = toss(np.where(smiling, 0.78, 0.15))
    has["Narrow_Eyes"] = toss(np.where(smiling, 0.14, 0.09))
    has["Double_Chin"] = toss(np.where(has["Chubby"], 0.45, np.where(young, 0.01, 0.07)))
    return np.where(np.stack([has[name] for name in CELEBA], axis=1), 1, -1).astype(np.int8)


# ------------------------------------------------------------------------------------------------------- colours

SKINS: Sequence[Colour] = ((255, 219, 190), (244, 194, 155), (226, 165, 118), (188, 122, 80), (140, 86, 58))
BACKGROUNDS: Sequence[Colour] = ((126, 200, 227), (255, 209, 102), (158, 216, 160), (247, 168, 150), (186, 170, 232))
CLOTHES: Sequence[Colour] = ((228, 87, 86), (58, 124, 165), (64, 145, 108), (242, 158, 56), (118, 90, 170))
IRISES: Sequence[Colour] = ((92, 58, 34), (46, 110, 190), (56, 140, 88), (60, 60, 72))
UNNAMED_HAIR: Sequence[Colour] = ((214, 92, 40), (226, 88, 130), (40, 150, 160), (130, 84, 176))  # ginger, and dyed
NAMED_HAIR: dict[str, Colour] = {
    "Black_Hair": (34, 30, 42),
    "Blond_Hair": (250, 214, 92),
    "Brown_Hair": (112, 66, 36),
    "Gray_Hair": (184, 186, 192),
}
WHITE, INK, BLUSH = (255, 255, 255), (44, 30, 40), (240, 70, 90)
PORCELAIN, LIPSTICK, MOUTH, SHADE = (255, 246, 244), (214, 16, 62), (92, 20, 32), (120, 40, 40)
GOLD, PEARL, EYESHADOW, EYEBAG, STUBBLE = (255, 200, 30), (250, 246, 236), (128, 60, 200), (88, 62, 110), (56, 60, 76)


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """The colour `amount` (0 to 1) of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * amount) for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class Look:
    """All of a picture that no attribute speaks of. It is drawn from the seed alone: see the module's idea."""

    shift: tuple[float, float]  # of the whole head, in units
    turn: float  # how far the features slide sideways on the head: a small turn of it
    hair_length: float  # 0 to 1
    skin: Colour
    background: Colour
    shirt: Colour
    accent: Colour  # of hat, tie and glasses; never the shirt's
    iris: Colour
    hair: Colour  # where no attribute names one


def look_of(seed: int) -> Look:
    """The Look of `seed`."""
    u = np.random.default_rng(seed).random(10).tolist()
    tone = u[4] * (len(SKINS) - 1)
    shirt = int(u[6] * len(CLOTHES))
    accent = (shirt + 1 + int(u[7] * (len(CLOTHES) - 1))) % len(CLOTHES)
    return Look(
        shift=(2 * u[0] - 1, 2 * u[1] - 1),
        turn=2 * u[2] - 1,
        hair_length=u[3],
        skin=mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1),
        background=BACKGROUNDS[int(u[5] * len(BACKGROUNDS))],
        shirt=CLOTHES[shirt],
        accent=CLOTHES[accent],
        iris=IRISES[int(u[8] * len(IRISES))],
        hair=UNNAMED_HAIR[int(u[9] * len(UNNAMED_HAIR))],
    )


class Person(NamedTuple):
    """What the drawing functions need to know."""

    has: dict[str, bool]
    look: Look
    skin: Colour
    hair: Colour

    @property
    def shade(self) -> Colour:
        """The skin in shadow: outlines, nose, wrinkles."""
        return mix(self.skin, SHADE, 0.45)


def person_of(attributes: np.ndarray, look: Look) -> Person:
    """Attributes (40,) and a Look together; anything above 0 is "has it"."""
    has = {name: bool(value > 0) for name, value in zip(CELEBA, attributes, strict=True)}
    hair = next((colour for name, colour in NAMED_HAIR.items() if has[name]), look.hair)
    return Person(has, look, mix(look.skin, PORCELAIN, 0.75) if has["Pale_Skin"] else look.skin, hair)


# ----------------------------------------------------------------------------------------------------- the pencil


class Pen:
    """Pillow's ImageDraw in logical units, moved by `shift`, with round line ends; colours may carry an alpha."""

    def __init__(self, image: Image.Image, shift: tuple[float, float]):
        self.ink = ImageDraw.Draw(image, "RGBA")
        self.scale = image.width / 64
        self.dx, self.dy = shift

    def moved(self, dx: float) -> Pen:
        """The same pen, `dx` units further right."""
        other = object.__new__(Pen)
        other.ink, other.scale, other.dx, other.dy = self.ink, self.scale, self.dx + dx, self.dy
        return other

    def _pixels(self, points: Points) -> Points:
        return [((x + self.dx) * self.scale, (y + self.dy) * self.scale) for x, y in points]

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.ink.ellipse(self._pixels([(x - rx, y - ry), (x + rx, y + ry)]), fill=colour)

    def ring(self, x: float, y: float, rx: float, ry: float, colour: Colour, width: float) -> None:
        box = self._pixels([(x - rx, y - ry), (x + rx, y + ry)])
        self.ink.ellipse(box, outline=colour, width=round(width * self.scale))

    def shape(self, points: Points, colour: Colour) -> None:
        self.ink.polygon(self._pixels(points), fill=colour)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        self.ink.line(self._pixels(points), fill=colour, width=round(width * self.scale), joint="curve")
        for x, y in (points[0], points[-1]):
            self.oval(x, y, width / 2, width / 2, colour)


def bow(x: float, y: float, half: float, sag: float) -> Points:
    """A parabola from (x - half, y) to (x + half, y) whose middle hangs `sag` lower (negative: arches higher)."""
    return [(x + half * s / 4, y + sag * (1 - (s / 4) ** 2)) for s in range(-4, 5)]


def half_oval(x: float, y: float, rx: float, ry: float) -> Points:
    """The upper half of an ellipse, from its left end over the top to its right end."""
    return [(x - rx * math.cos(t), y - ry * math.sin(t)) for t in (math.pi * k / 20 for k in range(21))]


# --------------------------------------------------------------------------------------- the parts, back to front


def jaw_line(has: dict[str, bool]) -> Points:
    """The lower face from the left temple round the chin to the right temple."""
    width, chin = (16, 55) if has["Oval_Face"] else (18, 53)
    power = 0.72 if has["Male"] else 1.0  # below 1 the ellipse becomes a box: the square jaw
    points = []
    for t in (math.pi * k / 24 for k in range(25)):
        cheek = 3 * math.sin(t) * abs(math.sin(2 * t)) if has["Chubby"] else 0
        x = width * abs(math.cos(t)) ** power + cheek
        points.append((32 - math.copysign(x, math.cos(t)), 30 + (chin - 30) * math.sin(t) ** power))
    return points


def draw_hair_behind(pen: Pen, p: Person) -> None:
    if p.has["Bald"]:
        return
    dark = mix(p.hair, INK, 0.25)
    end = 36 + 3 * p.look.hair_length if p.has["Male"] else 47 + 9 * p.look.hair_length
    wide = 18.5 if p.has["Male"] else 21.5
    if p.has["Straight_Hair"]:  # cut square, and falling a little wider
        pen.shape([*half_oval(32, 26, wide, 22), (32 + wide + 1.5, end + 3), (32 - wide - 1.5, end + 3)], dark)
    else:
        lower = [(x, 2 * 26 - y + end - 36) for x, y in half_oval(32, 26, wide, 10)]
        pen.shape([*half_oval(32, 26, wide, 22), *reversed(lower)], dark)
    if p.has["Wavy_Hair"]:
        for side in (-1, 1):
            for k in range(8):
                y = 14 + k * (end - 14) / 7
                pen.oval(32 + side * (wide - 0.5), y, 4, 3.4, dark if k % 2 else p.hair)


def draw_body(pen: Pen, p: Person) -> None:
    neck = 10.5 if p.has["Male"] else 6.5
    pen.oval(32, 69, 27, 14, p.look.shirt)
    pen.oval(32, 55, neck + 1, 4, mix(p.skin, SHADE, 0.25))
    pen.shape([(32 - neck, 42), (32 + neck, 42), (32 + neck, 56), (32 - neck, 56)], mix(p.skin, SHADE, 0.25))
    if p.has["Wearing_Necktie"]:
        pen.shape([(22, 55), (32, 59), (42, 55), (44, 60), (32, 63), (20, 60)], WHITE)
        pen.shape([(29, 57), (35, 57), (34, 60.5), (37, 67), (27, 67), (30, 60.5)], p.look.accent)
    if p.has["Wearing_Necklace"]:
        for x, y in bow(32, 55.5, 10, 5):
            pen.oval(x, y, 1.4, 1.4, PEARL)


def draw_head(pen: Pen, p: Person) -> None:
    for side in (-1, 1):
        pen.oval(32 + side * 17.5, 32, 3, 4.2, mix(p.skin, SHADE, 0.2))
        if p.has["Wearing_Earrings"]:
            pen.oval(32 + side * 18.8, 38.5, 2, 2.4, GOLD)
    if p.has["Double_Chin"]:
        pen.oval(32, 50.5, 11.5, 7, p.skin)
        pen.stroke(bow(32, 55, 7, 1.8), p.shade, 1)
    jaw = jaw_line(p.has)
    top = 9 if p.has["Bald"] else 12
    pen.shape([*jaw, *reversed(half_oval(32, 30, abs(jaw[0][0] - 32), 30 - top))], p.skin)
    if p.has["Double_Chin"]:
        pen.stroke(bow(32, jaw[12][1] - 2.2, 7, 2), p.shade, 1.2)
    if p.has["Bald"]:
        pen.oval(25, 14.5, 4, 2, mix(p.skin, WHITE, 0.6))


def draw_beard(pen: Pen, p: Person) -> None:
    jaw, dark = jaw_line(p.has), mix(p.hair, INK, 0.4)
    if p.has["5_o_Clock_Shadow"]:
        pen.shape([*jaw[4:-4], *reversed(bow(32, 41, 11, -1))], (*STUBBLE, 90))
    if not p.has["No_Beard"]:  # whatever its kind, a beard has an edge along the jaw
        pen.stroke([(32 + 0.97 * (x - 32), y - 0.6) for x, y in jaw[3:-3]], dark, 1.6)
    if p.has["Sideburns"]:
        for side in (-1, 1):
            pen.shape([(32 + side * x, y) for x, y in ((18, 26), (14.5, 26), (13.5, 40), (16.5, 40))], dark)
    if p.has["Goatee"]:
        chin = jaw[12][1]
        pen.shape([*bow(32, 49, 5, -0.5), (36, chin), (32, chin + 2.5), (28, chin)], dark)


def draw_skin_details(pen: Pen, p: Person) -> None:
    for side in (-1, 1):
        if p.has["Rosy_Cheeks"]:
            pen.oval(32 + side * 10.5, 40, 3.6, 2.8, (*BLUSH, 130))
        if p.has["High_Cheekbones"]:
            pen.stroke([(32 + side * 15, 35), (32 + side * 9.5, 38)], mix(p.skin, WHITE, 0.7), 1.6)
            pen.stroke([(32 + side * 15, 37.5), (32 + side * 10.5, 41)], mix(p.skin, SHADE, 0.35), 1.4)
        if not p.has["Young"]:
            pen.stroke([(32 + side * 6, 39), (32 + side * 9, 43)], p.shade, 1)
    if not p.has["Young"]:
        for y in (18.2, 20.8):
            pen.stroke(bow(32, y, 8, -1), p.shade, 1)


def draw_eye(pen: Pen, p: Person, side: int) -> None:
    x, y = 32 + side * 7.7, 30
    rx, ry = (4.6, 4.2) if p.has["Attractive"] else (3.9, 3)
    if p.has["Narrow_Eyes"]:
        ry *= 0.45
    if p.has["Heavy_Makeup"]:
        pen.oval(x + side * 0.5, y - 1.6, 5.6, 4.6, (*EYESHADOW, 170))
    if p.has["Bags_Under_Eyes"]:
        pen.shape([*bow(x, y + 1.5, 4, 5), *reversed(bow(x, y + 1.5, 4, 2))], (*EYEBAG, 140))
    pen.oval(x, y, rx, ry, WHITE)
    pen.oval(x, y, 2.4, min(2.4, ry), p.look.iris)
    pen.oval(x, y, 1.4, min(1.4, ry), INK)
    pen.stroke(bow(x, y - 0.3 * ry, rx, -0.8 * ry), INK, 1)
    if p.has["Attractive"]:  # a sparkle and long lashes
        pen.oval(x + 1, y - 0.4 * ry, 1.3, min(1.3, 0.5 * ry), WHITE)
        pen.stroke([(x + side * 3.8, y - 0.6 * ry), (x + side * 6.4, y - 0.6 * ry - 2)], INK, 0.9)


def draw_brow(pen: Pen, p: Person, side: int) -> None:
    sag = -3 if p.has["Arched_Eyebrows"] else -0.3
    pen.stroke(bow(32 + side * 7.7, 24.2, 4.2, sag), mix(p.hair, INK, 0.45), 3 if p.has["Bushy_Eyebrows"] else 1.3)


def draw_glasses(pen: Pen, p: Person) -> None:
    if p.has["Eyeglasses"]:
        frame = mix(p.look.accent, INK, 0.6)
        for side in (-1, 1):
            pen.ring(32 + side * 7.7, 30.3, 6.6, 5.8, frame, 1.4)
            pen.stroke([(32 + side * 14, 29.5), (32 + side * 17.5, 29)], frame, 1.2)
        pen.stroke(bow(32, 30, 1.3, -0.5), frame, 1.3)


def draw_nose(pen: Pen, p: Person) -> None:
    if p.has["Big_Nose"]:
        pen.oval(32, 37, 5, 3.4, mix(p.skin, BLUSH, 0.3))
        for side in (-1, 1):
            pen.oval(32 + side * 2, 38.8, 1, 0.8, p.shade)
    if p.has["Pointy_Nose"]:
        pen.shape([(32, 28.5), (35.5, 39), (28.5, 39)], p.shade)
        pen.shape([(32, 28.5), (32, 39), (28.5, 39)], mix(p.skin, WHITE, 0.35))
    elif not p.has["Big_Nose"]:
        pen.stroke(bow(32, 37.5, 2, 1), p.shade, 1.3)


def draw_mouth(pen: Pen, p: Person) -> None:
    smile, is_open = p.has["Smiling"], p.has["Mouth_Slightly_Open"]
    half, sag = (8, 3.6) if smile else (5.8, 0)
    y = 45.6 - sag / 2
    lip = 2.6 if p.has["Big_Lips"] else 1.2
    lips = LIPSTICK if p.has["Wearing_Lipstick"] else mix(p.skin, (178, 62, 70), 0.5)
    drop = 3.6 if is_open else 0  # how far the lower lip is from the upper
    pen.shape([*bow(32, y, half, sag - lip), *reversed(bow(32, y, half, sag + drop + lip))], lips)
    if is_open:
        pen.shape([*bow(32, y, half - 1, sag), *reversed(bow(32, y, half - 1, sag + drop))], MOUTH)
        pen.shape([*bow(32, y, half - 2, sag), *reversed(bow(32, y, half - 2, sag + 0.45 * drop))], WHITE)
    else:
        pen.stroke(bow(32, y, half, sag), MOUTH, 0.9)
    if p.has["Mustache"]:
        for side in (-1, 1):
            pen.shape([(32, 40.2), (32 + side * 5, 41), (32 + side * 8, 44), (32, 43.4)], mix(p.hair, INK, 0.4))


def draw_hair_in_front(pen: Pen, p: Person) -> None:
    if p.has["Bald"]:
        return
    skull = half_oval(32, 29, 18.6, 24)
    hairline = half_oval(32, 29, 16.3, 13)
    if p.has["Receding_Hairline"]:  # the M: bare temples either side of a peak
        hairline = [(15.7, 29), (16.5, 22), (19, 13), (24, 9.5), (28.5, 11), (32, 16)]
        hairline += [(64 - x, y) for x, y in reversed(hairline[:-1])]
    pen.shape([*skull, *reversed(hairline)], p.hair)
    if p.has["Straight_Hair"]:  # combed: strands from the parting
        for x in (-13, -7, 0, 7, 13):
            pen.stroke([(32 + 0.45 * x, 7), (32 + x, 14.5 + abs(x) * 0.4)], mix(p.hair, INK, 0.4), 1)
    if p.has["Wavy_Hair"]:  # curls along the top
        for k, (x, y) in enumerate(skull[3:-3:2]):
            pen.oval(x, y + 1, 3.8, 3.8, p.hair if k % 2 else mix(p.hair, INK, 0.2))
    if p.has["Bangs"]:
        tufts = [(17, 22), (21, 24), (24, 21.5), (28, 24.5), (32, 21.5), (36, 24.5), (40, 21.5), (43, 24), (47, 22)]
        pen.shape([*half_oval(32, 22, 16, 13), *reversed(tufts)], mix(p.hair, WHITE, 0.12))


def draw_hat(pen: Pen, p: Person) -> None:
    if p.has["Wearing_Hat"]:
        pen.oval(32, 3.5, 4, 3.5, WHITE)
        pen.shape(half_oval(32, 19, 20.5, 15.5), p.look.accent)
        pen.stroke(bow(32, 18.5, 19, -2.5), mix(p.look.accent, WHITE, 0.45), 4.5)


def draw(attributes: np.ndarray, seed: int, size: int = 32) -> np.ndarray:
    """One face: `attributes` (40,) in the order of CELEBA, above 0 is "has it"; returns (size, size, 3) uint8.

    The same attributes, seed and size give the same bytes; with the seed kept, a change of attributes changes their
    own cues and nothing else.
    """
    look = look_of(seed)
    p = person_of(attributes, look)
    canvas = 4 * max(size, 64)
    image = Image.new("RGB", (canvas, canvas), look.background)
    pen = Pen(image, look.shift)
    features = pen.moved(look.turn)
    draw_hair_behind(pen, p)
    draw_body(pen, p)
    draw_head(pen, p)
    draw_beard(pen, p)
    draw_skin_details(features, p)
    for side in (-1, 1):
        draw_eye(features, p, side)
    draw_nose(features, p)
    draw_mouth(features, p)
    draw_hair_in_front(pen, p)
    for side in (-1, 1):  # cartoon brows show through the fringe
        draw_brow(features, p, side)
    draw_glasses(features, p)
    draw_hat(pen, p)
    image = image.resize((size, size), Image.Resampling.BOX)
    if p.has["Blurry"]:
        image = image.filter(ImageFilter.GaussianBlur(size / 32))
    return np.array(image)


def toy_faces(n: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`n` faces and their labels: images (n, size, size, 3) uint8 and attributes (n, 40) int8 of -1/+1.

    Face i depends on (seed, i) alone, so that a larger set begins with the smaller one.
    """
    images = np.empty((n, size, size, 3), np.uint8)
    attributes = np.empty((n, len(CELEBA)), np.int8)
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        attributes[i] = sample_attributes(rng, 1)[0]
        images[i] = draw(attributes[i], int(rng.integers(2**32)), size)
    return images, attributes
