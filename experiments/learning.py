"""`python -m experiments.learning --data-root FOLDER`: do we learn as much from a face as the report's network does?

Both networks see the same 20,000 faces in the same order, with the same noise at the same steps. Each is trained with the best
of three learning rates, chosen by a short run of its own. Then the error of the predicted noise is taken on held-out faces, at
fixed steps with fixed noise. Ours is trained by its defaults. The report's is trained with all noise levels counting alike and
no condition dropped, as it was, but in our loop: with warm-up, clipping and the machine's best precision, and without the
listing's defects (images normalised twice, the last step never trained).

An hour or more on two cores. What is done is kept in --out, and a second call goes on from there.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from ddpm_faces.data.dataset import Dataset
from ddpm_faces.training.config import Recipe
from ddpm_faces.training.loop import TrainState
from ddpm_faces.utils import files
from ddpm_faces.utils.settings import command, parse
from experiments import report_unet, trials
from experiments.machine import machine
from experiments.trials import Results, TrialSettings, celeba64, facts, held_out_error, open_faces, trial

RATES = (5e-4, 1e-3, 2e-3)


class LearningSettings(TrialSettings):
    """The settings of `experiments.learning`."""

    trial_images: int = Field(2_560, ge=1, description="faces that each learning rate is tried with")
    out: Path = Field(Path("out/bench-learning"), title="FOLDER", description="folder for results.json and learning.png")

    @model_validator(mode="after")
    def _trials_are_short(self) -> LearningSettings:
        if not self.batch_size <= self.trial_images <= self.images:
            raise ValueError(f"--trial-images {self.trial_images} is outside {self.batch_size} .. {self.images}")
        return self


# Name -> a fresh network, and what differs in its recipe.
CONTENDERS: dict[str, tuple[Callable[[Dataset], nn.Module], dict[str, Any]]] = {
    "ours": (lambda faces: celeba64(faces, mirror=False), {}),
    "report": (lambda _: report_unet.ReportUNet(), {"p_null": 0.0, "p_each": 0.0, "weighting": "uniform"}),
}


def learn(
    name: str, lr: float, marks: Sequence[int], settings: LearningSettings, datasets: tuple[Dataset, Dataset]
) -> dict[str, Any]:
    """Train a fresh network for marks[-1] faces; {faces seen: {"raw": errors, "averaged": errors}} at each of `marks`."""
    (faces, held_out), batch = datasets, settings.batch_size
    torch.manual_seed(0)
    build, differences = CONTENDERS[name]
    recipe = Recipe(**{"batch_size": batch, "lr": lr, "warmup": 50} | differences)

    def measure(state: TrainState) -> dict[str, list[float]]:
        weights, precision = {"raw": state.network, "averaged": state.ema.module}, state.accelerator.mixed_precision
        return {which: held_out_error(net, held_out, settings.held_out, precision) for which, net in weights.items()}

    unfinished = settings.out / f"unfinished-{name}-{lr:g}-{marks[-1]}.safetensors"
    found = trial(unfinished, build(faces), recipe, faces, [mark // batch for mark in marks], measure)
    return {str(step * batch): errors for step, errors in found.items()}


def lowest(marks: dict[str, Any]) -> float:
    """The last mark's error, averaged over the levels: of the raw weights or of their average, whichever is lower."""
    last = marks[max(marks, key=int)]
    return min(float(np.mean(errors)) for errors in last.values())


def table(figures: dict[str, Any]) -> str:
    """Markdown: error of the predicted noise by faces seen, and at the end by level."""
    runs = {name: figures[f"{name}, final"]["marks"] for name in CONTENDERS}
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
    rates = ", ".join(f"{name} {figures[f'{name}, final']['lr']:g}" for name in CONTENDERS)
    return "\n".join([*lines, "", f"Learning rates chosen of {', '.join(f'{r:g}' for r in RATES)}: {rates}."])


def plot(figures: dict[str, Any], path: Path) -> None:
    """The held-out error against the faces seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, colour, label in (("ours", "C0", "ours"), ("report", "C1", "the report's network")):
        marks = figures[f"{name}, final"]["marks"]
        for which, style in (("averaged", "o-"), ("raw", "o:")):
            values = [np.mean(marks[mark][which]) for mark in marks]
            axes.plot([int(mark) for mark in marks], values, style, color=colour, label=f"{label}, {which} weights")
    axes.set(xscale="log", yscale="log", xlabel="faces seen", ylabel="held-out error of the predicted noise")
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=110)


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(LearningSettings, argv, __doc__)
    files.check_folder(settings.out)
    datasets = open_faces(settings.data_root, settings.held_out)
    report = hashlib.sha256(Path(report_unet.__file__).read_bytes()).hexdigest()[:12]
    results = Results(settings.out / "results.json", facts(settings, *datasets) | {"report": report})

    def once(name: str, title: str, lr: float, marks: Sequence[int]) -> dict[str, Any]:
        def measure() -> dict[str, Any]:
            return {"lr": lr, "marks": learn(name, lr, marks, settings, datasets), "machine": machine()}

        return dict(results.once(f"{name}, {title}", measure))

    marks = [settings.images // 2**i // settings.batch_size * settings.batch_size for i in (4, 3, 2, 1, 0)]
    for name in CONTENDERS:
        errors = {lr: lowest(once(name, f"{lr:g}", lr, [settings.trial_images])["marks"]) for lr in RATES}
        print(f"{name}: " + ", ".join(f"{lr:g} gives {error:.4f}" for lr, error in errors.items()))
        once(name, "final", min(errors, key=lambda lr: errors[lr]), marks)
    print(table(results.figures))
    plot(results.figures, settings.out / "learning.png")
    print(f"\n{settings.out}: results.json, learning.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
