"""How fast pictures are drawn, how many network calls each takes, and how far a short way's result is from a long one's."""

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

# sampler, steps; the last is what the deterministic ones are compared with: the same noise, as many steps as there are
WAYS = (("dpm", 8), ("dpm", 10), ("dpm", 15), ("dpm", 20), ("ddim", 50), ("ddpm", 1000), ("ddim", 1000))
QUICK = (("dpm", 10), ("dpm", 15), ("ddim", 50), ("ddim", 150))
TIMED = 5  # of the report's 1000 steps, which all cost the same


def make_ours(count: int, device: str) -> Callable[[str, int], dict]:
    """draw(sampler, steps) makes pictures with the shipped model at its default guidance."""
    from ddpm_faces import generate, load
    from ddpm_faces.data.persons import sample_person

    model = load("celeba64", device)
    persons = torch.from_numpy(np.stack([sample_person(seed, {}) for seed in range(count)])).float()

    def draw(sampler: str, steps: int) -> dict:
        wait_for(device)
        begin = time.perf_counter()
        pictures = generate(model, persons, seed=0, sampler=sampler, steps=steps, batch_size=count)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "pictures": pictures.numpy(), "guidance": model.guidance}

    draw("dpm", 2)
    return draw


def make_report(count: int, device: str) -> Callable[[], float]:
    """seconds() that a picture takes the report: 1000 DDPM steps of diffusers, one network call each, no guidance."""
    from diffusers import DDPMScheduler

    from ddpm_faces.models.report import ReportUNet

    network = ReportUNet().to(device).eval()
    scheduler: Any = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
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


def run(ways: Sequence[tuple[str, int]], count: int, device: str, say: Callable[[str], None]) -> dict:
    """Speed of each way and its distance to the longest deterministic one, the report's speed, and the command's seconds."""
    from ddpm_faces.diffusion.samplers import default_steps
    from ddpm_faces.diffusion.schedule import Schedule

    rows, drawn = [], {}
    with Worker(make_report, count, device) as report:
        say("sampling: the report's 1000 steps")
        with Worker(make_ours, count, device) as ours:
            ours.wait()
            seconds = [report()]
            for sampler, steps in ways:
                say(f"sampling: {sampler}, {steps} steps")
                drawn[sampler, steps] = ours(sampler, steps)
                seconds.append(report())
                drawn[sampler, steps]["report"] = (seconds[-2] + seconds[-1]) / 2  # before and after
    theirs = median(seconds)
    reference = drawn[ways[-1]]
    for (sampler, steps), got in drawn.items():
        apart = np.abs(got["pictures"] - reference["pictures"]).mean((1, 2, 3)) * 127.5
        a_picture = got["seconds"] / count
        rows.append(
            {
                "sampler": sampler,
                "steps": steps,
                "calls": 2 * steps,  # guided: with the condition and without
                "images_per_second": 1 / a_picture,
                "faster_than_report_by": got["report"] / a_picture,
                "distance": None if sampler == "ddpm" else float(apart.mean()),
                "worst": None if sampler == "ddpm" else float(apart.max()),
            }
        )
    say("sampling: the command")
    return {
        "default": ("dpm", default_steps("dpm", Schedule())),
        "guidance": reference["guidance"],
        "pictures": count,
        "reference": ways[-1],
        "report_seconds_a_picture": theirs,
        "report_steps_timed": TIMED,
        "ways": rows,
        "interpolate_seconds": time_command(),
    }


def table(result: dict) -> str:
    """Markdown."""
    sampler, steps = result["reference"]
    lines = [
        f"| sampling, guidance {result['guidance']:g} | network calls a picture | pictures a second | faster than the report | "
        f"distance to {sampler} {steps}, of 255 shades (worst picture) |",
        "|---|---|---|---|---|",
    ]
    for row in result["ways"]:
        far = "draws its own noise" if row["distance"] is None else f"{row['distance']:.1f} ({row['worst']:.1f})"
        default = ", the default" if (row["sampler"], row["steps"]) == tuple(result["default"]) else ""
        lines.append(
            f"| {row['sampler']} {row['steps']}{default} | {row['calls']} | {row['images_per_second']:.2f} | "
            f"{row['faster_than_report_by']:,.0f}x | {far} |"
        )
    theirs = result["report_seconds_a_picture"]
    timed = result["report_steps_timed"]
    lines.append(f"| the report: ddpm 1000, unguided (from {timed} steps) | 1000 | {1 / theirs:.3f} | 1x | |")
    return "\n".join(lines) + f"\n\n`interpolate --attr Eyeglasses`, imports included: {result['interpolate_seconds']:.1f} s."
