"""`python -m benchmarks.ablation --data-root FOLDER`: what each choice of the `celeba64` preset is worth.

One choice at a time is changed, and each variant is trained on the same faces in the same order; networks that are faster or
slower than the preset's see more faces or fewer, for the same time. Then the noise is predicted on held-out faces. All errors
are shares of what the best linear guess leaves (models/gaussian.py), averaged over steps of noise, so that each counts alike.
The preset is trained three times, with other seeds, to show which differences are chance.

Some six minutes a variant on two cores, two hours in all. What is done is kept in --out, and a second call goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks import trials
from benchmarks.machine import machine
from benchmarks.trials import held_out_error, open_faces, open_results, trial
from ddpm_faces import cli, files
from ddpm_faces.checkpoint import Config
from ddpm_faces.cli import arg
from ddpm_faces.data.store import Store
from ddpm_faces.diffusion.process import mix
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.evaluation.suite import EASY
from ddpm_faces.models.unet import PRESETS
from ddpm_faces.processes import make_accelerator
from ddpm_faces.training import Recipe, TrainState, train

NOISY = 500  # the step from which a condition has something to decide


@dataclass(frozen=True)
class Variant:
    """What differs from the preset. modulate: whether conditions reach the time embedding too. seed: of weights and order."""

    unet: dict = field(default_factory=dict)
    embedding: int = 32
    recipe: dict = field(default_factory=dict)
    modulate: bool = True
    seed: int = 0

    @property
    def size(self) -> str:
        """What its speed depends on."""
        return json.dumps([self.unet, self.embedding])


PRESET = "the preset"
VARIANTS: dict[str, Variant] = {
    PRESET: Variant(),
    "the preset, another seed": Variant(seed=1),
    "the preset, a third seed": Variant(seed=2),
    "embedding of 5 channels, the report's": Variant(embedding=5),
    "embedding of 128 channels": Variant(embedding=128),
    "conditions as channels only, not in the time embedding": Variant(modulate=False),
    "no condition hidden": Variant(recipe={"p_null": 0.0, "p_each": 0.0}),
    "whole conditions hidden only": Variant(recipe={"p_each": 0.0}),
    "single ones hidden in every picture": Variant(recipe={"p_each": 1.0}),
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


@dataclass(kw_only=True)
class AblationConfig:
    """The settings of `benchmarks.ablation`."""

    data_root: Path = arg(Path("data"), "folder that holds CelebA")
    images: int = arg(20_000, "faces that the preset sees, and each variant of its size")
    held_out: int = arg(400, "held-out faces")
    batch_size: int = arg(32, "faces a step")
    lr: float = arg(1.5e-3, "highest learning rate, of those that do not try another")
    only: tuple[str, ...] = arg((), "variants besides the preset (default: all)", metavar="NAME")
    out: Path = arg(Path("out/ablation"), "folder for results.json", metavar="FOLDER")

    def __post_init__(self):
        most = {"batch_size": (1, 65536), "images": (self.batch_size, 1e9), "held_out": (1, 1e6), "lr": (0, 1)}
        cli.check_ranges(self, most)


def build(variant: Variant, store: Store, config: AblationConfig) -> tuple[nn.Module, Recipe]:
    """A fresh network and how it is trained."""
    torch.manual_seed(variant.seed)
    sizes = PRESETS["celeba64"] | variant.unet
    described = Config(store.names, store.image_shape, variant.embedding, sizes, frequencies=store.frequencies)
    network = described.network(store, mirror=True)
    if not variant.modulate:
        network.modulate.requires_grad_(False)  # it begins at zero
    recipe = {"batch_size": config.batch_size, "lr": config.lr, "warmup": 50, "flip": True, "seed": variant.seed}
    return network, Recipe(**recipe | variant.recipe)


def speeds(store: Store, config: AblationConfig, rounds: int = 3) -> dict[str, float]:
    """Seconds a step of each size among the variants, as shares of the preset's: in turns, the quickest of some rounds."""
    accelerator, total = make_accelerator("cpu", "auto", config.out), 8 * rounds
    trainings = {
        variant.size: train(TrainState.new(*build(variant, store, config), accelerator, total), store, Schedule(), total)
        for variant in {v.size: v for v in VARIANTS.values()}.values()
    }
    best = dict.fromkeys(trainings, float("inf"))
    for _ in tqdm(range(rounds), "how fast each is", unit="round", leave=False):
        for size, todo in trainings.items():
            next(todo), next(todo)  # to be warm again
            start = time.perf_counter()
            for _ in range(6):
                next(todo)
            best[size] = min(best[size], time.perf_counter() - start)
    return {key: seconds / best[VARIANTS[PRESET].size] for key, seconds in best.items()}


def single(names: Sequence[str], frequencies: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """A `show` for `held_out_error`: of what is easy to see and a face has, only the rarest, be it a hat or a smile."""
    easy = [names.index(name) for name in EASY]
    easy.sort(key=lambda k: frequencies[k])

    def show(c: Tensor) -> Tensor:
        has = c[:, easy] > 0
        first = has & (has.cumsum(dim=1) == 1)
        shown = torch.zeros_like(c)
        shown[:, easy] = first.to(c.dtype)
        return shown

    return show


class OnlyGuess(nn.Module):
    """The guess without a network."""

    def __init__(self, gaussian: nn.Module):
        super().__init__()
        self.gaussian = gaussian

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return self.gaussian(x, mix(Schedule(), t, x)).eps


def errors(state: TrainState, held_out: Store, count: int) -> dict[str, float]:
    """Of the averaged weights, as shares of the guess's: "error" at all steps, and at the noisy ones those with "all"
    conditions, with "one" and with "none" of them."""
    network, precision = state.ema.module, state.accelerator.mixed_precision
    baseline = OnlyGuess(network.gaussian)  # type: ignore[arg-type]
    guess = np.array(held_out_error(baseline, held_out, count, precision))
    noisy = np.array(trials.LEVELS) >= NOISY
    at = [step for step in trials.LEVELS if step >= NOISY]

    def of_noisy(show) -> float:
        return float((np.array(held_out_error(network, held_out, count, precision, show, at)) / guess[noisy]).mean())

    told = np.array(held_out_error(network, held_out, count, precision)) / guess
    one = of_noisy(single(held_out.names, held_out.frequencies))
    return {"error": float(told.mean()), "all": float(told[noisy].mean()), "one": one, "none": of_noisy(torch.zeros_like)}


def table(results: dict[str, dict]) -> str:
    """Markdown: a row for each variant, in thousandths."""
    lines = [
        f"| | faces seen | error | from step {NOISY}, with all conditions | with one | with none |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        figures = " | ".join(f"{1000 * row[key]:.1f}" for key in ("error", "all", "one", "none"))
        lines.append(f"| {name} | {row['images']:,} | {figures} |")
    return "\n".join([*lines, "", "Errors in thousandths of the linear guess's."])


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(AblationConfig, argv, (__doc__ or "").splitlines()[0])
    if unknown := [name for name in config.only if name not in VARIANTS]:
        raise UserError(f"no variant '{unknown[0]}': choose {', '.join(VARIANTS)}")
    files.check_folder(config.out)
    faces, held_out = open_faces(config.data_root, config.held_out)
    path = config.out / "results.json"
    about = {key: value for key, value in asdict(config).items() if key not in ("data_root", "out", "only")}
    about |= {"faces": [store.fingerprint for store in (faces, held_out)], "preset": str(PRESETS["celeba64"])}
    kept = open_results(path, about | {"variants": {name: asdict(variant) for name, variant in VARIANTS.items()}})
    kept.setdefault("rows", {})
    if "speeds" not in kept:
        kept["speeds"] = speeds(faces, config)
        files.write(path, json.dumps(kept, indent=1).encode())
    for name, variant in VARIANTS.items():
        if name in kept["rows"] or (config.only and name not in (PRESET, *config.only)):
            continue
        steps = max(1, round(config.images / config.batch_size / kept["speeds"][variant.size]))
        unfinished = config.out / f"unfinished-{name.replace(' ', '-')}.safetensors"
        network, recipe = build(variant, faces, config)
        found = trial(
            unfinished, network, recipe, steps, faces, (steps,), lambda state: errors(state, held_out, config.held_out)
        )
        kept["rows"][name] = {"images": steps * config.batch_size, **found[steps], "machine": machine()}
        files.write(path, json.dumps(kept, indent=1).encode())
        print(table({name: kept["rows"][name]}).splitlines()[2])
    print("\n" + table({name: kept["rows"][name] for name in VARIANTS if name in kept["rows"]}))
    print("\n" + ", ".join(f"{key} {value}" for key, value in machine().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
