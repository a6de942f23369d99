"""Drawing with Pillow on a canvas of 64 x 64 units, x to the right and y down, whatever its size in pixels."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

Colour = tuple[int, ...]  # red, green, blue and perhaps alpha, 0 to 255
Points = list[tuple[float, float]]


class Pen:
    """Pillow's ImageDraw in units, everything moved by (dx, dy); lines have round ends, and colours may carry an alpha."""

    def __init__(self, image: Image.Image, dx: float, dy: float):
        self.ink, self.scale, self.dx, self.dy = ImageDraw.Draw(image, "RGBA"), image.width / 64, dx, dy

    def _pixels(self, points: Points) -> Points:
        return [((x + self.dx) * self.scale, (y + self.dy) * self.scale) for x, y in points]

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """A filled ellipse around (x, y)."""
        self.ink.ellipse(self._pixels([(x - rx, y - ry), (x + rx, y + ry)]), fill=colour)

    def ring(self, x: float, y: float, rx: float, ry: float, colour: Colour, width: float) -> None:
        """The outline of an ellipse around (x, y)."""
        box = self._pixels([(x - rx, y - ry), (x + rx, y + ry)])
        self.ink.ellipse(box, outline=colour, width=round(width * self.scale))

    def shape(self, points: Points, colour: Colour) -> None:
        """A filled polygon."""
        self.ink.polygon(self._pixels(points), fill=colour)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        """A line with round ends."""
        self.ink.line(self._pixels(points), fill=colour, width=round(width * self.scale), joint="curve")
        for x, y in (points[0], points[-1]):
            self.oval(x, y, width / 2, width / 2, colour)


def bow(x: float, y: float, half: float, sag: float, power: float = 2) -> Points:
    """A curve from (x - half, y) to (x + half, y) whose middle hangs `sag` lower; the rounder the higher `power`."""
    return [(x + half * s / 6, y + sag * (1 - abs(s / 6) ** power)) for s in range(-6, 7)]


def half_oval(x: float, y: float, rx: float, ry: float) -> Points:
    """The upper half of an ellipse, from its left end over the top to its right end."""
    return [(x - rx * math.cos(t), y - ry * math.sin(t)) for t in (math.pi * k / 20 for k in range(21))]


def blend(a: Colour, b: Colour, amount: float) -> Colour:
    """The colour `amount` (0 to 1) of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * amount) for x, y in zip(a, b, strict=True))
