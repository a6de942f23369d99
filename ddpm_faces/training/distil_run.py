"""A distillation from its settings to its end: a student's folder that is saved on the way, stopped and resumed as a run is."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from ddpm_faces.models.checkpoint import find, load
from ddpm_faces.models.model import Config, DiffusionModel
from ddpm_faces.training import run_folder
from ddpm_faces.training.accelerator import StopSignal, make_accelerator
from ddpm_faces.training.config import DistilSettings
from ddpm_faces.training.distillation import Plan, distil, plausible_conditions
from ddpm_faces.training.loop import Record, Saved, TrainState
from ddpm_faces.training.run_folder import Progress
from ddpm_faces.utils import files
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.plugins import import_modules
from ddpm_faces.utils.threads import use_threads

POOL = 4_096  # conditions that are drawn from
TRIED = 3  # batches that measure the pace
SHARE = 0.95  # of the time given: states and sample grids take the rest


class Distilled(NamedTuple):
    """How a distillation ended: its folder, how many images of how many were sampled, and the signal that stopped it, or 0."""

    folder: Path
    images: int
    total: int
    received: int


def run(settings: DistilSettings) -> Distilled:
    """Distil until all images are sampled or a signal stops it, always with a saved state. Raises UserError."""
    import_modules(settings.import_)
    folder = settings.folder
    if (run_folder.states(folder) != []) != settings.resume:
        raise UserError(
            f"{folder} has no state to go on from: leave --resume out" if settings.resume else
            f"{folder} already holds a student: go on with --resume, or choose another folder (out)"
        )  # fmt: skip
    accelerator = make_accelerator(settings.device, settings.precision, folder)
    if accelerator.num_processes > 1:
        raise UserError("a distillation runs in one process: start it without `accelerate launch`")
    use_threads(settings.threads)
    files.check_folder(folder)
    teacher = load(settings.model, accelerator.device)
    try:
        plan = Plan.make(teacher.schedule, settings.steps, settings.substeps)
    except ValueError as error:
        raise UserError(str(error)) from None
    pool = plausible_conditions(teacher, POOL)
    with run_folder.hold(folder):
        if settings.resume:
            tensors, config, progress = run_folder.latest_state(folder)
            if progress.data != _describe(settings, teacher):
                raise UserError(f"{folder} was distilled from another teacher, or in other steps: choose another folder (out)")
            images = int(run_folder.read_config(folder)["images"])
        else:
            tensors, config, progress = {}, _student(settings, teacher), None
            images = _planned(settings, teacher, plan, pool) if settings.minutes else settings.images
            described = settings.model_copy(update={"images": images}).model_dump(mode="json")
            run_folder.write_config(folder, described, {"teacher": teacher.source})
        batches = max(1, images // settings.batch_size)
        saved = Saved(tensors, progress.model_dump()) if progress else None
        state = TrainState.new(_network(settings, teacher), settings.recipe(), accelerator, batches * settings.steps, saved)
        with StopSignal() as stop:
            _follow(settings, state, teacher, plan, pool, batches, config, progress, stop)
    return Distilled(folder, state.step // settings.steps * settings.batch_size, batches * settings.batch_size, stop.received)


def _follow(
    settings: DistilSettings, state: TrainState, teacher: DiffusionModel, plan: Plan, pool: torch.Tensor, batches: int,
    config: Config, progress: Progress | None, stop: StopSignal,
) -> None:  # fmt: skip
    """Distil, and keep the folder: the curve, the states, a sample grid at each state."""
    rows = [row for row in run_folder.read_losses(settings.folder) if row["step"] <= state.step]
    before, began, since = progress.minutes if progress else 0.0, time.monotonic(), time.monotonic()
    losses: list[Record] = []
    bar = tqdm(total=batches * settings.steps, initial=state.step, unit="update", dynamic_ncols=True)
    for record in distil(state, teacher, plan, pool, batches):
        losses.append(record)
        bar.update()
        whole, batch = record.step % settings.steps == 0, record.step // settings.steps
        if not whole or not (stop.received or stop.save or batch % settings.save_every == 0 or batch == batches):
            continue
        mean, stop.save = float(torch.stack([r.loss for r in losses]).mean()), False
        if mean != mean or not state.finite():
            raise UserError(f"the loss is not a number at step {record.step}; try a lower lr, or precision no")
        speed = len(losses) / settings.steps * settings.batch_size / max(time.monotonic() - since, 1e-9)
        row = (record.step, record.images_seen, round(mean, 6), round(record.lr, 8), round(speed, 1))
        rows.append(dict(zip(run_folder.COLUMNS, row, strict=True)))
        bar.set_postfix(loss=f"{mean:.4f}", img_s=f"{speed:.0f}")
        minutes = round(before + (time.monotonic() - began) / 60, 2)
        _save(settings, state, config, rows, minutes, teacher)
        losses, since = [], time.monotonic()
        if stop.received:
            break
    bar.close()


def _save(
    settings: DistilSettings, state: TrainState, config: Config, rows: list[dict[str, float]], minutes: float,
    teacher: DiffusionModel,
) -> None:  # fmt: skip
    from ddpm_faces.generation.generate import generate
    from ddpm_faces.utils import images

    folder, (tensors, numbers) = settings.folder, state.state_dict()
    seen = {"step": state.step, "images_seen": state.step // settings.steps * settings.batch_size, "minutes": minutes}
    config = config.model_copy(update={"facts": config.facts.model_copy(update=seen)})
    run_folder.write_losses(folder, rows)
    progress = Progress(**numbers | seen, pending=(0.0, 0), data=_describe(settings, teacher))
    run_folder.save_state(folder, tensors, config, progress)
    student = DiffusionModel(state.ema.module, config, str(folder / "model.safetensors"))
    title = f"{student.name}, {settings.steps} calls, {seen['images_seen']:,} images sampled"
    with _showing("the loss curve"):
        run_folder.plot_losses(folder, rows, "loss (mean difference of the clean image, in [-1, 1])")
    with _showing("the sample images"):
        drawn = generate(student, plausible_conditions(teacher, 16), seed=0, precision=settings.precision)
        images.write_image(images.grid(drawn, 8, title=title), folder / "samples" / f"step-{state.step:08d}.png")


@contextmanager
def _showing(what: str) -> Iterator[None]:
    """Around what only shows something, once the state is saved: a failure is told, and the distillation goes on."""
    try:
        yield
    except Exception as error:
        tell(f"warning: {what} failed ({type(error).__name__}: {error}); the state is saved")


def _student(settings: DistilSettings, teacher: DiffusionModel) -> Config:
    """The student's description: the teacher's, with guidance inside and its own sampler."""
    before = {"model": teacher.name, **teacher.config.facts.model_dump(exclude_none=True)}
    own = {"guidance": 1.0, "guidance_alone": None, "sampler": "few", "steps": settings.steps, "distilled_from": before}
    begun = None
    if settings.init_from is not None:
        given = load(settings.init_from)
        begun = {"model": given.name, **given.config.facts.model_dump(exclude_none=True, exclude={"distilled_from"})}
    own |= {"step": None, "images_seen": None, "minutes": None, "init_from": begun}
    facts = teacher.config.facts.model_copy(update=own)
    return teacher.config.model_copy(update={"facts": facts})


def _network(settings: DistilSettings, teacher: DiffusionModel) -> torch.nn.Module:
    """A trainable copy of the teacher's network, with the weights of --init-from if that is given."""
    network = copy.deepcopy(teacher.network).requires_grad_(True)
    if settings.init_from is not None:
        given = load(settings.init_from)
        if given.config.model_copy(update={"facts": teacher.config.facts}) != teacher.config:
            raise UserError(f"init_from {given.source}: its network is not that of the teacher, {teacher.source}")
        network.load_state_dict(given.network.state_dict())
    return network


def _describe(settings: DistilSettings, teacher: DiffusionModel) -> tuple[str, int]:
    """What a resumed distillation must find again: the teacher's weights, and the student's steps."""
    return files.digest(find(settings.model)), settings.steps


def _planned(settings: DistilSettings, teacher: DiffusionModel, plan: Plan, pool: torch.Tensor) -> int:
    """As many images as fit the minutes, by the pace of a few batches, whose training is thrown away."""
    accelerator = make_accelerator(settings.device, settings.precision, settings.folder)
    state = TrainState.new(_network(settings, teacher), settings.recipe(), accelerator, 1000)
    began = time.perf_counter()
    for record in distil(state, teacher, plan, pool, TRIED):
        record.loss.item()  # waits for the device
        if record.step == settings.steps:  # the first batch prepares kernels and memory
            began = time.perf_counter()
    pace = (time.perf_counter() - began) / (TRIED - 1)
    batches = max(1, round(SHARE * 60 * (settings.minutes or 0) / pace))
    images = batches * settings.batch_size
    a_second = settings.batch_size / pace
    print(f"{settings.folder}: about {settings.minutes:g} min here, {images:,} images at {a_second:.0f} a second")
    return images
