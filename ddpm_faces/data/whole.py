"""Making a folder whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from ddpm_faces.utils.files import PARTIAL


def make_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder`, or leave nothing: fill(partial) fills a new folder beside it, which then takes its name.

    What killed processes left goes first: hold a lock, since others may live. A folder that is there is replaced. Permissions
    are the umask's, so that colleagues can read a shared cache. Raises OSError, and what `fill` raises.
    """
    remove_leftovers(folder)
    partial = folder.with_name(f"{folder.name}{PARTIAL}{secrets.token_hex(4)}")
    partial.mkdir(parents=True)
    try:
        fill(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left of making `folder`."""
    for leftover in folder.parent.glob(f"{folder.name}{PARTIAL}*"):
        shutil.rmtree(leftover, ignore_errors=True)
