"""Processes that take turns: each keeps one contender ready, and works only when it is asked to.

What is compared is measured in turns within one run, because these machines change their pace from minute to minute; and each
contender has a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections.abc import Callable
from typing import Any

import torch


class Worker:
    """worker(*arguments) runs, in a process of its own, what `make(*settings)` gave there.

    make: a function of a module (it is pickled by name) that prepares and returns the function to call. Several workers may
    prepare at once; `wait` returns when one has, so that nobody's preparations fall into another's turn. RuntimeError, with the
    process' traceback, when either function fails.
    """

    def __init__(self, make: Callable[..., Callable], *settings: Any):
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, make, settings))  # no daemon: those have no children
        self.process.start()
        there.close()  # so that its end is noticed here
        self.ready = False

    def wait(self) -> None:
        """Until the worker is prepared."""
        if not self.ready:
            self._receive()
            self.ready = True

    def __call__(self, *arguments: Any) -> Any:
        self.wait()
        self.pipe.send(arguments)
        return self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.pipe.close()  # upon which it ends, and its children with it
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


def _serve(pipe, make: Callable[..., Callable], settings: tuple) -> None:
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
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def wait_for(device: str) -> None:
    """Until a GPU has done what it was given; a CPU has already."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
