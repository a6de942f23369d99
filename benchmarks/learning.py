"""`python -m benchmarks.learning --data-root FOLDER`: do we learn as much from a face as the report's network does?

Both networks see the same 20,000 faces in the same order with the same noise at the same steps. Each is trained with the best
of three learning rates, chosen by a short run of its own; then the error of the predicted noise is taken on held-out faces, at
fixed steps with fixed noise. Ours is trained as it comes; the report's with every level of noise counting alike and no
condition hidden, as it was, but in our loop: with warm-up, clipping and the machine's best precision, and spared the
listing's defects (pictures normalised twice, the last step never trained).

An hour or more on two cores. What is done is kept in --out, and a second call goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import trials
from benchmarks.machine import machine
from benchmarks.trials import held_out_error, open_faces, open_results, trial
from ddpm_faces import cli, files
from ddpm_faces.checkpoint import Config
from ddpm_faces.cli import arg
from ddpm_faces.data.store import Store
from ddpm_faces.models.report import ReportUNet
from ddpm_faces.models.unet import PRESETS
from ddpm_faces.training import Recipe, TrainState

RATES = (5e-4, 1e-3, 2e-3)
CONTENDERS = ("ours", "report")


@dataclass(kw_only=True)
class LearningConfig:
    """The settings of `benchmarks.learning`."""

    data_root: Path = arg(Path("data"), "folder that holds CelebA")
    images: int = arg(20_000, "faces that each network sees")
    trial_images: int = arg(2_560, "faces that each learning rate is tried with")
    held_out: int = arg(100, "held-out faces")
    batch_size: int = arg(32, "faces a step")
    out: Path = arg(Path("out/bench-learning"), "folder for results.json and learning.png", metavar="FOLDER")

    def __post_init__(self):
        most = {"batch_size": (1, 65536), "images": (self.batch_size, 1e9), "trial_images": (self.batch_size, self.images)}
        cli.check_ranges(self, most | {"held_out": (1, 1e6)})


def contender(name: str, store: Store, batch_size: int, lr: float) -> tuple[nn.Module, Recipe]:
    """A fresh network and how it is trained."""
    torch.manual_seed(0)
    common = Recipe(batch_size=batch_size, lr=lr, warmup=50, flip=False)
    if name == "report":
        return ReportUNet(), replace(common, p_null=0.0, p_each=0.0, weighting="uniform")
    config = Config(store.names, (3, 64, 64), embedding=32, unet=PRESETS["celeba64"], frequencies=store.frequencies)
    return config.network(store), common


def learn(name: str, lr: float, images: int, marks: Sequence[int], config: LearningConfig, stores: tuple[Store, Store]) -> dict:
    """Train a fresh network on so many faces; {faces seen: {"raw": errors, "averaged": errors}} at each of `marks`."""
    faces, held_out = stores
    network, recipe = contender(name, faces, config.batch_size, lr)

    def measure(state: TrainState) -> dict[str, list[float]]:
        weights, precision = {"raw": state.network, "averaged": state.ema.module}, state.accelerator.mixed_precision
        return {which: held_out_error(net, held_out, config.held_out, precision) for which, net in weights.items()}

    batch, unfinished = config.batch_size, config.out / f"unfinished-{name}-{lr:g}-{images}.safetensors"
    found = trial(unfinished, network, recipe, images // batch, faces, [mark // batch for mark in marks], measure)
    return {str(step * batch): errors for step, errors in found.items()}


def lowest(marks: dict) -> float:
    """The last mark's error, averaged over the levels: of the raw weights or of their average, whichever is lower."""
    last = marks[max(marks, key=int)]
    return min(float(np.mean(errors)) for errors in last.values())


def table(results: dict) -> str:
    """Markdown: error of the predicted noise by faces seen, and at the end by level."""
    runs = {name: results[f"{name}, final"]["marks"] for name in CONTENDERS}
    lines = [
        "| faces seen | ours (averaged) | the report's (raw) | the report's (averaged) | ours / the better of the report's |",
        "|---|---|---|---|---|",
    ]
    for mark in runs["ours"]:
        ours = np.mean(runs["ours"][mark]["averaged"])
        raw, averaged = (np.mean(runs["report"][mark][which]) for which in ("raw", "averaged"))
        lines.append(f"| {int(mark):,} | {ours:.4f} | {raw:.4f} | {averaged:.4f} | {ours / min(raw, averaged):.2f} |")
    last = max(runs["ours"], key=int)
    lines += ["", "| at the end, step | " + " | ".join(map(str, trials.LEVELS)) + " |", "|---" * (len(trials.LEVELS) + 1) + "|"]
    for label, name, which in (("ours", "ours", "averaged"), *(("the report's", "report", w) for w in ("raw", "averaged"))):
        lines.append(f"| {label} ({which}) | " + " | ".join(f"{e:.4f}" for e in runs[name][last][which]) + " |")
    rates = ", ".join(f"{name} {results[f'{name}, final']['lr']:g}" for name in CONTENDERS)
    return "\n".join([*lines, "", f"Learning rates chosen of {', '.join(f'{r:g}' for r in RATES)}: {rates}."])


def draw(results: dict, path: Path) -> None:
    """The held-out error against the faces seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, colour, label in (("ours", "C0", "ours"), ("report", "C1", "the report's network")):
        marks = results[f"{name}, final"]["marks"]
        for which, style in (("averaged", "o-"), ("raw", "o:")):
            values = [np.mean(marks[mark][which]) for mark in marks]
            axes.plot([int(mark) for mark in marks], values, style, color=colour, label=f"{label}, {which} weights")
    axes.set(xscale="log", yscale="log", xlabel="faces seen", ylabel="held-out error of the predicted noise")
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=110)


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(LearningConfig, argv, (__doc__ or "").splitlines()[0])
    files.check_folder(config.out)
    stores = open_faces(config.data_root, config.held_out)
    path = config.out / "results.json"
    about = {key: value for key, value in asdict(config).items() if key not in ("data_root", "out")}
    about |= {"faces": [store.fingerprint for store in stores], "preset": str(PRESETS["celeba64"])}
    results = open_results(path, about)

    def once(key: str, lr: float, images: int, marks: Sequence[int]) -> dict:
        if key not in results:
            name = key.split(",")[0]
            results[key] = {"lr": lr, "marks": learn(name, lr, images, marks, config, stores), "machine": machine()}
            files.write(path, json.dumps(results, indent=1).encode())
        return results[key]

    for name in CONTENDERS:
        trials = {lr: once(f"{name}, {lr:g}", lr, config.trial_images, (config.trial_images,)) for lr in RATES}
        best = min(trials, key=lambda lr: lowest(trials[lr]["marks"]))
        marks = tuple(config.images // 2**i // config.batch_size * config.batch_size for i in (4, 3, 2, 1, 0))
        print(f"{name}: " + ", ".join(f"{lr:g} gives {lowest(t['marks']):.4f}" for lr, t in trials.items()))
        once(f"{name}, final", best, marks[-1], marks)
    print(table(results))
    draw(results, config.out / "learning.png")
    print(f"\n{config.out}: results.json, learning.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
