"""The course: every notebook is what its source says, runs from top to bottom offline, and its solutions pass their checks."""

from __future__ import annotations

import ast
import base64
import copy
import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("make", ROOT / "notebooks" / "make.py")
assert spec is not None and spec.loader is not None
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

NAMES = ["1_noise", "2_digits", "3_guidance", "4_faces", "5_samplers", "6_measuring", "7_editing"]
SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
each = pytest.mark.parametrize("source", make.SOURCES, ids=lambda p: p.stem)


def test_there_are_seven_and_each_leads_to_the_next():
    assert [path.stem for path in make.SOURCES] == NAMES
    assert sorted(path.stem for path in make.HERE.glob("*.ipynb")) == NAMES
    for source, following in zip(make.SOURCES, NAMES[1:], strict=False):
        assert f"**Next:** [{following}]({following}.ipynb)" in source.read_text()


@each
def test_the_notebook_is_what_its_source_says(source):
    """Which also holds it to have no outputs, and to name the address of setup.cfg."""
    kept = source.with_suffix(".ipynb").read_text()
    assert kept == make.text(source), "run `make notebooks` and commit what it writes"
    assert kept == make.text(source), "made twice, it is the same"
    cells = nbformat.reads(kept, as_version=4).cells
    nbformat.validate(nbformat.reads(kept, as_version=4))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert f"git+{make.address()}" in cells[1].source and make.badge(source) in cells[0].source


def test_the_badges_in_the_readme_lead_there():
    text = (ROOT / "README.md").read_text()
    assert text == make.readme(), "run `make notebooks` and commit what it writes"
    assert all(make.badge(source) in text for source in make.SOURCES)


@pytest.mark.parametrize("wish", [False, True], ids=["plain", "with Drive"])
@pytest.mark.parametrize("colab", [False, True], ids=["elsewhere", "on Colab"])
def test_the_first_cell(colab, wish, monkeypatch):
    """On a Colab of our own making: what is installed, and that Drive is mounted only if asked."""
    done = []
    if colab:
        drive = types.SimpleNamespace(mount=lambda where: done.append(("mount", where)))
        monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))
        monkeypatch.setitem(sys.modules, "google", types.SimpleNamespace(colab=sys.modules["google.colab"]))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "check_call", lambda command: done.append(("run", command[-1])))
    monkeypatch.setattr(os, "makedirs", lambda path, exist_ok: None)
    monkeypatch.setattr(os, "chdir", lambda path: done.append(("chdir", path)))
    code = nbformat.reads(make.text(make.SOURCES[0]), as_version=4).cells[1].source
    names: dict = {}
    exec(code.replace("DRIVE = False", f"DRIVE = {wish}"), names)
    assert names["ON_COLAB"] == colab
    install = [("run", f"git+{make.address()}")]
    keep = [("mount", "/content/drive"), ("chdir", "/content/drive/MyDrive/ddpm_faces")]
    assert done == (install + (keep if wish else []) if colab else [])


@each
def test_no_notebook_defines_a_model(source):
    tree = ast.parse(source.read_text())
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert "nn.Module" not in source.read_text()


def checks(code: str) -> str:
    """The calls of `check` in a cell."""
    calls = (node for node in ast.parse(code).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    return "\n".join(ast.unparse(call) for call in calls if getattr(call.value.func, "id", "") == "check")


def with_solutions(notebook: NotebookNode) -> tuple[list[NotebookNode], list[NotebookNode]]:
    """The cells of the exercises, and the solutions, each a new code cell of the notebook after its text."""
    cells, exercises, solved = [], [], []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code" and checks(cell.source):
            exercises.append(cell)
        elif found := SOLUTION.search(cell.source):
            solved.append(new_code_cell(found[1] + checks(exercises[-1].source)))
            cells.append(solved[-1])
    notebook.cells = cells
    return exercises, solved


def printed(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def images(notebook: NotebookNode) -> list[str]:
    """All images that came out, base64."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@pytest.mark.course
@each
def test_the_notebook_runs(source, tmp_path, monkeypatch):
    """With each solution in a cell of its own after it. $COURSE_OUT: a folder that gets the executed notebooks (`publish`)."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the processes share the cores
    notebook = make.make(source)
    exercises, solved = with_solutions(notebook)
    assert len(exercises) == len(solved) == 3
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", coalesce_streams=True, resources=resources)
    try:
        client.execute()
    finally:
        notebook.cells = [cell for cell in notebook.cells if not any(cell is solution for solution in solved)]
        if folder := os.environ.get("COURSE_OUT"):
            publish(notebook, Path(folder), source.stem)
    for exercise, solution in zip(exercises, solved, strict=True):
        assert printed(exercise).startswith("not yet") and "right\n" not in printed(exercise)
        assert set(printed(solution).splitlines()) == {"right"}, f"{solution.source}\n{printed(solution)}"
    assert len(images(notebook)) >= 5
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    warned = [output.text for output in outputs if output.get("name") == "stderr" and "Warning" in output.text]
    assert not warned, "\n".join(warned)
    widgets = json.dumps(notebook.metadata.get("widgets", {}))  # what fails in a callback of a slider stops no cell
    assert '"output_type": "error"' not in widgets and ("FloatSlider" in widgets) == (source.stem == "4_faces")


def publish(notebook: NotebookNode, folder: Path, name: str) -> None:
    """Write the executed notebook, itself and as a page, and its images."""
    from nbconvert import HTMLExporter

    folder.mkdir(parents=True, exist_ok=True)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":  # of a progress bar, what stood there last
                output.text = re.sub(r"[^\n]*\r", "", output.text)
    (folder / f"{name}.ipynb").write_text(nbformat.writes(notebook) + "\n")
    for i, image in enumerate(images(notebook)):
        (folder / f"{name}-{i:02}.png").write_bytes(base64.b64decode(image))
    page = copy.deepcopy(notebook)
    for cell in page.cells:  # a page leads to pages
        cell.source = re.sub(r"\]\((\d_\w+)\.ipynb\)", r"](\1.html)", cell.source)
    (folder / f"{name}.html").write_text(HTMLExporter().from_notebook_node(page)[0])


def test_what_is_published(tmp_path):
    """The notebook leads to the next notebook, and the page to the next page; the animation is in both."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("**Next:** [2_digits](2_digits.ipynb)")])
    gif = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    notebook.cells.append(
        new_code_cell("", outputs=[nbformat.v4.new_output("display_data", {"text/html": f'<img alt="a dot" src="{gif}">'})])
    )
    publish(notebook, tmp_path / "course", "1_noise")
    kept = nbformat.read(tmp_path / "course" / "1_noise.ipynb", as_version=4)
    nbformat.validate(kept)
    assert "(2_digits.ipynb)" in kept.cells[0].source and gif in kept.cells[1].outputs[0].data["text/html"]
    page = (tmp_path / "course" / "1_noise.html").read_text()
    assert 'href="2_digits.html"' in page and gif in page
