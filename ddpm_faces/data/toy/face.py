"""What a toy face looks like, from its attributes and a seed: its colours, and where it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data.toy.pen import Colour, blend

SKINS = ((255, 219, 190), (244, 194, 155), (226, 165, 118), (188, 122, 80), (140, 86, 58))
BACKGROUNDS = ((126, 200, 227), (98, 134, 200), (158, 216, 160), (242, 152, 182), (186, 170, 232))
CLOTHES = ((228, 87, 86), (58, 124, 165), (64, 145, 108), (242, 158, 56), (118, 90, 170))
IRISES = ((92, 58, 34), (46, 110, 190), (56, 140, 88), (60, 60, 72))
NAMED_HAIR = {
    "Black_Hair": (28, 27, 48), "Blond_Hair": (250, 214, 92), "Brown_Hair": (124, 72, 34), "Gray_Hair": (184, 186, 192),
}  # fmt: skip
UNNAMED_HAIR = ((214, 92, 40), (226, 88, 130), (40, 150, 160), (130, 84, 176))  # ginger, or dyed
INK, SHADE, PORCELAIN = (44, 30, 40), (84, 24, 28), (255, 246, 244)


class Face:
    """One face before it is drawn: its attributes, and all that an image shows besides.

    The rest comes from the seed alone. Every random number is drawn for every face, in the same order, so that an attribute
    cannot change what is not its own.
    """

    def __init__(self, attributes: np.ndarray, seed: int):
        numbers = iter(np.random.default_rng(seed).random(11).tolist())

        def pick(options: Sequence[Colour]) -> Colour:
            return options[int(next(numbers) * len(options))]

        self.has = {name: bool(value > 0) for name, value in zip(CELEBA.names, attributes, strict=True)}
        self.shift = 2 * next(numbers) - 1, 2 * next(numbers) - 1  # of the whole face, in units
        self.turn = 2 * next(numbers) - 1  # how far the features slide sideways: a slight turn of the head
        self.parting = 1 if next(numbers) < 0.5 else -1  # on which side
        self.hair_length = next(numbers)  # 0 to 1
        self.background, self.iris, self.shirt = pick(BACKGROUNDS), pick(IRISES), pick(CLOTHES)
        self.accent = pick([c for c in CLOTHES if c != self.shirt])  # of hat, tie and glasses
        dye, tone = pick(UNNAMED_HAIR), next(numbers) * (len(SKINS) - 1)
        self.hair = next((colour for name, colour in NAMED_HAIR.items() if self.has[name]), dye)
        self.dark_hair = blend(self.hair, INK, 0.22)
        self.beard = blend(self.hair, INK, 0.45)  # and brows
        self.skin = blend(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1)
        if self.has["Pale_Skin"]:
            self.skin = blend(self.skin, PORCELAIN, 0.8)
        self.shade = blend(self.skin, SHADE, 0.5)  # nose, wrinkles
        self.shadow = blend(self.skin, SHADE, 0.18)  # neck, ears
