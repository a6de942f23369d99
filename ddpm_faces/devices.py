"""Which device to compute on, and in which precision to train there."""

from __future__ import annotations

from pathlib import Path

import torch

from ddpm_faces.errors import UserError


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


def training_precision(device: torch.device) -> str:
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
