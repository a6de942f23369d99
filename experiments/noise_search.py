"""`python -m experiments.noise_search`: is a search of the starting noise worth its calls, and does the salient part help?

Prompts of one to four attributes, common and rare; one start each; all methods with the same number of network calls at most, a
backward pass counting as two. The search listens to the shipped classifier, and `celeba64-judge` says whether it succeeded.
Every figure is kept as soon as it is measured; an interrupted call goes on where it was.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

import ddpm_faces
from ddpm_faces.diffusion.white_noise import low_frequency_energy, neighbour_correlation
from ddpm_faces.evaluation import detector, identity
from ddpm_faces.evaluation.fingerprints import SAMPLING, code_fingerprint
from ddpm_faces.evaluation.report import table
from ddpm_faces.evaluation.suite import EASILY_SEEN
from ddpm_faces.generation.conditions import check_wish
from ddpm_faces.generation.edit_photo import crop_of
from ddpm_faces.generation.objective import AsksFor
from ddpm_faces.generation.optimise import STEPS, optimise
from ddpm_faces.models.classifier_checkpoint import Classifier, find_classifier, load_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.models.saliency import centre_prior
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import grid, to_tensor, to_uint8, write_image
from ddpm_faces.utils.settings import Settings, command, parse
from ddpm_faces.utils.threads import use_threads
from experiments.machine import describe, machine
from experiments.trials import Results

DRAW = 2 * (STEPS + 1)  # network calls of a guided picture: the chain's second state costs one, too
COST = {"doodl": 4 * DRAW, "sgool": 4 * DRAW, "one-step": 3 * DRAW, "best-of": DRAW}  # calls of an iteration
BOOTSTRAPS = 2000


class Rectangle:
    """A detector that knows nothing: a rectangle of a fifth of the picture, anywhere, anew in each iteration."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, images: Tensor) -> Tensor:
        maps = torch.zeros_like(images[:, :1])
        height, width = images.shape[2:]
        for one in maps:
            h = round(height * self.rng.uniform(0.3, 0.6))
            w = round(0.2 * height * width / h)
            top, left = self.rng.integers(height - h + 1), self.rng.integers(width - w + 1)
            one[0, top : top + h, left : left + w] = 1
        return maps


METHODS: dict[str, dict[str, Any]] = {
    "no search, guidance 2": {"method": "doodl", "spend": 0},
    "no search, guidance 4": {"method": "doodl", "spend": 0, "guidance": 4.0},
    "best of 4": {"method": "best-of", "most": 3},
    "best of 12": {"method": "best-of", "most": 11},
    "best of as many calls": {"method": "best-of"},
    "one-step": {"method": "one-step"},
    "doodl": {"method": "doodl"},
    "doodl, norm kept only": {"method": "doodl", "keep": "norm"},
    "doodl, amplitudes kept": {"method": "doodl", "keep": "amplitudes"},
    "sgool": {"method": "sgool"},
    "sgool, random box": {"method": "sgool", "saliency": "random"},
    "sgool, fixed box": {"method": "sgool", "saliency": "fixed"},
}
COLUMNS = {
    "judged": "the judge says yes",
    "listened": "the loss's classifier says yes",
    "face": "face found",
    "change": "mean change",
    "identity": "identity distance",
    "clipped": "clipped, more than before",
    "low": "low frequencies",
    "neighbours": "neighbours' correlation",
    "calls": "calls",
    "seconds": "seconds",
}


class SearchSettings(Settings):
    """The settings of `experiments.noise_search`."""

    model: str = Field("celeba64", description="a shipped name, a run's folder or a file, of faces")
    prompts: int = Field(100, ge=2, le=10_000, description="wishes of one to four attributes, a start each")
    iterations: int = Field(8, ge=1, le=1000, description="of the search through the chain; the others spend as many calls")
    only: tuple[str, ...] = Field((), description="methods by their beginnings, as in doodl,sgool (default: all)")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads (default: by a short probe)")
    out: Path = Field(Path("out/noise-search"), title="FOLDER", description="folder for the figures, table and sheet")


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(SearchSettings, argv, __doc__)
    chosen = [name for name in METHODS if not settings.only or name.startswith(settings.only)]
    if not chosen:
        raise UserError(f"--only {','.join(settings.only)}: no method begins so; there are {'; '.join(METHODS)}")
    use_threads(settings.threads)
    model = ddpm_faces.load(settings.model)
    model.require("attributes")
    listens, judge = find_classifier(model), load_classifier("celeba64-judge").select(model.names)
    about = settings.model_dump(include={"model", "iterations"}) | {"sampling": code_fingerprint(SAMPLING)}
    results = Results(settings.out / "figures.json", about)
    wishes = [make_wish(model, i) for i in range(settings.prompts)]
    rows = [(i, name) for i in range(settings.prompts) for name in chosen]
    for i, name in tqdm(rows, "searching", unit="search", leave=False):
        figure = functools.partial(measure, settings, model, listens, judge, wishes[i], i, name)
        results.once(f"{i}/{name}", figure)
    text = report(results.figures, wishes, chosen)
    print(files.write(settings.out / "noise_search.md", text.encode()).read_text())
    print(write_image(sheet(settings.out, wishes[:10], chosen), settings.out / "sheet.png"))
    return 0


def make_wish(model: DiffusionModel, i: int) -> dict[str, float]:
    """Prompt i: one to four attributes that are easy to see and do not exclude each other, the rare half and the common half
    in turn, so that luck is needed for some and not for others."""
    rng = np.random.default_rng(i)
    names = sorted(EASILY_SEEN, key=lambda name: model.config.frequencies[model.names.index(name)])
    half = len(names) // 2
    while True:
        first = rng.choice(names[:half] if i % 2 else names[half:])
        others = rng.choice([name for name in names if name != first], i // 2 % 4, replace=False)
        wish = {str(name): 1.0 for name in (first, *others)}
        try:
            return check_wish(model, wish)
        except UserError:  # they exclude each other
            continue


def measure(
    settings: SearchSettings,
    model: DiffusionModel,
    listens: Classifier,
    judge: Classifier,
    wish: dict[str, float],
    i: int,
    name: str,
) -> dict[str, float]:
    """The figures of one search from the noise of seed i, whose picture is kept (see `picture`)."""
    options = {"guidance": 2.0} | METHODS[name]
    boxes = {"random": Rectangle(i), "fixed": centre_prior}
    options["saliency"] = boxes.get(options.pop("saliency", ""))
    spend = options.pop("spend", COST["doodl"] * settings.iterations)
    most = options.pop("most", max(1, spend // COST[options["method"]]))
    began = time.perf_counter()
    margin = 2.0 if spend else -torch.inf  # without a search, the first picture is good enough
    found = optimise(model, wish, 1, seed=i, iterations=most, classifier=listens, margin=margin, **options)
    seconds = time.perf_counter() - began
    before, after = (to_uint8(x) for x in (found.before, found.after))
    write_image(Image.fromarray(after[0]), picture(settings.out, i, name))
    asked = model.labels.vector(wish)[None]
    embedded = identity.embed(np.concatenate((before, after)), crop_of(model))
    clipped = [float((x.abs() >= 0.999).float().mean()) for x in (found.before, found.after)]
    drawn = len(found.losses)
    return {
        "judged": float(AsksFor(judge, model.names, asked).margins(found.after)) > 0,
        "listened": float(AsksFor(listens, model.names, asked).margins(found.after)) > 0,
        "face": bool(detector.with_face(after)[0]),
        "change": float((found.after - found.before).abs().mean()) / 2,
        "identity": float((embedded[0] - embedded[1]).norm()),
        "clipped": clipped[1] - clipped[0],
        "low": float(low_frequency_energy(found.noise)),
        "neighbours": float(neighbour_correlation(found.noise)),
        "calls": DRAW if not spend else DRAW + (drawn - 1) * COST[options["method"]],
        "seconds": seconds,
    }


def picture(out: Path, i: int, name: str) -> Path:
    """Where the picture of prompt i by a method is kept."""
    return out / "pictures" / f"{i}-{name.replace(' ', '-')}.png"


def report(figures: dict[str, Any], wishes: list[dict[str, float]], names: list[str]) -> str:
    """Two tables: over all starts, and over those that fail without a search; 95% intervals by a bootstrap over prompts."""
    everyone = range(len(wishes))
    without = "no search, guidance 2"
    parts = [f"# Search of the starting noise\n\n{len(wishes)} prompts; {describe(machine())}\n"]
    failing = [i for i in everyone if without in names and not figures[f"{i}/{without}"]["judged"]]
    for title, starts in (("All starts", everyone), (f"The {len(failing)} starts that fail without a search", failing)):
        if not starts:
            continue
        rows = {}
        for name in names:
            means = {column: np.mean([float(figures[f"{i}/{name}"][c]) for i in starts]) for c, column in COLUMNS.items()}
            low, high = interval([float(figures[f"{i}/{name}"]["judged"]) for i in starts])
            rows[name] = {column: f"{mean:.3g}" for column, mean in means.items()}
            rows[name][COLUMNS["judged"]] += f" ({low:.2f} to {high:.2f})"
        parts.append("\n".join([f"## {title}", "", *table(rows), ""]))
    return "\n".join(parts)


def interval(values: list[float]) -> tuple[float, float]:
    """A 95% interval of the mean, by 2,000 bootstraps."""
    rng = np.random.default_rng(0)
    means = rng.choice(np.array(values), (BOOTSTRAPS, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def sheet(out: Path, wishes: list[dict[str, float]], names: list[str]) -> Image.Image:
    """The first prompts, a column each, by every method."""
    paths = [picture(out, i, name) for name in names for i in range(len(wishes))]
    images = to_tensor(np.stack([np.asarray(Image.open(path)) for path in paths]))
    title = "; ".join(f"{i}: {', '.join(wish)}" for i, wish in enumerate(wishes))
    return grid(images, len(wishes), top=[str(i) for i in range(len(wishes))], left=names, title=title)


if __name__ == "__main__":
    sys.exit(main())
