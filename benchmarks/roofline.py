"""How near a training step comes to the chip's limit, and where its time goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]

from benchmarks.training import SIZE, celeba64, ours
from benchmarks.workers import Worker, wait_for

KINDS = {  # the kind of an operator, by a part of its name; the longest part that fits decides
    "conv": "convolutions",
    "group_norm": "group norm",
    "attention": "attention",
    "adam": "Adam",
    "mm": "matrix products outside attention",
    "silu": "SiLU",
    "cat": "concatenation",
    "addmm": "matrix products outside attention",
    "copy": "copies and casts",
    "mul": "additions and multiplications",
    "add": "additions and multiplications",
    "upsample": "upsampling",
    "normal_": "noise",
    "lerp": "the average of the weights",
}


DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "no": torch.float32}


def matmul_flops(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of square matrix products, the best of several: the ceiling."""
    size, times = (8192, 10) if device.startswith("cuda") else (2048, 1)  # on a GPU, so that launching does not count
    a = torch.randn(size, size, device=device).to(dtype)
    best = 1e9
    for _ in range(12):
        wait_for(device)
        begin = time.perf_counter()
        for _ in range(times):
            a @ a
        wait_for(device)
        best = min(best, (time.perf_counter() - begin) / times)
    return 2 * size**3 / best


def count_flops(network: torch.nn.Module) -> int:
    """FLOPs of the forward and backward pass of one image.

    Attention is written out as matrix products for it: those of the fused kernel are not counted on a CPU.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(torch.randn(1, 3, SIZE, SIZE), torch.tensor([0]), torch.ones(1, 40)).square().mean().backward()
    return int(counter.get_total_flops())


def make(batch: int, device: str) -> Callable[[float], dict[str, Any]]:
    """measure(seconds): FLOPs, speed and the profile of our training step."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # otherwise the profiler complains on stderr that there is no GPU
    from torch.profiler import ProfilerActivity, profile

    from ddpm_faces.utils.devices import find_precision

    flops = count_flops(celeba64())
    dtype = DTYPES[find_precision("auto", torch.device(device))]
    turn, _ = ours("ours", batch, device)
    turn(0)

    def measure(seconds: float) -> dict[str, Any]:
        ceiling = matmul_flops(dtype, device)
        images, taken = turn(seconds)
        ceiling = max(ceiling, matmul_flops(dtype, device))
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.startswith("cuda") else [])]
        with profile(activities=activities) as profiled:
            turn(seconds / 4)
        return {
            "batch": batch,
            "precision": str(dtype).removeprefix("torch."),
            "flops_per_image": flops,
            "images_per_second": images / taken,
            "flops_per_second": flops * images / taken,
            "matmul_flops_per_second": ceiling,
            "share": flops * images / taken / ceiling,
            "profile": shares(profiled, device),
        }

    return measure


def shares(profiled: Any, device: str) -> dict[str, float]:
    """Share of the time by kind of operator, the largest first. profiled: of torch.profiler."""
    times: dict[str, float] = {}
    for event in profiled.key_averages():
        if event.device_type != DeviceType.CPU:
            continue  # a kernel, whose time is in its operator already
        spent = event.self_device_time_total if device.startswith("cuda") else event.self_cpu_time_total
        name = event.key.lower()
        fitting = [part for part in KINDS if part in name]
        kind = KINDS[max(fitting, key=len)] if fitting else "everything else"
        if fitting and "backward" in name:
            kind += ", backward"
        times[kind] = times.get(kind, 0) + spent
    total = sum(times.values())
    return {kind: spent / total for kind, spent in sorted(times.items(), key=lambda item: -item[1])}


def run(batch: int, seconds: float, device: str, log: Callable[[str], None]) -> dict[str, Any]:
    """`measure` in a process of its own."""
    log("roofline: counting, measuring, profiling")
    with Worker(make, batch, device) as worker:
        result: dict[str, Any] = worker(seconds)
    return result


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    giga, ceiling = 1e9, result["matmul_flops_per_second"]
    lines = [
        f"A training step at a batch of {result['batch']} takes {result['flops_per_image'] / giga:.2f} GFLOP per image, "
        f"forward and backward. {result['images_per_second']:.1f} images per second are "
        f"{result['flops_per_second'] / giga:.0f} GFLOP/s: {result['share']:.0%} of the {ceiling / giga:.0f} that "
        f"{result['precision']} matrix products reach here.",
        "",
        "| where the time goes | share |",
        "|---|---|",
    ]
    return "\n".join(lines + [f"| {kind} | {share:.0%} |" for kind, share in result["profile"].items() if share >= 0.01])
