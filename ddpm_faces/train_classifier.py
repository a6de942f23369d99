"""`python -m ddpm_faces.train_classifier --data celeba --data-root FOLDER`: the judge that `evaluate` asks.

It is trained on real pictures; how right it is on the test split, for each attribute or digit, is printed and kept in its file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_faces import cli, files, judge
from ddpm_faces.cli import arg
from ddpm_faces.data import DATA, LICENCES, open_data
from ddpm_faces.data.celeba import CROPS
from ddpm_faces.data.feed import Feed
from ddpm_faces.data.store import Store, batch_indices
from ddpm_faces.devices import PRECISIONS, autocast, find_device, find_precision, place
from ddpm_faces.errors import UserError
from ddpm_faces.judge import Judge, JudgeConfig, scores
from ddpm_faces.memory import is_out_of_memory
from ddpm_faces.models.classifier import Classifier

# Passes over the training split that suit each data set; any flag overrides it.
EPOCHS = {"celeba": 16.0, "mnist": 3.0, "toy": 6.0, "toydigits": 6.0}


@dataclass(kw_only=True)
class ClassifierConfig:
    """The settings of `train_classifier`."""

    data: str = arg("celeba", "the data set", choices=DATA)
    data_root: Path = arg(Path("data"), "folder that holds the data set")
    crop: str = arg("center140", "CelebA's crop: center140, box128, center148")
    epochs: float | None = arg(None, "passes over the training split (by default what suits the data set)")
    batch_size: int = arg(64, "pictures a step")
    lr: float = arg(2e-3, "highest learning rate")
    weight_decay: float = arg(0.05, "of AdamW")
    shift: int = arg(4, "training pictures are moved by up to so many pixels")
    seed: int = arg(0, "of weights, order and shifts")
    device: str = arg("auto", "cpu, cuda, cuda:1, mps")
    precision: str = arg("auto", "arithmetic: auto takes what the hardware does well", choices=PRECISIONS)
    out: Path | None = arg(None, "the file to write (default runs/classifier-DATA.safetensors)", metavar="FILE")

    def __post_init__(self):
        if self.epochs is None:
            self.epochs = EPOCHS[self.data]
        if self.crop not in CROPS:
            raise UserError(f"no crop '{self.crop}': choose {', '.join(CROPS)}")
        ranges = {
            "epochs": (0, 1e6), "batch_size": (1, 65536), "lr": (0, 1), "weight_decay": (0, 1), "shift": (0, 16),
            "seed": (0, 2**62),
        }  # fmt: skip
        cli.check_ranges(self, ranges)

    @property
    def path(self) -> Path:
        return self.out or Path("runs") / f"classifier-{self.data}.safetensors"


def augment(images: Tensor, shift: int, flip: bool, rng: torch.Generator) -> Tensor:
    """Each picture of (B, C, H, W) moved by up to `shift` pixels, its edge repeated, and mirrored or not if `flip`."""
    batch, _, height, width = images.shape
    padded = F.pad(images, [shift] * 4, mode="replicate")
    corner = torch.randint(0, 2 * shift + 1, (2, batch, 1), generator=rng)
    rows, columns = corner[0] + torch.arange(height), corner[1] + torch.arange(width)  # (B, H), (B, W)
    if flip:
        columns = torch.where(torch.rand(batch, 1, generator=rng) < 0.5, columns.flip(1), columns)
    which = torch.arange(batch)[:, None, None]
    rows, columns = rows[:, :, None].to(images.device), columns[:, None, :].to(images.device)
    return padded.permute(0, 2, 3, 1)[which.to(images.device), rows, columns].permute(0, 3, 1, 2)


def fit(network: Classifier, store: Store, config: ClassifierConfig, device: torch.device, exclusive: bool) -> None:
    """Train in place: AdamW with a one-cycle learning rate; binary cross-entropy, or a softmax's for digits."""
    from tqdm import tqdm

    precision = find_precision(config.precision, device)
    steps = max(1, round((config.epochs or 0) * len(store) / config.batch_size))
    adam = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, config.lr, total_steps=max(steps + 1, 20), pct_start=0.2)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    feed, rng = Feed(store, device), torch.Generator().manual_seed(config.seed)
    network.train()
    with tqdm(range(steps), "training the classifier", unit="step", leave=False) as bar:
        for step in bar:
            images, labels = feed(batch_indices(len(store), config.batch_size, step, config.seed))
            x = augment(images.float() / 127.5 - 1, config.shift, not exclusive, rng)  # digits have no mirror images
            with autocast(device, precision):
                logits = network(x.contiguous(memory_format=torch.channels_last))
            if exclusive:
                loss = F.cross_entropy(logits.float(), labels.argmax(dim=1))
            else:
                loss = F.binary_cross_entropy_with_logits(logits.float(), (labels > 0).float())
            adam.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(adam)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            scaler.step(adam)
            scaler.update()
            rate.step()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.4f}")
    network.eval()


def table(names: Sequence[str], measured: dict[str, list[float]]) -> str:
    """How right it is, a line for each class and their means, for reading."""
    lines = [f"{'':24}{'accuracy':>10}{'always the more frequent':>26}{'balanced':>10}{'present':>10}"]
    columns = ("accuracy", "majority", "balanced", "present")
    for name, *row in (
        *zip(names, *(measured[c] for c in columns), strict=True),
        ("mean", *(np.nanmean(measured[c]) for c in columns)),
    ):
        accuracy, majority, balanced, present = (float(v) for v in row)
        lines.append(f"{name:24}{accuracy:10.3f}{majority:26.3f}{balanced:10.3f}{present:10.3f}")
    return "\n".join(lines)


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(ClassifierConfig, argv, (__doc__ or "").splitlines()[0])
    files.check_folder(config.path.parent)
    if config.path.exists():
        raise UserError(f"{config.path} is there already: --out FILE writes another, or delete it")
    device = find_device(config.device)
    find_precision(config.precision, device)
    train, test = (open_data(config.data, config.data_root, split, config.crop) for split in ("train", "test"))
    exclusive = not bool((train.conditions < 0).any())
    torch.manual_seed(config.seed)
    described = JudgeConfig(train.names, train.image_shape, Classifier.CHANNELS, exclusive, frequencies=train.frequencies)
    network = place(described.network(), device)
    start = time.monotonic()
    try:
        fit(network, train, config, device, exclusive)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory with --batch-size {config.batch_size}: try half of it") from None
    made = Judge(network, described, str(config.path))
    logits, labels = made.extract(test.images, progress="the test split").logits, torch.from_numpy(np.array(test.conditions))
    measured = scores(logits, labels, exclusive, described.thresholds)
    described.facts.update(
        {
            "data": config.data,
            "licence": LICENCES[config.data],
            "settings": {k: v for k, v in asdict(config).items() if k not in ("data_root", "out")},
            "pictures": {"train": len(train), "test": len(test)},
            "minutes": round((time.monotonic() - start) / 60, 1),
            "date": date.today().isoformat(),
            "scores": {key: [round(v, 4) for v in values] for key, values in measured.items()},
        }
    )
    if config.data == "celeba":
        described.facts["crop"] = config.crop
    print(table(train.names, measured))
    if exclusive:
        described.facts["recognised"] = float((logits.argmax(dim=1) == labels.argmax(dim=1)).double().mean())
        print(f"recognised, of all: {described.facts['recognised']:.4f}")
    judge.save(config.path, made)
    count = sum(p.numel() for p in network.parameters())
    print(f"\n{config.path}: {count / 1e6:.2f}M parameters, trained on {len(train):,} pictures, judged on {len(test):,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
