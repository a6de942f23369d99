"""Sphinx settings of the site: `make docs` builds it into out/site.

Four kinds of pages are made from their sources before a build, and ignored by git: the course (the notebooks, executed where
a test run has left them in out/course), one page of API for each room of the package, the flags of the commands, and the page
with a model inside.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import ddpm_faces
from ddpm_faces.__main__ import commands
from ddpm_faces.utils.settings import Settings
from ddpm_faces.web.build import build_page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = ROOT / "ddpm_faces"
ROOMS = ("diffusion", "conditions", "models", "data", "generation", "web", "evaluation", "training")
REPOSITORY = "https://github.com/ddpm-faces/ddpm_faces"
# Where pages of the site include a file of the repository, its links lead to other pages.
LINKS = {
    "../benchmarks/README.md": "benchmarks.md",
    "../checkpoints/README.md": "model_card.md",
    "../experiments/README.md": "experiments.md",
    "(docs/": "(",
}

project = "ddpm_faces"
author = "the ddpm_faces authors"
copyright = f"2026, {author}"
version = release = ddpm_faces.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax itself, so that pages need no network
    "sphinx_copybutton",
]
default_role = "code"  # a docstring's `single backticks`

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # a slider does nothing without a kernel, and its scripts need the network

autodoc_default_options = {"members": True, "ignore-module-all": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]  # copied as they are
html_theme_options = {"source_repository": REPOSITORY, "source_branch": "main", "source_directory": "docs/"}


def write(page: Path, text: str) -> None:
    """Write a page unless it says so already: a second build reads only what has changed."""
    if not page.is_file() or page.read_text() != text:
        page.write_text(text)


def write_course() -> None:
    for notebook in (ROOT / "notebooks").glob("[0-9]_*.ipynb"):
        executed = ROOT / "out" / "course" / notebook.name
        write(DOCS / "course" / notebook.name, (executed if executed.is_file() else notebook).read_text())


def write_api() -> None:
    for room in ROOMS:
        text = f"# {room}\n"
        for path in sorted((PACKAGE / room).rglob("*.py"), key=lambda path: (path.name != "__init__.py", path)):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            heading = "" if module == f"ddpm_faces.{room}" else f"## `{module}`\n"
            text += f"\n{heading}```{{eval-rst}}\n.. automodule:: {module}\n```\n"
        write(DOCS / "api" / f"{room}.md", text)


def write_flags() -> None:
    text = "# All flags\n\nEvery command says this itself with `--help`.\n"
    for name in commands():
        ask = [sys.executable, "-m", f"ddpm_faces.{name.replace('-', '_')}", "--help"]
        shown = subprocess.run(ask, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "90"}).stdout
        text += f"\n## {name}\n\n```text\n{shown}```\n"
    write(DOCS / "guide" / "flags.md", text)


def write_page() -> None:
    (DOCS / "extra" / "page").mkdir(parents=True, exist_ok=True)
    write(DOCS / "extra" / "page" / "index.html", build_page(ddpm_faces.load("celeba64-two")))


def mend_links(app, path, page, content) -> None:
    """Of an included file; `content` is a list of one text."""
    for link, target in LINKS.items():
        content[0] = content[0].replace(link, target)


def leave_out(app, what, name, member, skip, options) -> bool | None:
    """Fields of named tuples, of which Python's own docstring tells their number only, and pydantic's configuration."""
    return True if type(member).__name__ == "_tuplegetter" or name == "model_config" else None


def shorten(app, what, name, thing, options, signature, returns) -> tuple[str, str] | None:
    """Of a class of settings: a signature without the fields, which `list_fields` explains."""
    return ("(**settings)", "") if what == "class" and issubclass(thing, Settings) else None


def list_fields(app, what, name, thing, options, lines) -> None:
    """Below a class of settings: the default and the meaning of each of its own fields."""
    if what == "class" and issubclass(thing, Settings):
        own = [(field, thing.model_fields[field]) for field in thing.__annotations__]
        lines += ["", *(f"- `{field} = {info.default!r}`: {info.description}" for field, info in own)]


def escape(app, what, name, thing, options, lines) -> None:
    """Docstrings are plain text with `code` and indented examples: hide what reStructuredText would take for markup."""
    blocks = "\n".join(lines).split("\n\n")
    for i, block in enumerate(blocks):
        parts = block.split("`")
        parts[::2] = [re.sub(r"[*|_\\]", r"\\\g<0>", part) for part in parts[::2]]
        blocks[i] = f"::\n\n{block}" if block.startswith("    ") else "`".join(parts)
    lines[:] = "\n\n".join(blocks).splitlines()


def setup(app) -> None:
    app.connect("include-read", mend_links)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", list_fields)
    app.connect("autodoc-process-docstring", escape)
    write_course()
    write_api()
    write_flags()
    write_page()
