"""Images per second of each sampler, its network calls per image, and how far few steps end from many."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.workers import Worker, wait_for

# Sampler and steps. The last is the reference of the deterministic ones: the same noise, and as many steps as there are.
CASES = (("dpm", 8), ("dpm", 10), ("dpm", 15), ("dpm", 20), ("ddim", 50), ("ddpm", 1000), ("ddim", 1000))
QUICK = (("dpm", 10), ("dpm", 15), ("ddim", 50), ("ddim", 150))
TIMED = 5  # of the report's 1000 steps, which all take equally long


def make_ours(count: int, device: str) -> Callable[[str, int], dict[str, Any]]:
    """sample(sampler, steps): images of the shipped model at its default guidance, and the seconds that they took."""
    from ddpm_faces import generate, load
    from ddpm_faces.conditions import CELEBA
    from ddpm_faces.conditions.prior import sample_vector

    model = load("celeba64", device)
    conditions = torch.from_numpy(np.stack([sample_vector(CELEBA, (), seed, {}) for seed in range(count)])).float()

    @torch.no_grad()
    def sample(sampler: str, steps: int) -> dict[str, Any]:
        wait_for(device)
        begin = time.perf_counter()
        images = generate(model, conditions, seed=0, sampler=sampler, steps=steps, batch_size=count)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "images": images.numpy(), "guidance": model.guidance}

    sample("dpm", 2)
    return sample


def make_report(count: int, device: str) -> Callable[[], float]:
    """seconds(): what an image of the report takes, by 1000 DDPM steps of diffusers, one network call each, no guidance."""
    from diffusers import DDPMScheduler

    from experiments.report_unet import ReportUNet

    network = ReportUNet().to(device).eval()
    scheduler: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2")  # type: ignore[no-untyped-call]
    c = torch.ones(count, 40, device=device)

    @torch.no_grad()
    def seconds() -> float:
        x = torch.randn(count, 3, 64, 64, device=device)
        wait_for(device)
        begin = time.perf_counter()
        for t in scheduler.timesteps[:TIMED]:
            x = scheduler.step(network(x, t.to(device).expand(count), c), int(t), x).prev_sample
        wait_for(device)
        return (time.perf_counter() - begin) * len(scheduler.timesteps) / TIMED / count

    seconds()
    return seconds


def time_command() -> float:
    """Seconds of `python -m ddpm_faces.interpolate --attr Eyeglasses`, imports included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ddpm_faces.interpolate", "--attr", "Eyeglasses", "--out", str(Path(folder, "s.png"))]
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begin


def run(cases: Sequence[tuple[str, int]], count: int, device: str, log: Callable[[str], None]) -> dict[str, Any]:
    """Speed of each case and its distance to the reference, the report's speed, and the seconds of the command."""
    from ddpm_faces.diffusion.samplers import find_sampler

    results: dict[tuple[str, int], dict[str, Any]] = {}
    with Worker(make_report, count, device) as report:
        log("sampling: the report's 1000 steps")
        with Worker(make_ours, count, device) as ours:
            ours.wait()
            seconds = [report()]
            for sampler, steps in cases:
                log(f"sampling: {sampler}, {steps} steps")
                results[sampler, steps] = ours(sampler, steps)
                seconds.append(report())
                results[sampler, steps]["report"] = (seconds[-2] + seconds[-1]) / 2  # before and after
    reference = results[cases[-1]]
    log("sampling: the command")
    return {
        "default": ("dpm", find_sampler("dpm").steps),
        "guidance": reference["guidance"],
        "images": count,
        "reference": cases[-1],
        "report_seconds_per_image": median(seconds),
        "report_steps_timed": TIMED,
        "cases": [row(*case, result, reference["images"]) for case, result in results.items()],
        "interpolate_seconds": time_command(),
    }


def row(sampler: str, steps: int, result: dict[str, Any], reference: np.ndarray) -> dict[str, Any]:
    """The figures of one case. reference: images (N, C, H, W) in [-1, 1]."""
    distance = np.abs(result["images"] - reference).mean((1, 2, 3)) * 127.5
    per_image = result["seconds"] / len(reference)
    return {
        "sampler": sampler,
        "steps": steps,
        "calls": 2 * steps,  # guided: with the condition and without
        "images_per_second": 1 / per_image,
        "faster_than_report_by": result["report"] / per_image,
        "distance": None if sampler == "ddpm" else float(distance.mean()),
        "worst": None if sampler == "ddpm" else float(distance.max()),
    }


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    sampler, steps = result["reference"]
    lines = [
        f"| sampling, guidance {result['guidance']:g} | network calls per image | images per second | "
        f"faster than the report by | distance to {sampler} {steps}, of 255 shades (worst image) |",
        "|---|---|---|---|---|",
    ]
    for case in result["cases"]:
        distance = "adds its own noise" if case["distance"] is None else f"{case['distance']:.1f} ({case['worst']:.1f})"
        default = ", the default" if (case["sampler"], case["steps"]) == tuple(result["default"]) else ""
        lines.append(
            f"| {case['sampler']} {case['steps']}{default} | {case['calls']} | {case['images_per_second']:.2f} | "
            f"{case['faster_than_report_by']:,.0f}x | {distance} |"
        )
    speed, timed = 1 / result["report_seconds_per_image"], result["report_steps_timed"]
    lines.append(f"| the report: ddpm 1000, unguided (from {timed} steps) | 1000 | {speed:.3f} | 1x | |")
    return "\n".join(lines) + f"\n\n`interpolate --attr Eyeglasses`, imports included: {result['interpolate_seconds']:.1f} s."
