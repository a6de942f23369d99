"""SIGKILL at any moment costs no more than the steps since the last save, and changes neither weights nor curve."""

from __future__ import annotations

import random
import re
import threading
import time
from pathlib import Path

import torch
from conftest import TRAIN, train_process

from ddpm_faces.train import main
from ddpm_faces.training import run_folder

SAVE_EVERY = int(TRAIN[TRAIN.index("--save-every") + 1])


class Watched:
    """A training process and the last step that its bar has shown."""

    def __init__(self, argv: list[str]):
        self.process, self.error, self.step = train_process(*argv), "", 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while text := self.process.stderr.read(1):
            self.error += text
            if text == "[" and (found := re.search(r"(\d+)/\d+ \[$", self.error[-40:])):
                self.step = int(found[1])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def being_written(run: Path) -> list[Path]:
    return list((run / "states").glob(".*.part"))


def test_killed_at_random_moments_and_in_the_middle_of_a_write(celeba, tmp_path, amount):
    kills, epochs = amount(2, 24), amount(40, 400)
    flags = [*TRAIN, "--data-root", str(celeba), "--epochs", str(epochs)]
    assert main([*flags, "--out", str(tmp_path / "whole")]) == 0
    run, rng = tmp_path / "run", random.Random(0)
    in_a_write = 0
    for k in range(kills):
        watched = Watched(["--resume", str(run)] if run_folder.states(run) else [*flags, "--out", str(run)])
        first, until = None, time.monotonic() + 120
        moment = rng.randrange(12)
        while watched.process.poll() is None and time.monotonic() < until:
            if watched.step and first is None:
                first = watched.step
            if k % 2 and first and being_written(run):  # every other one, in the middle of a checkpoint's write
                break
            if k % 2 == 0 and first and watched.step >= first + moment:
                break
            time.sleep(0.001)
        watched.kill()
        assert first is not None and "Traceback" not in watched.error, watched.error
        assert watched.process.returncode == -9, "it was to be killed before its end: more epochs"
        in_a_write += bool(being_written(run))
        if newest := run_folder.states(run):
            saved = run_folder.latest_state(run)[2].step
            assert saved > watched.step - SAVE_EVERY - 1, (saved, watched.step)
            if k % 5 == 4 and len(newest) > 1:  # and now and then the newest state is damaged on top of it
                content = newest[0].read_bytes()
                newest[0].write_bytes(content[: rng.randrange(len(content))])
    assert in_a_write or kills < 10, "no kill hit a write"

    assert main(["--resume", str(run)] if run_folder.states(run) else [*flags, "--out", str(run)]) == 0
    whole, parts = (run_folder.latest_state(tmp_path / name) for name in ("whole", "run"))
    assert whole[2].step == parts[2].step == 2 * epochs
    for name, tensor in whole[0].items():
        assert torch.equal(parts[0][name], tensor), name
    curves = [[(r["step"], r["loss"], r["lr"]) for r in run_folder.read_losses(tmp_path / n)] for n in ("whole", "run")]
    assert curves[0] == curves[1]
    assert not list(run.rglob("*.part")) and len(run_folder.states(run)) == 2
