"""Labels: what the entries of a condition vector mean, and how a user's words become one.

An attribute is +1 (present), -1 (absent), 0 (not said) or any value between; a class is one-hot. The zero vector says nothing:
it is the null condition of classifier-free guidance.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ddpm_faces.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def check_value(value: float, name: str) -> float:
    """`value`, if it lies in [-1, 1] up to a rounding error; otherwise (NaN too) a UserError that names the attribute."""
    if not (math.isfinite(value) and abs(value) <= 1 + 1e-6):
        raise UserError(f"{name}={value:g} is outside [-1, 1]: use 1 (present), -1 (absent), 0 (not said)")
    return max(-1.0, min(1.0, float(value)))


@dataclass(frozen=True)
class Labels:
    """names: of the entries of a condition vector, in order; none for an unconditional model.

    one_hot: exactly one name holds at a time (classes); otherwise each is an attribute of its own in [-1, 1].
    exclusive: pairs that hardly ever occur together, each side a name or, with a minus, its absence.
    """

    names: tuple[str, ...] = ()
    one_hot: bool = False
    exclusive: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def kind(self) -> str:
        """ "classes", "attributes", or "unconditional"."""
        return "unconditional" if not self.names else "classes" if self.one_hot else "attributes"

    def index(self, name: str) -> int:
        """The place of an exact name. ValueError if there is none."""
        return self.names.index(name)

    def find(self, word: str) -> str:
        """The name that `word` means, in any case, with spaces or dashes for underscores.

        Raises UserError, with the closest names, if there is none.
        """
        plain = {_plain(name): name for name in self.names}
        found = plain.get(_plain(word))
        if found is not None:
            return found
        close = difflib.get_close_matches(_plain(word), list(plain), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(plain[c] for c in close)}?" if close else f"known: {', '.join(self.names)}"
        raise UserError(f"unknown {'class' if self.one_hot else 'attribute'} '{word}'; {hint}")

    def parse(self, spec: str) -> dict[str, float]:
        """Read "Smiling,-Male,Young=0.5" into {"Smiling": 1.0, "Male": -1.0, "Young": 0.5}.

        A bare name is +1, a leading minus -1, name=value any value in [-1, 1]; an empty string says nothing. Raises UserError
        on an unknown name, a value out of range, or one attribute given two different values.
        """
        values: dict[str, float] = {}
        for part in filter(None, (p.strip() for p in spec.split(","))):
            word, equals, number = (s.strip() for s in part.partition("="))
            sign = 1.0
            if word[:1] in "+-":
                sign, word = (-1.0 if word[0] == "-" else 1.0), word[1:].strip()
            name = self._find_in_spec(word, part)
            try:
                value = sign * float(number) if equals else sign
            except ValueError:
                raise UserError(f"'{part}' needs a number after '=', as in {name}=0.5") from None
            if values.setdefault(name, check_value(value, name)) != value:
                raise UserError(f"contradictory: {name} is given as both {values[name]:g} and {value:g}; keep one")
        return values

    def _find_in_spec(self, word: str, part: str) -> str:
        try:
            return self.find(word)
        except UserError:
            if {_plain(w.lstrip("+-")) for w in part.split()} <= {_plain(name) for name in self.names}:
                raise UserError(f"'{part}' names several attributes: put commas between them") from None
            raise

    def parse_classes(self, spec: str) -> list[int]:
        """Read "0-9", "3,8" or "cat,dog" into indices of names, in the order given; a range may go downwards. UserError."""
        indices: list[int] = []
        for part in (p.strip() for p in spec.split(",")):
            ends = [part] if _plain(part) in map(_plain, self.names) else re.split(r"\s*-\s*", part)
            try:
                if len(ends) > 2:
                    raise UserError("more than two ends")
                first, last = (self.index(self.find(word)) for word in (ends[0], ends[-1]))
            except UserError:
                example = f"{self.names[0]}-{self.names[-1]} or {','.join(self.names[1:3])}"
                raise UserError(f"'{part}' is not a class or a range of classes; write {example}") from None
            indices += range(first, last + 1) if first <= last else range(first, last - 1, -1)
        return indices

    def vector(self, values: Mapping[str, float]) -> Tensor:
        """Named values as a condition vector (K,), float32; True is +1, False -1, and what is not named 0. Raises UserError."""
        import torch

        vector = torch.zeros(len(self))
        for word, value in values.items():
            if not isinstance(word, str) or not isinstance(value, int | float | np.number | np.bool_):
                raise UserError(f"{word!r}: {value!r:.40} is not a name and a number, as in {{'{self.names[-1]}': 1.0}}")
            name = self.find(word)
            vector[self.index(name)] = (
                (1.0 if value else -1.0) if isinstance(value, bool | np.bool_) else check_value(value, name)
            )
        return vector

    def one_hot_vectors(self, indices: Sequence[int]) -> Tensor:
        """Condition vectors (N, K) of classes, float32."""
        import torch

        return torch.nn.functional.one_hot(torch.as_tensor(indices, dtype=torch.long), len(self)).float()

    def describe(self, vector: Iterable[float]) -> str:
        """The spec of a condition vector, the inverse of `parse`; zeros are left out."""
        named = zip(self.names, (float(v) for v in vector), strict=True)
        written = {1.0: "{}", -1.0: "-{}"}
        return ",".join(written.get(value, "{}={:.3g}").format(name, value) for name, value in named if value)

    def set_attribute(self, values: np.ndarray, name: str, value: float, fixed: frozenset[str] = frozenset()) -> np.ndarray:
        """Conditions (K,) in which `name` becomes `value`, in [-1, 1], and what excludes it gives way as far as it must.

        Black hair fades as blond hair comes. Names in `fixed` stay as they are.
        """
        values = np.array(values, dtype=float)
        values[self.index(name)] = value
        for pair in self.exclusive:
            for mine, other in (pair, pair[::-1]):
                excluded = other.removeprefix("-")
                if mine.removeprefix("-") == name and excluded not in fixed:
                    strength = -value if mine.startswith("-") else value
                    sign = -1 if other.startswith("-") else 1
                    if sign * values[self.index(excluded)] > -strength:  # which may exclude others in turn
                        values = self.set_attribute(values, excluded, -sign * strength, fixed | {name})
        return values


def _plain(word: str) -> str:
    """A name as people type it: "Black Hair" is Black_Hair."""
    return re.sub(r"[\s_-]+", "_", word.strip().lower())


NO_LABELS = Labels()
