"""How fast pictures come: the first epoch, which decodes them, later ones, and torchvision's way; and what memory they take."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.training import random_store
from benchmarks.workers import Worker

BATCH = 64


def write_copy(root: Path, count: int) -> None:
    """A copy of "CelebA" in its own layout, 178x218 JPEGs of about its weight; smooth noise instead of faces."""
    from ddpm_faces.attributes import CELEBA

    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for number in range(1, count + 1):
        coarse = Image.fromarray(rng.integers(0, 256, (27, 22, 3), dtype=np.uint8))
        coarse.resize((178, 218), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
        rows.append(f"{number:06d}.jpg " + " ".join(map(str, rng.choice([-1, 1], len(CELEBA)))))
    (root / "list_attr_celeba.txt").write_text("\n".join([str(count), " ".join(CELEBA), *rows]))


def make_ours(root: str) -> Callable[[], float]:
    """epoch() opens the store, decoding it if it is not there yet, and takes every picture once, as floats; seconds."""

    def epoch() -> float:
        from ddpm_faces.data import open_data
        from ddpm_faces.data.feed import Feed
        from ddpm_faces.data.store import batch_indices

        begin = time.perf_counter()
        store = open_data("celeba", root)
        feed = Feed(store, torch.device("cpu"))
        for step in range(len(store) // BATCH):
            _ = feed(batch_indices(len(store), BATCH, step, 0))[0].float() / 127.5 - 1
        return time.perf_counter() - begin

    return epoch


def make_torchvision(root: str) -> Callable[[], float]:
    """epoch() as most scripts do it: ImageFolder, a DataLoader with a worker a core, decoding in every epoch; seconds."""
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


def make_reader(count: int, batches: int) -> Callable[[], dict]:
    """read() takes so many batches of a store of `count` pictures, at least an epoch: what memory of its own that takes."""

    def own_mib() -> float | None:
        """Anonymous memory: what the process holds itself, without the files that it maps and the system may drop."""
        status = Path("/proc/self/status")
        for line in status.read_text().splitlines() if status.exists() else ():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
        return None

    def read() -> dict:
        from ddpm_faces.data.feed import Feed
        from ddpm_faces.data.store import batch_indices

        store = random_store(count)
        feed, before, most = Feed(store, torch.device("cpu")), own_mib(), 0.0
        for step in range(batches):
            _ = feed(batch_indices(count, BATCH, step, 0))[0].float() / 127.5 - 1
            most = max(most, own_mib() or 0.0)
        return {"store_mib": store.images.nbytes / 2**20, "own_mib": None if before is None else most - before}

    return read


def run(count: int, say: Callable[[str], None]) -> dict:
    """Pictures a second by epoch, and memory at 1, 2 and 4 times `count` pictures."""
    with tempfile.TemporaryDirectory() as folder:
        say(f"data: writing {count} pictures")
        write_copy(Path(folder), count)
        with Worker(make_ours, folder) as ours, Worker(make_torchvision, folder) as theirs:
            ours.wait()
            theirs.wait()
            say("data: first and later epochs")
            seconds = {"first epoch": [ours()], "later epochs": [], "torchvision": []}
            theirs()  # starts its workers
            for _ in range(3):
                seconds["later epochs"].append(ours())
                seconds["torchvision"].append(theirs())
    used = count // BATCH * BATCH
    result: dict = {"pictures": count, "images_per_second": {name: used / min(s) for name, s in seconds.items()}}
    say("data: memory")
    with ExitStack() as stack:
        for times in (1, 2, 4):
            random_store(times * count)  # made here, so that the readers only read
        readers = {
            times * count: stack.enter_context(Worker(make_reader, times * count, 4 * count // BATCH)) for times in (1, 2, 4)
        }
        result["memory"] = [{"pictures": pictures, **reader()} for pictures, reader in readers.items()]
    return result


def table(result: dict) -> str:
    """Markdown."""
    speed = result["images_per_second"]
    lines = ["| data, 178x218 JPEG to 64x64 | pictures a second |", "|---|---|"]
    lines.append(f"| ours, first epoch (decoding once) | {speed['first epoch']:,.0f} |")
    lines.append(f"| ours, later epochs | {speed['later epochs']:,.0f} |")
    lines.append(f"| torchvision's ImageFolder, {os.cpu_count()} workers, every epoch | {speed['torchvision']:,.0f} |")
    lines += [
        "",
        "| pictures in the store | size of the store | memory of its own that reading all of it takes |",
        "|---|---|---|",
    ]
    for row in result["memory"]:
        own = "not known here" if row["own_mib"] is None else f"{row['own_mib']:.1f} MiB"
        lines.append(f"| {row['pictures']:,} | {row['store_mib']:.0f} MiB | {own} |")
    return "\n".join(lines)
