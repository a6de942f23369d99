"""`python -m ddpm_faces.evaluate --data-root FOLDER`: how good a model's pictures are, and how well it obeys.

Everything is written to a folder: report.md, report.json, pictures, and the samples, so that an interrupted call goes on where
it was. The reference is the test split of the data that the model was trained on, through the same crop.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ddpm_faces import checkpoint, cli, files, images
from ddpm_faces.cli import arg
from ddpm_faces.data import open_data
from ddpm_faces.errors import UserError
from ddpm_faces.evaluation.metrics import LEAST
from ddpm_faces.sample import Drawing, short_name

PARTS = ("quality", "control", "strips", "memorisation", "sweep")
DEFAULT = PARTS[:-1]
MOST = 100_000  # pictures
FACTS = ("guidance", "sampler", "steps")


@dataclass(kw_only=True)
class EvaluateConfig(Drawing):
    """The settings of `evaluate`."""

    data_root: Path = arg(Path("data"), "folder that holds the data set that the model was trained on")
    data: str | None = arg(None, "the data set (default: what the model says of itself)")
    n: int = arg(1000, "pictures")
    only: tuple[str, ...] = arg((), f"parts to do: {', '.join(PARTS)} (default: all but sweep)", metavar="PART")
    extractor: str | None = arg(None, "attributes or digits (the shipped classifier's features, the default), or inception")
    inception_weights: Path | None = arg(None, "torch-fidelity's InceptionV3, if it cannot be downloaded", metavar="FILE")
    classifier: Path | None = arg(None, "the classifier that judges (default: the shipped one)", metavar="FILE")
    each: int = arg(16, "pictures with and without, of each attribute asked alone")
    persons: int = arg(4, "strips of each attribute")
    sweep_n: int = arg(256, "pictures a point of the sweep")
    write_guidance: bool = arg(False, "after a sweep, write the guidance chosen into the model's file")
    out: Path | None = arg(None, "the report's folder (default out/evaluate-MODEL)", metavar="FOLDER")

    def __post_init__(self):
        super().__post_init__()
        for flag, value in (("--n", self.n), ("--sweep-n", self.sweep_n)):
            if not LEAST <= value <= MOST:
                raise UserError(
                    f"{flag} {value} is out of range: the statistics need at least {LEAST} pictures, at most {MOST}"
                )
        for flag, value in (("--each", self.each), ("--persons", self.persons)):
            if not 1 <= value <= 1000:
                raise UserError(f"{flag} {value} is out of range: 1 to 1000")
        self.only = tuple(word for given in self.only for word in given.split(",")) or DEFAULT
        for part in self.only:
            if part not in PARTS:
                raise UserError(f"no part '{part}': choose {', '.join(PARTS)}")
        if self.write_guidance and "sweep" not in self.only:
            raise UserError("--write-guidance takes the guidance from a sweep: add --only sweep")


def find_judge(config: EvaluateConfig, model: checkpoint.DiffusionModel):
    """The classifier for this model's pictures; UserError if there is none or it is for others."""
    from ddpm_faces import judge

    if config.classifier is not None:
        found = judge.load(config.classifier, config.device)
    else:
        known = (judge.load(name, config.device) for name in judge.shipped())
        fitting = [j for j in known if j.config.image == model.image_shape]
        if not fitting:
            raise UserError(
                f"no shipped classifier is for pictures of shape {model.image_shape}: train one with "
                "`python -m ddpm_faces.train_classifier` and give it as --classifier FILE"
            )
        found = fitting[0]
    if found.config.image != model.image_shape:
        raise UserError(f"the classifier {found.source} is for pictures of shape {found.config.image}, not {model.image_shape}")
    if model.names and found.names != model.names:
        raise UserError(f"the classifier {found.source} knows other names than {model.source}: it cannot judge it")
    return found


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(EvaluateConfig, argv, (__doc__ or "").splitlines()[0])
    model = config.load("celeba64")
    folder = config.out or Path("out") / f"evaluate-{short_name(model)}"
    files.check_folder(folder)
    facts = model.config.facts
    data, crop = config.data or str(facts.get("data", "celeba")), str(facts.get("crop", "center140"))
    judge = find_judge(config, model)
    size = 0 if data == "mnist" else model.image_shape[1]
    train, test = (open_data(data, config.data_root, split, crop, size) for split in ("train", "test"))
    if (model.names and test.names != model.names) or model.image_shape != test.image_shape:
        raise UserError(f"{model.source} draws other pictures, or knows other names, than {data} has: give --data")
    for split, store in (("training", train), ("test", test)):
        if len(store) < LEAST:
            raise UserError(f"the {split} split has {len(store)} pictures: the statistics need at least {LEAST}")
    if judge.config.facts.get("crop", crop) != crop:
        raise UserError(f"the classifier {judge.source} was trained with the crop {judge.config.facts['crop']}, not {crop}")

    from ddpm_faces.evaluation import control, detector, extractors, memorisation, quality, strips, sweep
    from ddpm_faces.evaluation.report import markdown, protocol
    from ddpm_faces.evaluation.samples import MEASURES, SampleCache, code_fingerprint
    from ddpm_faces.evaluation.suite import Part, Suite

    own = "digits" if judge.config.exclusive else "attributes"
    extractor = extractors.find(config.extractor or own, judge, config.inception_weights, config.device)
    options = {key: value for key, value in config.options(model).items() if key in FACTS}
    cache = SampleCache(model, folder / "samples", options, config.precision, config.batch_size)
    suite = Suite(
        cache, judge, extractor, train, test, config.n, config.seed,
        each=config.each, persons=config.persons, sweep_n=config.sweep_n,
    )  # fmt: skip
    measures = (quality.quality, control.control, strips.strips, memorisation.memorisation, sweep.sweep)
    parts: dict[str, Callable[[Suite], Part]] = dict(zip(PARTS, measures, strict=True))
    weights = [cache.identity, extractor.identity, extractors.fingerprint(judge.network), code_fingerprint(MEASURES)]
    whole, alone = (model.guidance, model.guidance_alone) if config.guidance is None else (config.guidance,) * 2
    about = {
        "model": short_name(model), "pictures": config.n, **options, "guidance": whole, "guidance alone": alone,
        "seed": config.seed, "precision": cache.precision, "each": config.each, "persons": config.persons,
        "extractor": extractor.name, "note": extractor.note,
        "classifier": Path(judge.source).name, "crop": crop if data == "celeba" else "none",
        "reference": f"{min(len(test), suite.reference)} of {data}'s test split",
        "fingerprints": [*weights, train.fingerprint, test.fingerprint],
    }  # fmt: skip
    command = ["python", "-m", "ddpm_faces.evaluate", *(sys.argv[1:] if argv is None else argv)]
    when = {"command": command, "date": datetime.now(UTC).strftime("%Y-%m-%d")}  # of each part, since a later call keeps it
    print(protocol(about))
    path = folder / "report.json"
    report: dict = {**earlier(path, about), "about": about, "left out": []}
    if "quality" in config.only and suite.shows_faces and not detector.available():
        report["left out"].append(detector.MISSING)
    for part in config.only:
        if reason := cannot(part, model):
            report["left out"].append(reason)
            print(f"left out: {reason}")
        else:
            found = parts[part](suite)
            report[part] = plain(found.numbers) | when
            for name, picture in found.pictures.items():
                images.save(picture, folder / name)
        files.write(path, json.dumps(report, indent=1).encode())  # what is done is there if the rest fails
    text = markdown(report)
    files.write(folder / "report.md", text.encode())
    print(text.partition("\n\n")[2])
    if config.write_guidance and "sweep" in report and "guidance chosen" in report["sweep"]:
        facts["guidance"] = report["sweep"]["guidance chosen"]
        facts.pop("guidance_alone", None)  # the sweep draws all with one scale
        print(f"{checkpoint.save(model.source, model)}: its guidance is {facts['guidance']:g} now, however much is asked")
        if Path(model.source).stem == "model":
            print(f"(`train --resume` would set it back: add --guidance {facts['guidance']:g} there)")
    print(f"{folder}: report.md, report.json, {', '.join(sorted(p.name for p in folder.glob('*.png')))}")
    return 0


def earlier(path: Path, about: dict) -> dict:
    """The parts of a report that was made the same way before, so that a call for one part keeps the others."""
    try:
        report = json.loads(path.read_text())
        same = all(report["about"].get(key) == value for key, value in about.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}  # none yet, or not one of ours: it is made anew
    return {part: report[part] for part in PARTS if part in report} if same else {}


def plain(numbers: Any) -> Any:
    """The same for JSON, which knows no NaN: what could not be measured is null."""
    if isinstance(numbers, dict):
        return {str(key): plain(value) for key, value in numbers.items()}
    if isinstance(numbers, (list, tuple)):
        return [plain(value) for value in numbers]
    return None if isinstance(numbers, float) and math.isnan(numbers) else numbers


def cannot(part: str, model: checkpoint.DiffusionModel) -> str:
    """Why this part cannot be had of this model, or nothing."""
    if part in ("control", "strips") and not model.names:
        return f"{part}: an unconditional model can be asked for nothing"
    return ""


if __name__ == "__main__":
    sys.exit(main())
