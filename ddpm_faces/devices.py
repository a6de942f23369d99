"""Which device to compute on, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from ddpm_faces.errors import UserError

N = TypeVar("N", bound=nn.Module)


def find_device(name: str = "auto") -> torch.device:
    """ "auto" (CUDA, then Apple's MPS, then the CPU) or a name such as "cpu", "cuda", "cuda:1", "mps". Raises UserError."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *available]
    if name == "auto":
        name = available[0]
    if name not in available:
        raise UserError(f"no device '{name}' here: choose {', '.join(available)}")
    return torch.device(name)


PRECISIONS = ("auto", "no", "bf16", "fp16")


def find_precision(name: str, device: torch.device) -> str:
    """`name`, or for "auto" what suits the device: "bf16", "fp16" or "no". Raises UserError on what it does badly."""
    if name not in PRECISIONS:
        raise UserError(f"no precision '{name}': choose {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type != "cuda":
        raise UserError(f"fp16 is for CUDA, not for {device.type}, where it overflows or crawls: use --precision auto")
    return best_precision(device) if name == "auto" else name


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which convolutions and matrix products are computed in that precision, weights staying as they are."""
    if precision == "no":
        return nullcontext()
    return torch.autocast(device.type, torch.float16 if precision == "fp16" else torch.bfloat16)


def full_precision(device: torch.device) -> AbstractContextManager:
    """The context in which an autocast around it does not hold."""
    known = torch.amp.is_autocast_available(device.type)  # older versions of torch know none on MPS, not even to turn it off
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def best_precision(device: torch.device) -> str:
    """accelerate's name of the mixed precision that this hardware does well: "bf16", "fp16" or "no".

    bf16 keeps fp32's range, so nothing overflows; where chips only emulate it (a T4, most CPUs) it is slower than fp32.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "cpu":
        try:
            flags = Path("/proc/cpuinfo").read_text()
        except OSError:
            return "no"
        return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "no"
    return "no"


def place(network: N, device: torch.device) -> N:
    """Move a network to the device, its weights laid out as suits its convolutions: channels last, unless it says else."""
    layout = getattr(network, "memory_format", torch.channels_last)
    return network.to(device, memory_format=layout)  # type: ignore[call-overload]
