"""`python -m benchmarks`: training, data, sampling and the roofline, measured in turns in one run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from benchmarks import data, roofline, sampling, training
from ddpm_faces.utils import files
from ddpm_faces.utils.devices import find_device
from ddpm_faces.utils.settings import Settings, command, parse
from experiments.machine import describe, machine

FACES = 162_770  # an epoch of CelebA's training split


class BenchSettings(Settings):
    """The settings of `benchmarks`."""

    quick: bool = Field(False, description="small batches and one round: under two minutes, and rough")
    compile: bool = Field(False, description="also measure our training under torch.compile, which takes minutes to begin")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where to measure")
    out: Path = Field(Path("out/bench"), title="FOLDER", description="folder for results.json, results.md and results.png")


def measure(
    settings: BenchSettings, device: str, log: Callable[[str], None], keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """All results, by part. keep: called after each part with the results so far, so that an interrupted run leaves some."""
    quick, gpu = settings.quick, device.startswith("cuda")
    batches = (256, 1024) if gpu else (16,) if quick else (64,)
    count = 256 if gpu else 4 if quick else 8  # images that are sampled
    parts: dict[str, Callable[[], Any]] = {
        "training": lambda: training.run(batches, quick, device, log, settings.compile),
        "data": lambda: data.run(512 if quick else 2048, log),
        "sampling": lambda: sampling.run(sampling.QUICK if quick else sampling.CASES, count, device, log),
        "roofline": lambda: roofline.run(batches[0], 4 if quick else 12, device, log),
    }
    results: dict[str, Any] = {"machine": machine(device)}
    for name, run in parts.items():
        results[name] = run()
        keep(results)
    return results


def report(results: dict[str, Any], quick: bool, gpu: bool) -> str:
    """Markdown: the machine and the tables."""
    tables = [training.table(results["training"])]
    if gpu:
        best = max(row["images_per_second"] for row in results["training"] if row["contender"] == "ours")
        tables.append(f"An epoch of {FACES:,} faces: {FACES / best:.0f} s (the report: 30 minutes).")
    tables += [sampling.table(results["sampling"]), data.table(results["data"]), roofline.table(results["roofline"])]
    return f"`python -m benchmarks{' --quick' * quick}`: {describe(results['machine'])}\n\n" + "\n\n".join(tables) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Three panels of bars: training, sampling, where the time goes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rows, others = results["training"], ("report", "the report", "lucidrains")

    def bars(axes: Any, names: list[str], values: list[float], title: str, form: str) -> None:
        drawn = axes.barh(names, values, color=["0.6" if name.startswith(others) else "C0" for name in names])
        axes.bar_label(drawn, [form.format(value) for value in values], padding=3)
        axes.set_title(title, fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.25)

    names = [f"{row['contender']}, batch {row['batch']}" for row in rows]
    bars(left, names, [row["images_per_second"] for row in rows], "training, images per second", "{:.1f}")
    cases = results["sampling"]["cases"]
    names = [f"{case['sampler']} {case['steps']}" for case in cases] + ["the report"]
    speeds = [case["images_per_second"] for case in cases] + [1 / results["sampling"]["report_seconds_per_image"]]
    bars(middle, names, speeds, "sampling with guidance, images per second", "{:.2g}")
    middle.set_xscale("log")
    profile = dict(list(results["roofline"]["profile"].items())[:9])
    bars(right, list(profile), [100 * share for share in profile.values()], "our training step, % of its time", "{:.0f}")
    figure.savefig(path, dpi=110)


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(BenchSettings, argv, __doc__)
    device, folder = str(find_device(settings.device)), settings.out
    files.check_folder(folder)
    begin = time.monotonic()

    def log(message: str) -> None:
        print(f"[{time.monotonic() - begin:4.0f} s] {message}", file=sys.stderr, flush=True)

    def keep(results: dict[str, Any]) -> None:
        files.write(folder / "results.json", json.dumps(results, indent=1).encode())

    with tempfile.TemporaryDirectory() as cache:
        os.environ["DDPM_FACES_CACHE"] = cache  # the workers make datasets there; the user's cache stays as it is
        results = measure(settings, device, log, keep)
    results["machine"]["minutes"] = round((time.monotonic() - begin) / 60, 1)
    keep(results)
    text = report(results, settings.quick, device.startswith("cuda"))
    files.write(folder / "results.md", text.encode())
    plot(results, folder / "results.png")
    print(f"{text}\n{folder}: results.md, results.json, results.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
