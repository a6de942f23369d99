"""The machine that a figure was measured on: without it a figure says little."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch


def machine(device: str = "cpu") -> dict[str, str | int]:
    """Chip, cores, threads, versions and the date."""
    chip = platform.processor() or platform.machine()
    if device.startswith("cuda"):
        chip = torch.cuda.get_device_name(device)
    elif (info := Path("/proc/cpuinfo")).exists():
        lines = info.read_text().splitlines()
        flags = next((line for line in lines if line.startswith("flags")), "")
        chip = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), chip)
        chip += ", AVX512-BF16" if "avx512_bf16" in flags else ""
    return {
        "chip": chip,
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def describe(facts: dict[str, str | int]) -> str:
    """One line of what `machine` found."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())
