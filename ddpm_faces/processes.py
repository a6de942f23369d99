"""A training and the world around it: the device and the other processes, and the signals that ask it to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch

from ddpm_faces.devices import find_device, find_precision


def make_accelerator(device_name: str, precision: str, folder: Path):
    """accelerate's Accelerator for the device and precision asked for, with TensorBoard as its tracker. Raises UserError."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    device = find_device(device_name)
    if device.index is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    precision = find_precision(precision, device)
    if "RANK" not in os.environ:  # a second training in one process, a notebook's say, may want another precision or device
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=precision,
        log_with="tensorboard",
        project_dir=str(folder),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=6))],  # the others wait while one fetches and decodes
    )


class StopSignal:
    """Turns Ctrl-C and SIGTERM into a flag that the loop reads between steps; a second Ctrl-C stops at once."""

    def __init__(self):
        self.received = 0
        self.before = {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.before[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread: a notebook's or a test's business
                pass
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _handle(self, number, _frame):
        if self.received:
            raise KeyboardInterrupt
        self.received = number


@contextmanager
def quiet_threads() -> Iterator[None]:
    """TensorBoard's writer meets a full disk in a thread of its own and would print a traceback from there; the loop hears of
    the same error at its next word to it, and says it in one line."""
    before = threading.excepthook

    def hook(args) -> None:
        if not isinstance(args.exc_value, OSError):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def agreed(accelerator, step: int, wish: bool) -> bool:
    """Whether any process wishes to stop; several processes ask each other every ten steps, so that all stop together."""
    if accelerator.num_processes == 1:
        return wish
    if step % 10:
        return False
    return bool(accelerator.reduce(torch.tensor(float(wish), device=accelerator.device), "sum") > 0)
