"""The parts of a toy face, back to front: each function draws one, from a Person, with a Pen.

Coordinates are on a canvas of 64 x 64 units, x to the right and y down; eyes and mouth are in the same places in every
face, as in aligned CelebA. Each attribute has one visible cue of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ddpm_faces.attributes import CELEBA
from ddpm_faces.data.persons import HAIR_COLOURS

Colour = tuple[int, ...]  # red, green, blue and perhaps alpha, 0 to 255
Points = list[tuple[float, float]]

SKINS = ((255, 219, 190), (244, 194, 155), (226, 165, 118), (188, 122, 80), (140, 86, 58))
BACKGROUNDS = ((126, 200, 227), (98, 134, 200), (158, 216, 160), (242, 152, 182), (186, 170, 232))
CLOTHES = ((228, 87, 86), (58, 124, 165), (64, 145, 108), (242, 158, 56), (118, 90, 170))
IRISES = ((92, 58, 34), (46, 110, 190), (56, 140, 88), (60, 60, 72))
NAMED_HAIR = dict(zip(HAIR_COLOURS, ((28, 27, 48), (250, 214, 92), (124, 72, 34), (184, 186, 192)), strict=True))
UNNAMED_HAIR = ((214, 92, 40), (226, 88, 130), (40, 150, 160), (130, 84, 176))  # ginger, or dyed
WHITE, INK, SHADE, BLUSH = (255, 255, 255), (44, 30, 40), (84, 24, 28), (255, 64, 100)
PORCELAIN, LIPS, LIPSTICK, MOUTH = (255, 246, 244), (196, 74, 100), (214, 16, 62), (92, 20, 32)
GOLD, PEARL, EYESHADOW, EYEBAG, STUBBLE = (255, 200, 30), (250, 246, 236), (128, 60, 200), (88, 62, 110), (56, 60, 76)


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """The colour `amount` (0 to 1) of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * amount) for x, y in zip(a, b, strict=True))


class Person:
    """What the drawing functions need to know: the attributes, and all that a picture shows besides.

    The latter comes from the seed alone: everything is drawn for everybody, in the same order, so that no attribute can
    disturb what is not its own.
    """

    def __init__(self, attributes: np.ndarray, seed: int):
        chance = iter(np.random.default_rng(seed).random(11).tolist())

        def pick(options: Sequence[Colour]) -> Colour:
            return options[int(next(chance) * len(options))]

        self.has = {name: bool(value > 0) for name, value in zip(CELEBA, attributes, strict=True)}
        self.shift = 2 * next(chance) - 1, 2 * next(chance) - 1  # of the whole person, in units
        self.turn = 2 * next(chance) - 1  # how far the features slide sideways: a slight turn of the head
        self.parting = 1 if next(chance) < 0.5 else -1  # the side of it
        self.hair_length = next(chance)  # 0 to 1
        self.background, self.iris, self.shirt = pick(BACKGROUNDS), pick(IRISES), pick(CLOTHES)
        self.accent = pick([c for c in CLOTHES if c != self.shirt])  # of hat, tie and glasses
        dye, tone = pick(UNNAMED_HAIR), next(chance) * (len(SKINS) - 1)
        self.hair = next((colour for name, colour in NAMED_HAIR.items() if self.has[name]), dye)
        self.dark_hair = mix(self.hair, INK, 0.22)
        self.beard = mix(self.hair, INK, 0.45)  # and brows
        self.skin = mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1)
        if self.has["Pale_Skin"]:
            self.skin = mix(self.skin, PORCELAIN, 0.8)
        self.shade = mix(self.skin, SHADE, 0.5)  # nose, wrinkles
        self.shadow = mix(self.skin, SHADE, 0.18)  # neck, ears


class Pen:
    """Pillow's ImageDraw in units, moved by (dx, dy), with round line ends; colours may carry an alpha."""

    def __init__(self, image: Image.Image, dx: float, dy: float):
        self.ink, self.scale, self.dx, self.dy = ImageDraw.Draw(image, "RGBA"), image.width / 64, dx, dy

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


def bow(x: float, y: float, half: float, sag: float, power: float = 2) -> Points:
    """A curve from (x - half, y) to (x + half, y) whose middle hangs `sag` lower; the rounder the higher `power`."""
    return [(x + half * s / 6, y + sag * (1 - abs(s / 6) ** power)) for s in range(-6, 7)]


def half_oval(x: float, y: float, rx: float, ry: float) -> Points:
    """The upper half of an ellipse, from its left end over the top to its right end."""
    return [(x - rx * math.cos(t), y - ry * math.sin(t)) for t in (math.pi * k / 20 for k in range(21))]


# ---- The parts, back to front


def jaw_line(has: dict[str, bool]) -> Points:
    """The lower face from the left temple round the chin to the right temple."""
    width, chin = (15.5, 55.5) if has["Oval_Face"] else (18, 53)
    power = 0.75 if has["Male"] else 1.0  # below 1 the ellipse becomes a box: the square jaw
    points = []
    for t in (math.pi * k / 24 for k in range(25)):
        cheek = 6 * math.sin(t) * abs(math.sin(2 * t)) if has["Chubby"] else 0
        x = width * abs(math.cos(t)) ** power + cheek
        points.append((32 - math.copysign(x, math.cos(t)), 30 + (chin - 30) * math.sin(t) ** power))
    return points


def draw_hair_behind(pen: Pen, p: Person) -> None:
    if p.has["Bald"]:
        return
    end, wide = (34 + 3 * p.hair_length, 18.5) if p.has["Male"] else (46 + 9 * p.hair_length, 21.5)
    top = half_oval(32, 26, wide, 22)
    if p.has["Straight_Hair"]:  # cut square, and falling a little wider
        pen.shape([*top, (32 + wide + 1.5, end + 3), (32 - wide - 1.5, end + 3)], p.dark_hair)
    else:
        pen.shape([*top, *reversed(bow(32, end - 8, wide, 10, 3))], p.dark_hair)
    if p.has["Wavy_Hair"]:  # locks down the sides
        for side in (-1, 1):
            for k in range(7):
                pen.oval(32 + side * (wide - 1.5), 16 + k * (end - 16) / 6, 4.4, 4, p.hair if k % 2 else p.dark_hair)


def draw_body(pen: Pen, p: Person) -> None:
    neck = 10.5 if p.has["Male"] else 6.5
    pen.oval(32, 69, 27, 14, p.shirt)
    pen.oval(32, 55, neck + 1, 4, p.shadow)
    pen.shape([(32 - neck, 42), (32 + neck, 42), (32 + neck, 56), (32 - neck, 56)], p.shadow)
    if p.has["Wearing_Necktie"]:
        pen.shape([(22, 55), (32, 59), (42, 55), (44, 60), (32, 63), (20, 60)], WHITE)
        pen.shape([(29, 57), (35, 57), (34, 60.5), (37, 67), (27, 67), (30, 60.5)], p.accent)
    if p.has["Wearing_Necklace"]:
        for x, y in bow(32, 55.5, 10, 5):
            pen.oval(x, y, 1.4, 1.4, PEARL)


def draw_head(pen: Pen, p: Person) -> None:
    for side in (-1, 1):
        pen.oval(32 + side * 17.5, 32, 3, 4.2, p.shadow)
        if p.has["Wearing_Earrings"]:
            pen.oval(32 + side * 18.8, 38.5, 2, 2.4, GOLD)
    if p.has["Double_Chin"]:
        pen.oval(32, 50.5, 11.5, 7, p.skin)
        pen.stroke(bow(32, 55, 7, 1.8), p.shade, 1)
    jaw = jaw_line(p.has)
    top = 8 if p.has["Bald"] or p.has["Receding_Hairline"] else 12
    pen.shape([*jaw, *reversed(half_oval(32, 30, abs(jaw[0][0] - 32), 30 - top))], p.skin)
    if p.has["Double_Chin"]:
        pen.stroke(bow(32, jaw[12][1] - 2.2, 7, 2), p.shade, 1.2)
    if p.has["Bald"]:
        pen.oval(25, 13.5, 4, 2, mix(p.skin, WHITE, 0.6))


def draw_beard(pen: Pen, p: Person) -> None:
    jaw = jaw_line(p.has)
    if p.has["5_o_Clock_Shadow"]:
        pen.shape([*jaw[4:-4], *reversed(bow(32, 41, 11, -1))], (*STUBBLE, 90))
    if not p.has["No_Beard"]:  # whatever its kind, a beard has an edge along the jaw
        pen.stroke([(32 + 0.97 * (x - 32), y - 0.6) for x, y in jaw[3:-3]], p.beard, 1.6)
    if p.has["Sideburns"]:
        for side in (-1, 1):
            pen.shape([(32 + side * x, y) for x, y in ((18, 26), (14.5, 26), (13.5, 40), (16.5, 40))], p.beard)
    if p.has["Goatee"]:
        chin = jaw[12][1]
        pen.shape([*bow(32, 49, 5, -0.5), (36, chin), (32, chin + 2.5), (28, chin)], p.beard)


def draw_skin_details(pen: Pen, p: Person) -> None:
    for side in (-1, 1):
        if p.has["Rosy_Cheeks"]:
            pen.oval(32 + side * 10.5, 40, 3.6, 2.8, (*BLUSH, 125))
        if p.has["High_Cheekbones"]:
            pen.stroke([(32 + side * 14.5, 35.5), (32 + side * 10.5, 37.5)], mix(p.skin, WHITE, 0.6), 1.8)
            pen.stroke([(32 + side * 14.5, 38), (32 + side * 11, 41)], mix(p.skin, SHADE, 0.25), 1.6)
        if not p.has["Young"]:
            pen.stroke([(32 + side * 6, 39), (32 + side * 9, 43)], p.shade, 1)
    if not p.has["Young"]:
        for y in (18.2, 20.8):
            pen.stroke(bow(32, y, 8, -1), p.shade, 1)


def draw_eye(pen: Pen, p: Person, side: int) -> None:
    x, y = 32 + side * 7.7, 30
    rx, ry, iris = (4.5, 3.9, 3.3) if p.has["Attractive"] else (3.9, 3, 2.5)
    if p.has["Narrow_Eyes"]:
        ry *= 0.45
    if p.has["Heavy_Makeup"]:
        pen.oval(x + side * 0.5, y - 1.6, 5.6, 4.6, (*EYESHADOW, 170))
    if p.has["Bags_Under_Eyes"]:
        pen.shape([*bow(x, y + 1.5, 4, 5), *reversed(bow(x, y + 1.5, 4, 2))], (*EYEBAG, 140))
    pen.oval(x, y, rx, ry, WHITE)
    pen.oval(x, y, iris, min(iris, ry), p.iris)
    pen.oval(x, y, 0.6 * iris, min(0.6 * iris, ry), INK)
    pen.stroke(bow(x, y - 0.3 * ry, rx, -0.8 * ry), INK, 1)
    if p.has["Attractive"]:  # a sparkle and long lashes
        pen.oval(x + 1.2, y - 0.3 * ry, 1.4, min(1.4, 0.5 * ry), WHITE)
        pen.stroke([(x + side * 3.8, y - 0.6 * ry), (x + side * 6.4, y - 0.6 * ry - 2)], INK, 0.9)
    arch, thickness = -3.4 if p.has["Arched_Eyebrows"] else -0.8, 2.8 if p.has["Bushy_Eyebrows"] else 1.2
    pen.stroke(bow(x, 24.2, 4.2, arch), p.beard, thickness)
    if p.has["Eyeglasses"]:
        frame = mix(p.accent, INK, 0.6)
        pen.ring(x, 30.3, 6.6, 5.8, frame, 1.4)
        pen.stroke([(32 + side * 14, 29.5), (32 + side * 17.5, 29)], frame, 1.2)
        pen.stroke([(32, 29.5), (32 + side * 1.3, 30)], frame, 1.3)


def draw_nose(pen: Pen, p: Person) -> None:
    if p.has["Big_Nose"]:
        pen.oval(32, 37, 5, 3.4, p.shadow)
        pen.stroke(bow(32, 38, 4.4, 2.2), p.shade, 1.6)
    if p.has["Pointy_Nose"]:
        pen.shape([(32, 28.5), (35.5, 39), (28.5, 39)], p.shade)
        pen.shape([(32, 28.5), (32, 39), (28.5, 39)], mix(p.skin, WHITE, 0.35))
    elif not p.has["Big_Nose"]:
        pen.stroke(bow(32, 37.5, 2, 1), p.shade, 1.3)


def draw_mouth(pen: Pen, p: Person) -> None:
    smile, is_open = p.has["Smiling"], p.has["Mouth_Slightly_Open"]
    half, sag = (7.8, 3.4) if smile else (5.5, 0.5)
    y = 45.6 - sag / 2
    lip = 4.2 if p.has["Big_Lips"] else 1.6
    lips = LIPSTICK if p.has["Wearing_Lipstick"] else mix(p.skin, LIPS, 0.8)
    drop = 3.6 if is_open else 0  # how far the lower lip is from the upper
    top, bottom = bow(32, y, half, sag - lip, 2.5), bow(32, y, half, sag + drop + lip, 2.5)
    pen.shape([*top, *reversed(bottom)], lips)
    if is_open:
        between = bow(32, y, half - 1, sag, 2.5)
        pen.shape([*between, *reversed(bow(32, y, half - 1, sag + drop, 2.5))], MOUTH)
        pen.shape([*between[2:-2], *reversed(bow(32, y, half - 2, sag + 0.5 * drop, 2.5))], WHITE)
    else:
        pen.stroke(bow(32, y, half, sag, 2.5), MOUTH, 0.9)
    if p.has["Mustache"]:
        for side in (-1, 1):
            pen.shape([(32, 40.2), (32 + side * 5, 41), (32 + side * 8, 44), (32, 43.4)], p.beard)


def draw_hair_in_front(pen: Pen, p: Person) -> None:
    if p.has["Bald"]:
        return
    skull = half_oval(32, 29, 18.6, 24)
    part = [(-16.3, 29), (-15.5, 22), (-12, 16), (-6, 12.5), (3, 13.5), (9, 16), (14, 20.5), (16.3, 29)]
    hairline = [(32 + x, y) for x, y in part] if p.parting > 0 else [(32 - x, y) for x, y in reversed(part)]
    if p.has["Receding_Hairline"]:  # the M: bare temples either side of a peak
        hairline = [(15.7, 29), (16.5, 22), (19, 13), (24, 9.5), (28.5, 11), (32, 16)]
        hairline += [(64 - x, y) for x, y in reversed(hairline[:-1])]
    pen.shape([*skull, *reversed(hairline)], p.hair)
    if p.has["Straight_Hair"]:  # combed: strands from the parting
        for x in (-13.0, -7.0, 0.0, 7.0, 13.0):
            pen.stroke([(32 + 0.45 * x, 7), (32 + x, 14.5 + abs(x) * 0.4)], p.dark_hair, 1)
    if p.has["Wavy_Hair"]:  # curls along the top
        for k, (x, y) in enumerate(skull[3:-3:2]):
            pen.oval(x, y + 1, 3.8, 3.8, p.hair if k % 2 else p.dark_hair)
    if p.has["Bangs"]:
        tufts = [(17, 22), (21, 24), (24, 21.5), (28, 24.5), (32, 21.5), (36, 24.5), (40, 21.5), (43, 24), (47, 22)]
        pen.shape([*half_oval(32, 22, 16, 13), *reversed(tufts)], mix(p.hair, WHITE, 0.12))


def draw_hat(pen: Pen, p: Person) -> None:
    if p.has["Wearing_Hat"]:
        pen.shape(half_oval(32, 20, 20.5, 16.5), p.accent)
        pen.oval(32, 4.5, 3.6, 3.2, WHITE)
        pen.stroke(bow(32, 19, 19, -2.5), mix(p.accent, WHITE, 0.45), 4.5)
