"""Saying why a file could not be read."""

from __future__ import annotations

from pathlib import Path

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # the note that Git leaves in place of a large file
NOT_FETCHED = "a Git LFS pointer, not the file itself: `git lfs pull` fetches it"


def explain(error: BaseException, path: Path | None = None) -> str:
    """Why something, perhaps the file `path`, could not be read: one line that is never empty."""
    if path is not None and is_pointer(path):
        return NOT_FETCHED
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_pointer(path: Path) -> bool:
    """Whether a file is only a Git LFS pointer."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
