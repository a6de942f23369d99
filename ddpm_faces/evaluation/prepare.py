"""Before anything is sampled: the model, its data, and a classifier and an extractor that fit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ddpm_faces.data import find_source, open_dataset
from ddpm_faces.data.dataset import Dataset
from ddpm_faces.evaluation import LEAST
from ddpm_faces.evaluation.extractors import find_extractor
from ddpm_faces.evaluation.fingerprints import MEASURING, code_fingerprint, fingerprint
from ddpm_faces.evaluation.given import read_given
from ddpm_faces.evaluation.reference import REFERENCE
from ddpm_faces.evaluation.samples import SampleCache
from ddpm_faces.evaluation.settings import EvaluateSettings
from ddpm_faces.evaluation.suite import Suite
from ddpm_faces.models.classifier_checkpoint import find_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError

OPTIONS = ("guidance", "sampler", "steps")  # of `generate`, that the images depend on


def prepare(settings: EvaluateSettings) -> Suite:
    """All that an evaluation needs. Raises UserError where something is missing or does not fit."""
    model = settings.load("celeba64")
    folder = settings.out or Path("out") / f"evaluate-{settings.from_.stem if settings.from_ else model.name}"
    files.check_folder(folder)
    classifier = find_classifier(model, settings.classifier, settings.device)
    facts, options = model.config.facts, settings.options(model)
    data = settings.data or facts.data or "celeba"
    source = find_source(data)
    crop = (facts.crop or source.crops[0]) if source.crops else None
    known = classifier.config.facts.get("crop", crop)
    if source.crops and known != crop:
        raise UserError(f"the classifier {classifier.source} was trained with the crop {known}, not {crop}")
    cache = SampleCache(model, folder / "samples", {k: options[k] for k in OPTIONS}, settings.precision, settings.batch_size)
    if settings.from_ is not None:
        most = settings.n if "n" in settings.model_fields_set else None
        cache.given = read_given(files.expand(settings.from_), model.image_shape, most)
        settings = settings.model_copy(update={"n": len(cache.given)})
        cache.identity = hashlib.sha256(cache.given.tobytes()).hexdigest()[:12]
    return Suite(
        settings,
        cache,
        classifier,
        find_extractor(settings.extractor, classifier, settings.inception_weights, settings.device),
        data,
        source,
        crop,
        *(open_split(model, data, settings, split, crop) for split in ("train", "test")),
    )


def open_split(model: DiffusionModel, data: str, settings: EvaluateSettings, split: str, crop: str | None) -> Dataset:
    """A split with the conditions that the model knows. Raises UserError unless its images are the model's, and enough."""
    dataset = open_dataset(data, settings.data_root, split, crop, model.image_shape[1], settings.table)
    if dataset.image_shape != model.image_shape or not set(model.names) <= set(dataset.names):
        raise UserError(f"{model.source} makes other images, or knows other names, than {data} has: give --data")
    if len(dataset) < LEAST:
        raise UserError(f"the {split} split has {len(dataset)} images: the statistics need at least {LEAST}")
    return dataset.select(model.names)


def describe(suite: Suite) -> dict[str, Any]:
    """How the evaluation is made: a part of a report that was made otherwise is not kept."""
    settings, model, extractor = suite.settings, suite.model, suite.extractor
    given = settings.guidance
    weights = [suite.cache.identity, extractor.identity, fingerprint(suite.classifier.network)]
    return {
        "model": settings.from_.name if settings.from_ else model.name,
        "images": settings.n,
        "made elsewhere": settings.from_ is not None,
        **suite.cache.options,
        "guidance": model.guidance if given is None else given,
        "guidance alone": model.guidance_alone if given is None else given,
        "seed": settings.seed,
        "precision": suite.cache.precision,
        "each": settings.each,
        "persons": settings.persons,
        "extractor": extractor.name,
        "note": extractor.note,
        "caution": extractor.caution,
        "classifier": f"{Path(suite.classifier.source).name} ({suite.classifier.labels.kind})",
        "crop": suite.crop or "none",
        "reference": f"{min(len(suite.test), REFERENCE)} of {suite.data}'s test split",
        "fingerprints": [*weights, code_fingerprint(MEASURING), suite.train.fingerprint, suite.test.fingerprint],
    }
