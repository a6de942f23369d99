"""What a training writes down while it goes: the loss curve, TensorBoard, the bar, the states; and it notices divergence.

Losses are tensors that nobody reads until a row is due, so that the loop never waits for the device.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import torch

from ddpm_faces import checkpoint, files, runs
from ddpm_faces.data.store import Store, batch_indices
from ddpm_faces.errors import UserError
from ddpm_faces.training import Record, TrainState


class Losses:
    """The mean loss since the last row of the curve, whatever was saved and resumed in between.

    pending: (sum, number) of the losses since that row, as a state holds them.
    """

    def __init__(self, accelerator, pending: tuple[float, int] = (0.0, 0)):
        self.accelerator, self.total, self.count = accelerator, *pending
        self.unread: list[Record] = []

    def add(self, record: Record) -> None:
        if not record.skipped:
            self.unread.append(record)

    def read(self) -> int | None:
        """Take in what was added, averaged over the processes; returns the first step whose loss is no number, if any."""
        if not self.unread:
            return None
        values = self.accelerator.reduce(torch.stack([record.loss for record in self.unread]), "mean").tolist()
        steps, self.unread = [record.step for record in self.unread], []
        for step, value in zip(steps, values, strict=True):
            if not math.isfinite(value):
                return step
            self.total, self.count = self.total + value, self.count + 1
        return None

    def row(self) -> float:
        """The mean of all that was read, which then starts anew; NaN if every step was skipped."""
        mean = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0
        return mean


class Journal:
    """Keeps a run's folder while `train` runs. Only the main process writes; all take part, since the losses are shared.

    progress: what the state that was resumed from noted, or None for a fresh run.
    """

    def __init__(
        self, folder: Path, state: TrainState, model: checkpoint.Config, store: Store, total: int, progress: dict | None
    ):
        from tqdm import tqdm

        self.folder, self.state, self.model, self.store, self.total = folder, state, model, store, total
        self.accelerator, self.main = state.accelerator, state.accelerator.is_main_process
        self.minutes = progress["minutes"] if progress else 0.0
        self.losses = Losses(self.accelerator, tuple(progress["pending"]) if progress else (0.0, 0))
        self.rows = [row for row in runs.read_losses(folder) if row["step"] <= state.step]
        self.started, self.saved = time.monotonic(), state.step
        self.restart_clock()
        self.bar = tqdm(total=total, initial=state.step, unit="step", disable=not self.main, dynamic_ncols=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    @property
    def seconds(self) -> float:
        """Since this process began to train."""
        return time.monotonic() - self.started

    def restart_clock(self) -> None:
        """The speed in the next row is of the steps from now on: what was done in between is no training."""
        self.since, self.steps_since = time.monotonic(), 0

    def note(self, record: Record, every: int) -> None:
        """Take in a step; every so many, and after the last, add a row to the curve. Raises UserError on divergence."""
        self.losses.add(record)
        self.steps_since += 1
        self.bar.update()
        if record.skipped:
            where = self._write_bad(record.step)
            if self.main:
                self.bar.write(f"step {record.step} left out: its loss or gradient is not a number ({where})", sys.stderr)
        if record.step % every and record.step != self.total:
            return
        self.check()
        speed = self.steps_since * self.state.recipe.batch_size / max(time.monotonic() - self.since, 1e-9)
        self.restart_clock()
        mean = self.losses.row()
        if math.isnan(mean):
            return
        row = (record.step, record.images_seen, round(mean, 6), round(record.lr, 8), round(speed, 1))
        self.rows.append(dict(zip(runs.COLUMNS, row, strict=True)))
        self.accelerator.log({"loss": mean, "lr": record.lr, "images_per_second": speed}, step=record.step)
        self.bar.set_postfix(loss=f"{mean:.4f}", img_s=f"{speed:.0f}")

    def check(self) -> None:
        """Raises UserError if a loss was not a number, having written down which pictures it was made of."""
        step = self.losses.read()
        if step is None:
            return
        raise UserError(f"the loss is not a number at step {step} ({self._write_bad(step)}); {self._advice()}")

    def save(self) -> None:
        """Write a state and the loss curve. Raises UserError rather than save weights that are not numbers."""
        self.check()
        step = self.state.step
        if not self.state.finite():
            raise UserError(f"the weights are no longer numbers at step {step}; {self._advice()}")
        data = self.state.save()
        minutes = round(self.minutes + self.seconds / 60, 2)
        seen = {"step": step, "images_seen": step * self.state.recipe.batch_size, "minutes": minutes}
        self.model.facts.update(seen)
        if self.main:
            runs.write_losses(self.folder, self.rows)
            pending = [self.losses.total, self.losses.count]
            now = {**data.numbers, **seen, "pending": pending, "data": describe_data(self.store)}
            runs.save_state(self.folder, data.tensors, self.model, now)
        self.saved = step

    def _advice(self) -> str:
        other = "a lower --lr, or --precision no"
        if not runs.states(self.folder):
            return f"no state was saved before it: start again with --skip-bad-steps 10, or {other}"
        more = self.state.skipped + 10
        return f"the last state is from before: go on with --resume {self.folder} --skip-bad-steps {more}, or {other}"

    def _write_bad(self, step: int) -> str:
        """bad-step-N.json: the pictures of that step, by place in the store and by name. Returns where it is written."""
        indices = batch_indices(len(self.store), self.state.recipe.batch_size, step - 1, self.state.recipe.seed)
        facts = {"step": step, "pictures": [{"index": int(i), "name": self.store.name(int(i))} for i in indices]}
        path = self.folder / f"bad-step-{step}.json"
        if self.main:
            files.write(path, json.dumps(facts, indent=1).encode())
        return f"its pictures are listed in {path}"


def describe_data(store: Store) -> list:
    """What a resumed run must find again: the store's fingerprint and its number of pictures."""
    return [store.fingerprint, len(store)]
