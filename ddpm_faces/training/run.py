"""A training from its settings to its end: a new run, a resumed one, or one that begins with a trained model."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ddpm_faces.data import fetch, open_dataset
from ddpm_faces.data.dataset import Dataset
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.training import run_folder
from ddpm_faces.training.accelerator import StopSignal, agreed, make_accelerator, quiet_threads
from ddpm_faces.training.config import TrainSettings
from ddpm_faces.training.logger import RunLogger
from ddpm_faces.training.loop import train
from ddpm_faces.training.plan import planned
from ddpm_faces.training.start import Start, check_names, model_config, start, with_conditions
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.memory import is_out_of_memory
from ddpm_faces.utils.threads import use_threads

if TYPE_CHECKING:
    from accelerate import Accelerator

SIGPIPE = 13  # a system without it may still close the output


class Ended(NamedTuple):
    """How a training ended: its folder, the steps that it was to go from and to, and how far it came.

    received: the signal that stopped it, or 0. main: whether this is the one process that tells the user.
    """

    folder: Path
    first: int
    step: int
    total: int
    received: int
    main: bool

    @property
    def status(self) -> int:
        """The exit status: 0, or as a shell reports a signal."""
        return 128 + self.received if self.received else 0


def run(settings: TrainSettings) -> Ended:
    """Train until the end of the schedule or a reason to stop, always with a saved state. Raises UserError.

    Ctrl-C, SIGTERM, SIGHUP, a closed output, max_steps and max_minutes stop the training; SIGUSR1 saves, and it goes on.
    """
    check_names(settings)
    if settings.resume is None:
        _refuse_a_second_run(settings.folder)
    accelerator = make_accelerator(settings.device, settings.precision, settings.folder)
    if accelerator.is_main_process:  # the only one to write there
        files.check_folder(settings.folder)  # before the data set is fetched, which may take an hour
    threads = use_threads(settings.threads)  # kept with the run, since the last bits of its sums depend on the number
    settings = settings.model_copy(update={"threads": threads})
    dataset = _open(settings, accelerator)
    if settings.resume is None:
        model_config(settings, dataset)  # refuses what does not fit, before anything is written
    with quiet_threads(), run_folder.hold(settings.folder) if accelerator.is_main_process else nullcontext():
        try:
            if settings.minutes is not None and settings.resume is None:
                settings = planned(settings, accelerator, dataset)
            return _run(settings, accelerator, dataset)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"out of memory with batch_size {settings.batch_size}: start again with half of it in another folder; what "
                f"was saved in {settings.folder} is intact, and can be resumed where there is more memory"
            ) from None


def _refuse_a_second_run(folder: Path) -> None:
    if run_folder.states(folder) or (folder / "model.safetensors").exists():
        raise UserError(f"{folder} already holds a run: resume it, or choose another folder (out)")


def _open(settings: TrainSettings, accelerator: Accelerator) -> Dataset:
    """The data set, fetched if that was asked for; one process does the work while the others wait."""
    with accelerator.local_main_process_first():
        if settings.download and accelerator.is_local_main_process:
            fetch(settings.data, settings.data_root)
        wanted = (settings.data, settings.data_root, "train", settings.crop, settings.size, settings.table)
        return with_conditions(open_dataset(*wanted), settings)


def _run(settings: TrainSettings, accelerator: Accelerator, dataset: Dataset) -> Ended:
    if settings.resume is None:
        _refuse_a_second_run(settings.folder)  # again, now that nobody else can begin one
    total = settings.total_steps(len(dataset))
    begun = start(settings, accelerator, dataset, total)
    state, first = begun.state, begun.state.step
    if accelerator.is_main_process:
        described = settings.model_dump(mode="json")
        described["data_root"] = str(settings.data_root.absolute())  # so that the run can be resumed from any folder
        described["table"] = None if settings.table is None else str(settings.table.absolute())
        run_folder.write_config(settings.folder, described, {"fingerprint": dataset.fingerprint, "pictures": len(dataset)})
        print(_first_line(settings, begun, dataset, total))
    until = total if settings.max_steps is None else min(total, settings.max_steps)
    with StopSignal() as stop, RunLogger(settings.folder, state, begun.model, dataset, total, begun.progress) as logger:
        for record in train(state, dataset, Schedule(settings.schedule, settings.schedule_steps), until):
            logger.note(record, settings.log_every)
            late = settings.max_minutes is not None and logger.seconds > 60 * settings.max_minutes
            ended, save = agreed(accelerator, record.step, bool(stop.received) or logger.unread or late, stop.save)
            ended = ended or record.step == until
            if ended or save or record.step - logger.saved >= settings.save_every:
                logger.save()
                stop.save = stop.save and not save
            if settings.sample_every and (ended or record.step % settings.sample_every == 0):
                logger.sample(settings.precision)
            if ended:
                break
        with logger.showing("TensorBoard"):
            accelerator.end_training()
    received = stop.received or (SIGPIPE if logger.unread else 0)
    return Ended(settings.folder, first, state.step, total, received, accelerator.is_main_process)


def _first_line(settings: TrainSettings, begun: Start, dataset: Dataset, total: int) -> str:
    state = begun.state
    count = sum(p.numel() for p in state.network.parameters())
    many, device = state.accelerator.num_processes, state.accelerator.device
    where = f"{many} x {device.type}" if many > 1 else str(device)
    return (
        f"{settings.folder}: {settings.preset}, {count / 1e6:.2f}M parameters, {len(dataset):,} images, steps {state.step} to "
        f"{total} of {settings.batch_size} on {where} ({state.accelerator.mixed_precision})"
    )
