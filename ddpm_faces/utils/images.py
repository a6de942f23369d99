"""Tensors to images and back: labelled grids and animations, and files that are written whole or not at all."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddpm_faces.utils import files
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PAPER = (30, 30, 30), (255, 255, 255)
GAP, LINE = 2, 17  # pixels between images; height of a line of the title
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".pdf": "PDF"}


def to_uint8(images: Tensor) -> npt.NDArray[np.uint8]:
    """(N, C, H, W) in [-1, 1] -> (N, H, W, C) uint8, rounded to the nearest value."""
    pixels = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) uint8, which may be a memory map -> (N, C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def grid(
    images: Tensor, columns: int, *, top: Sequence[str] = (), left: Sequence[str] = (), title: str = "", zoom: int | None = None
) -> Image.Image:
    """Lay out (N, C, H, W) images, grey or RGB in [-1, 1], row by row.

    top, left: labels of the columns and rows. title: a text above the grid, wrapped to its width. zoom: how many times as large
    the images become (by default about 128 pixels high).
    """
    zoom = zoom or max(1, 128 // images.shape[2])
    tiles = to_uint8(images.expand(-1, 3, -1, -1)).repeat(zoom, 1).repeat(zoom, 2)
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    margin = max((_extent(text) for text in left), default=-8) + 8
    inner = columns * (width + GAP) + GAP
    lines = _wrap(title, max(margin + inner, 200) - 8)
    heading = LINE * len(lines) + 6 * bool(lines)
    x0, y0 = margin + GAP, heading + 18 * bool(top) + GAP  # the corner of the first image
    size = (max(margin + inner, *(_extent(line) + 8 for line in lines), 1), y0 + rows * (height + GAP))
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((4, 3 + LINE * number), line, INK, _font())
    for column, text in enumerate(top):
        draw.text((x0 + column * (width + GAP) + width / 2, heading + 9), text, INK, _font(), anchor="mm")
    for row, text in enumerate(left):
        draw.text((margin - 6, y0 - GAP + row * (height + GAP) + height / 2), text, INK, _font(), anchor="rm")
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        canvas.paste(Image.fromarray(tile), (x0 + column * (width + GAP), y0 + row * (height + GAP)))
    return canvas


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:  # Pillow's own, which draws boxes for letters that it lacks
    return ImageFont.load_default(size=13)


def _extent(text: str) -> int:
    """The width of a text in pixels."""
    return round(_font().getlength(text))


def _wrap(text: str, width: int) -> list[str]:
    """Break a text at spaces into lines of at most `width` pixels. A longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and _extent(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def check_path(path: str | Path) -> Path:
    """The path, with `~` expanded, if an image can be written there. Raises a UserError: commands ask before they compute."""
    path = files.expand(path)
    if path.suffix.lower() not in FORMATS or os.path.isdir(path):
        raise UserError(f"'{path}' does not name an image: end it in {', '.join(FORMATS)}")
    if len(os.fsencode(path.name)) > 255 - len(f"..12345678.png{files.PART}"):
        raise UserError(f"the name '{path.name}' is too long for a file")
    files.check_folder(path.parent)
    return path


def write_image(image: Image.Image, path: str | Path) -> Path:
    """Write an image in the format of the path's ending, and return the path. Raises a UserError if it cannot be written.

    Formats have largest sizes (WebP 16383 pixels a side, JPEG and PDF 65500). A larger image becomes a PNG beside the path.
    """
    path = check_path(path)
    try:
        content = _encode(image, FORMATS[path.suffix.lower()])
    except (OSError, ValueError, OverflowError) as error:
        content, refused, path = _encode(image, "PNG"), path.name, path.with_name(f"{path.name}.png")
        tell(f"ddpm_faces: {refused} cannot hold {image.width} x {image.height} pixels ({error}): written as {path}")
    return files.write(path, content)


def check_images(path: str | Path) -> Path:
    """The path, if many images can be written there: a file for a grid, an .npz, or a folder (a name without an ending).

    Raises a UserError as `check_path` does.
    """
    path = files.expand(path)
    if path.suffix.lower() in FORMATS:
        return check_path(path)
    files.check_folder(path if not path.suffix else path.parent)
    if path.suffix and (path.suffix.lower() != ".npz" or path.is_dir()):
        raise UserError(f"'{path}' names no image, .npz or folder: end it in {', '.join(FORMATS)}, .npz, or nothing")
    return path


def write_gif(frames: Sequence[Image.Image], path: str | Path, milliseconds: int = 120) -> Path:
    """Write at least one frame, all of one size, as an endless animation there and back again. Raises UserError."""
    first, *rest = [*frames, *reversed(frames[1:-1])]
    try:
        content = _encode(first, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, disposal=2)
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"an animation cannot hold {first.width} x {first.height} pixels ({error})") from None
    return files.write(Path(path), content)


def encode_figure(figure: Figure, dpi: int = 110) -> bytes:
    """A matplotlib figure as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
