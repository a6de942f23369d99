"""`python -m benchmarks`: training, data, sampling and the roofline, measured in turns in one run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, roofline, sampling, training
from benchmarks.machine import machine
from ddpm_faces import cli, files
from ddpm_faces.cli import arg
from ddpm_faces.devices import find_device

FACES = 162_770  # of CelebA's training split: an epoch


@dataclass(kw_only=True)
class BenchConfig:
    """The settings of `benchmarks`."""

    quick: bool = arg(False, "small batches and one round: under two minutes, and rough")
    compile: bool = arg(False, "measure our training under torch.compile, too, which takes minutes to begin")
    device: str = arg("cpu", "where to measure", choices=("cpu", "cuda"))
    out: Path = arg(Path("out/bench"), "folder for results.json, results.md and results.png", metavar="FOLDER")


def draw(results: dict, path: Path) -> None:
    """Three panels of bars: training, sampling, where the time goes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rows, others = results["training"], ("report", "the report", "lucidrains")

    def bars(axes, names: list[str], values: list[float], title: str, form: str) -> None:
        drawn = axes.barh(names, values, color=["0.6" if name.startswith(others) else "C0" for name in names])
        axes.bar_label(drawn, [form.format(value) for value in values], padding=3)
        axes.set_title(title, fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.25)

    names = [f"{row['contender']}, batch {row['batch']}" for row in rows]
    bars(left, names, [row["images_per_second"] for row in rows], "training, pictures a second", "{:.1f}")
    ways = results["sampling"]["ways"]
    names = [f"{way['sampler']} {way['steps']}" for way in ways] + ["the report"]
    speeds = [way["images_per_second"] for way in ways] + [1 / results["sampling"]["report_seconds_a_picture"]]
    bars(middle, names, speeds, "sampling with guidance, pictures a second", "{:.2g}")
    middle.set_xscale("log")
    profile = dict(list(results["roofline"]["profile"].items())[:9])
    bars(right, list(profile), [100 * share for share in profile.values()], "our training step, % of its time", "{:.0f}")
    figure.savefig(path, dpi=110)


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(BenchConfig, argv, (__doc__ or "").splitlines()[0])
    device, quick = str(find_device(config.device)), config.quick
    files.check_folder(config.out)
    gpu = device.startswith("cuda")
    begin = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - begin:4.0f} s] {what}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as cache:
        os.environ["DDPM_FACES_CACHE"] = cache  # the workers' stores; the user's stay as they are
        batches = (256, 1024) if gpu else (16,) if quick else (64,)
        results: dict[str, Any] = {"machine": machine(device)}
        count = 256 if gpu else 4 if quick else 8
        parts: dict[str, Callable[[], Any]] = {
            "training": lambda: training.run(batches, quick, device, say, config.compile),
            "data": lambda: data.run(512 if quick else 2048, say),
            "sampling": lambda: sampling.run(sampling.QUICK if quick else sampling.WAYS, count, device, say),
            "roofline": lambda: roofline.run(batches[0], 4 if quick else 12, device, say),
        }
        for name, run in parts.items():
            results[name] = run()
            files.write(config.out / "results.json", json.dumps(results, indent=1).encode())  # an interrupted run has some
    results["machine"]["minutes"] = round((time.monotonic() - begin) / 60, 1)
    about = "; ".join(f"{name} {value}" for name, value in results["machine"].items())
    tables = [training.table(results["training"])]
    if gpu:
        best = max(row["images_per_second"] for row in results["training"] if row["contender"] == "ours")
        tables.append(f"An epoch of {FACES:,} faces: {FACES / best:.0f} s (the report: 30 minutes).")
    tables += [sampling.table(results["sampling"]), data.table(results["data"]), roofline.table(results["roofline"])]
    text = f"`python -m benchmarks{' --quick' * quick}`: {about}\n\n" + "\n\n".join(tables) + "\n"
    print(text)
    files.write(config.out / "results.md", text.encode())
    files.write(config.out / "results.json", json.dumps(results, indent=1).encode())
    draw(results, config.out / "results.png")
    print(f"{config.out}: results.md, results.json, results.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
