"""Grids, and image files in every format: what was computed is never lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import FORMATS, check_path, grid, to_tensor, to_uint8, write_gif, write_image


def test_pixels_round_trip():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = to_tensor(pixels)
    assert images.shape == (1, 1, 16, 16) and images.min() == -1 and images.max() == 1
    assert np.array_equal(to_uint8(images), pixels)
    assert to_uint8(torch.full((1, 3, 2, 2), 7.0)).max() == 255


def test_a_grid_holds_each_image_where_its_labels_are():
    images = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 1, 16, 16)
    plain = grid(images, 3, zoom=2)
    assert plain.size == (2 + 3 * (32 + 2), 2 + 2 * (32 + 2))
    corners = [plain.getpixel((2 + 34 * column, 2 + 34 * row))[0] for row in range(2) for column in range(3)]
    assert corners == to_uint8(images)[:, 0, 0, 0].tolist()
    labelled = grid(images, 3, top=["a", "b", "c"], left=["one", "two"], title="a title " * 40, zoom=2)
    assert labelled.width > plain.width and labelled.height > plain.height + 18
    assert grid(torch.zeros(1, 3, 16, 16), 1).size == (132, 132), "about 128 pixels high"


@pytest.mark.parametrize("text", ["naïve", "漢字", "🙂", "\u200f\u202e", "a\nb", "\x00", "\ud800", "x" * 500, " ", ""])
def test_any_text_may_be_a_label(text):
    assert grid(torch.zeros(2, 3, 8, 8), 2, top=[text, text], left=[text], title=text)


@pytest.mark.parametrize("suffix", [*FORMATS, ".PNG"])
def test_formats(suffix, tmp_path):
    path = write_image(grid(torch.zeros(1, 1, 8, 8), 1), tmp_path / "new" / f"x{suffix}")
    assert path == tmp_path / "new" / f"x{suffix}" and path.stat().st_size > 100
    if suffix == ".pdf":
        assert path.read_bytes().startswith(b"%PDF")
    else:
        assert Image.open(path).size == (132, 132)


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16384), (".jpg", 65536), (".pdf", 65536), (".gif", 65536)])
def test_an_image_too_large_for_its_format_becomes_a_png_beside_it(suffix, side, tmp_path, capsys):
    (tmp_path / "x.png").write_bytes(b"something else")
    path = write_image(Image.new("RGB", (side, 1)), tmp_path / f"x{suffix}")
    assert path == tmp_path / f"x{suffix}.png" and Image.open(path).size == (side, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["x.png", path.name])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ddpm_faces: x{suffix} cannot hold {side} x 1 pixels") and line.endswith(f"written as {path}")


def test_an_image_that_its_format_cannot_hold_for_another_reason_becomes_a_png(tmp_path):
    assert write_image(Image.new("RGBA", (4, 4)), tmp_path / "x.jpg") == tmp_path / "x.jpg.png"


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    image = Image.new("RGB", (4, 4))
    assert write_image(image, "~/x.png") == tmp_path / "x.png" == check_path(Path("~/x.png"))
    assert write_gif([image], "~/x.gif") == tmp_path / "x.gif"


@pytest.mark.parametrize("name", ["x.txt", "x", "x.png/", "folder.png"])
def test_what_names_no_image_is_refused(name, tmp_path):
    (tmp_path / "folder.png").mkdir()
    if name == "x.png/":
        (tmp_path / "x.png").mkdir()
    with pytest.raises(UserError, match=r"does not name an image: end it in .png, "):
        write_image(Image.new("RGB", (4, 4)), f"{tmp_path}/{name}")


def test_a_long_name_is_refused_before_anything_is_drawn(tmp_path):
    longest = "x" * (255 - len("..12345678.png.part") - len(".webp")) + ".webp"
    with pytest.raises(UserError, match="too long"):
        check_path(tmp_path / f"x{longest}")
    assert write_image(Image.new("RGB", (16384, 1)), check_path(tmp_path / longest)).exists()


def test_an_animation_goes_there_and_back(tmp_path):
    frames = [Image.new("RGB", (8, 8), (60 * i, 0, 0)) for i in range(4)]
    assert Image.open(write_gif(frames, tmp_path / "x.gif")).n_frames == 6
    assert Image.open(write_gif(frames[:1], tmp_path / "one.gif")).n_frames == 1
    with pytest.raises(UserError, match="an animation cannot hold 70000 x 1 pixels"):
        write_gif([Image.new("RGB", (70000, 1))], tmp_path / "large.gif")
