"""Which device to compute on, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from ddpm_faces.utils.errors import UserError

N = TypeVar("N", bound=nn.Module)

PRECISIONS = ("auto", "no", "bf16", "fp16")


def find_device(device: str | torch.device = "auto") -> torch.device:
    """The device of this name, such as "cpu", "cuda:1" or "mps"; "auto" is CUDA, else MPS, else the CPU. Raises UserError."""
    counts = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if device == "auto":
        return torch.device(next(kind for kind, count in counts.items() if count))
    try:
        found = torch.device(device)
    except RuntimeError:  # not a name that torch knows
        found = torch.device("meta")
    if (found.index or 0) >= counts.get(found.type, 0):
        here = [f"{kind}:{i}" if count > 1 else kind for kind, count in counts.items() for i in range(count)]
        raise UserError(f"no device '{device}' here: choose {', '.join(here)}")
    return found


def find_precision(name: str, device: torch.device) -> str:
    """`name`, or for "auto" the precision that suits the device: "bf16", "fp16" or "no". Raises UserError."""
    if name not in PRECISIONS:
        raise UserError(f"no precision '{name}': choose {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type != "cuda":
        raise UserError(f"precision fp16 is for CUDA: on {device.type} it overflows or is slow; choose auto")
    return best_precision(device) if name == "auto" else name


def best_precision(device: torch.device) -> str:
    """The mixed precision, as accelerate names it, that this hardware does well: "bf16", "fp16" or "no".

    bf16 has the range of fp32, so nothing overflows. Chips that only emulate it (a T4, most CPUs) are faster in fp32.
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


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context that computes convolutions and matrix products in this precision. Weights stay in fp32."""
    if precision == "no":
        return nullcontext()
    return torch.autocast(device.type, torch.float16 if precision == "fp16" else torch.bfloat16)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """The context that turns off an autocast around it."""
    known = torch.amp.is_autocast_available(device.type)  # older versions of torch have none on MPS, and refuse to turn it off
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def place(network: N, device: torch.device) -> N:
    """Move a network to the device, in the memory layout that its convolutions are fast in.

    That is channels last unless the network has a `memory_format` of its own.
    """
    layout = getattr(network, "memory_format", torch.channels_last)
    network.to(device, memory_format=layout)  # type: ignore[call-overload]
    return network
