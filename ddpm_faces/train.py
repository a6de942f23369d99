"""`python -m ddpm_faces.train --data celeba --data-root FOLDER`: train a model, in a folder of its own.

Ctrl-C, --max-minutes and --max-steps all stop with a saved state; `--resume RUN` goes on exactly there.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ddpm_faces import checkpoint, cli, runs
from ddpm_faces.attributes import one_hot
from ddpm_faces.cli import arg
from ddpm_faces.data import DATA, fetch, open_data
from ddpm_faces.data.store import fingerprint
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.processes import StopSignal, agreed, make_accelerator
from ddpm_faces.training import Recipe, Saved, TrainState, train

# What differs between the data sets; any flag overrides it.
BY_DATA: dict[str, dict] = {
    "celeba": {"preset": "celeba64", "flip": True, "epochs": 12.0},
    "mnist": {"preset": "mnist32", "flip": False, "epochs": 10.0, "p_each": 0.0},
    "toy": {"preset": "toy32", "flip": True, "epochs": 12.0},
}
# What a resumed run may not change, because the steps before it would not fit.
FIXED = (
    *("data", "preset", "crop", "unconditional", "embedding", "schedule", "schedule_steps"),
    *("batch_size", "seed", "flip", "weighting"),
)
NOT_INHERITED = ("resume", "download", "max_steps", "max_minutes", "out")
LICENCES = {
    "celeba": "CelebA: non-commercial research only (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
    "mnist": "MNIST: CC BY-SA 3.0 (LeCun, Cortes, Burges)",
    "toy": "procedural drawings, MIT",
}


@dataclass(kw_only=True)
class TrainConfig(Recipe):
    """The settings of a run: the recipe, and where and how long."""

    data: str = arg("toy", "the data set", choices=DATA)
    data_root: Path = arg(Path("data"), "folder that holds the data set")
    download: bool = arg(False, "fetch the data set into --data-root if it is not there")
    preset: str = arg("toy32", "the network: toy32, mnist32, celeba64 (by default the data set's)")
    crop: str = arg("center140", "CelebA's crop: center140, box128, center148")
    unconditional: bool = arg(False, "no conditions at all: the baseline")
    embedding: int = arg(32, "channels that the conditions become")
    guidance: float = arg(3.0, "scale that the samples are drawn with, and the model's default for those who use it")
    schedule: str = arg("cosine", "the noise schedule: cosine or linear")
    schedule_steps: int = arg(1000, "steps of the noise schedule")
    out: Path | None = arg(None, "the run's folder (default runs/PRESET)", metavar="FOLDER")
    resume: Path | None = arg(None, "go on with the run in this folder", metavar="FOLDER")
    max_steps: int | None = arg(None, "stop, saved, when this step is reached")
    max_minutes: float | None = arg(None, "stop, saved, after so many minutes")
    save_every: int = arg(250, "steps from one saved state to the next")
    sample_every: int = arg(1000, "steps from one sample grid to the next; 0 for none")
    log_every: int = arg(20, "steps from one row of the loss curve to the next")
    device: str = arg("auto", "cpu, cuda, cuda:1, mps")
    precision: str = arg("auto", "arithmetic: auto takes what the hardware does well", choices=("auto", "no", "bf16", "fp16"))

    def __post_init__(self):
        super().__post_init__()
        if self.save_every < 1 or self.log_every < 1 or self.sample_every < 0:
            raise UserError("--save-every and --log-every must be at least 1, --sample-every at least 0")
        if not -100 <= self.guidance <= 100:
            raise UserError(f"--guidance {self.guidance:g} is out of range: 0 ignores the condition, 1 is plain")
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
    if "resume" not in said:
        return TrainConfig(**{**BY_DATA[said.get("data", "toy")], **said})
    folder = Path(said["resume"])
    saved = {k: v for k, v in runs.read_config(folder).items() if k not in NOT_INHERITED}
    for name in FIXED:
        if name in said and said[name] != saved.get(name):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} of a resumed run must stay {saved.get(name)}; for another start a new run")
    try:
        config = TrainConfig(**{**saved, **said, "out": folder})
    except TypeError as error:
        raise UserError(f"{folder}/config.json was written by another version of ddpm_faces ({error})") from None
    config.data_root = Path(config.data_root)
    return config


def new_model_config(config: TrainConfig, store) -> checkpoint.Config:
    """The checkpoint's description of a model for this data."""
    from ddpm_faces.models.unet import PRESETS

    if config.preset not in PRESETS:
        raise UserError(f"no preset '{config.preset}': choose {', '.join(PRESETS)}")
    height, width, channels = store.info["shape"][1:]
    facts = {"data": config.data, "preset": config.preset, "licence": LICENCES[config.data], "guidance": config.guidance}
    facts["weighting"] = config.weighting
    if config.data == "celeba":
        facts["crop"] = config.crop
    return checkpoint.Config(
        names=() if config.unconditional else store.names,
        image=(channels, height, width),
        embedding=config.embedding,
        unet=dict(PRESETS[config.preset]),
        schedule={"kind": config.schedule, "steps": config.schedule_steps},
        facts=facts,
    )


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = settings_from(argv)
    if config.resume is None and runs.states(config.folder):
        raise UserError(f"{config.folder} already holds a run: --resume {config.folder} goes on with it, --out starts another")
    accelerator = make_accelerator(config.device, config.precision, config.folder)
    with accelerator.local_main_process_first():
        if config.download and accelerator.is_local_main_process:
            fetch(config.data, config.data_root)
        store = open_data(config.data, config.data_root, "train", config.crop)
    return run(config, accelerator, store)


def run(config: TrainConfig, accelerator, store) -> int:
    """Train until the end of the schedule or a reason to stop; returns the exit status (130 after Ctrl-C)."""
    from tqdm import tqdm

    total = config.total_steps(len(store))
    torch.manual_seed(config.seed)
    saved, model_config = None, None
    progress: dict = {"minutes": 0.0, "pending": [0.0, 0], "data": data_facts(store)}
    if config.resume is not None:
        tensors, model_config, progress = runs.latest_state(config.folder)
        saved = Saved(tensors, progress)
        if progress["data"] != data_facts(store):
            raise UserError(
                f"{config.data_root} does not hold the pictures that {config.folder} was trained on: start a new run"
            )
    model_config = model_config or new_model_config(config, store)
    schedule = Schedule(**model_config.schedule)
    network = model_config.network()
    try:
        state = TrainState.new(network, config, accelerator, total, saved)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"the state in {config.folder} does not fit this model: {error}") from None
    count = sum(p.numel() for p in network.parameters())
    main_process = accelerator.is_main_process
    rows = [row for row in runs.read_losses(config.folder) if row["step"] <= state.step]
    if main_process:
        runs.write_config(config.folder, asdict(config))
        accelerator.init_trackers("tensorboard")
        print(
            f"{config.folder}: {config.preset}, {count / 1e6:.2f}M parameters, {len(store):,} pictures, steps {state.step} to "
            f"{total} of {config.batch_size} on {accelerator.device} ({accelerator.mixed_precision})"
        )
    until = total if config.max_steps is None else min(total, config.max_steps)
    started = since = time.monotonic()
    sum_loss, summed = torch.tensor(progress["pending"][0], device=accelerator.device), progress["pending"][1]
    last_save = state.step

    def summed_loss() -> float:
        """Over the steps since the last row, on all processes. UserError if it is not a number: training has diverged."""
        value = float(accelerator.reduce(sum_loss, "mean"))
        if not math.isfinite(value):
            raise UserError(
                f"the loss became {value} before step {state.step}; the states in {config.folder / 'states'} are from before: "
                f"--resume {config.folder} with a lower --lr or --precision no"
            )
        return value

    def save() -> None:
        pending = [summed_loss(), summed]
        minutes = progress["minutes"] + (time.monotonic() - started) / 60
        data = state.save()
        seen = {"step": state.step, "images_seen": state.step * config.batch_size, "minutes": round(minutes, 2)}
        model_config.facts.update(seen)
        if main_process:
            runs.write_losses(config.folder, rows)
            now = {**data.numbers, **seen, "pending": pending, "data": progress["data"]}
            runs.save_state(config.folder, data.tensors, model_config, now)

    bar = tqdm(total=total, initial=state.step, unit="step", disable=not main_process, dynamic_ncols=True)
    with StopSignal() as stop:
        for record in train(state, store, schedule, until):
            sum_loss, summed = sum_loss + record.loss, summed + 1
            bar.update()
            if record.step % config.log_every == 0 or record.step == total:
                now, mean = time.monotonic(), summed_loss() / summed
                speed = summed * config.batch_size / (now - since)
                row = (record.step, record.images_seen, round(mean, 6), round(record.lr, 8), round(speed, 1))
                rows.append(dict(zip(runs.COLUMNS, row, strict=True)))
                accelerator.log({"loss": mean, "lr": record.lr, "images_per_second": speed}, step=record.step)
                bar.set_postfix(loss=f"{mean:.4f}", img_s=f"{speed:.0f}")
                sum_loss, summed, since = torch.zeros_like(sum_loss), 0, now
            late = config.max_minutes is not None and time.monotonic() - started > 60 * config.max_minutes
            ended = agreed(accelerator, record.step, bool(stop.received) or late) or record.step == until
            if record.step - last_save >= config.save_every or ended:
                save()
                last_save = record.step
            if config.sample_every and (record.step % config.sample_every == 0 or record.step == total) and main_process:
                write_samples(config, checkpoint.DiffusionModel(state.ema.module, model_config), store, record.step)
                since = time.monotonic()
            if ended:
                break
    bar.close()
    accelerator.end_training()
    if main_process:
        say_end(config, state.step, total, stop.received)
    return {signal.SIGINT: 130, signal.SIGTERM: 143}.get(stop.received, 0)


def data_facts(store) -> list:
    """What a resumed run must find again: the store's fingerprint and its number of pictures."""
    return [fingerprint(store.info["facts"]), len(store)]


def write_samples(config: TrainConfig, model: checkpoint.DiffusionModel, store, step: int) -> None:
    """samples/step-N.png: sixteen pictures from the averaged weights, the same noise and conditions every time."""
    from ddpm_faces import images
    from ddpm_faces.generation import generate

    if model.config.kind == "digits":
        conditions = one_hot([*range(10), *range(6)])
    else:
        conditions = torch.from_numpy(store.conditions[:16]).float()[:, : len(model.names)]
    pictures = generate(model, conditions, seed=0)
    title = f"step {step}, {step * config.batch_size:,} pictures seen"
    images.save(images.grid(pictures, 8, title=title), config.folder / "samples" / f"step-{step:08d}.png")


def say_end(config: TrainConfig, step: int, total: int, received: int) -> None:
    folder, rows = config.folder, runs.read_losses(config.folder)
    loss = f", loss {rows[-1]['loss']:.4f}" if rows else ""
    print(f"{folder}: step {step} of {total}{loss}; wrote model.safetensors, loss.csv, loss.png, samples/, states/ there")
    if step < total:
        print(f"{'stopped by a signal; ' if received else ''}go on with: python -m ddpm_faces.train --resume {folder}")


if __name__ == "__main__":
    sys.exit(main())
