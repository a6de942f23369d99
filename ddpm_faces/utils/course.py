"""For the notebooks of the course: show a function's source beside its equation, and check the answer to an exercise.

`show` needs IPython, which nothing else here does.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def source(thing: Any, first: str = "", last: str = "") -> str:
    """The source of `thing` (a function, class, method or property), after a comment with its file and line number.

    first, last: show only from the first line that contains `first` to the next that contains `last`, or the one line that
    contains `first`. Raises ValueError if there is no such line, so that a notebook notices when the package has changed.
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


def _find(lines: list[str], text: str, start: int, thing: Any) -> int:
    for i in range(start, len(lines)):
        if text in lines[i]:
            return i
    raise ValueError(f"no line of {getattr(thing, '__qualname__', thing)} contains {text!r}")


def show(thing: Any, first: str = "", last: str = "") -> None:
    """Display `source(thing, first, last)` as highlighted code."""
    from IPython import display

    display.display(display.Code(source(thing, first, last), language="python"))  # type: ignore[no-untyped-call]


def check(answer: Any, right: Callable[[Any], Any], hint: str = "") -> None:
    """Print "right" or "not right" as right(answer) is true or false, or "not yet" while the answer is `...` or None.

    answer: a value, or a function without arguments that returns one. hint: printed after "not right". An error in `answer` or
    `right` is printed in one line, so that an unsolved exercise never stops a notebook.
    """
    try:
        answer = answer() if callable(answer) else answer
        if answer is ... or answer is None:
            print("not yet: replace the dots with your answer")
            return
        verdict = bool(right(answer))
    except Exception as error:  # a student's function may raise anything
        print(f"not right: {type(error).__name__}: {error}")
        return
    print("right" if verdict else f"not right{': ' + hint if hint else ''}")
