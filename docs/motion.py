"""`python docs/motion.py`: the page in motion, docs/page.webp, filmed in Debian's chromium (make motion)."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

import ddpm_faces
from ddpm_faces.web.build import build_page

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))
from browsers import Chromium  # noqa: E402

SEED = 0
SCENES = (("Eyeglasses", 1.0), ("Eyeglasses", 0.0), ("Black_Hair", 1.0), ("Bangs", 1.0), ("Smiling", 0.0), ("Male", 1.0))
FRAMES, WIDTH = 6, 640
SLIDE = """
const slider = document.getElementById({id!r});
slider.value = {value};
slider.dispatchEvent(new Event('input'));
slider.dispatchEvent(new Event('change'));
"""


def film(browser: Chromium) -> list[Image.Image]:
    """A frame for each position of a slider, as soon as the picture is finished."""
    frames: list[Image.Image] = []

    def shoot(times: int = 1) -> None:
        browser.page.wait_for_timeout(60)
        browser.page.wait_for_selector("body[data-state=ready]")
        shot = Image.open(io.BytesIO(browser.page.screenshot())).convert("RGB")
        frames.extend([shot.resize((WIDTH, shot.height * WIDTH // shot.width), Image.Resampling.LANCZOS)] * times)

    shoot(6)
    for name, end in SCENES:
        start = float(browser.run(f"return document.getElementById('slide-{name}').value"))
        for i in range(1, FRAMES + 1):
            browser.run(SLIDE.format(id=f"slide-{name}", value=start + (end - start) * i / FRAMES))
            shoot()
        shoot(4)
    return frames


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(build_page(ddpm_faces.load("celeba64-two")), encoding="utf-8")
        browser = Chromium()
        browser.open(f"{page.as_uri()}#seed={SEED}", width=900, height=1040)
        frames = film(browser)
        browser.close()
    frames[0].save(DOCS / "page.webp", save_all=True, append_images=frames[1:], duration=140, loop=0, quality=60, method=6)
    print(f"{DOCS / 'page.webp'}: {len(frames)} frames, {(DOCS / 'page.webp').stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
