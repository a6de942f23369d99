"""A prior over CelebA's attributes: vectors whose frequencies and dependencies are close to CelebA's.

Attributes are drawn one after the other, causes before effects: sex, age, make-up, lipstick, ... The prior labels the toy
faces, and fills in what a user leaves open in a strip. It is a set of rules of thumb, not CelebA itself.
"""

from __future__ import annotations

import numpy as np

from ddpm_faces.conditions.celeba import HAIR_COLOURS, HAIR_TEXTURES, NAMES

# The percentage that has it, among young women, older women, young men and older men.
PERCENT = """
    Bald              0   0   1.2 12      Heavy_Makeup     72  33   0.2 0.2     Bags_Under_Eyes    9  22  27  45
    Wearing_Hat       2.5 2   9   6       Attractive       55  25  37  10       Big_Lips          31  16  18  15
    Bangs            21  17   9   5.5     Wearing_Earrings 31  31   2   2       Big_Nose           9  22  35  52
    Receding_Hairline 3.4 8  10  23       Wearing_Necklace 19  23   1.5 1.5     Pointy_Nose       37  28  17  15
    Black_Hair       23  10  36  15       Wearing_Necktie   0   0  11  29       Bushy_Eyebrows     8   5  27  18
    Blond_Hair       24  21   3   2       Smiling          54  54  40  40       Chubby             1.5 8   6  19
    Brown_Hair       26  22  16  11       Blurry            5   5   5   5       Oval_Face         36  22  22  18
    Gray_Hair         0.1 8   1  24       Pale_Skin         5.5 3   3   3       Eyeglasses         2   8   7  20
    Straight_Hair    19  16  27  21       Wavy_Hair        46  36  16  11       Beard              0   0  42  35
""".split()
RATES = {PERCENT[i]: np.array(PERCENT[i + 1 : i + 5], float) / 100 for i in range(0, len(PERCENT), 5)}


def sample_attributes(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` plausible vectors: (n, 40) int8 of -1/+1 in the order of CELEBA, with frequencies close to CelebA's."""

    def toss(p: float | np.ndarray) -> np.ndarray:
        return rng.random(n) < p

    man = toss(0.417)
    young = toss(np.where(man, 0.64, 0.87))
    group = 2 * man + ~young
    has = {"Male": man, "Young": young} | {name: toss(rate[group]) for name, rate in RATES.items()}

    for options in (HAIR_COLOURS, HAIR_TEXTURES):  # one of them at most
        u = rng.random(n)  # [0, 1) is cut into one piece per option, and a rest for none
        for name in options:
            rate = RATES[name][group]
            has[name] = (u >= 0) & (u < rate)
            u -= rate
    for name in ("Bangs", "Receding_Hairline", *HAIR_COLOURS, *HAIR_TEXTURES):
        has[name] &= ~has["Bald"]

    beard = has["Beard"]
    has["No_Beard"] = ~beard
    has["Goatee"] = beard & toss(0.38)
    has["Mustache"] = beard & toss(np.where(has["Goatee"], 0.45, 0.135))
    has["Sideburns"] = beard & toss(0.345)
    other_kind = has["Goatee"] | has["Mustache"] | has["Sideburns"]
    has["5_o_Clock_Shadow"] = beard & (toss(0.487) | ~other_kind)  # every beard is of some kind

    makeup, smiling = has["Heavy_Makeup"], has["Smiling"]
    has["Attractive"] |= makeup & young & toss(0.6)
    has["Wearing_Lipstick"] = toss(np.where(makeup, 0.97, np.where(man, 0.005, 0.48)))
    has["Rosy_Cheeks"] = toss(np.where(makeup, 0.15, np.where(man, 0.002, 0.03)))
    has["Arched_Eyebrows"] = toss(np.where(makeup, 0.48, np.where(man, 0.05, 0.30)))
    has["Mouth_Slightly_Open"] = toss(np.where(smiling, 0.76, 0.22))
    has["High_Cheekbones"] = toss(np.where(smiling, 0.78, 0.15))
    has["Narrow_Eyes"] = toss(np.where(smiling, 0.14, 0.09))
    has["Double_Chin"] = toss(np.where(has["Chubby"], 0.45, np.where(young, 0.01, 0.07)))
    return np.where(np.stack([has[name] for name in NAMES], axis=1), 1, -1).astype(np.int8)
