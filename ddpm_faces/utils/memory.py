"""When memory runs out: the same work in smaller batches, as accelerate does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError

T = TypeVar("T")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the device or the machine has no memory left."""
    from accelerate.utils.memory import should_reduce_batch_size

    return _unknown_to_accelerate(error) or bool(should_reduce_batch_size(error))


def _unknown_to_accelerate(error: Exception) -> bool:
    """Python's own error, and that of oneDNN, which computes convolutions on CPUs."""
    return isinstance(error, MemoryError) or "could not create a primitive" in str(error)


def halving(function: Callable[[int], T], batch_size: int) -> T:
    """Return function(batch_size), tried with half the size each time memory runs out. UserError when 1 is too many."""
    from accelerate.utils import find_executable_batch_size

    size = batch_size

    def halve() -> int:
        nonlocal size
        size //= 2
        if size:
            tell(f"ddpm_faces: out of memory; going on with {size} images at a time")
        return size

    def attempt(count: int) -> T:
        try:
            return function(count)
        except (MemoryError, RuntimeError) as error:
            if _unknown_to_accelerate(error):
                raise RuntimeError("The CPU is out of memory.") from None  # in words that accelerate knows
            raise

    try:
        result: T = find_executable_batch_size(attempt, starting_batch_size=batch_size, reduce_batch_size_fn=halve)()
        return result
    except RuntimeError:
        if size == 0:
            raise UserError(
                "out of memory even with one image at a time: close other programs, or compute on another device"
            ) from None
        raise
