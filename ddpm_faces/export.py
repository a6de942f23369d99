"""`python -m ddpm_faces.export --model celeba64 --out model.onnx`: a model's network for other runtimes than torch, as ONNX.

The file holds eps(x, t, c) and, in its metadata, the schedule and the names; docs/sample_onnx.py samples from it by numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ddpm_faces.models.export_settings import ExportSettings
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> None:
    settings = parse(ExportSettings, argv, __doc__)
    from ddpm_faces.models.checkpoint import load
    from ddpm_faces.models.onnx import difference_from_torch, export_onnx
    from ddpm_faces.utils import files
    from ddpm_faces.utils.plugins import import_modules

    import_modules(settings.import_)
    model = load(settings.model)
    path = settings.out or files.free_path(Path("out") / f"{model.name}.onnx")
    files.make_folder(path.parent)
    export_onnx(model, path)
    worst = difference_from_torch(model, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; eps differs from torch's by {worst:.1e} at most")


if __name__ == "__main__":
    sys.exit(main())
