"""The types that a user's checker sees: a typo or a wrong argument is found before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

USE = """
import ddpm_faces

model = ddpm_faces.load("celeba64")
faces = ddpm_faces.generate(model, "Smiling", n=4)
ddpm_faces.grid(faces, columns=2).save("faces.png")
ddpm_faces.strip(model, "Eyeglasses").draw().save("strip.png")
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Success"),
        ("ddpm_faces.laod('celeba64')", 'has no attribute "laod"'),
        ("ddpm_faces.generate(model, samplr='ddim')", 'Unexpected keyword argument "samplr"'),
        ("faces.upper()", 'has no attribute "upper"'),
    ],
    ids=["right", "a wrong name", "a wrong argument", "a wrong result"],
)
def test_a_checker_sees_what_the_package_offers(tmp_path: Path, line: str, message: str):
    from mypy import api

    (tmp_path / "mine.py").write_text(f"{USE}{line}\n")
    cache = Path(__file__).parents[1] / ".mypy_cache"  # the package's own types are read from `make lint`, if it ran
    out, error, _ = api.run([str(tmp_path / "mine.py"), "--cache-dir", str(cache), "--config-file", ""])
    assert message in out, out + error
