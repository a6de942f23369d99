"""`python -m experiments.table1 --data-root FOLDER`: the report's Table 1, conditional against unconditional, made again.

Three models see the same number of faces: ours with attributes, ours without, and the report's own network by its own recipe.
Each is measured the same way by `ddpm_faces.evaluate`. For 60,000 faces of each, two cores take ten to twenty minutes for one
of ours and one to four hours for the report's (experiments/README.md). On a GPU, --images 2000000 is what the report trained
with. What is done is kept in --out, and a second call goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ddpm_faces import evaluate, train
from ddpm_faces.data import open_dataset
from ddpm_faces.diffusion.samplers import find_sampler
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.evaluation import LEAST
from ddpm_faces.evaluation.control import ALONE, WHOLE
from ddpm_faces.evaluation.extractors import find_extractor
from ddpm_faces.evaluation.quality import MODEL
from ddpm_faces.evaluation.report import cell
from ddpm_faces.evaluation.settings import EvaluateSettings
from ddpm_faces.models.classifier_checkpoint import load_classifier
from ddpm_faces.training import run_folder
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.settings import Settings, command, parse
from experiments import report_unet
from experiments.machine import describe, machine

# How each is trained. The guidance is what `evaluate` chose for the shipped model, and no part of the training.
OURS = ["--guidance", "2"]
MODELS = {
    "unconditional": [*OURS, "--unconditional"],
    "conditional": OURS,
    "report": ["--import", report_unet.__name__, "--preset", "report"],
}
# Row of the table -> the model, and further flags of `evaluate`.
ROWS: dict[str, tuple[str, list[str]]] = {
    "ours, unconditional": ("unconditional", []),
    "ours, conditional": ("conditional", []),
    "ours, conditional, unguided": ("conditional", ["--guidance", "1"]),
    "the report's, conditional": ("report", []),
}
KEPT = 4_000  # faces after which a training is saved: a quarter of an hour of the report's, on two cores
PRINTED = {"ours, unconditional": (5.268, 3.425), "the report's, conditional": (4.356, 3.409)}  # FID and IS, in its Table 1
DIFFERENCES = (
    "the report trained for 12 epochs of 162,770 faces (1.95 million)",
    "its FID and IS are by Inception features, of an unstated number of images against an unstated subset",
    "its images are the whole 178x218 squashed to a square, ours the crop that is named above",
    "it sampled with 1000 steps of DDPM, here all models with the steps named above",
    "its network has seen whole vectors only, since it never dropped a condition, and knows no guidance",
    "the conditional models are asked for the attributes of the very images that they are compared with",
)


class TableSettings(Settings):
    """The settings of `experiments.table1`."""

    data_root: Path = Field(Path("data"), description="folder that holds CelebA")
    images: int = Field(60_000, ge=1, le=10**9, description="faces that each model sees")
    n: int = Field(1000, description="images to measure")
    each: int = Field(16, description="images with and without, of each attribute asked alone")
    steps: int = Field(find_sampler("dpm").steps, ge=1, le=Schedule().steps, description="steps of the sampler")
    batch_size: int = Field(32, ge=1, le=65536, description="faces a step, of ours; the report's is 128")
    lr: float = Field(1.5e-3, ge=0, le=1, description="highest learning rate, of ours; the report's is 1e-3")
    extractor: Literal["attributes", "inception"] = Field("attributes", description="whose features FID and KID are of")
    inception_weights: Path | None = Field(
        None, title="FILE", description="torch-fidelity's InceptionV3, if it cannot be downloaded"
    )
    classifier: Path | None = Field(None, title="FILE", description="the attribute classifier (default: the shipped one)")
    device: str = Field("auto", description="cpu, cuda, cuda:1 or mps")
    out: Path = Field(Path("out/table1"), title="FOLDER", description="folder for the models, their reports and table1.md")


def check(settings: TableSettings) -> int:
    """The number of training faces. Raises UserError on what would be refused or missed after hours of training."""
    for name, flags in ROWS.values():
        parse(EvaluateSettings, evaluate_flags(settings, name, flags))
    faces, test = (len(open_dataset("celeba", settings.data_root, split)) for split in ("train", "test"))
    if min(faces, test) < LEAST:
        raise UserError(f"{settings.data_root} has {faces} training and {test} test images: both need at least {LEAST}")
    classifier = load_classifier(settings.classifier or "celeba64")
    if classifier.config.facts.get("crop", "center140") != "center140":
        raise UserError(f"the classifier {classifier.source} was trained with another crop than center140")
    find_extractor(settings.extractor, classifier, settings.inception_weights)
    files.check_folder(settings.out)
    return faces


def trained(settings: TableSettings, name: str, faces: int) -> None:
    """Train a model until it has seen all its faces. Raises UserError where the run was begun with other settings."""
    folder = settings.out / name
    wanted: dict[str, Any] = {"epochs": settings.images / faces}
    if name != "report":
        wanted |= {"batch_size": settings.batch_size, "lr": settings.lr}
    if run_folder.states(folder):
        saved = run_folder.read_config(folder)
        if changed := [key for key, value in wanted.items() if saved.get(key) != value]:
            raise UserError(f"{folder} was trained with other {', '.join(changed)}: choose another --out")
        flags = ["--resume", str(folder)]
    else:
        batch = wanted.get("batch_size", report_unet.RECIPE["batch_size"])
        flags = ["--data", "celeba", "--out", str(folder), "--save-every", str(max(1, KEPT // batch)), *MODELS[name]]
        flags += [word for key, value in wanted.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    if status := train.main([*flags, "--data-root", str(settings.data_root), "--device", settings.device]):
        raise UserError(f"the training in {folder} did not end (status {status}): the same command goes on with it")


def report_folder(settings: TableSettings, name: str, flags: Sequence[str]) -> Path:
    """Where the evaluation of a row is written."""
    return settings.out / "-".join([name, "report", *(word.strip("-") for word in flags)])


def evaluate_flags(settings: TableSettings, name: str, flags: Sequence[str]) -> list[str]:
    """The flags of `evaluate` for a row."""
    said = {
        "model": settings.out / name, "data-root": settings.data_root, "n": settings.n, "each": settings.each,
        "steps": settings.steps, "only": "quality,control", "extractor": settings.extractor, "device": settings.device,
        "out": report_folder(settings, name, flags), "inception-weights": settings.inception_weights,
        "classifier": settings.classifier,
    }  # fmt: skip
    return [word for flag, value in said.items() if value is not None for word in (f"--{flag}", str(value))] + list(flags)


def measured(settings: TableSettings, name: str, flags: Sequence[str]) -> dict[str, Any]:
    """The evaluation's report of a row."""
    if status := evaluate.main(evaluate_flags(settings, name, flags)):
        raise UserError(f"the model {name} could not be measured (status {status})")
    return dict(json.loads((report_folder(settings, name, flags) / "report.json").read_text()))


def table(settings: TableSettings, reports: dict[str, dict[str, Any]]) -> str:
    """Markdown: the models and the rulers beside what the report printed, and the differences in protocol."""
    first = next(iter(reports.values()))
    about, rows = first["about"], first["quality"]["rows"]
    keys = [key for key in rows[MODEL] if key not in ("images", "KID spread", "IS spread")]
    lines = [
        f"Each model saw {settings.images:,} faces; ours {settings.batch_size} a step, with a learning rate of at most "
        f"{settings.lr:g}, the report's {report_unet.RECIPE['batch_size']} a step with {report_unet.RECIPE['lr']:g}. "
        f"{rows[MODEL]['images']} images each, {about['sampler']} {about['steps']} steps, seed {about['seed']}; extractor "
        f"{about['extractor']} ({about['note']}); crop {about['crop']}; reference {about['reference']}. Conditional accuracy: "
        "balanced accuracy over the attributes that are easiest to see.",
        "",
        f"| | guidance | {' | '.join(keys)} | conditional accuracy, whole vectors | conditional accuracy, asked alone "
        "| the report's FID / IS |",
        "|---" * (len(keys) + 5) + "|",
    ]
    for label, report in reports.items():
        figures = " | ".join(cell(report["quality"]["rows"][MODEL][key]) for key in keys)
        easy = report["control"]["means of the easiest to see"] if "control" in report else {}
        guidance = f"{report['about']['guidance']:g}" if easy else "-"
        accuracy = " | ".join(cell(easy.get(key)) for key in (WHOLE, ALONE))
        printed = " / ".join(f"{figure:g}" for figure in PRINTED.get(label, ()))
        lines.append(f"| {label} | {guidance} | {figures} | {accuracy} | {printed} |")
    rulers = {label: row for label, row in rows.items() if label != MODEL}
    lines += [f"| {label} | | {' | '.join(cell(row[key]) for key in keys)} | | | |" for label, row in rulers.items()]
    return "\n".join([*lines, "", "The report's protocol differs: " + "; ".join(DIFFERENCES) + "."])


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(TableSettings, argv, __doc__)
    faces = check(settings)
    for name in MODELS:
        trained(settings, name, faces)
    reports = {label: measured(settings, name, flags) for label, (name, flags) in ROWS.items()}
    text = f"{table(settings, reports)}\n\n{describe(machine(settings.device))}\n"
    files.write(settings.out / "table1.md", text.encode())
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
