"""Processes that take turns: each keeps one contender ready and works only when it is called.

Contenders are measured in turns within one run, because these machines change their pace from minute to minute. Each has a
process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch


class Worker:
    """worker(*arguments) calls, in a process of its own, the function that `make(*settings)` returned there.

    make: a module's function (it is pickled by name) that prepares and returns the function to call. Several workers may
    prepare at once; `wait` returns when one is ready, so that no preparation falls into another's turn. RuntimeError, with the
    process's traceback, when either function fails.
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], *settings: Any):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make, settings))  # a daemon could have no children
        self.process.start()
        theirs.close()  # so that the process's end of the pipe is the only one, and its death is noticed here
        self.ready = False

    def wait(self) -> None:
        """Return when the worker is prepared."""
        if not self.ready:
            self._receive()
            self.ready = True

    def __call__(self, *arguments: Any) -> Any:
        self.wait()
        self.pipe.send(arguments)
        return self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()  # this ends the process, and its children with it
        self.process.join(10)
        self.process.kill()

    def _receive(self) -> Any:
        try:
            failed, result = self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"a worker died, exit code {self.process.exitcode}: out of memory?") from None
        if failed:
            raise RuntimeError(result)
        return result


def _serve(pipe: Connection, make: Callable[..., Callable[..., Any]], settings: tuple[Any, ...]) -> None:
    try:
        work = make(*settings)
        pipe.send((False, None))
        while True:
            pipe.send((False, work(*pipe.recv())))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception:
        pipe.send((True, traceback.format_exc()))


def peak_memory() -> float:
    """The most memory that this process has held, in MiB: on a GPU if it uses one, otherwise in RAM."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def wait_for(device: str) -> None:
    """Return when a GPU has finished its work; a CPU always has."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
