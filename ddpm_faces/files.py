"""Writing files so that a crash, a full disk or a read-only folder never leaves half of one under its name."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from ddpm_faces.errors import UserError

PART = ".part"  # ends the names of files that are being written
PARTIAL = ".partial-"  # is in the names of folders that are being made


def check_folder(folder: Path) -> None:
    """UserError unless `folder` can be written in, or made: for asking before the work is done. Makes nothing."""
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror or error}; choose another folder") from None


def make_folder(folder: Path) -> Path:
    """Make `folder` (and its parents) and return it; UserError where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror or error}; choose another folder") from None
    return folder


def write(path: Path, content: bytes) -> Path:
    """Write all of `content` or leave what was at `path` before: temporary file, flush to the disk, rename. UserError."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's are private
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        before = "; what was there before is intact" if os.path.lexists(path) else ""
        raise UserError(f"could not write {path}: {error.strerror or error}{before}") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    return path


def sweep(folder: Path) -> None:
    """Remove what killed processes were writing in `folder` when they died. Hold the folder's lock: others may live."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, too, before anything that relies on it: a power cut may undo a rename otherwise."""
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
