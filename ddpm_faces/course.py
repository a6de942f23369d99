"""What the notebooks of the course share: a function's own source beside its equation, and exercises that check themselves.

Both are for a notebook: they show and print, and need IPython, which is not otherwise needed.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def source(thing, first: str = "", last: str = "") -> str:
    """The package's own lines that define `thing` (a function, class, method or property), with their file and line number.

    first: begin at the first line that contains this; last: end with the first line from there that contains this (with
    `first` alone: that one line). Raises ValueError if there is no such line, so that a changed package is noticed.
    """
    thing = thing.fget if isinstance(thing, property) else thing.func if isinstance(thing, cached_property) else thing
    thing = inspect.unwrap(thing)
    lines, number = inspect.getsourcelines(thing)
    start, end = 0, len(lines)
    if first or last:
        start = _find(lines, first, 0, thing)
        end = 1 + _find(lines, last or first, start, thing)
    where = Path(inspect.getsourcefile(thing) or "").resolve().relative_to(ROOT).as_posix()
    body = textwrap.dedent("".join(lines[start:end])).rstrip()
    return f"# {where}, line {max(number, 1) + start}\n{body}"


def _find(lines: list[str], text: str, start: int, thing) -> int:
    for i in range(start, len(lines)):
        if text in lines[i]:
            return i
    raise ValueError(f"no line of {getattr(thing, '__qualname__', thing)} contains {text!r}")


def show(thing, first: str = "", last: str = "") -> None:
    """Display what `source` gives, as highlighted code."""
    from IPython.display import Code, display

    display(Code(source(thing, first, last), language="python"))


def check(answer, right: Callable[..., bool], hint: str = "") -> None:
    """Print what right(answer) says of an exercise's answer: not yet (it is `...` or None still), not right, or right.

    answer: a value, or a function without arguments that gives it. An error in either, or in `right` because of it, is printed
    in one line: an unsolved exercise never stops a notebook. hint: printed with "not right".
    """
    try:
        answer = answer() if callable(answer) else answer
        if answer is ... or answer is None:
            print("not yet: put your answer in the place of the dots")
            return
        verdict = bool(right(answer))
    except Exception as error:  # whatever a student's function does
        print(f"not right: {type(error).__name__}: {error}")
        return
    print("right" if verdict else f"not right{': ' + hint if hint else ''}")
