"""How many threads torch computes with on a CPU.

torch takes one for each core, and its threads wait for each other at every layer: where other work keeps a core busy, all of
them wait for the slowest, and one thread alone is several times as fast (benchmarks/README.md).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds a period, or "max", and the period


def cores(quota: Path = QUOTA) -> int:
    """The cores that this process may use, at least 1: those it is bound to, and no more than its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = quota.read_text().split()
        return max(1, min(bound, round(int(share) / int(period))))
    except (OSError, ValueError):
        return bound


def use_threads(asked: int | None = None) -> int:
    """Have torch compute with `asked` threads and return their number; by default with the number that is fastest now.

    OMP_NUM_THREADS, where it is set, decides. Otherwise a probe of about 0.2 s compares one thread with one for each core.
    """
    if asked is None and not os.environ.get("OMP_NUM_THREADS"):
        every = cores()
        asked = 1 if every == 1 or _pace(1) >= _pace(every) else every
    if asked is not None:
        torch.set_num_threads(asked)
    return torch.get_num_threads()


@torch.no_grad()
def _pace(threads: int, seconds: float = 0.1) -> float:
    """Layers of a small network a second, with so many threads."""
    torch.set_num_threads(threads)
    x, weight = torch.ones(4, 32, 32, 32), torch.ones(32, 32, 3, 3)
    torch.nn.functional.conv2d(x, weight, padding=1)  # the first call starts the threads
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.nn.functional.silu(torch.nn.functional.conv2d(x, weight, padding=1))
        count += 1
    return count / (time.perf_counter() - start)
