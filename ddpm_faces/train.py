"""`python -m ddpm_faces.train --data celeba --data-root FOLDER`: train a model, in a folder of its own.

Ctrl-C, --max-minutes and --max-steps all stop with a saved state; `--resume RUN` goes on exactly there.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ddpm_faces import checkpoint, cli, files, runs
from ddpm_faces.attributes import one_hot
from ddpm_faces.beginning import NETWORKS, begin_with, fits, guidance_facts, new_model_config, shared_with
from ddpm_faces.cli import arg
from ddpm_faces.data import DATA, fetch, open_data
from ddpm_faces.data.celeba import CROPS
from ddpm_faces.devices import PRECISIONS
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.journal import Journal, describe_data
from ddpm_faces.memory import is_out_of_memory
from ddpm_faces.processes import StopSignal, agreed, make_accelerator, quiet_threads
from ddpm_faces.training import Recipe, Saved, TrainState, train

# What differs between the data sets; any flag overrides it.
BY_DATA: dict[str, dict] = {
    "celeba": {"preset": "celeba64", "flip": True, "epochs": 12.0},
    "mnist": {"preset": "mnist32", "flip": False, "epochs": 10.0, "p_each": 0.0},
    "toy": {"preset": "toy32", "flip": True, "epochs": 12.0},
    "toydigits": {"preset": "mnist32", "flip": False, "epochs": 10.0, "p_each": 0.0},
}
# What differs with the network: the report's comes with its own recipe, which knows no Gaussian and hides no condition.
BY_PRESET: dict[str, dict] = {
    "report": {
        "weighting": "uniform", "embedding": 5, "p_null": 0.0, "p_each": 0.0, "guidance": 1.0, "batch_size": 128, "lr": 1e-3,
        "warmup": 0, "flip": False, "clip": 0.0, "ema": 0.0, "precision": "no",
    }
}  # fmt: skip
# What a resumed run may not change, because the steps before it would not fit.
FIXED = (
    *("data", "preset", "crop", "unconditional", "embedding", "schedule", "schedule_steps"),
    *("batch_size", "seed", "flip", "weighting"),
)
NOT_INHERITED = ("resume", "download", "max_steps", "max_minutes", "out")


@dataclass(kw_only=True)
class TrainConfig(Recipe):
    """The settings of a run: the recipe, and where and how long."""

    data: str = arg("toy", "the data set", choices=DATA)
    data_root: Path = arg(Path("data"), "folder that holds the data set")
    download: bool = arg(False, "fetch the data set into --data-root if it is not there")
    preset: str = arg("toy32", "the network: toy32, mnist32, celeba64, or report (default: the data set's)")
    crop: str = arg("center140", "CelebA's crop: center140, box128, center148")
    unconditional: bool = arg(False, "no conditions at all: the baseline")
    embedding: int = arg(32, "channels that the conditions become")
    guidance: float = arg(3.0, "scale that the samples are drawn with, and the model's default for those who use it")
    guidance_alone: float | None = arg(None, "the same where one attribute alone is asked (default: as --guidance)")
    schedule: str = arg("cosine", "the noise schedule: cosine or linear")
    schedule_steps: int = arg(1000, "steps of the noise schedule")
    out: Path | None = arg(None, "the run's folder (default runs/PRESET)", metavar="FOLDER")
    resume: Path | None = arg(None, "go on with the run in this folder", metavar="FOLDER")
    init_from: str | None = arg(None, "begin with the weights of a shipped model, a run or a file", metavar="MODEL")
    max_steps: int | None = arg(None, "stop, saved, when this step is reached")
    max_minutes: float | None = arg(None, "stop, saved, after so many minutes")
    save_every: int = arg(250, "steps from one saved state to the next")
    sample_every: int = arg(1000, "steps from one sample grid to the next; 0 for none")
    log_every: int = arg(20, "steps from one row of the loss curve to the next")
    device: str = arg("auto", "cpu, cuda, cuda:1, mps")
    precision: str = arg("auto", "arithmetic: auto takes what the hardware does well", choices=PRECISIONS)

    def __post_init__(self):
        super().__post_init__()
        if self.preset not in NETWORKS:
            raise UserError(f"no preset '{self.preset}': choose {', '.join(NETWORKS)}")
        if self.preset == "report" and self.weighting == "unit":
            raise UserError("--weighting unit is for networks with a Gaussian, which the report's has not: uniform or snr+1")
        if self.crop not in CROPS:
            raise UserError(f"no crop '{self.crop}': choose {', '.join(CROPS)}")
        Schedule(self.schedule, self.schedule_steps)
        if self.save_every < 1 or self.log_every < 1 or self.sample_every < 0:
            raise UserError("--save-every and --log-every must be at least 1, --sample-every at least 0")
        for flag, scale in (("--guidance", self.guidance), ("--guidance-alone", self.guidance_alone)):
            if scale is not None and not -100 <= scale <= 100:
                raise UserError(f"{flag} {scale:g} is out of range: 0 ignores the condition, 1 is plain")
        if self.guidance_alone is not None and (self.unconditional or self.data in ("mnist", "toydigits")):
            raise UserError("--guidance-alone is for models of attributes: a digit says all that there is to say")
        if not 1 <= self.embedding <= checkpoint.LARGEST:
            raise UserError(f"--embedding {self.embedding} is outside 1 .. {checkpoint.LARGEST}")
        if (self.max_steps is not None and self.max_steps < 1) or (self.max_minutes is not None and not self.max_minutes > 0):
            raise UserError("--max-steps must be at least 1 and --max-minutes above 0")

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / (self.preset + ("-unconditional" if self.unconditional else ""))


def settings_from(argv: Sequence[str] | None) -> TrainConfig:
    """Flags over the resumed run's settings over the data set's defaults. Raises UserError on what cannot be resumed."""
    said = cli.given(TrainConfig, argv, (__doc__ or "").splitlines()[0])
    if "guidance" in said:
        said.setdefault("guidance_alone", None)  # not that of the resumed run, or of the model that this one begins with
    if "resume" not in said:
        shared = shared_with(said) if "init_from" in said else {}
        data, preset = ({**shared, **said}.get(name, "") for name in ("data", "preset"))
        return TrainConfig(**{**BY_DATA[data or "toy"], **BY_PRESET.get(preset, {}), **shared, **said})
    folder = Path(said["resume"])
    if "init_from" in said:
        raise UserError(f"--init-from begins a new run, and {folder} has weights of its own: leave one of the two away")
    if "out" in said:
        raise UserError("--resume goes on in the run's own folder: leave --out away")
    saved = {k: v for k, v in runs.read_config(folder).items() if k not in NOT_INHERITED}
    for name in FIXED:
        if name in said and said[name] != saved.get(name):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} of a resumed run must stay {saved.get(name)}; for another start a new run")
    try:
        cli.check_types(TrainConfig, saved)
        config = TrainConfig(**{**saved, **said, "out": folder})
        config.data_root = Path(config.data_root)
    except TypeError as error:
        raise UserError(f"{folder}/config.json is damaged or of another version of ddpm_faces ({error})") from None
    return config


def refuse_a_second_run(folder: Path) -> None:
    """UserError if `folder` holds a run already: nothing is ever trained over."""
    if runs.states(folder) or (folder / "model.safetensors").exists():
        raise UserError(f"{folder} already holds a run: --resume {folder} goes on with it, --out FOLDER starts another")


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = settings_from(argv)
    if config.resume is None:
        refuse_a_second_run(config.folder)
    accelerator = make_accelerator(config.device, config.precision, config.folder)
    if accelerator.is_main_process:  # the only one to write there
        files.check_folder(config.folder)  # before the data set is fetched, which may take an hour
    with accelerator.local_main_process_first():
        if config.download and accelerator.is_local_main_process:
            fetch(config.data, config.data_root)
        store = open_data(config.data, config.data_root, "train", config.crop)
    if config.resume is None and config.init_from is not None:
        model = checkpoint.read(checkpoint.find(config.init_from))[1]
        if not fits(model, store):
            raise UserError(
                f"--init-from {config.init_from}: it draws other pictures, or knows other names, than {config.data} has"
            )
    with quiet_threads(), runs.hold(config.folder) if accelerator.is_main_process else nullcontext():
        try:
            return run(config, accelerator, store)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"out of memory with --batch-size {config.batch_size}: start again with half of it and another --out; what was "
                f"saved in {config.folder} is intact, and goes on with --resume where there is more memory"
            ) from None


def run(config: TrainConfig, accelerator, store) -> int:
    """Train until the end of the schedule or a reason to stop; returns the exit status (130 after Ctrl-C)."""
    total = config.total_steps(len(store))
    state, model_config, progress = start(config, accelerator, store, total)
    first = state.step
    schedule = Schedule(**model_config.schedule)
    if accelerator.is_main_process:
        settings = {**asdict(config), "data_root": str(config.data_root.absolute())}  # resumed from anywhere
        runs.write_config(config.folder, settings, {"fingerprint": store.fingerprint, "pictures": len(store)})
        accelerator.init_trackers("tensorboard")
        count = sum(p.numel() for p in state.network.parameters())
        many, device = accelerator.num_processes, accelerator.device
        where = f"{many} x {device.type}" if many > 1 else str(device)
        print(
            f"{config.folder}: {config.preset}, {count / 1e6:.2f}M parameters, {len(store):,} pictures, steps {state.step} to "
            f"{total} of {config.batch_size} on {where} ({accelerator.mixed_precision})"
        )
    until = total if config.max_steps is None else min(total, config.max_steps)
    with StopSignal() as stop, Journal(config.folder, state, model_config, store, total, progress) as journal:
        for record in train(state, store, schedule, until):
            journal.note(record, config.log_every)
            late = config.max_minutes is not None and journal.seconds > 60 * config.max_minutes
            ended = agreed(accelerator, record.step, bool(stop.received) or late) or record.step == until
            if ended or record.step - journal.saved >= config.save_every:
                journal.save()
            if config.sample_every and (record.step % config.sample_every == 0 or record.step == total):
                if accelerator.is_main_process:
                    write_samples(config, checkpoint.DiffusionModel(state.ema.module, model_config), store, record.step)
                journal.restart_clock()
            if ended:
                break
    accelerator.end_training()
    if accelerator.is_main_process:
        say_end(config, first, state.step, total, stop.received)
    return {signal.SIGINT: 130, signal.SIGTERM: 143}.get(stop.received, 0)


def start(config: TrainConfig, accelerator, store, total: int) -> tuple[TrainState, checkpoint.Config, dict | None]:
    """(state, model config, progress): those of the run to resume, or fresh ones with no progress. Raises UserError."""
    torch.manual_seed(config.seed)
    if config.resume is None:
        refuse_a_second_run(config.folder)  # again, now that nobody else can begin one
        if config.init_from is not None:
            network, model_config = begin_with(checkpoint.load(config.init_from), config)
        else:
            model_config = new_model_config(config, store)
            network = model_config.network(store, mirror=config.flip)
        return TrainState.new(network, config, accelerator, total), model_config, None
    tensors, model_config, progress = runs.latest_state(config.folder)
    if not fits(model_config, store):
        raise UserError(
            f"{config.folder} is a run on pictures of {model_config.image[1:]} with {len(model_config.names)} conditions; "
            f"{config.data_root} gives {store.image_shape[1:]} with {len(store.names)}: start a new run"
        )
    if progress["data"] != describe_data(store):
        raise UserError(f"{config.data_root} does not hold the pictures that {config.folder} was trained on: start a new run")
    try:
        state = TrainState.new(model_config.network(), config, accelerator, total, Saved(tensors, progress))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the state in {config.folder} does not fit this model: {error}") from None
    for path in runs.states(config.folder):
        if path > runs.state_path(config.folder, state.step):  # unreadable: it must not push a good one out of the last two
            path.unlink(missing_ok=True)
    model_config.facts.pop("guidance_alone", None)
    model_config.facts.update(guidance_facts(config))
    return state, model_config, progress


def write_samples(config: TrainConfig, model: checkpoint.DiffusionModel, store, step: int) -> None:
    """samples/step-N.png: sixteen pictures from the averaged weights, the same noise and conditions every time."""
    from ddpm_faces import images
    from ddpm_faces.generation import generate

    if model.config.kind == "digits":
        conditions = one_hot([*range(10), *range(6)])
    else:
        conditions = torch.from_numpy(store.conditions[:16]).float()[:, : len(model.names)]
    pictures = generate(model, conditions, seed=0, precision=config.precision)
    title = f"step {step}, {step * config.batch_size:,} pictures seen"
    images.save(images.grid(pictures, 8, title=title), config.folder / "samples" / f"step-{step:08d}.png")


def say_end(config: TrainConfig, first: int, step: int, total: int, received: int) -> None:
    """What was done, what is in the folder now, and how to go on."""
    folder, rows = config.folder, runs.read_losses(config.folder)
    if step == first:
        print(f"{folder}: nothing to do, step {step} of {total} is reached already; more --epochs or --max-steps train on")
        return
    loss = f", loss {rows[-1]['loss']:.4f}" if rows else ""
    there = [name for name in ("model.safetensors", "loss.csv", "loss.png", "samples", "states") if (folder / name).exists()]
    print(f"{folder}: step {step} of {total}{loss}; in it are {', '.join(there)}")
    if step < total:
        print(f"{'stopped by a signal; ' if received else ''}go on with: python -m ddpm_faces.train --resume {folder}")


if __name__ == "__main__":
    sys.exit(main())
