"""Train the classifier that `evaluate` asks: `python -m ddpm_faces.train_classifier --data celeba --data-root FOLDER`.

It is trained on real images. How often it is right on the test split, by attribute or class, is printed and kept in its file.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddpm_faces.training.config import ClassifierSettings
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.settings import command, parse

if TYPE_CHECKING:
    from ddpm_faces.models.classifier_checkpoint import Classifier


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(ClassifierSettings, argv, __doc__)
    from ddpm_faces.models.classifier_checkpoint import save_classifier
    from ddpm_faces.training.classifier import train_classifier

    files.check_folder(settings.path.parent)
    if settings.path.exists():
        raise UserError(f"{settings.path} is there already: --out FILE writes another, or delete it")
    classifier = train_classifier(settings)
    print(table(classifier))
    save_classifier(settings.path, classifier)
    count, facts = sum(p.numel() for p in classifier.network.parameters()), classifier.config.facts["pictures"]
    trained, tested = facts["train"], facts["test"]
    print(f"\n{settings.path}: {count / 1e6:.2f}M parameters, trained on {trained:,} images, tested on {tested:,}")
    return 0


def table(classifier: Classifier) -> str:
    """How often the classifier is right: a line for each class, and their means."""
    facts = classifier.config.facts
    columns = [facts["scores"][name] for name in ("accuracy", "majority", "balanced", "present")]
    rows = dict(zip(classifier.names, zip(*columns, strict=True), strict=True)) | {"mean": tuple(map(mean, columns))}
    lines = [f"{'':24}{'accuracy':>10}{'always the more frequent':>26}{'balanced':>10}{'present':>10}"]
    for name, (accuracy, majority, balanced, present) in rows.items():
        lines.append(f"{name:24}{accuracy:10.3f}{majority:26.3f}{balanced:10.3f}{present:10.3f}")
    if "recognised" in facts:
        lines.append(f"recognised, of all: {facts['recognised']:.4f}")
    return "\n".join(lines)


def mean(values: Sequence[float]) -> float:
    """The mean of those that are defined; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


if __name__ == "__main__":
    sys.exit(main())
