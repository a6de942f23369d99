"""What the pages of README and docs say of the repository is true: files exist, commands and flags too, and it stays short."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from ddpm_faces.__main__ import commands

ROOT = Path(__file__).parents[2]
MADE = ("docs/guide/flags.md", "docs/api/", "docs/course/")  # by conf.py


def is_made(path: Path) -> bool:
    return str(path.relative_to(ROOT)).startswith(MADE) and path.name != "index.md"


WRITTEN = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "checkpoints/README.md")]
PAGES = WRITTEN + [page for page in sorted((ROOT / "docs").rglob("*.md")) if not is_made(page)]
names = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@names
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        where = (page.parent / target).resolve()
        assert "://" in target or where.exists() or is_made(where), f"{target} in {page.name}"


@names
def test_commands_and_flags_exist(page):
    """Of every line that calls a command of the package."""
    for module, rest in re.findall(r"python -m ddpm_faces\.(\w+)([^`\n]*)", page.read_text()):
        name = module.replace("_", "-")
        if module == "twins":  # the example of a command
            continue
        assert name in commands(), name
        known = flags(module)
        for flag in re.findall(r"(?<!\S)--([a-z][a-z0-9-]*)", rest.partition("#")[0]):
            assert flag in known, f"--{flag} of {name}"


def flags(module: str) -> set[str]:
    """The flags of a command, from its settings class."""
    from ddpm_faces.utils.settings import Settings

    found = import_module(f"ddpm_faces.{module}")
    classes = [c for c in vars(found).values() if isinstance(c, type) and issubclass(c, Settings) and c is not Settings]
    spelled = {field.rstrip("_").replace("_", "-") for c in classes for field in c.model_fields}
    return spelled | {f"no-{flag}" for flag in spelled} | {"help", "version"}
