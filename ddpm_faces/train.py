"""Train a model, in a folder of its own: `python -m ddpm_faces.train --data celeba --data-root FOLDER`.

Ctrl-C, SIGTERM, SIGHUP (a closed terminal), a closed output, --max-minutes and --max-steps all stop with a saved state;
SIGUSR1 saves, and training goes on. `--resume RUN` goes on exactly there.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddpm_faces.training.config import TrainSettings
from ddpm_faces.utils.settings import command, from_flags, given

if TYPE_CHECKING:
    from ddpm_faces.training.run import Ended


@command
def main(argv: Sequence[str] | None = None) -> int:
    said = given(TrainSettings, argv, __doc__)
    from ddpm_faces.training.defaults import defaults
    from ddpm_faces.training.run import run

    settings = from_flags(TrainSettings, defaults(said) | said)
    ended = run(settings)
    if ended.main:
        print(summary(ended, settings.import_))
    return ended.status


def summary(ended: Ended, modules: Sequence[str]) -> str:
    """What was done, what is in the folder now, how to sample from it and how to go on."""
    from ddpm_faces.training.run_folder import read_losses

    folder, total = ended.folder, ended.total
    if ended.step == ended.first:
        return f"{folder}: nothing to do, step {ended.step} of {total} is reached; more --epochs or --max-steps train on"
    rows = read_losses(folder)
    loss = f", loss {rows[-1]['loss']:.4f}" if rows else ""
    there = [name for name in ("model.safetensors", "loss.csv", "loss.png", "samples", "states") if (folder / name).exists()]
    imports = "".join(f" --import {name}" for name in modules)
    lines = [f"{folder}: step {ended.step} of {total}{loss}; in it are {', '.join(there)}"]
    lines.append(f"sample from it with: python -m ddpm_faces.sample --model {shlex.quote(str(folder))}{imports}")
    if ended.step < total:
        stopped = "stopped by a signal; " if ended.received else ""
        lines.append(f"{stopped}go on with: python -m ddpm_faces.train --resume {shlex.quote(str(folder))}{imports}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
