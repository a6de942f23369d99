"""Write files so that a crash, a full disk or a read-only folder never leaves half a file under its name."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from ddpm_faces.utils.errors import UserError

PART = ".part"  # ends the name of a file while it is written
PARTIAL = ".partial-"  # is in the name of a folder while it is made
UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})  # what fsync answers where there is none


def expand(path: str | Path) -> Path:
    """The path with `~` replaced by the home folder, where there is one."""
    return Path(os.path.expanduser(path))


def free_path(path: Path) -> Path:
    """The path, or where it is taken the first of name-2, name-3, ... that is free: default names overwrite nothing."""
    names = (path, *(path.with_stem(f"{path.stem}-{i}") for i in range(2, 10_000)))
    return next((name for name in names if not os.path.lexists(name)), path)


def check_folder(folder: Path) -> None:
    """Raise a UserError unless `folder` can be made or written in. Commands ask before they compute. Makes nothing."""
    try:
        folder = expand(folder).absolute()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise _cannot_write_in(folder, error) from None


def make_folder(folder: Path) -> Path:
    """Make `folder` and its parents, and return it. Raises UserError."""
    folder = expand(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write_in(folder, error) from None
    return folder


def write(path: Path, content: bytes) -> Path:
    """Write all of `content`, or leave what was at `path`: temporary file, flush to the disk, rename. Raises UserError."""
    path, temporary = expand(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _sync(file.fileno())
        with suppress(OSError):  # Windows shares refuse it
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        before = "; what was there before is intact" if os.path.lexists(path) else ""
        raise UserError(f"could not write {path}: {error.strerror or error}{before}") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_partial(folder: Path) -> None:
    """Remove the half-written files of killed processes. The caller holds the folder's lock: other writers may live."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def _cannot_write_in(folder: Path, error: OSError) -> UserError:
    return UserError(f"cannot write in {folder}: {error.strerror or error}; choose another folder")


def _sync(descriptor: int) -> None:
    """Have a file on the disk, where the file system can tell."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def _sync_folder(folder: Path) -> None:
    """Have a renamed file's name on the disk before anything relies on it: a power cut could undo the renaming."""
    with suppress(OSError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
