"""Writing files so that a crash, a full disk or a read-only folder never leaves half of one under its name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ddpm_faces.errors import UserError


def make_folder(folder: Path) -> Path:
    """Make `folder` (and its parents) and return it; UserError where that, or writing in it, is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror or error}; choose another folder") from None
    return folder


def write(path: Path, content: bytes) -> Path:
    """Write all of `content` or leave what was at `path` before: temporary file, flush to the disk, rename. UserError."""
    make_folder(path.parent)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's are private
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"could not write {path}: {error.strerror or error}; what was there before is intact") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
