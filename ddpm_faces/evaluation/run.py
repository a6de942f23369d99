"""An evaluation from settings to files: report.md, report.json, images, and the samples, which a later call takes up."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ddpm_faces.evaluation import PARTS
from ddpm_faces.evaluation.part import PartModule, load_part
from ddpm_faces.evaluation.prepare import describe, prepare
from ddpm_faces.evaluation.report import page, protocol
from ddpm_faces.evaluation.settings import EvaluateSettings
from ddpm_faces.evaluation.suite import Suite
from ddpm_faces.models import checkpoint
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import files, images
from ddpm_faces.utils.plugins import import_modules


@torch.no_grad()
def evaluate(settings: EvaluateSettings) -> int:
    """Measure the parts asked for, write the report and print it. Returns an exit status; raises UserError."""
    import_modules(settings.import_)  # which may register parts
    parts = {name: load_part(name) for name in settings.parts}
    suite = prepare(settings)
    about, folder = describe(suite), suite.folder
    possible = {name: part for name, part in parts.items() if suite.labels or not part.NEEDS_CONDITIONS}
    left_out = [f"{name}: an unconditional model can be asked for nothing" for name in parts if name not in possible]
    print(protocol(about))
    print(forecast(suite, possible.values()))

    report: dict[str, Any] = {**earlier(folder / "report.json", about), "about": about, "left out": left_out}
    how = {"command": command_line(settings), "date": datetime.now(UTC).strftime("%Y-%m-%d")}  # of this call's parts
    for name, part in possible.items():
        found = part.measure(suite)
        report[name] = plain(found.numbers) | how
        left_out += found.left_out
        save(folder, report)
        for file, image in found.images.items():
            images.write_image(image, folder / file)
    save(folder, report)

    text = words(report)
    files.write(folder / "report.md", text.encode())
    print(text.partition("\n\n")[2])
    if settings.write_guidance and "guidance chosen" in report["sweep"]:
        write_guidance(suite.model, report["sweep"]["guidance chosen"])
    print(f"{folder}: report.md, report.json, {', '.join(sorted(p.name for p in folder.glob('*.png')))}")
    return 0


def forecast(suite: Suite, parts: Iterable[PartModule]) -> str:
    """One line on what will be sampled, and on how to shorten it."""
    total, missing = suite.cache.count(request for part in parts for request in part.requests(suite))
    kept = f" ({total - missing:,} more were sampled before)" if missing < total else ""
    return (
        f"sampling {missing:,} images{kept}; --only PART does less, --n, --each, --persons and --sweep-n take fewer images; "
        "an interrupted call goes on where it was"
    )


def earlier(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The parts of a report that was made the same way before, so that a call for one part keeps the others."""
    try:
        report = json.loads(path.read_text())
        same = all(report["about"].get(key) == value for key, value in about.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}  # none yet, or not one of ours: it is made anew
    return {part: report[part] for part in PARTS if part in report} if same else {}


def command_line(settings: EvaluateSettings) -> str:
    """The command that says the same as these settings."""
    line = ["python", "-m", "ddpm_faces.evaluate"]
    for name in type(settings).model_fields:
        value, flag = getattr(settings, name), name.rstrip("_").replace("_", "-")
        if name in settings.model_fields_set and value is not None:
            if isinstance(value, bool):
                line += [f"--{flag}" if value else f"--no-{flag}"]
            else:
                line += [f"--{flag}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(line)


def plain(numbers: Any) -> Any:
    """The same for JSON, which knows no NaN: None stands for what could not be measured."""
    if isinstance(numbers, dict):
        return {str(key): plain(value) for key, value in numbers.items()}
    if isinstance(numbers, list | tuple):
        return [plain(value) for value in numbers]
    return None if isinstance(numbers, float) and math.isnan(numbers) else numbers


def save(folder: Path, report: dict[str, Any]) -> None:
    """Write report.json: what is done is there, should the rest fail."""
    files.write(folder / "report.json", json.dumps(report, indent=1).encode())


def words(report: dict[str, Any]) -> str:
    """The report in Markdown, from what report.json holds."""
    about = report["about"]
    found = [(load_part(name), report[name]) for name in PARTS if name in report]
    verdicts = [part.verdict(numbers) for part, numbers in found]
    return page(about, verdicts, [part.report(numbers, about) for part, numbers in found], report["left out"])


def write_guidance(model: DiffusionModel, guidance: float) -> None:
    """Write the guidance that a sweep chose into the model's file, for whole conditions and for single attributes alike."""
    facts = model.config.facts
    facts.guidance, facts.guidance_alone = guidance, None
    print(f"{checkpoint.save(model.source, model)}: its guidance is {guidance:g} now, however much is asked")
    if Path(model.source).stem == "model":
        print(f"(`train --resume` would set it back: add --guidance {guidance:g} there)")
