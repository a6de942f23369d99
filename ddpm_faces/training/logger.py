"""What a training leaves while it goes: states, the loss curve, sample grids, TensorBoard, the bar; and it notices divergence.

A state is saved before anything that only shows something, and what only shows something may fail: that is told once, and
training goes on. Losses are tensors that nobody reads until a row is due, so that the loop never waits for the device.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ddpm_faces.data.dataset import Dataset, batch_indices
from ddpm_faces.models.model import Config, DiffusionModel
from ddpm_faces.training import run_folder
from ddpm_faces.training.loop import Record, TrainState
from ddpm_faces.training.run_folder import Progress
from ddpm_faces.utils import files
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator


class RunningLoss:
    """The mean loss since the last row of the curve, whatever was saved and resumed in between.

    pending: (sum, number) of the losses since that row, as a state holds them.
    """

    def __init__(self, accelerator: Accelerator, pending: tuple[float, int] = (0.0, 0)):
        self.accelerator = accelerator
        self.total, self.count = pending
        self.unread: list[Record] = []

    def add(self, record: Record) -> None:
        """Keep a step's loss for the next `read`; a skipped step has none."""
        if not record.skipped:
            self.unread.append(record)

    def read(self) -> int | None:
        """Take in what was added, averaged over the processes; returns the first step whose loss is not finite, if any."""
        if not self.unread:
            return None
        reduced: Any = self.accelerator.reduce(torch.stack([record.loss for record in self.unread]), "mean")
        steps, self.unread = [record.step for record in self.unread], []
        for step, value in zip(steps, reduced.tolist(), strict=True):
            if not math.isfinite(value):
                return step
            self.total, self.count = self.total + value, self.count + 1
        return None

    def row(self) -> float:
        """The mean of all that was read, which then starts anew; NaN if every step was skipped."""
        mean = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0
        return mean


class RunLogger:
    """Keeps a run's folder while `train` runs. Only the main process writes; all take part, since they share the losses.

    progress: that of the state that was resumed from, or None for a fresh run. saved: the step of the last saved state.
    unread: whether the output was closed, so that nobody sees any more what is shown.
    """

    def __init__(
        self, folder: Path, state: TrainState, model: Config, dataset: Dataset, total: int, progress: Progress | None = None
    ):
        from tqdm import tqdm

        self.folder, self.state, self.model, self.dataset, self.total = folder, state, model, dataset, total
        self.accelerator, self.main = state.accelerator, state.accelerator.is_main_process
        self.minutes = progress.minutes if progress else 0.0
        self.losses = RunningLoss(self.accelerator, progress.pending if progress else (0.0, 0))
        self.rows = [row for row in run_folder.read_losses(folder) if row["step"] <= state.step]
        self.started, self.saved = time.monotonic(), state.step
        self.unread, self.failed = False, set[str]()
        self.restart_clock()
        hidden = not self.main or sys.stderr is None
        self.bar = tqdm(total=total, initial=state.step, unit="step", disable=hidden, dynamic_ncols=True)

    def __enter__(self) -> RunLogger:
        if self.main:
            with self.showing("TensorBoard"):
                self.accelerator.init_trackers("tensorboard")
        return self

    def __exit__(self, *_: object) -> None:
        with self.showing("the progress bar"):
            self.bar.close()

    @contextmanager
    def showing(self, what: str) -> Iterator[None]:
        """Around what only shows something: its first failure is told, and training goes on."""
        try:
            yield
        except BrokenPipeError:
            self.unread = True
        except Exception as error:
            if what not in self.failed:
                with suppress(Exception):
                    self.bar.clear()
                tell(f"warning: {what} failed ({type(error).__name__}: {error}); training goes on")
            self.failed.add(what)

    @property
    def seconds(self) -> float:
        """Since this process began to train."""
        return time.monotonic() - self.started

    def restart_clock(self) -> None:
        """Count the speed in the next row from now on: what was done in between is not training."""
        self.since, self.steps_since = time.monotonic(), 0

    def note(self, record: Record, every: int) -> None:
        """Take in a step; every so many, and after the last, add a row to the curve. Raises UserError on divergence."""
        self.losses.add(record)
        self.steps_since += 1
        with self.showing("the progress bar"):
            self.bar.update()
        if record.skipped:
            where = self._write_bad(record.step)
            if self.main:
                with self.showing("the progress bar"):
                    self.bar.write(f"step {record.step} left out: its loss or gradient is not finite ({where})", sys.stderr)
        if record.step % every == 0 or record.step == self.total:
            self.check()
            self._add_row(record)

    def _add_row(self, record: Record) -> None:
        speed = self.steps_since * self.state.recipe.batch_size / max(time.monotonic() - self.since, 1e-9)
        self.restart_clock()
        mean = self.losses.row()
        if math.isnan(mean):
            return
        row = (record.step, record.images_seen, round(mean, 6), round(record.lr, 8), round(speed, 1))
        self.rows.append(dict(zip(run_folder.COLUMNS, row, strict=True)))
        with self.showing("TensorBoard"):
            self.accelerator.log({"loss": mean, "lr": record.lr, "images_per_second": speed}, step=record.step)
        with self.showing("the progress bar"):
            self.bar.set_postfix(loss=f"{mean:.4f}", img_s=f"{speed:.0f}")

    def check(self) -> None:
        """Raises UserError if a loss was not finite, having written down the images of that step."""
        step = self.losses.read()
        if step is not None:
            raise UserError(f"the loss is not a number at step {step} ({self._write_bad(step)}); {self._advice()}")

    def save(self) -> None:
        """Write a state and the loss curve. Raises UserError rather than save weights that are not finite."""
        self.check()
        step = self.state.step
        if not self.state.finite():
            raise UserError(f"the weights are no longer numbers at step {step}; {self._advice()}")
        tensors, numbers = self.state.state_dict()
        minutes = round(self.minutes + self.seconds / 60, 2)
        seen: dict[str, Any] = {"step": step, "images_seen": step * self.state.recipe.batch_size, "minutes": minutes}
        self.model = self.model.model_copy(update={"facts": self.model.facts.model_copy(update=seen)})
        if self.main:
            with self.showing("loss.csv"):  # before the state, so that no row is missing where training goes on
                run_folder.write_losses(self.folder, self.rows)
            pending = (self.losses.total, self.losses.count)
            progress = Progress(**numbers | seen, pending=pending, data=run_folder.describe_data(self.dataset))
            run_folder.save_state(self.folder, tensors, self.model, progress)
            with self.showing("loss.png"):
                run_folder.plot_losses(self.folder, self.rows)
        self.saved = step

    def sample(self, precision: str = "auto") -> None:
        """samples/step-N.png: sixteen images from the averaged weights, from the same noise and conditions every time."""
        if self.main:
            with self.showing("a sample grid"):
                self._sample(precision)
        self.restart_clock()

    def _sample(self, precision: str) -> None:
        from ddpm_faces.generation.generate import generate
        from ddpm_faces.utils import images

        labels, step = self.model.labels, self.state.step
        if labels.one_hot:
            conditions = labels.one_hot_vectors([i % len(labels) for i in range(16)])
        else:
            conditions = torch.from_numpy(self.dataset.conditions[:16]).float()
        model = DiffusionModel(self.state.ema.module, self.model, str(self.folder / "model.safetensors"))
        samples = generate(model, conditions, seed=0, precision=precision)
        title = f"{model.name}, step {step}, {step * self.state.recipe.batch_size:,} images seen"
        images.write_image(images.grid(samples, 8, title=title), self.folder / "samples" / f"step-{step:08d}.png")

    def _advice(self) -> str:
        other = "a lower lr, or precision no"
        if not run_folder.states(self.folder):
            return f"no state was saved before it: start again with skip_bad_steps 10, or {other}"
        more = self.state.skipped + 10
        return f"the last state is from before: resume {self.folder} with skip_bad_steps {more}, or {other}"

    def _write_bad(self, step: int) -> str:
        """bad-step-N.json: the images of that step, by index in the dataset and by name. Returns where it is written."""
        indices = batch_indices(len(self.dataset), self.state.recipe.batch_size, step - 1, self.state.recipe.seed)
        facts = {"step": step, "pictures": [{"index": int(i), "name": self.dataset.name(int(i))} for i in indices]}
        path = self.folder / f"bad-step-{step}.json"
        if self.main:
            with self.showing(path.name):
                files.write(path, json.dumps(facts, indent=1).encode())
        return f"its images are listed in {path}"
