"""What the commands share: flags made from a dataclass, and errors told in one line.

A command declares its settings once, as a dataclass whose fields are made by `arg`; `parse` turns them into flags (with
dashes for underscores), and the same object is what a run saves as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ddpm_faces.errors import UserError

T = TypeVar("T")


def arg(default: Any, help: str, choices: Sequence[str] | None = None, metavar: str | None = None) -> Any:
    """A dataclass field that is also a flag. Fields of type bool are switches; tuples may be given several times."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "metavar": metavar})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):  # argparse would print the whole usage before it
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def parse(settings: type[T], argv: Sequence[str] | None, description: str) -> T:
    """Read `argv` (sys.argv without the program if None) into a `settings` object."""
    return settings(**given(settings, argv, description))


def given(settings: type, argv: Sequence[str] | None, description: str) -> dict[str, Any]:
    """Only what was said in `argv`, by field name. Exits with status 2 on a flag that does not exist or fit."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # of what `python -m` was given
    program = spec.name.removesuffix(".__main__") if settings.__module__ == "__main__" and spec else settings.__module__
    parser = _Parser(f"python -m {program}", description=description, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    hints = typing.get_type_hints(settings)
    valued = []
    for f in dataclasses.fields(settings):
        if "help" not in f.metadata:
            continue
        flag = f"--{f.name.rstrip('_').replace('_', '-')}"
        options: dict[str, Any] = {"help": _help(f), "dest": f.name}
        kind = _plain(hints[f.name])
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options |= {"type": str if kind is tuple else kind, "choices": f.metadata["choices"]}
            options["metavar"] = (
                None if f.metadata["choices"] else f.metadata["metavar"] or f.name.rstrip("_").split("_")[-1].upper()
            )
            valued.append(flag)
            if kind is tuple:  # given once, it may also be a list: --attr Smiling,Male
                options["action"] = "append"
        parser.add_argument(flag, **options)
    return vars(parser.parse_args(_join(sys.argv[1:] if argv is None else argv, valued)))


def check_types(settings: type, values: dict[str, Any]) -> None:
    """TypeError unless each value, of a JSON file say, is of the kind that the field of this name has."""
    hints = typing.get_type_hints(settings)
    for f in dataclasses.fields(settings):
        if f.name not in values or (values[f.name] is None and f.default is None):
            continue
        kind = _plain(hints[f.name])
        kinds = {float: (float, int), Path: (str, Path), tuple: (list, tuple)}.get(kind, (kind,))
        if type(values[f.name]) not in kinds:
            raise TypeError(f"{f.name} is {values[f.name]!r}, not a {kind.__name__}")


def check_ranges(settings: Any, ranges: dict[str, tuple[float, float]]) -> None:
    """UserError, naming the flag, unless each of these fields is from its low to its high, both included."""
    for name, (low, high) in ranges.items():
        if not low <= getattr(settings, name) <= high:
            raise UserError(f"--{name.replace('_', '-')} {getattr(settings, name)} is outside {low} .. {high:g}")


def _join(argv: Sequence[str], valued: Sequence[str]) -> list[str]:
    """Write `--set -Male` as `--set=-Male`: argparse would take what begins with a minus for another flag."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in valued and word.startswith("-") and not word.startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _plain(hint: Any) -> type:
    """int | None -> int, tuple[str, ...] -> tuple."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    return typing.get_origin(hint) or hint


def _help(f: dataclasses.Field) -> str:
    shown = "" if f.default in (None, (), False, "") else f" (default {f.default})"
    return (f.metadata["help"] + shown).replace("%", "%%")


def command(main: Callable[[Sequence[str] | None], int | None]) -> Callable[..., int]:
    """Wrap a command's main(argv): returns the exit status, 2 after one line on stderr for what the user can mend."""

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv) or 0
        except UserError as error:
            print(f"ddpm_faces: {error}", file=sys.stderr)
            return 2
        except OSError as error:  # of the machine, not of the program: permissions, a full disk, a name that is too long
            if error.errno is None:
                raise
            where = f"'{error.filename}': " if error.filename else ""
            print(f"ddpm_faces: {where}{error.strerror}; nothing saved before is lost", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("ddpm_faces: stopped", file=sys.stderr)
            return 130

    return run
