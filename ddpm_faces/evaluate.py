"""`python -m ddpm_faces.evaluate --data-root FOLDER`: how good a model's images are, and how well it follows conditions.

A folder is written: report.md, report.json, images, and the samples, so that an interrupted call goes on where it was. The
reference is the test split of the data that the model was trained on, through the same crop.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ddpm_faces.evaluation.settings import EvaluateSettings
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(EvaluateSettings, argv, __doc__)
    from ddpm_faces.evaluation.run import evaluate

    return evaluate(settings)


if __name__ == "__main__":
    sys.exit(main())
