"""A training and the world around it: its device, the other processes, what a launcher says, and signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from ddpm_faces.utils.devices import find_device, find_precision
from ddpm_faces.utils.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator

# What `accelerate launch` may ask for that the loop does not do: it splits the batch among processes, and nothing else.
UNSUPPORTED = [f"ACCELERATE_USE_{name}" for name in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG")]


def make_accelerator(device_name: str, precision: str, folder: Path) -> Accelerator:
    """accelerate's Accelerator for this device and precision, with TensorBoard in `folder` as its tracker. Raises UserError."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    check_launcher()
    on_cpu = _says("ACCELERATE_USE_CPU")
    device = find_device("cpu" if device_name == "auto" and on_cpu else device_name)
    if on_cpu and device.type != "cpu":
        raise UserError(f"ACCELERATE_USE_CPU is set, but the device asked for is {device}: unset one of them")
    if device.index is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    precision = find_precision(precision, device)
    if "RANK" not in os.environ:  # a second training in one process, as in a notebook, may want another precision or device
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=precision,
        log_with="tensorboard",
        project_dir=str(folder),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=6))],  # the others wait while one fetches and decodes
    )


def check_launcher() -> None:
    """UserError where the environment asks for a training that the loop does not do, or is set by half."""
    if "RANK" in os.environ and (missing := [name for name in ("MASTER_ADDR", "WORLD_SIZE") if name not in os.environ]):
        raise UserError(
            f"the environment has RANK, but not {' and '.join(missing)}: start several processes with `accelerate launch`, or "
            "unset RANK for one"
        )
    if os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1") not in ("", "1"):
        raise UserError("ACCELERATE_GRADIENT_ACCUMULATION_STEPS is not supported: unset it; batch_size is that of a whole step")
    if asked := [name for name in UNSUPPORTED if _says(name)]:
        raise UserError(f"{asked[0]} is not supported: unset it, or choose plain multi-GPU or multi-CPU in `accelerate config`")


def _says(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


class StopSignal:
    """Turns signals into flags that the training reads between steps.

    received: the signal that asks to end with a saved state (Ctrl-C, SIGTERM, SIGHUP), or 0; a second one of them ends at once.
    save: whether SIGUSR1 asked to save and go on; who saves resets it. Signals that a system lacks are left out.
    """

    STOP = ("SIGINT", "SIGTERM", "SIGHUP")
    SAVE = ("SIGUSR1",)

    def __init__(self) -> None:
        self.received = 0
        self.save = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        handlers = dict.fromkeys(self.STOP, self._stop) | dict.fromkeys(self.SAVE, self._save)
        for name, handler in handlers.items():
            number = getattr(signal, name, None)
            # who ignores SIGHUP, as under nohup, wants the training to outlive the terminal
            if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
                try:
                    self.before[number] = signal.signal(number, handler)
                except ValueError:  # not in the main thread: a notebook's or a test's business
                    pass
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = number

    def _save(self, _number: int, _frame: FrameType | None) -> None:
        self.save = True


@contextmanager
def quiet_threads() -> Iterator[None]:
    """TensorBoard's writer meets a full disk in a thread of its own and would print a traceback from there; the logger hears of
    the same error at its next call, and tells it in one line."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, OSError):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def agreed(accelerator: Accelerator, step: int, *wishes: bool) -> list[bool]:
    """For each wish, whether any process has it; several processes ask each other every ten steps, so that all do the same."""
    if accelerator.num_processes == 1:
        return list(wishes)
    if step % 10:
        return [False] * len(wishes)
    counts: Any = accelerator.reduce(torch.tensor(wishes, dtype=torch.float32, device=accelerator.device), "sum")
    return [bool(count > 0) for count in counts]
