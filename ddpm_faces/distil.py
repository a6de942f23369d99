"""Distil a model into a student that samples in a few network calls: `python -m ddpm_faces.distil --model celeba64 --steps 4`.

No data is needed: the student learns from its teacher alone. Ctrl-C stops with a saved state, and `--resume` goes on there.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from ddpm_faces.training.config import DistilSettings
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(DistilSettings, argv, __doc__)
    from ddpm_faces.training.distil_run import run

    ended = run(settings)
    folder = shlex.quote(str(ended.folder))
    print(f"{ended.folder}: {ended.images:,} of {ended.total:,} images; model.safetensors samples in {settings.steps} calls")
    print(f"sample from it with: python -m ddpm_faces.sample --model {folder}")
    if ended.images < ended.total:
        again = f"--model {shlex.quote(settings.model)} --steps {settings.steps} --out {folder} --resume"
        print(f"go on with: python -m ddpm_faces.distil {again}")
    return 128 + ended.received if ended.received else 0


if __name__ == "__main__":
    sys.exit(main())
