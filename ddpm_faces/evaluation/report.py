"""The report as something to read: what its sections share, and the page that is made of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from ddpm_faces.utils.images import encode_figure


def render(figure: Figure) -> Image.Image:
    """A figure as an image."""
    return Image.open(io.BytesIO(encode_figure(figure, dpi=100))).convert("RGB")


def cell(value: Any) -> str:
    """A number in four digits, a dash for what could not be measured."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    """A share in percent, a dash for what could not be measured."""
    return "-" if value is None else f"{value:.1%}"


def table(rows: dict[str, dict[str, Any]], keys: Iterable[str] | None = None) -> list[str]:
    """Markdown lines: a row for each label, a column for each key (by default those of the first row)."""
    keys = list(keys or next(iter(rows.values())))
    lines = ["| | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    return lines + [f"| {label} | " + " | ".join(cell(row.get(key, "")) for key in keys) + " |" for label, row in rows.items()]


def listed(facts: dict[str, Any]) -> str:
    """ "a 1, b 2" of numbers by name."""
    return ", ".join(f"{key} {cell(value)}" for key, value in facts.items())


def heading(title: str, numbers: dict[str, Any]) -> list[str]:
    """A section's title, and how and when it was measured."""
    return [f"## {title}", "", f"`{numbers['command']}`, {numbers['date']}", ""]


def protocol(about: dict[str, Any]) -> str:
    """One line that must stand beside every figure."""
    if about["made elsewhere"]:
        return f"{about['images']} images in {about['model']}; extractor {about['extractor']}; reference {about['reference']}"
    alone = about["guidance alone"]
    other = f" ({alone:g} where one attribute alone is asked)" if alone != about["guidance"] else ""
    return (
        f"{about['images']} images by {about['model']}, {about['sampler']} {about['steps']} steps, guidance "
        f"{about['guidance']:g}{other}, seed {about['seed']}; extractor {about['extractor']}; crop {about['crop']}; reference "
        f"{about['reference']}"
    )


def page(about: dict[str, Any], verdicts: list[str], sections: list[list[str]], left_out: list[str]) -> str:
    """The whole report. The verdict is the first two of the parts' own."""
    lines = [f"# {about['model']}, measured", ""]
    if verdict := " ".join([v for v in verdicts if v][:2]):
        lines += [verdict, ""]
    lines += [f"{protocol(about)}.", "", f"Extractor: {about['note']}. Classifier: {about['classifier']}.", ""]
    lines += [line for section in sections for line in [*section, ""]]
    lines += [f"Left out: {what}." for what in left_out]
    return "\n".join(lines).rstrip() + "\n"
