"""The settings of a training. This module imports no torch, so that `--help` is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ddpm_faces.data import DATASETS
from ddpm_faces.utils.settings import Settings

LrSchedule = Literal["cosine", "wsd"]
Precision = Literal["auto", "no", "bf16", "fp16"]
DEVICES = "cpu, cuda, cuda:1 or mps"
DATA = f"the data set: {', '.join(DATASETS)}"
CROP = "CelebA's crop: center140, box128 or center148; a folder's: center or face (default: the first)"
ROOT = "folder that holds the data set"
TABLE = "CSV, TSV or JSON lines with the labels of --data folder (default: labels.csv or the like, in it)"
SIZE = "side of an image in pixels, a multiple of 8 from 16 to 128 (default: the data set's)"
IMPORT = "module to import first: it may register data sets, networks or presets of your own"
PRECISION = "arithmetic: auto takes what the hardware does well"
THREADS = "CPU threads (default: by a short probe)"


class Recipe(Settings):
    """How to train. The defaults are those of the student report that the package began with (batch of 128, Adam at 1e-3,
    cosine noise schedule and learning rate), and condition dropout, averaged weights, clipping and loss weights besides."""

    batch_size: int = Field(128, ge=1, le=65536, description="images a step, over all processes together")
    epochs: float = Field(12.0, ge=0, le=1e6, description="passes over the data; lr decays to 0 at the end of the last")
    lr: float = Field(1e-3, ge=0, le=1, description="highest learning rate, after the warm-up")
    lr_schedule: LrSchedule = Field("cosine", description="after the warm-up; wsd stays constant and decays at the end")
    lr_decay: float = Field(0.2, ge=0, le=1, description="the share of the steps in which wsd decays")
    warmup: int = Field(500, ge=0, le=10**7, description="steps in which lr rises from 0, at most a tenth of all")
    clip: float = Field(1.0, ge=0, le=1e6, description="largest norm of the gradient; 0 for no limit")
    ema: float = Field(0.999, ge=0, le=1, description="decay of the averaged weights, at most (n + 1) / (n + 10) after n steps")
    p_null: float = Field(0.1, ge=0, le=1, description="probability that a whole condition is dropped, for guidance")
    p_each: float = Field(0.7, ge=0, le=1, description="probability that single attributes are dropped, few or all but one")
    weighting: Literal["unit", "snr+1", "uniform"] = Field("unit", description="weight of each noise level; uniform is DDPM's")
    skip_bad_steps: int = Field(
        0, ge=0, le=10**6, description="how many steps with an infinite loss or gradient may be left out"
    )
    flip: bool = Field(False, description="mirror each image with probability 1/2 (the default for faces)")
    seed: int = Field(0, ge=0, le=2**62, description="seed of weights, order and noise")

    def total_steps(self, images: int) -> int:
        """Steps in all epochs of a data set of so many images, at least 1."""
        return max(1, round(self.epochs * images / self.batch_size))


class TrainSettings(Recipe):
    """The settings of a run: the recipe, what is trained on what, where, and for how long."""

    data: str = Field("toy", description=DATA)
    data_root: Path = Field(Path("data"), description=ROOT)
    download: bool = Field(False, description="fetch the data set into --data-root if it is not there")
    preset: str = Field("toy32", description="the network: toy32, mnist32 or celeba64 (default: the one for the data set)")
    crop: str | None = Field(None, description=CROP)
    size: int | None = Field(None, ge=8, le=512, description=SIZE)
    table: Path | None = Field(None, title="FILE", description=TABLE)
    attributes: tuple[str, ...] = Field((), description="train on these attributes only (default: all of the data set)")
    unconditional: bool = Field(False, description="no conditions at all: the baseline")
    embedding: int = Field(32, ge=1, le=1024, description="channels that the conditions become")
    guidance: float = Field(3.0, ge=-100, le=100, description="guidance scale of the samples, and the model's default")
    guidance_alone: float | None = Field(
        None, ge=-100, le=100, description="where one attribute alone is said (default: as --guidance)"
    )
    schedule: Literal["cosine", "linear"] = Field("cosine", description="the noise schedule")
    schedule_steps: int = Field(1000, ge=2, le=100_000, description="steps of the noise schedule")
    out: Path | None = Field(None, title="FOLDER", description="the run's folder (default: runs/PRESET)")
    resume: Path | None = Field(None, title="FOLDER", description="go on with the run in this folder")
    init_from: str | None = Field(None, title="MODEL", description="begin with the weights of a shipped model, a run or a file")
    max_steps: int | None = Field(None, ge=1, description="stop, with a saved state, at this step")
    minutes: float | None = Field(
        None, gt=0, le=1e5, description="plan the epochs for about so many minutes, by the pace of a few steps"
    )
    max_minutes: float | None = Field(None, gt=0, description="stop, with a saved state, after so many minutes")
    save_every: int = Field(250, ge=1, description="steps from one saved state to the next")
    sample_every: int = Field(1000, ge=0, description="steps between sample grids, with one at each stop; 0 for none")
    log_every: int = Field(20, ge=1, description="steps from one row of the loss curve to the next")
    device: str = Field("auto", description=DEVICES)
    precision: Precision = Field("auto", description=PRECISION)
    threads: int | None = Field(None, ge=1, le=1024, description=THREADS)
    compile: bool = Field(False, description="compile the network first (torch.compile): a minute, then faster on a GPU")
    import_: tuple[str, ...] = Field((), title="MODULE", description=IMPORT)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out or Path("runs") / (self.preset + ("-unconditional" if self.unconditional else ""))


class ClassifierSettings(Settings):
    """The settings of the training of an attribute classifier."""

    data: str = Field("celeba", description=DATA)
    data_root: Path = Field(Path("data"), description=ROOT)
    crop: str | None = Field(None, description=CROP)
    size: int | None = Field(None, ge=8, le=512, description=SIZE)
    table: Path | None = Field(None, title="FILE", description=TABLE)
    epochs: float | None = Field(None, ge=0, le=1e6, description="passes over the training split (default: the data set's)")
    batch_size: int = Field(64, ge=1, le=65536, description="images a step")
    lr: float = Field(2e-3, ge=0, le=1, description="highest learning rate")
    weight_decay: float = Field(0.05, ge=0, le=1, description="weight decay of AdamW")
    shift: int = Field(4, ge=0, le=16, description="training images are moved by up to so many pixels")
    seed: int = Field(0, ge=0, le=2**62, description="seed of weights, order and shifts")
    device: str = Field("auto", description=DEVICES)
    precision: Precision = Field("auto", description=PRECISION)
    threads: int | None = Field(None, ge=1, le=1024, description=THREADS)
    out: Path | None = Field(None, title="FILE", description="the file to write (default: runs/classifier-DATA.safetensors)")
    import_: tuple[str, ...] = Field((), title="MODULE", description=IMPORT)

    @property
    def path(self) -> Path:
        """The file to write."""
        return self.out or Path("runs") / f"classifier-{self.data}.safetensors"


class DistilSettings(Settings):
    """The settings of a distillation: the teacher, the student's steps, and for how long."""

    model: str = Field("celeba64", description="the teacher: a shipped name, a run's folder or a file")
    steps: int = Field(4, ge=1, le=100, description="network calls with which the student will sample")
    init_from: str | None = Field(None, title="MODEL", description="begin with this student's weights (default: the teacher's)")
    substeps: int = Field(4, ge=1, le=100, description="the teacher's steps for each of the student's")
    images: int = Field(200_000, ge=1, le=10**9, description="images that the student samples while it learns")
    minutes: float | None = Field(None, gt=0, le=1e5, description="plan the images for about so many minutes instead")
    batch_size: int = Field(64, ge=1, le=65536, description="images at a time")
    lr: float = Field(5e-4, ge=0, le=1, description="highest learning rate; it decays to 0 as half a cosine")
    warmup: int = Field(100, ge=0, le=10**7, description="updates in which lr rises from 0, at most a tenth of all")
    ema: float = Field(0.999, ge=0, le=1, description="decay of the averaged weights")
    p_null: float = Field(0.1, ge=0, le=1, description="probability that a whole condition is dropped")
    p_each: float = Field(0.7, ge=0, le=1, description="probability that single attributes are dropped, few or all but one")
    seed: int = Field(0, ge=0, le=2**62, description="seed of noise and conditions")
    save_every: int = Field(50, ge=1, description="batches from one saved state to the next")
    out: Path | None = Field(None, title="FOLDER", description="the student's folder (default: runs/MODEL-fast)")
    resume: bool = Field(False, description="go on with the distillation in --out")
    device: str = Field("auto", description=DEVICES)
    precision: Precision = Field("auto", description=PRECISION)
    threads: int | None = Field(None, ge=1, le=1024, description=THREADS)
    import_: tuple[str, ...] = Field((), title="MODULE", description=IMPORT)

    @property
    def folder(self) -> Path:
        """The student's folder."""
        return self.out or Path("runs") / f"{Path(self.model).stem}-fast"

    def recipe(self) -> Recipe:
        """What the loop's state needs of it."""
        return Recipe(
            batch_size=self.batch_size, lr=self.lr, warmup=self.warmup, ema=self.ema, p_null=self.p_null,
            p_each=self.p_each, seed=self.seed,
        )  # fmt: skip
