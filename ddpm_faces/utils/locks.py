"""One process at a time in a run's folder, or at the making of a dataset.

The operating system keeps the lock (flock, through filelock) and releases it when its owner dies, so that nobody has to
clean up. The small file `.owner` beside the lock only tells who the owner is.
"""

from __future__ import annotations

import errno
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_faces.utils import files
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


@contextmanager
def held(path: Path, doing: str, wait: bool) -> Iterator[None]:
    """Hold the lock file `path` for the length of a `with`. The file is made if needed, and stays.

    doing: what the owner does, as in "training in runs/x". wait: if another process holds the lock, say which and wait for
    it; otherwise raise a UserError. A file system without locks gets a warning; any other failure is a UserError.
    """
    from filelock import FileLock

    folder = files.make_folder(path.parent)
    lock, owner = FileLock(folder / path.name), (folder / path.name).with_suffix(".owner")
    try:
        _acquire(lock, owner, doing, wait)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise UserError(f"cannot lock {path} ({error}); use a folder on a local disk") from None
        tell(f"ddpm_faces: warning: no locks in {folder} ({error}): make sure that no other process is {doing}")
    try:
        with suppress(OSError):  # a full disk may do without
            owner.write_text(f"process {os.getpid()} on {platform.node()} (since {time.strftime('%Y-%m-%d %H:%M:%S')})")
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: BaseFileLock, owner: Path, doing: str, wait: bool) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _read(owner) or "another process"
        if not wait:
            raise UserError(f"{who} is {doing}: wait until it has ended, or take another folder") from None
        tell(f"ddpm_faces: {who} is {doing}; waiting for it")
        lock.acquire()


def _read(owner: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return owner.read_text()
    return ""
