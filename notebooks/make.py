"""`python notebooks/make.py`: write the course's .ipynb files from their sources, and the badges in the README.

A notebook's source is N_name.py, in jupytext's percent format: edit that, then run `make notebooks`. This script adds what all
notebooks share: the badge and the first cell, with the repository's address from setup.cfg. The .ipynb files have no outputs, and
making them again changes no byte. tests/notebooks checks that they are up to date.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCES = sorted(HERE.glob("[0-9]_*.py"))
FIRST_CELL = HERE / "first_cell.py"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def address() -> str:
    """The repository's address: the url in setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["url"].strip()


def badge(source: Path) -> str:
    """Markdown of a link that opens the notebook on Colab, which opens repositories on GitHub only."""
    repository = address().removeprefix("https://github.com/").removesuffix(".git")
    where = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{source.stem}.ipynb"
    return f"[![Open in Colab]({BADGE})]({where})"


def make(source: Path) -> NotebookNode:
    """The notebook of a source: its first text with the badge, the first cell, and the rest."""
    notebook = jupytext.read(source)
    title, *rest = notebook.cells
    first = FIRST_CELL.read_text().replace("ADDRESS", address()).strip()
    cells = [new_markdown_cell(f"{title.source}\n\n{badge(source)}"), new_code_cell(first), *rest]
    for i, cell in enumerate(cells):
        cell["id"], cell["metadata"] = f"cell-{i}", {}  # nbformat's own ids are random
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA, nbformat_minor=5)


def text(source: Path) -> str:
    """The .ipynb file of a source, byte for byte."""
    return nbformat.writes(make(source)) + "\n"


def readme() -> str:
    """The README with the address in every badge renewed."""
    lines = (ROOT / "README.md").read_text().splitlines(keepends=True)
    for source in SOURCES:
        own = re.compile(rf"\[!\[Open in Colab\]\(\S+\)\]\(\S+/notebooks/{source.stem}\.ipynb\)")
        lines = [own.sub(badge(source), line) for line in lines]
    return "".join(lines)


if __name__ == "__main__":
    for path in SOURCES:
        path.with_suffix(".ipynb").write_text(text(path))
    (ROOT / "README.md").write_text(readme())
    print(f"{', '.join(path.stem for path in SOURCES)} and the README's badges: made for {address()}")
