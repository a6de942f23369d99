"""Photos: opened as they were meant, aligned to CelebA's frame, and put back so that only the change is new."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_faces.data import alignment, faces, photo
from ddpm_faces.data.celeba import load_face
from ddpm_faces.utils.errors import UserError


def picture(width: int = 60, height: int = 40, seed: int = 0) -> np.ndarray:
    """A smooth colourful picture: noise that was enlarged."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def test_a_photo_is_opened_upright_in_rgb_and_its_alpha_kept(tmp_path):
    pixels = picture()
    turned, exif = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to the right"
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(photo.open_photo(tmp_path / "turned.png").pixels, pixels)
    alpha = np.tile(np.arange(60, dtype=np.uint8), (40, 1))
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "clear.png")
    clear = photo.open_photo(tmp_path / "clear.png")
    assert np.array_equal(clear.pixels, pixels) and clear.alpha is not None and np.array_equal(clear.alpha, alpha)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(photo.open_photo(tmp_path / "grey.png").pixels, pixels[..., :1].repeat(3, axis=2))
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256).save(tmp_path / "deep.png")
    assert np.array_equal(photo.open_photo(tmp_path / "deep.png").pixels[..., 0], pixels[..., 0])


def test_what_is_no_photo_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    content = io.BytesIO()
    Image.fromarray(picture()).save(content, "PNG")
    (tmp_path / "half.png").write_bytes(content.getvalue()[:300])
    for name in ("text.jpg", "half.png", "none.jpg"):
        with pytest.raises(UserError, match=name):
            photo.open_photo(tmp_path / name)
    with pytest.raises(UserError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
        photo.encode_photo(photo.Photo(picture(), None, "PNG"), Path("x.tiff"))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_a_written_photo_has_its_pixels_its_alpha_and_a_note(tmp_path, suffix):
    pixels, alpha = picture(), np.full((40, 60), 128, np.uint8)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(photo.encode_photo(photo.Photo(pixels, alpha, "PNG"), path, "edited with ddpm_faces: Smiling"))
    with Image.open(path) as image:
        assert image.getexif()[photo.DESCRIPTION] == "edited with ddpm_faces: Smiling"
    back = photo.open_photo(path)
    assert np.abs(back.pixels.astype(int) - pixels).max() <= (0 if suffix != ".jpg" else 12)
    assert (back.alpha is None) == (suffix == ".jpg")
    path.write_bytes(photo.encode_photo(photo.Photo(pixels, None, "PNG"), path))
    with Image.open(path) as image:
        assert not dict(image.getexif()), "--no-note leaves no trace"


def test_a_similarity_is_found_from_its_points():
    true = alignment.Similarity(0.4 + 0.1j, -20 + 35j)
    inverse = true.inverse()
    points = alignment.FIVE_POINTS * inverse.factor + inverse.shift
    found = alignment.fit(points, alignment.FIVE_POINTS)
    assert found.factor == pytest.approx(true.factor) and found.shift == pytest.approx(true.shift)
    assert found.scale == pytest.approx(1 / abs(0.4 + 0.1j))
    ends = alignment.EYES * inverse.factor + inverse.shift
    swapped = (ends[1].real, ends[1].imag, ends[0].real, ends[0].imag)
    assert faces.face_at(swapped).similarity.factor == pytest.approx(true.factor), "the eyes in either order"
    with pytest.raises(UserError, match="one point"):
        faces.face_at((5, 5, 5, 5))


def test_a_cut_of_an_aligned_image_is_the_crop_of_training(tmp_path):
    image = picture(178, 218)
    Image.fromarray(image).save(tmp_path / "face.png")
    trained = load_face(tmp_path / "face.png", "center140", 64).astype(int)
    cut = alignment.cut(image, alignment.Similarity(1 + 0j, 0j), "center140", 64).astype(int)
    assert np.abs(cut - trained).mean() < 1 and np.abs(cut - trained).max() <= 6


def test_a_turned_enlarged_shifted_photo_gives_the_same_cut():
    image = Image.fromarray(picture(178, 218))
    straight = alignment.cut(np.asarray(image), alignment.Similarity(1 + 0j, 0j), "center140", 64)
    place = alignment.Similarity(complex(0.5 * np.exp(0.3j)), -60 - 80j)  # from a larger, turned photo to the frame
    photo_of_it = image.transform((700, 700), Image.Transform.AFFINE, place.affine(), Image.Resampling.BICUBIC)
    turned = alignment.cut(np.asarray(photo_of_it), place, "center140", 64)
    inner = slice(4, -4)
    assert np.abs(turned.astype(int) - straight)[inner, inner].mean() < 1.5


def test_a_change_comes_back_where_it_was_cut_and_nothing_else_moves():
    pixels = picture(300, 260)
    place = alignment.Similarity(complex(0.8 * np.exp(-0.2j)), 5 + 12j)
    assert np.array_equal(alignment.put_back(pixels, place, "center140", np.zeros((64, 64, 3))), pixels)
    change = np.zeros((64, 64, 3))
    change[24:40, 24:40] = 40
    after = alignment.put_back(pixels, place, "center140", change)
    moved = np.abs(after.astype(int) - pixels).max(axis=2) > 0
    assert 0.01 < moved.mean() < 0.2
    before, then = (alignment.cut(p, place, "center140", 64).astype(int) for p in (pixels // 2, after // 2))
    assert np.abs((then - before)[27:37, 27:37] - 20).mean() < 2.5, "the change, halved as the photo"
    assert np.abs(then - before)[:18].max() <= 1
    outside = np.full((64, 64, 3), 30.0)
    edge = alignment.put_back(pixels, place, "center140", outside).astype(int) - pixels
    full = alignment.put_back(pixels, place, "center140", outside, fade=0).astype(int) - pixels
    assert np.abs(np.diff(edge[..., 0], axis=1)).max() < np.abs(np.diff(full[..., 0], axis=1)).max() / 2, "no seam"


def test_a_face_beyond_the_edge_is_cut_and_put_back():
    pixels = picture(100, 100)
    place = alignment.Similarity(1.2 + 0j, -90 - 100j)
    assert alignment.cut(pixels, place, "center140", 64).shape == (64, 64, 3)
    assert alignment.put_back(pixels, place, "center140", np.full((64, 64, 3), 9.0)).shape == pixels.shape
    away = alignment.Similarity(1 + 0j, 5000 + 0j)
    assert np.array_equal(alignment.put_back(pixels, away, "center140", np.full((64, 64, 3), 9.0)), pixels)


needs_dlib = pytest.mark.skipif(not faces.available(), reason='pip install "ddpm_faces[photo]"')


def grace_hopper() -> np.ndarray:
    """Rear Admiral Grace Hopper, a photo in the public domain that comes with matplotlib."""
    from matplotlib.cbook import get_sample_data

    return photo.open_photo(Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False)))).pixels


@needs_dlib
def test_a_turned_face_is_found_and_turned_back():
    angles = []
    for turn in (0, 15):
        pixels = np.asarray(Image.fromarray(grace_hopper()).rotate(turn, expand=True, fillcolor=(90, 120, 160)))
        found = faces.find_faces(pixels)
        assert len(found) == 1 and found[0].width > 100
        angles.append(np.degrees(np.angle(found[0].similarity.factor)))
    assert angles[1] - angles[0] == pytest.approx(15, abs=3)


@needs_dlib
def test_several_faces_are_ordered_by_size_and_none_is_an_empty_list():
    one = Image.fromarray(grace_hopper())
    both = Image.new("RGB", (900, 600), (90, 120, 160))
    both.paste(one.resize((256, 300)), (0, 100))
    both.paste(one, (380, 0))
    found = faces.find_faces(np.asarray(both))
    assert len(found) == 2 and found[0].width > 1.5 * found[1].width
    assert faces.find_faces(picture(300, 300)) == []


def test_without_dlib_one_line_says_what_can_be_done(monkeypatch):
    monkeypatch.setattr(faces, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--eyes x1,y1,x2,y2"):
        faces.find_faces(picture())
