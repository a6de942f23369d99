"""`python docs/gallery.py` (`make gallery`): the images of README and docs, by the package's own commands and shipped models.

Nothing is chosen by hand: the first seeds, the default settings. The images are committed; together they stay under 1 MB.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ddpm_faces import interpolate, sample

HERE = Path(__file__).parent
MOST = 1_000_000  # bytes, of all images
IMAGES = {
    "first.webp": (interpolate, ["--attr", "Eyeglasses", "--n", "3"]),
    "smiling-women.webp": (sample, ["--set", "Smiling,-Male", "--n", "16"]),
    "older-men.webp": (sample, ["--set", "Male,-Young", "--n", "16"]),
    "strip-smiling.webp": (interpolate, ["--attr", "Smiling"]),
    "strip-male.webp": (interpolate, ["--attr", "Male"]),
    "strip-eyeglasses.webp": (interpolate, ["--attr", "Eyeglasses"]),
    "strip-blond.webp": (interpolate, ["--attr", "Blond_Hair"]),
    "digits.webp": (sample, ["--model", "mnist32", "--digits", "0-9", "--n", "40"]),
}


def main() -> int:
    for name, (command, argv) in IMAGES.items():
        if status := command.main([*argv, "--device", "cpu", "--out", str(HERE / name)]):
            return status
    size = sum((HERE / name).stat().st_size for name in IMAGES)
    print(f"{len(IMAGES)} images, {size / 1e3:.0f} kB")
    return 0 if size <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
