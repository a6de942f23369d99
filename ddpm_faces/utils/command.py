"""What every command shares: errors told in one line, and an exit status.

This module imports nothing but the standard library, so that Ctrl-C during slow imports finds it in place.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import Any

from ddpm_faces.utils.errors import UserError

PROGRAM: ContextVar[str] = ContextVar("PROGRAM", default="ddpm_faces")  # the command that runs, as its user can type it


def tell(message: str) -> None:
    """Print a line on stderr, with escapes for letters that the terminal lacks. Where there is no stderr, do nothing."""
    if sys.stderr is not None:  # print(file=None) would write to stdout
        encoding = sys.stderr.encoding or "utf-8"
        with suppress(OSError, ValueError):  # closed
            print(message.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def command(main: Callable[[Sequence[str] | None], int | None]) -> Callable[..., int]:
    """Wrap a command's main(argv), which may return None for 0. The wrapped main returns an exit status and does not raise
    what the user can mend: 2 after a UserError or an OSError, told in one line; 130 after Ctrl-C; 141 when nobody reads on.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        token = PROGRAM.set(f"python -m {_module(main)}")
        try:
            try:
                return main(argv) or 0
            finally:
                if sys.stdout is not None and not sys.stdout.closed:
                    sys.stdout.flush()  # here, where a closed pipe is handled
        except UserError as error:
            tell(f"ddpm_faces: {error}")
            return 2
        except BrokenPipeError:
            _discard_stdout()
            return 141  # as a shell reports SIGPIPE
        except OSError as error:  # the machine's fault: permissions, a full disk, a name that is too long
            if error.errno is None:
                raise
            where = f"'{error.filename}': " if error.filename else ""
            tell(f"ddpm_faces: {where}{error.strerror}; nothing saved before is lost")
            return 2
        except KeyboardInterrupt:
            tell("ddpm_faces: stopped")
            return 130
        finally:
            PROGRAM.reset(token)

    return run


def _module(main: Callable[..., object]) -> str:
    """The name by which `python -m` finds the module of `main`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name.removesuffix(".__main__") if main.__module__ == "__main__" and spec else main.__module__


def _discard_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter flushes at exit, and would complain of the closed pipe."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def also_function(command: str, home: str) -> None:
    """Let the module of a command, ddpm_faces.edit, be called as the function of the same name in the module `home`.

    `ddpm_faces.edit` names both: once the command is imported, its module hides the function.
    """

    class CommandModule(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            return getattr(import_module(home), command.rpartition(".")[2])(*args, **options)

    sys.modules[command].__class__ = CommandModule
