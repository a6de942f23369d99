"""What a part of the evaluation is. A new part is a file with these five names, and a line in `evaluation.PARTS`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from PIL import Image

from ddpm_faces.evaluation import PARTS
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite
from ddpm_faces.utils.errors import UserError, hint

Numbers = dict[str, Any]


class Part(NamedTuple):
    """What a part found: numbers for report.json, images by file name, and what could not be measured, with the reason."""

    numbers: Numbers
    images: dict[str, Image.Image]
    left_out: tuple[str, ...] = ()


class PartModule(Protocol):
    """The names that a part's module defines. `numbers` are as report.json has them: None stands for NaN."""

    NEEDS_CONDITIONS: bool  # an unconditional model does without this part

    def requests(self, suite: Suite) -> Iterable[Request]:
        """What `measure` will have sampled."""

    def measure(self, suite: Suite) -> Part:
        """Sample, measure and draw."""

    def verdict(self, numbers: Numbers) -> str:
        """The result in one sentence, or nothing."""

    def report(self, numbers: Numbers, about: Numbers) -> list[str]:
        """The lines of the section, in Markdown. about: how the whole evaluation was made."""


def load_part(name: str) -> PartModule:
    """The module of a part in PARTS. Raises UserError, with the closest name, if there is none."""
    if name not in PARTS:
        raise UserError(f"no part '{name}': choose {', '.join(PARTS)}{hint(name, PARTS)}")
    return cast(PartModule, import_module(PARTS[name]))
