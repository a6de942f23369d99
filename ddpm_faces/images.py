"""Tensors <-> pictures: grids with labels on their columns and rows, animations, and saving them whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddpm_faces import files
from ddpm_faces.errors import UserError

INK, PAPER = (30, 30, 30), (255, 255, 255)


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> (N, H, W, C) uint8, the nearest shade."""
    pixels = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8, which may be a store's map -> (N, C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def grid(
    images: Tensor, columns: int, *, top: Sequence[str] = (), left: Sequence[str] = (), title: str = "", zoom: int | None = None
) -> Image.Image:
    """Lay out (N, C, H, W) in [-1, 1] row by row, each picture `zoom` times as large (by default about 128 pixels high).

    top: labels of the columns. left: labels of the rows. title: one line above all, broken to the width of the grid.
    """
    zoom = zoom or max(1, 128 // images.shape[2])
    tiles = to_uint8(images.expand(-1, 3, -1, -1)).repeat(zoom, 1).repeat(zoom, 2)  # grey pictures become RGB
    count, height, width, _ = tiles.shape
    rows, gap = -(-count // columns), 2
    font = ImageFont.load_default(size=13)

    def extent(text: str) -> int:
        return round(font.getlength(text))

    margin_left = max((extent(text) for text in left), default=-8) + 8
    inner = columns * (width + gap) + gap
    lines = _wrap(title, max(inner + margin_left, 200), extent)
    heading, label_height = 17 * len(lines) + 6 * bool(lines), 18 * bool(top)
    head = heading + label_height
    total_width = max(margin_left + inner, *(extent(line) + 8 for line in lines), 1) if lines else margin_left + inner
    canvas = Image.new("RGB", (total_width, head + rows * (height + gap) + gap), PAPER)
    ink = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        ink.text((4, 3 + 17 * number), line, INK, font)
    for column, text in enumerate(top):
        ink.text((margin_left + gap + column * (width + gap) + width / 2, heading + 9), text, INK, font, anchor="mm")
    for row, text in enumerate(left):
        ink.text((margin_left - 6, head + row * (height + gap) + height / 2), text, INK, font, anchor="rm")
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        where = (margin_left + gap + column * (width + gap), head + gap + row * (height + gap))
        canvas.paste(Image.fromarray(tile), where)
    return canvas


def _wrap(text: str, width: int, extent) -> list[str]:
    """Break at spaces so that each line's extent is at most `width` (a longer word stays whole)."""
    lines: list[str] = []
    for word in text.split():
        if lines and extent(f"{lines[-1]} {word}") <= width - 8:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def check_path(path: Path) -> Path:
    """`path`, if a picture can be written there; otherwise a UserError, before any work is done for it."""
    if path.suffix.lower() not in FORMATS or os.path.isdir(path):
        raise UserError(f"'{path}' does not name a picture: end it in {', '.join(FORMATS)}")
    if len(os.fsencode(path.name)) > 255 - len(f"..12345678{files.PART}"):
        raise UserError(f"the name '{path.name}' is too long for a file")
    files.check_folder(path.parent)
    return path


def save(image: Image.Image, path: str | Path) -> Path:
    """Write a picture in the format of its name; UserError if it cannot be written or the format is unknown."""
    path = check_path(Path(path))
    buffer = io.BytesIO()
    try:
        image.save(buffer, FORMATS[path.suffix.lower()])
    except (OSError, ValueError) as error:  # too large for the format
        raise UserError(f"{path}: a picture of {image.width}x{image.height} does not fit ({error}); use .png") from None
    return files.write(path, buffer.getvalue())


def save_gif(frames: Sequence[Image.Image], path: str | Path, milliseconds: int = 120) -> Path:
    """Write an endless animation, there and back again, of at least one frame, all of one size. Raises UserError."""
    there_and_back = [*frames, *reversed(frames[1:-1])]
    buffer = io.BytesIO()
    there_and_back[0].save(
        buffer, "GIF", save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0, disposal=2
    )
    return files.write(Path(path), buffer.getvalue())
