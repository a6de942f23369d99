"""Images per second in the first epoch, which decodes them, in later ones and with torchvision, and the memory in use."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.training import random_dataset
from benchmarks.workers import Worker
from ddpm_faces.conditions import CELEBA

BATCH = 64


def write_copy(root: Path, count: int) -> None:
    """A copy of "CelebA" in its own layout, 178x218 JPEGs of about its weight; smooth noise instead of faces."""
    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for number in range(1, count + 1):
        coarse = Image.fromarray(rng.integers(0, 256, (27, 22, 3), dtype=np.uint8))
        coarse.resize((178, 218), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
        rows.append(f"{number:06d}.jpg " + " ".join(map(str, rng.choice([-1, 1], len(CELEBA)))))
    (root / "list_attr_celeba.txt").write_text("\n".join([str(count), " ".join(CELEBA.names), *rows]))


def make_ours(root: str) -> Callable[[], float]:
    """epoch(): seconds to open the dataset, decoding it if need be, and to take every image once, as floats."""
    from ddpm_faces.data import open_dataset
    from ddpm_faces.data.dataset import batch_indices
    from ddpm_faces.data.loader import Loader

    def epoch() -> float:
        begin = time.perf_counter()
        dataset = open_dataset("celeba", root)
        loader = Loader(dataset, torch.device("cpu"))
        for step in range(len(dataset) // BATCH):
            _ = loader(batch_indices(len(dataset), BATCH, step, 0))[0].float() / 127.5 - 1
        return time.perf_counter() - begin

    return epoch


def make_torchvision(root: str) -> Callable[[], float]:
    """epoch(): seconds of an epoch of ImageFolder and a DataLoader with a worker per core, which decode in every epoch."""
    from torchvision import datasets, transforms

    steps = [transforms.CenterCrop(140), transforms.Resize((64, 64)), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    folder = datasets.ImageFolder(root, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(
        folder, BATCH, shuffle=True, num_workers=os.cpu_count() or 1, persistent_workers=True, drop_last=True
    )

    def epoch() -> float:
        begin = time.perf_counter()
        for _ in loader:
            pass
        return time.perf_counter() - begin

    return epoch


def private_mib() -> float | None:
    """Anonymous memory: what the process holds itself, without the files that it maps and the system may drop."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return None


def make_reader(count: int, batches: int) -> Callable[[], dict[str, Any]]:
    """read(): the private memory that it takes to read so many batches of a dataset of `count` images, at least an epoch."""
    from ddpm_faces.data.dataset import batch_indices
    from ddpm_faces.data.loader import Loader

    def read() -> dict[str, Any]:
        dataset = random_dataset(count)
        loader, before, most = Loader(dataset, torch.device("cpu")), private_mib(), 0.0
        for step in range(batches):
            _ = loader(batch_indices(count, BATCH, step, 0))[0].float() / 127.5 - 1
            most = max(most, private_mib() or 0.0)
        return {"dataset_mib": dataset.images.nbytes / 2**20, "private_mib": None if before is None else most - before}

    return read


def run(count: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Images per second by epoch, and memory at 1, 2 and 4 times `count` images."""
    with tempfile.TemporaryDirectory() as folder:
        log(f"data: writing {count} images")
        write_copy(Path(folder), count)
        with Worker(make_ours, folder) as ours, Worker(make_torchvision, folder) as theirs:
            ours.wait()
            theirs.wait()
            log("data: first and later epochs")
            seconds: dict[str, list[float]] = {"first epoch": [ours()], "later epochs": [], "torchvision": []}
            theirs()  # starts its workers
            for _ in range(3):
                seconds["later epochs"].append(ours())
                seconds["torchvision"].append(theirs())
    used = count // BATCH * BATCH
    log("data: memory")
    sizes = [times * count for times in (1, 2, 4)]
    for size in sizes:
        random_dataset(size)  # made here, so that the readers only read
    with ExitStack() as stack:
        readers = [stack.enter_context(Worker(make_reader, size, 4 * count // BATCH)) for size in sizes]
        memory = [{"images": size, **reader()} for size, reader in zip(sizes, readers, strict=True)]
    return {"images": count, "images_per_second": {name: used / min(s) for name, s in seconds.items()}, "memory": memory}


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    speed = result["images_per_second"]
    lines = [
        "| data, 178x218 JPEG to 64x64 | images per second |",
        "|---|---|",
        f"| ours, first epoch (decoding once) | {speed['first epoch']:,.0f} |",
        f"| ours, later epochs | {speed['later epochs']:,.0f} |",
        f"| torchvision's ImageFolder, {os.cpu_count()} workers, every epoch | {speed['torchvision']:,.0f} |",
        "",
        "| images in the dataset | size of the dataset | private memory that reading all of it takes |",
        "|---|---|---|",
    ]
    for row in result["memory"]:
        private = "not known here" if row["private_mib"] is None else f"{row['private_mib']:.1f} MiB"
        lines.append(f"| {row['images']:,} | {row['dataset_mib']:.0f} MiB | {private} |")
    return "\n".join(lines)
