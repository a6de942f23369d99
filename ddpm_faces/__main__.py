"""`python -m ddpm_faces`, or the script `ddpm-faces`: list the commands, or run one of them."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import ddpm_faces
from ddpm_faces.utils.command import command
from ddpm_faces.utils.errors import UserError, hint


def commands() -> dict[str, str]:
    """Name -> summary of every module beside this one. Their sources are read, not imported, and need no docstrings kept."""
    modules = [m.name for m in pkgutil.iter_modules(ddpm_faces.__path__) if not m.ispkg and m.name != "__main__"]
    folder = Path(__file__).parent
    return {name.replace("_", "-"): _summary((folder / f"{name}.py").read_text(encoding="utf-8")) for name in sorted(modules)}


def _summary(source: str) -> str:
    """The first line of a module's docstring, without the command line before or after it."""
    line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    words = re.sub(r"`python -m [^`]*`", "", line).strip(" :.")
    return words[:1].upper() + words[1:]


def _list(known: dict[str, str]) -> str:
    width = max(map(len, known))
    rows = "\n".join(f"  {name:{width}}  {summary}" for name, summary in known.items())
    return f"usage: ddpm-faces COMMAND [FLAGS]\n\n{rows}\n\n`ddpm-faces COMMAND --help` lists the flags of a command."


@command
def main(argv: Sequence[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    known = commands()
    if name in ("-h", "--help"):
        print(_list(known))
        return 0
    if name == "--version":
        print(f"ddpm_faces {ddpm_faces.__version__}")
        return 0
    wanted = name.replace("_", "-")
    if wanted not in known:
        raise UserError(f"there is no command '{name}'{hint(wanted, known) or '; choose ' + ', '.join(known)}")
    module = importlib.import_module(f"ddpm_faces.{wanted.replace('-', '_')}")
    return int(module.main(rest))


if __name__ == "__main__":
    sys.exit(main())
