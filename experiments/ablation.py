"""`python -m experiments.ablation --data-root FOLDER`: what each choice of the `celeba64` preset is worth.

One choice at a time is changed, and each variant is trained on the same faces in the same order. Networks that are faster or
slower than the preset's see more faces or fewer, in the same time. Then the noise is predicted on held-out faces. All errors
are shares of the linear denoiser's, averaged over steps of noise, so that each step counts alike. The preset is trained three
times, with other seeds, to show which differences are chance.

About six minutes a variant on two cores, two hours in all. What is done is kept in --out, and a second call goes on from there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field, field_validator
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.conditions import Labels
from ddpm_faces.data.dataset import Dataset
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.evaluation.suite import EASILY_SEEN
from ddpm_faces.models.denoiser import Denoiser
from ddpm_faces.models.linear_denoiser import LinearEstimate
from ddpm_faces.training.accelerator import make_accelerator
from ddpm_faces.training.config import Recipe
from ddpm_faces.training.loop import TrainState, train
from ddpm_faces.utils import files
from ddpm_faces.utils.settings import command, parse
from experiments import trials
from experiments.machine import describe, machine
from experiments.trials import Results, TrialSettings, celeba64, facts, held_out_error, open_faces, trial

NOISY = 500  # the step from which a condition has something to decide


@dataclass(frozen=True)
class Variant:
    """What differs from the preset. modulate: whether conditions reach the time embedding too. seed: of weights and order."""

    unet: dict[str, Any] = field(default_factory=dict)
    embedding: int = 32
    recipe: dict[str, Any] = field(default_factory=dict)
    modulate: bool = True
    seed: int = 0

    @property
    def size(self) -> str:
        """The settings that decide the speed."""
        return f"{self.unet} {self.embedding}"


PRESET = "the preset"
VARIANTS: dict[str, Variant] = {  # no commas: --only takes a list
    PRESET: Variant(),
    "the preset with another seed": Variant(seed=1),
    "the preset with a third seed": Variant(seed=2),
    "embedding of 5 channels (the report's)": Variant(embedding=5),
    "embedding of 128 channels": Variant(embedding=128),
    "conditions as channels only": Variant(modulate=False),
    "no condition dropped": Variant(recipe={"p_null": 0.0, "p_each": 0.0}),
    "whole conditions dropped only": Variant(recipe={"p_each": 0.0}),
    "single attributes dropped in every image": Variant(recipe={"p_each": 1.0}),
    "learning rate 7.5e-4": Variant(recipe={"lr": 7.5e-4}),
    "learning rate 3e-3": Variant(recipe={"lr": 3e-3}),
    "weights not averaged": Variant(recipe={"ema": 0.0}),
    "weights averaged over 20 steps": Variant(recipe={"ema": 0.95}),
    "weighting snr+1": Variant(recipe={"weighting": "snr+1"}),
    "weighting uniform": Variant(recipe={"weighting": "uniform"}),
    "attention at 16 and 8": Variant(unet={"attention": (2, 3)}),
    "attention in the middle only": Variant(unet={"attention": ()}),
    "first level 32 wide": Variant(unet={"channels": (32, 32, 64, 96)}),
    "last level 128 wide": Variant(unet={"channels": (16, 32, 64, 128)}),
    "two blocks a level": Variant(unet={"blocks": 2}),
}


class AblationSettings(TrialSettings):
    """The settings of `experiments.ablation`."""

    held_out: int = Field(400, ge=1, le=10**6, description="held-out faces")
    lr: float = Field(1.5e-3, ge=0, le=1, description="highest learning rate, of variants that do not try another")
    only: tuple[str, ...] = Field((), title="NAME", description="variants besides the preset (default: all)")
    out: Path = Field(Path("out/ablation"), title="FOLDER", description="folder for results.json")

    @field_validator("only")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in VARIANTS]:
            raise ValueError(f"no variant '{unknown[0]}': choose {', '.join(VARIANTS)}")
        return names


def build(variant: Variant, faces: Dataset, settings: AblationSettings) -> tuple[Denoiser, Recipe]:
    """A fresh network and its recipe."""
    torch.manual_seed(variant.seed)
    network = celeba64(faces, mirror=True, embedding=variant.embedding, **variant.unet)
    if not variant.modulate:
        network.modulate.requires_grad_(False)  # it begins at zero
    recipe = {"batch_size": settings.batch_size, "lr": settings.lr, "warmup": 50, "flip": True, "seed": variant.seed}
    return network, Recipe(**recipe | variant.recipe)


def relative_times(
    faces: Dataset, settings: AblationSettings, clock: Callable[[], float] = time.perf_counter, rounds: int = 3
) -> dict[str, float]:
    """Time of a step of each size among the variants, relative to the preset's: in turns, the quickest of some rounds."""
    accelerator, total = make_accelerator("cpu", "auto", settings.out), 8 * rounds
    trainings = {
        variant.size: train(TrainState.new(*build(variant, faces, settings), accelerator, total), faces, Schedule(), total)
        for variant in {v.size: v for v in VARIANTS.values()}.values()
    }
    best = dict.fromkeys(trainings, float("inf"))
    for _ in tqdm(range(rounds), "timing the sizes", unit="round", leave=False):
        for size, steps in trainings.items():
            next(steps), next(steps)  # to be warm again
            begin = clock()
            for _ in range(6):
                next(steps)
            best[size] = min(best[size], clock() - begin)
    return {size: taken / best[VARIANTS[PRESET].size] for size, taken in best.items()}


def rarest(labels: Labels, frequencies: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """A `show` for `held_out_error`: of the easily seen attributes that a face has, only the rarest, be it a hat or a smile."""
    easy = sorted((labels.index(name) for name in EASILY_SEEN), key=lambda k: frequencies[k])

    def show(c: Tensor) -> Tensor:
        has = c[:, easy] > 0
        first = has & (has.cumsum(dim=1) == 1)
        shown = torch.zeros_like(c)
        shown[:, easy] = first.to(c.dtype)
        return shown

    return show


def errors(state: TrainState, held_out: Dataset, count: int) -> dict[str, float]:
    """Errors of the averaged weights as shares of the linear denoiser's: "error" at all steps, and at the noisy ones those with
    "all" conditions, with "one" and with "none"."""
    network, precision = cast(Denoiser, state.ema.module), state.accelerator.mixed_precision
    everything, noisy = trials.LEVELS, [step for step in trials.LEVELS if step >= NOISY]

    def linear_denoiser(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        estimate: LinearEstimate = network.linear_denoiser(x, network.at(t))
        return estimate.eps

    linear = dict(zip(everything, held_out_error(linear_denoiser, held_out, count, precision), strict=True))

    def share(at: Sequence[int], show: Callable[[Tensor], Tensor] = lambda c: c) -> float:
        found = held_out_error(network, held_out, count, precision, show, at)
        return sum(error / linear[step] for error, step in zip(found, at, strict=True)) / len(at)

    one = rarest(held_out.labels, held_out.frequencies)
    return {"error": share(everything), "all": share(noisy), "one": share(noisy, one), "none": share(noisy, torch.zeros_like)}


def ablate(settings: AblationSettings, clock: Callable[[], float] = time.perf_counter) -> dict[str, dict[str, Any]]:
    """The rows of the table by variant, trained now unless an earlier call did it. clock: measures what "the same time" is."""
    faces, held_out = open_faces(settings.data_root, settings.held_out)
    variants = {name: asdict(variant) for name, variant in VARIANTS.items()}
    results = Results(settings.out / "results.json", facts(settings, faces, held_out) | {"variants": variants})
    times = results.once("relative times", lambda: relative_times(faces, settings, clock))

    def row(name: str, variant: Variant) -> dict[str, Any]:
        steps = max(1, round(settings.images / settings.batch_size / times[variant.size]))
        unfinished = settings.out / f"unfinished-{name.replace(' ', '-')}.safetensors"
        network, recipe = build(variant, faces, settings)
        found = trial(unfinished, network, recipe, faces, [steps], lambda state: errors(state, held_out, settings.held_out))
        figures = {"images": steps * settings.batch_size, **found[steps], "machine": machine()}
        print(line(name, figures))
        return figures

    for name, variant in VARIANTS.items():
        if not settings.only or name in (PRESET, *settings.only):
            results.once(name, partial(row, name, variant))
    return {name: results.figures[name] for name in VARIANTS if name in results.figures}


def line(name: str, row: dict[str, Any]) -> str:
    """A variant's line of the table, in thousandths."""
    figures = " | ".join(f"{1000 * row[key]:.1f}" for key in ("error", "all", "one", "none"))
    return f"| {name} | {row['images']:,} | {figures} |"


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    head = [
        f"| | faces seen | error | from step {NOISY}, with all conditions | with one | with none |",
        "|---|---|---|---|---|---|",
    ]
    lines = [line(name, row) for name, row in rows.items()]
    return "\n".join([*head, *lines, "", "Errors in thousandths of the linear denoiser's."])


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(AblationSettings, argv, __doc__)
    files.check_folder(settings.out)
    rows = ablate(settings)
    print(f"\n{table(rows)}\n\n{describe(machine())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
