"""The parts of a toy face, back to front: each function draws one of a Face with a Pen.

Eyes and mouth are in the same places in every face, as in aligned CelebA. Each attribute has one visible cue of its own.
"""

from __future__ import annotations

import math

from ddpm_faces.data.toy.face import INK, SHADE, Face
from ddpm_faces.data.toy.pen import Pen, Points, blend, bow, half_oval

WHITE, GOLD, PEARL, BLUSH = (255, 255, 255), (255, 200, 30), (250, 246, 236), (255, 64, 100)
LIPS, LIPSTICK, MOUTH = (196, 74, 100), (214, 16, 62), (92, 20, 32)
EYESHADOW, EYEBAG, STUBBLE = (128, 60, 200), (88, 62, 110), (56, 60, 76)


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


def draw_hair_behind(pen: Pen, face: Face) -> None:
    """The hair that falls behind the head."""
    if face.has["Bald"]:
        return
    end, wide = (34 + 3 * face.hair_length, 18.5) if face.has["Male"] else (46 + 9 * face.hair_length, 21.5)
    top = half_oval(32, 26, wide, 22)
    if face.has["Straight_Hair"]:  # cut square, and falling a little wider
        pen.shape([*top, (32 + wide + 1.5, end + 3), (32 - wide - 1.5, end + 3)], face.dark_hair)
    else:
        pen.shape([*top, *reversed(bow(32, end - 8, wide, 10, 3))], face.dark_hair)
    if face.has["Wavy_Hair"]:  # locks down the sides
        for side in (-1, 1):
            for k in range(7):
                pen.oval(32 + side * (wide - 1.5), 16 + k * (end - 16) / 6, 4.4, 4, face.hair if k % 2 else face.dark_hair)


def draw_body(pen: Pen, face: Face) -> None:
    """Shirt and neck, with tie or necklace."""
    neck = 10.5 if face.has["Male"] else 6.5
    pen.oval(32, 69, 27, 14, face.shirt)
    pen.oval(32, 55, neck + 1, 4, face.shadow)
    pen.shape([(32 - neck, 42), (32 + neck, 42), (32 + neck, 56), (32 - neck, 56)], face.shadow)
    if face.has["Wearing_Necktie"]:
        pen.shape([(22, 55), (32, 59), (42, 55), (44, 60), (32, 63), (20, 60)], WHITE)
        pen.shape([(29, 57), (35, 57), (34, 60.5), (37, 67), (27, 67), (30, 60.5)], face.accent)
    if face.has["Wearing_Necklace"]:
        for x, y in bow(32, 55.5, 10, 5):
            pen.oval(x, y, 1.4, 1.4, PEARL)


def draw_head(pen: Pen, face: Face) -> None:
    """Ears, face and chin."""
    for side in (-1, 1):
        pen.oval(32 + side * 17.5, 32, 3, 4.2, face.shadow)
        if face.has["Wearing_Earrings"]:
            pen.oval(32 + side * 18.8, 38.5, 2, 2.4, GOLD)
    if face.has["Double_Chin"]:
        pen.oval(32, 50.5, 11.5, 7, face.skin)
        pen.stroke(bow(32, 55, 7, 1.8), face.shade, 1)
    jaw = jaw_line(face.has)
    top = 8 if face.has["Bald"] or face.has["Receding_Hairline"] else 12
    pen.shape([*jaw, *reversed(half_oval(32, 30, abs(jaw[0][0] - 32), 30 - top))], face.skin)
    if face.has["Double_Chin"]:
        pen.stroke(bow(32, jaw[12][1] - 2.2, 7, 2), face.shade, 1.2)
    if face.has["Bald"]:
        pen.oval(25, 13.5, 4, 2, blend(face.skin, WHITE, 0.6))


def draw_beard(pen: Pen, face: Face) -> None:
    """Beard, sideburns, goatee and stubble."""
    jaw = jaw_line(face.has)
    if face.has["5_o_Clock_Shadow"]:
        pen.shape([*jaw[4:-4], *reversed(bow(32, 41, 11, -1))], (*STUBBLE, 90))
    if not face.has["No_Beard"]:  # whatever its kind, a beard has an edge along the jaw
        pen.stroke([(32 + 0.97 * (x - 32), y - 0.6) for x, y in jaw[3:-3]], face.beard, 1.6)
    if face.has["Sideburns"]:
        for side in (-1, 1):
            pen.shape([(32 + side * x, y) for x, y in ((18, 26), (14.5, 26), (13.5, 40), (16.5, 40))], face.beard)
    if face.has["Goatee"]:
        chin = jaw[12][1]
        pen.shape([*bow(32, 49, 5, -0.5), (36, chin), (32, chin + 2.5), (28, chin)], face.beard)


def draw_skin_details(pen: Pen, face: Face) -> None:
    """Cheeks, cheekbones and wrinkles."""
    for side in (-1, 1):
        if face.has["Rosy_Cheeks"]:
            pen.oval(32 + side * 10.5, 40, 3.6, 2.8, (*BLUSH, 125))
        if face.has["High_Cheekbones"]:
            pen.stroke([(32 + side * 14.5, 35.5), (32 + side * 10.5, 37.5)], blend(face.skin, WHITE, 0.6), 1.8)
            pen.stroke([(32 + side * 14.5, 38), (32 + side * 11, 41)], blend(face.skin, SHADE, 0.25), 1.6)
        if not face.has["Young"]:
            pen.stroke([(32 + side * 6, 39), (32 + side * 9, 43)], face.shade, 1)
    if not face.has["Young"]:
        for y in (18.2, 20.8):
            pen.stroke(bow(32, y, 8, -1), face.shade, 1)


def draw_eye(pen: Pen, face: Face, side: int) -> None:
    """An eye with its brow, and glasses; side is -1 for the left and 1 for the right."""
    x, y = 32 + side * 7.7, 30
    rx, ry, iris = (4.5, 3.9, 3.3) if face.has["Attractive"] else (3.9, 3, 2.5)
    if face.has["Narrow_Eyes"]:
        ry *= 0.45
    if face.has["Heavy_Makeup"]:
        pen.oval(x + side * 0.5, y - 1.6, 5.6, 4.6, (*EYESHADOW, 170))
    if face.has["Bags_Under_Eyes"]:
        pen.shape([*bow(x, y + 1.5, 4, 5), *reversed(bow(x, y + 1.5, 4, 2))], (*EYEBAG, 140))
    pen.oval(x, y, rx, ry, WHITE)
    pen.oval(x, y, iris, min(iris, ry), face.iris)
    pen.oval(x, y, 0.6 * iris, min(0.6 * iris, ry), INK)
    pen.stroke(bow(x, y - 0.3 * ry, rx, -0.8 * ry), INK, 1)
    if face.has["Attractive"]:  # a sparkle and long lashes
        pen.oval(x + 1.2, y - 0.3 * ry, 1.4, min(1.4, 0.5 * ry), WHITE)
        pen.stroke([(x + side * 3.8, y - 0.6 * ry), (x + side * 6.4, y - 0.6 * ry - 2)], INK, 0.9)
    arch, thickness = -3.4 if face.has["Arched_Eyebrows"] else -0.8, 2.8 if face.has["Bushy_Eyebrows"] else 1.2
    pen.stroke(bow(x, 24.2, 4.2, arch), face.beard, thickness)
    if face.has["Eyeglasses"]:
        frame = blend(face.accent, INK, 0.6)
        pen.ring(x, 30.3, 6.6, 5.8, frame, 1.4)
        pen.stroke([(32 + side * 14, 29.5), (32 + side * 17.5, 29)], frame, 1.2)
        pen.stroke([(32, 29.5), (32 + side * 1.3, 30)], frame, 1.3)


def draw_nose(pen: Pen, face: Face) -> None:
    """The nose."""
    if face.has["Big_Nose"]:
        pen.oval(32, 37, 5, 3.4, face.shadow)
        pen.stroke(bow(32, 38, 4.4, 2.2), face.shade, 1.6)
    if face.has["Pointy_Nose"]:
        pen.shape([(32, 28.5), (35.5, 39), (28.5, 39)], face.shade)
        pen.shape([(32, 28.5), (32, 39), (28.5, 39)], blend(face.skin, WHITE, 0.35))
    elif not face.has["Big_Nose"]:
        pen.stroke(bow(32, 37.5, 2, 1), face.shade, 1.3)


def draw_mouth(pen: Pen, face: Face) -> None:
    """The mouth and the moustache."""
    smile, is_open = face.has["Smiling"], face.has["Mouth_Slightly_Open"]
    half, sag = (7.8, 3.4) if smile else (5.5, 0.5)
    y = 45.6 - sag / 2
    lip = 4.2 if face.has["Big_Lips"] else 1.6
    lips = LIPSTICK if face.has["Wearing_Lipstick"] else blend(face.skin, LIPS, 0.8)
    drop = 3.6 if is_open else 0  # how far the lower lip is from the upper
    top, bottom = bow(32, y, half, sag - lip, 2.5), bow(32, y, half, sag + drop + lip, 2.5)
    pen.shape([*top, *reversed(bottom)], lips)
    if is_open:
        between = bow(32, y, half - 1, sag, 2.5)
        pen.shape([*between, *reversed(bow(32, y, half - 1, sag + drop, 2.5))], MOUTH)
        pen.shape([*between[2:-2], *reversed(bow(32, y, half - 2, sag + 0.5 * drop, 2.5))], WHITE)
    else:
        pen.stroke(bow(32, y, half, sag, 2.5), MOUTH, 0.9)
    if face.has["Mustache"]:
        for side in (-1, 1):
            pen.shape([(32, 40.2), (32 + side * 5, 41), (32 + side * 8, 44), (32, 43.4)], face.beard)


def draw_hair_in_front(pen: Pen, face: Face) -> None:
    """The hair on top of the head, and the fringe."""
    if face.has["Bald"]:
        return
    skull = half_oval(32, 29, 18.6, 24)
    part = [(-16.3, 29), (-15.5, 22), (-12, 16), (-6, 12.5), (3, 13.5), (9, 16), (14, 20.5), (16.3, 29)]
    hairline = [(32 + x, y) for x, y in part] if face.parting > 0 else [(32 - x, y) for x, y in reversed(part)]
    if face.has["Receding_Hairline"]:  # the M: bare temples either side of a peak
        hairline = [(15.7, 29), (16.5, 22), (19, 13), (24, 9.5), (28.5, 11), (32, 16)]
        hairline += [(64 - x, y) for x, y in reversed(hairline[:-1])]
    pen.shape([*skull, *reversed(hairline)], face.hair)
    if face.has["Straight_Hair"]:  # combed: strands from the parting
        for x in (-13.0, -7.0, 0.0, 7.0, 13.0):
            pen.stroke([(32 + 0.45 * x, 7), (32 + x, 14.5 + abs(x) * 0.4)], face.dark_hair, 1)
    if face.has["Wavy_Hair"]:  # curls along the top
        for k, (x, y) in enumerate(skull[3:-3:2]):
            pen.oval(x, y + 1, 3.8, 3.8, face.hair if k % 2 else face.dark_hair)
    if face.has["Bangs"]:
        tufts = [(17, 22), (21, 24), (24, 21.5), (28, 24.5), (32, 21.5), (36, 24.5), (40, 21.5), (43, 24), (47, 22)]
        pen.shape([*half_oval(32, 22, 16, 13), *reversed(tufts)], blend(face.hair, WHITE, 0.12))


def draw_hat(pen: Pen, face: Face) -> None:
    """The hat."""
    if face.has["Wearing_Hat"]:
        pen.shape(half_oval(32, 20, 20.5, 16.5), face.accent)
        pen.oval(32, 4.5, 3.6, 3.2, WHITE)
        pen.stroke(bow(32, 19, 19, -2.5), blend(face.accent, WHITE, 0.45), 4.5)
