"""`python -m benchmarks.table1 --data-root FOLDER`: the report's Table 1, conditional against unconditional, made again.

Three models see the same number of faces: ours with attributes, ours without, and the report's own network by its own recipe;
each is measured the same way by `ddpm_faces.evaluate`. On two cores an hour for each 60,000 faces of ours, and six of the
report's; what is done is kept in --out, and a second call goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine
from ddpm_faces import cli, evaluate, files, runs, train
from ddpm_faces.cli import arg
from ddpm_faces.data import open_data
from ddpm_faces.errors import UserError
from ddpm_faces.evaluation.report import cell

ROWS = {
    "unconditional": ["--unconditional"],
    "conditional": [],
    "report": ["--preset", "report"],
}
LABELS = {"unconditional": "ours, unconditional", "conditional": "ours, conditional", "report": "the report's, conditional"}
PRINTED = {"unconditional": (5.268, 3.425), "report": (4.356, 3.409)}  # FID and IS, in its Table 1
DIFFERENCES = (
    "the report trained 12 epochs of 162,770 faces (1.95 million), with a batch of 128",
    "its FID and IS are by Inception features, of an unstated number of pictures against an unstated subset",
    "its pictures are the whole 178x218 squashed to a square, ours the crop that is named above",
    "its guidance is none: it never hid a condition in training; ours is drawn at the guidance that is named",
)


@dataclass(kw_only=True)
class TableConfig:
    """The settings of `benchmarks.table1`."""

    data_root: Path = arg(Path("data"), "folder that holds CelebA")
    images: int = arg(60_000, "faces that each model sees")
    n: int = arg(1000, "pictures to measure")
    batch_size: int = arg(32, "faces a step")
    lr: float = arg(1e-3, "highest learning rate, of all three")
    extractor: str = arg("attributes", "attributes or inception", choices=("attributes", "inception"))
    inception_weights: Path | None = arg(None, "torch-fidelity's InceptionV3, if it cannot be downloaded", metavar="FILE")
    device: str = arg("auto", "cpu, cuda, cuda:1, mps")
    out: Path = arg(Path("out/table1"), "folder for the models, their reports and table1.md", metavar="FOLDER")


def trained(config: TableConfig, name: str, faces: int) -> Path:
    """The run's folder, trained until it has seen all its faces."""
    folder = config.out / name
    if runs.states(folder):
        status = train.main(["--resume", str(folder), "--device", config.device])
    else:
        status = train.main(
            [
                "--data", "celeba", "--data-root", str(config.data_root), "--out", str(folder), "--device", config.device,
                "--batch-size", str(config.batch_size), "--epochs", str(config.images / faces), "--lr", str(config.lr),
                *ROWS[name],
            ]
        )  # fmt: skip
    if status:
        raise UserError(f"the training in {folder} did not end (status {status}): the same command goes on with it")
    return folder


def measured(config: TableConfig, name: str, run: Path) -> dict:
    """The evaluation's report of a run."""
    folder = config.out / f"{name}-report"
    argv = ["--model", str(run), "--data-root", str(config.data_root), "--n", str(config.n), "--device", config.device]
    argv += ["--only", "quality,control", "--extractor", config.extractor, "--out", str(folder)]
    if config.inception_weights is not None:
        argv += ["--inception-weights", str(config.inception_weights)]
    if status := evaluate.main(argv):
        raise UserError(f"{run} could not be measured (status {status})")
    return json.loads((folder / "report.json").read_text())


def table(reports: dict[str, dict]) -> str:
    """Markdown: the three models and the rulers beside what the report printed, and the differences in protocol."""
    first = next(iter(reports.values()))
    about = first["about"]
    lines = [
        f"{about['pictures']} pictures each, {about['sampler']} {about['steps']} steps, seed {about['seed']}; extractor "
        f"{about['extractor']} ({about['note']}); crop {about['crop']}; reference {about['reference']}.",
        "",
        "| | guidance | FID | KID | precision | recall | obeyed (balanced) | the report's FID / IS |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = ("FID", "KID", "precision", "recall")
    for name, report in reports.items():
        row, control = report["quality"]["rows"]["the model"], report.get("control")
        figures = " | ".join(cell(row[key]) for key in keys)
        obeyed = cell(control["means of the easiest to see"]["alone"]) if control else "-"
        printed = "{} / {}".format(*PRINTED[name]) if name in PRINTED else ""
        lines.append(f"| {LABELS[name]} | {report['about']['guidance']:g} | {figures} | {obeyed} | {printed} |")
    for label, row in first["quality"]["rows"].items():
        if label != "the model":
            lines.append(f"| {label} | | {' | '.join(cell(row[key]) for key in keys)} | | |")
    return "\n".join([*lines, "", "What differs from the report's protocol: " + "; ".join(DIFFERENCES) + "."])


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(TableConfig, argv, (__doc__ or "").splitlines()[0])
    files.check_folder(config.out)
    faces = len(open_data("celeba", config.data_root, "train"))
    reports = {name: measured(config, name, trained(config, name, faces)) for name in ROWS}
    text = table(reports) + "\n\n" + ", ".join(f"{k} {v}" for k, v in machine(config.device).items()) + "\n"
    files.write(config.out / "table1.md", text.encode())
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
