"""How near a training step comes to what the chip can do, and where its time goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from torch.autograd import DeviceType

from benchmarks.training import SIZE
from benchmarks.workers import Worker, wait_for

KINDS = {  # what an operator is, by a part of its name; the longest part that fits decides
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


def matmul_flops(precision: torch.dtype, device: str) -> float:
    """FLOP/s of square matrix products, the best of several: the ceiling."""
    size, times = (8192, 10) if device.startswith("cuda") else (2048, 1)  # so that starting one does not count on a GPU
    a = torch.randn(size, size, device=device).to(precision)
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
    """FLOPs of a picture's forward and backward pass. Attention is written out as matrix products for it: the fused kernel's
    are not counted on a CPU."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(torch.randn(1, 3, SIZE, SIZE), torch.tensor([0]), torch.ones(1, 40)).square().mean().backward()
    return counter.get_total_flops()


def make(batch: int, device: str) -> Callable[[float], dict]:
    """measure(seconds): FLOPs, speed and the profile of our training step."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler's library says on stderr that there is no GPU
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.training import ours
    from ddpm_faces.devices import find_precision
    from ddpm_faces.models.conditioning import ConditionalUNet
    from ddpm_faces.models.unet import PRESETS

    flops = count_flops(ConditionalUNet((3, 64, 64), 40, **PRESETS["celeba64"]))
    precision = {"bf16": torch.bfloat16, "fp16": torch.float16, "no": torch.float32}[
        find_precision("auto", torch.device(device))
    ]
    turn, _ = ours("ours", batch, device)
    turn(0)

    def measure(seconds: float) -> dict:
        ceiling = matmul_flops(precision, device)
        images, taken = turn(seconds)
        ceiling = max(ceiling, matmul_flops(precision, device))
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.startswith("cuda") else [])]
        with profile(activities=activities) as profiled:
            turn(seconds / 4)
        return {
            "batch": batch,
            "precision": str(precision).removeprefix("torch."),
            "flops_a_picture": flops,
            "images_per_second": images / taken,
            "flops_per_second": flops * images / taken,
            "matmul_flops_per_second": ceiling,
            "share": flops * images / taken / ceiling,
            "profile": shares(profiled, device),
        }

    return measure


def shares(profiled, device: str) -> dict[str, float]:
    """Share of the time by kind of operator, the largest first."""
    times: dict[str, float] = {}
    for event in profiled.key_averages():
        if event.device_type != DeviceType.CPU:
            continue  # a kernel, whose time its operator has already
        spent = event.self_device_time_total if device.startswith("cuda") else event.self_cpu_time_total
        name = event.key.lower()
        fitting = [part for part in KINDS if part in name]
        kind = KINDS[max(fitting, key=len)] if fitting else "everything else"
        if fitting and "backward" in name:
            kind += ", backward"
        times[kind] = times.get(kind, 0) + spent
    total = sum(times.values())
    return {kind: spent / total for kind, spent in sorted(times.items(), key=lambda item: -item[1])}


def run(batch: int, seconds: float, device: str, say: Callable[[str], None]) -> dict:
    """`measure` in a process of its own."""
    say("roofline: counting, measuring, profiling")
    with Worker(make, batch, device) as worker:
        return worker(seconds)


def table(result: dict) -> str:
    """Markdown."""
    giga, ceiling = 1e9, result["matmul_flops_per_second"]
    lines = [
        f"A training step at a batch of {result['batch']}: {result['flops_a_picture'] / giga:.2f} GFLOP a picture, forward and "
        f"backward; {result['images_per_second']:.1f} pictures a second are {result['flops_per_second'] / giga:.0f} GFLOP/s, "
        f"{result['share']:.0%} of the {ceiling / giga:.0f} that {result['precision']} matrix products reach here.",
        "",
        "| where its time goes | share |",
        "|---|---|",
    ]
    return "\n".join(lines + [f"| {kind} | {share:.0%} |" for kind, share in result["profile"].items() if share >= 0.01])
