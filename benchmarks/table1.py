"""`python -m benchmarks.table1 --data-root FOLDER`: the report's Table 1, conditional against unconditional, made again.

Three models see the same number of faces: ours with attributes, ours without, and the report's own network by its own recipe;
each is measured the same way by `ddpm_faces.evaluate`. For 60,000 faces of each, two cores take ten to twenty minutes for one
of ours and one to four hours for the report's (benchmarks/README.md); on a GPU, --images 2000000 is what the report trained
with. What is done is kept in --out, and a second call goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine
from ddpm_faces import cli, evaluate, files, judge, runs, train
from ddpm_faces.cli import arg
from ddpm_faces.data import open_data
from ddpm_faces.diffusion.samplers import default_steps
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.evaluation import extractors
from ddpm_faces.evaluation.metrics import LEAST
from ddpm_faces.evaluation.quality import MODEL
from ddpm_faces.evaluation.report import cell

# How each is trained. The guidance is what `evaluate` chose for the shipped model, and no part of the training.
OURS = ["--guidance", "2"]
MODELS = {"unconditional": [*OURS, "--unconditional"], "conditional": OURS, "report": ["--preset", "report"]}
# Row of the table -> the model, and how it is drawn.
ROWS = {
    "ours, unconditional": ("unconditional", []),
    "ours, conditional": ("conditional", []),
    "ours, conditional, unguided": ("conditional", ["--guidance", "1"]),
    "the report's, conditional": ("report", []),
}
KEPT = 4_000  # faces after which a training is saved: a quarter of an hour of the report's, on two cores
PRINTED = {"ours, unconditional": (5.268, 3.425), "the report's, conditional": (4.356, 3.409)}  # FID and IS, in its Table 1
DIFFERENCES = (
    "the report trained 12 epochs of 162,770 faces (1.95 million)",
    "its FID and IS are by Inception features, of an unstated number of pictures against an unstated subset",
    "its pictures are the whole 178x218 squashed to a square, ours the crop that is named above",
    "it drew them by 1000 steps of DDPM, here all are by the steps named above",
    "its network has seen whole vectors only, since it never hid a condition, and knows no guidance",
    "the conditional models are asked for the attributes of the very pictures they are compared with",
)


@dataclass(kw_only=True)
class TableConfig:
    """The settings of `benchmarks.table1`."""

    data_root: Path = arg(Path("data"), "folder that holds CelebA")
    images: int = arg(60_000, "faces that each model sees")
    n: int = arg(1000, "pictures to measure")
    each: int = arg(16, "pictures with and without, of each attribute asked alone")
    steps: int = arg(default_steps("dpm", Schedule()), "steps of the sampler")
    batch_size: int = arg(32, "faces a step, of ours; the report's is 128")
    lr: float = arg(1.5e-3, "highest learning rate, of ours; the report's is 1e-3")
    extractor: str = arg("attributes", "attributes or inception", choices=("attributes", "inception"))
    inception_weights: Path | None = arg(None, "torch-fidelity's InceptionV3, if it cannot be downloaded", metavar="FILE")
    classifier: Path | None = arg(None, "the classifier that judges (default: the shipped one)", metavar="FILE")
    device: str = arg("auto", "cpu, cuda, cuda:1, mps")
    out: Path = arg(Path("out/table1"), "folder for the models, their reports and table1.md", metavar="FOLDER")


def trained(config: TableConfig, name: str, faces: int) -> Path:
    """The run's folder, trained until it has seen all its faces. Raises UserError where it was begun with other settings."""
    folder = config.out / name
    settings = {"epochs": config.images / faces}
    if name != "report":
        settings |= {"batch_size": config.batch_size, "lr": config.lr}
    if runs.states(folder):
        saved = runs.read_config(folder)
        if changed := [key for key, value in settings.items() if saved.get(key) != value]:
            raise UserError(f"{folder} was trained with other {', '.join(changed)}: choose another --out")
        argv = ["--resume", str(folder), "--data-root", str(config.data_root)]
    else:
        argv = ["--data", "celeba", "--data-root", str(config.data_root), "--out", str(folder), *MODELS[name]]
        settings["save_every"] = max(1, KEPT // settings.get("batch_size", train.BY_PRESET["report"]["batch_size"]))
        argv += [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    if status := train.main([*argv, "--device", config.device]):
        raise UserError(f"the training in {folder} did not end (status {status}): the same command goes on with it")
    return folder


def measured(config: TableConfig, run: Path, how: list[str]) -> dict:
    """The evaluation's report of a run."""
    folder = config.out / "-".join([run.name, "report", *(word.strip("-") for word in how)])
    argv = ["--model", str(run), "--data-root", str(config.data_root), "--n", str(config.n), "--device", config.device, *how]
    argv += ["--each", str(config.each), "--steps", str(config.steps)]
    argv += ["--only", "quality,control", "--extractor", config.extractor, "--out", str(folder)]
    for flag, path in (("--inception-weights", config.inception_weights), ("--classifier", config.classifier)):
        argv += [flag, str(path)] if path else []
    if status := evaluate.main(argv):
        raise UserError(f"{run} could not be measured (status {status})")
    return json.loads((folder / "report.json").read_text())


def table(config: TableConfig, reports: dict[str, dict]) -> str:
    """Markdown: the models and the rulers beside what the report printed, and the differences in protocol."""
    first = next(iter(reports.values()))
    about, rows = first["about"], first["quality"]["rows"]
    keys = [key for key in rows[MODEL] if key not in ("pictures", "KID spread", "IS spread")]
    lines = [
        f"Each model saw {config.images:,} faces; ours {config.batch_size} a step, with a learning rate of {config.lr:g} at "
        "most, the report's 128 a step with 1e-3. "
        f"{rows[MODEL]['pictures']} pictures each, {about['sampler']} {about['steps']} steps, seed {about['seed']}; extractor "
        f"{about['extractor']} ({about['note']}); crop {about['crop']}; reference {about['reference']}. Obeyed: balanced "
        "accuracy over the attributes that are easiest to see.",
        "",
        f"| | guidance | {' | '.join(keys)} | obeyed, whole vectors | obeyed, asked alone | the report's FID / IS |",
        "|---" * (len(keys) + 5) + "|",
    ]
    for label, report in reports.items():
        figures = " | ".join(cell(report["quality"]["rows"][MODEL][key]) for key in keys)
        easy = report["control"]["means of the easiest to see"] if "control" in report else {}
        guidance = f"{report['about']['guidance']:g}" if easy else "-"
        obeyed = " | ".join(cell(easy.get(key)) for key in ("with a whole vector", "alone"))
        printed = " / ".join(f"{figure:g}" for figure in PRINTED.get(label, ()))
        lines.append(f"| {label} | {guidance} | {figures} | {obeyed} | {printed} |")
    for label, row in rows.items():
        if label != MODEL:
            lines.append(f"| {label} | | {' | '.join(cell(row[key]) for key in keys)} | | | |")
    return "\n".join([*lines, "", "What differs from the report's protocol: " + "; ".join(DIFFERENCES) + "."])


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(TableConfig, argv, (__doc__ or "").splitlines()[0])
    # What would be refused or missed after hours of training is so now.
    evaluate.EvaluateConfig(n=config.n, each=config.each, steps=config.steps, sampler="dpm", device=config.device)
    Schedule().timesteps(config.steps)
    faces, test = (len(open_data("celeba", config.data_root, split)) for split in ("train", "test"))
    if min(faces, test) < LEAST:
        raise UserError(f"{config.data_root} has {faces} training and {test} test pictures: both need at least {LEAST}")
    classifier = judge.load(config.classifier or "celeba64")
    if classifier.config.facts.get("crop", "center140") != "center140":
        raise UserError(f"the classifier {classifier.source} was trained with another crop than center140")
    extractors.find(config.extractor, classifier, config.inception_weights)
    files.check_folder(config.out)
    models = {name: trained(config, name, faces) for name in MODELS}
    text = table(config, {label: measured(config, models[name], how) for label, (name, how) in ROWS.items()})
    text += "\n\n" + ", ".join(f"{key} {value}" for key, value in machine(config.device).items()) + "\n"
    files.write(config.out / "table1.md", text.encode())
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
