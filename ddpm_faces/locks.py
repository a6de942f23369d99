"""One process at a time: for a run's folder, and for a store while it is made.

The operating system keeps the lock (flock, through filelock) and lets go of it when its owner dies, however that happens,
so that the next one takes over and nobody has to clean up. The small file `.owner` beside it only says who it is.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ddpm_faces import files
from ddpm_faces.errors import UserError


@contextmanager
def held(path: Path, doing: str, wait: bool) -> Iterator[None]:
    """Hold the lock file `path` (made if need be, and left there) for the length of a `with`.

    doing: what its owner does, as in "training in runs/x". wait: if another process holds it, say who and wait until it
    lets go; otherwise raise UserError. UserError, too, where no lock can be had.
    """
    from filelock import FileLock, Timeout

    files.make_folder(path.parent)
    lock, owner = FileLock(path), path.with_suffix(".owner")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = _read(owner) or "another process"
            if not wait:
                raise UserError(f"{who} is {doing}: wait until it has ended, or take another folder") from None
            print(f"ddpm_faces: {who} is {doing}; waiting for it", file=sys.stderr)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise UserError(f"cannot lock {path} ({error}); use a folder on a local disk") from None
    try:
        with suppress(OSError):  # a courtesy: a full disk may do without
            owner.write_text(f"process {os.getpid()} on {platform.node()} (since {time.strftime('%Y-%m-%d %H:%M:%S')})")
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _read(owner: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return owner.read_text()
    return ""
