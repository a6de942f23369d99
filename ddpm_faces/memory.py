"""What to do when memory runs out: the same work in smaller batches, by accelerate's means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from ddpm_faces.errors import UserError

T = TypeVar("T")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    from accelerate.utils.memory import should_reduce_batch_size

    return _unknown_to_accelerate(error) or should_reduce_batch_size(error)


def _unknown_to_accelerate(error: Exception) -> bool:
    """Python's own, and the words in which oneDNN, which computes convolutions on CPUs, says it."""
    return isinstance(error, MemoryError) or "could not create a primitive" in str(error)


def halving(function: Callable[[int], T], batch_size: int) -> T:
    """function(batch_size), tried again with half as many, as often as memory runs out. UserError when 1 is too many."""
    from accelerate.utils import find_executable_batch_size

    size = batch_size

    def halve() -> int:
        nonlocal size
        size //= 2
        if size:
            print(f"ddpm_faces: out of memory; going on with {size} pictures at a time", file=sys.stderr)
        return size

    def attempt(count: int) -> T:
        try:
            return function(count)
        except (MemoryError, RuntimeError) as error:
            if _unknown_to_accelerate(error):
                raise RuntimeError("The CPU is out of memory.") from None
            raise

    try:
        return find_executable_batch_size(attempt, starting_batch_size=batch_size, reduce_batch_size_fn=halve)()
    except RuntimeError:
        if size == 0:
            raise UserError(
                "out of memory even with one picture at a time: close other programs, or use another --device"
            ) from None
        raise
