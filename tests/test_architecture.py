"""The house: which room may import which, that no two files import each other, and that nothing below knows a command."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ddpm_faces

ROOT = Path(ddpm_faces.__file__).parent
# From the ground up: a room imports its own files and those of the rooms before it.
FLOORS = [{"utils", "diffusion"}, {"conditions"}, {"models", "data"}, {"generation", "web"}, {"evaluation"}, {"training"}]
FILES = {path.relative_to(ROOT.parent).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


def module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module(file) for file in FILES}


def imports(path: Path) -> set[str]:
    """The package's own modules that a file imports when it runs; what only type checkers read does not count."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return {name for name in found if name.partition(".")[0] == "ddpm_faces"}


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or ((ROOT / parts[-1]).is_dir() and len(parts) == 2) else ""


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room(name) in rooms)


@pytest.mark.parametrize("file", [f for f in FILES if f.count("/") > 1])
def test_a_room_imports_no_room_above_it(file):
    for name in imports(FILES[file]):
        assert room(name), f"{file} imports the command {name}"
        assert floor(name) <= floor(module(file)), f"{file} imports {name}, which is above it"
        if floor(name) == floor(module(file)):
            assert room(name) == room(module(file)), f"{file} imports {name}: neither room is above the other"


def test_diffusion_knows_torch_only():
    for file, path in FILES.items():
        if "/diffusion/" in file:
            assert all(room(name) == "diffusion" for name in imports(path)), file
            assert "UserError" not in path.read_text() and "--" not in path.read_text().replace("---", ""), file


def test_commands_do_not_import_each_other():
    commands = {module(f) for f in FILES if f.count("/") == 1 and not f.endswith("__.py")}
    assert {"ddpm_faces.train", "ddpm_faces.sample", "ddpm_faces.interpolate", "ddpm_faces.evaluate"} <= commands
    for file, path in FILES.items():
        assert not commands & imports(path), file


def test_no_files_import_each_other():
    graph = {module(file): imports(path) & MODULES for file, path in FILES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_library_room_stops_gradients():
    """Only metrics, commands and notebooks do, and what has none: statistics, first weights, saliency maps, a search."""
    allowed = {"models/linear_denoiser.py", "models/denoiser.py", "models/unet.py", "models/classifier_checkpoint.py"}
    allowed |= {"models/saliency.py", "generation/search.py"}
    for folder in ("diffusion", "conditions", "models", "generation"):
        for path in (ROOT / folder).rglob("*.py"):
            if "no_grad" in path.read_text() or ".detach()" in path.read_text():
                name = path.relative_to(ROOT).as_posix()
                assert name in allowed | {"models/checkpoint.py", "diffusion/guidance.py"}, name


def test_every_public_name_is_documented():
    for file, path in FILES.items():
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree) or file.endswith("__init__.py"), file
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and node.name != "main":
                assert ast.get_docstring(node), f"{file}: {node.name}"
                for inner in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_") and inner.name != "forward":
                        assert ast.get_docstring(inner) or room(module(file)) in ("utils", ""), (
                            f"{file}: {node.name}.{inner.name}"
                        )
