"""The 40 CelebA attributes and the ten digits, and how a user's words become condition vectors.

An attribute is +1 (has it), -1 (has it not), 0 (unspecified) or anything between; a digit is one-hot. An all-zero vector
says nothing at all: it is the null condition of classifier-free guidance.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import torch

from ddpm_faces.errors import UserError

# In the order of CelebA's list_attr_celeba.txt (Liu et al. 2015, "Deep Learning Face Attributes in the Wild").
CELEBA: tuple[str, ...] = tuple(
    """5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
    Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
    Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
    Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
    Wearing_Necktie Young""".split()
)
DIGITS: tuple[str, ...] = tuple("0123456789")


def find_name(word: str, names: Sequence[str]) -> str:
    """The attribute in `names` that `word` means, whatever its case. Raises UserError with the closest names if none."""
    by_lower = {name.lower(): name for name in names}
    found = by_lower.get(word.lower())
    if found is not None:
        return found
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(by_lower[c] for c in close)}?" if close else f"known: {', '.join(names)}"
    raise UserError(f"unknown attribute '{word}'; {hint}")


def check_value(value: float, name: str) -> float:
    """`value` if it lies in [-1, 1]; otherwise (NaN too) a UserError that names the attribute."""
    if not (math.isfinite(value) and -1 <= value <= 1):
        raise UserError(f"{name}={value:g} is outside [-1, 1]: use 1 (has it), -1 (has it not), 0 (unspecified)")
    return float(value)


def parse_spec(spec: str, names: Sequence[str] = CELEBA) -> dict[str, float]:
    """Read `"Smiling,-Male,Young=0.5"` into `{"Smiling": 1.0, "Male": -1.0, "Young": 0.5}`.

    A bare name is +1, a leading minus -1, `name=value` any value in [-1, 1]; an empty string says nothing. Raises
    UserError on an unknown name, a value out of range, or one attribute given two different values.
    """
    values: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in spec.split(","))):
        word, equals, number = (s.strip() for s in part.partition("="))
        sign = 1.0
        if word[:1] in "+-":
            sign, word = (-1.0 if word[0] == "-" else 1.0), word[1:].strip()
        name = find_name(word, names)
        try:
            value = sign * float(number) if equals else sign
        except ValueError:
            raise UserError(f"'{part}' needs a number after '=', as in {name}=0.5") from None
        if values.setdefault(name, check_value(value, name)) != value:
            raise UserError(f"contradictory: {name} is given as both {values[name]:g} and {value:g}; keep one")
    return values


def to_vector(values: Mapping[str, float], names: Sequence[str] = CELEBA) -> torch.Tensor:
    """Named values as one condition vector, shape (len(names),), float32; what is not named is 0. Raises UserError."""
    vector = torch.zeros(len(names))
    for word, value in values.items():
        name = find_name(word, names)
        vector[list(names).index(name)] = check_value(value, name)
    return vector


def to_spec(vector: Iterable[float], names: Sequence[str] = CELEBA) -> str:
    """The spec string of a condition vector, the inverse of `parse_spec`; zeros are left out."""
    parts = []
    for name, value in zip(names, (float(v) for v in vector), strict=True):
        if value == 1:
            parts.append(name)
        elif value == -1:
            parts.append(f"-{name}")
        elif value != 0:
            parts.append(f"{name}={value:.3g}")
    return ",".join(parts)


def parse_digits(spec: str) -> list[int]:
    """Read `"0-9"`, `"3,8"` or `"0-4,7"` into a list of digits, in the order given. Raises UserError."""
    digits: list[int] = []
    for part in spec.split(","):
        match = re.fullmatch(r"\s*([0-9])\s*(?:-\s*([0-9])\s*)?", part)
        if match is None:
            raise UserError(f"'{part.strip()}' is not a digit or a range of digits; write --digits 0-9 or 3,5,8")
        first, last = int(match[1]), int(match[2] or match[1])
        digits += range(first, last + 1) if first <= last else range(first, last - 1, -1)
    return digits


def one_hot(digits: Sequence[int]) -> torch.Tensor:
    """Condition vectors of digits: (len(digits), 10), float32."""
    return torch.nn.functional.one_hot(torch.as_tensor(digits, dtype=torch.long), len(DIGITS)).float()
