"""Images per second that each contender trains on, at one batch size, and the memory that it takes."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.workers import Worker, peak_memory, wait_for
from ddpm_faces.conditions import CELEBA

if TYPE_CHECKING:
    from ddpm_faces.data.dataset import Dataset
    from ddpm_faces.models.denoiser import Denoiser

SIZE = 64
CONTENDERS = {
    "ours": "ours, `celeba64`",
    "ours, fp32": "ours, fp32",
    "ours, compiled": "ours, torch.compile",
    "report": "the report's network and loop",
    "lucidrains": "denoising-diffusion-pytorch",
}
Turn = Callable[[float], tuple[int, float]]  # seconds asked for -> images trained on, seconds taken


def random_dataset(count: int) -> Dataset:
    """A dataset of random images and attributes in the cache: their content makes no difference to speed."""
    from ddpm_faces.data.dataset import build

    def decode(number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        return rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), rng.choice([-1, 1], len(CELEBA))

    return build(f"random-{count}", {"count": count, "size": SIZE}, (SIZE, SIZE, 3), CELEBA, range(count), decode)


def celeba64(frequencies: Sequence[float] = ()) -> Denoiser:
    """The network of the preset `celeba64`, with fresh weights."""
    from ddpm_faces.models.architectures import PRESETS
    from ddpm_faces.models.denoiser import Denoiser

    return Denoiser((3, SIZE, SIZE), len(CELEBA), frequencies=frequencies, **PRESETS["celeba64"].sizes)


def make(name: str, batch: int, device: str) -> Callable[[float], dict[str, Any]]:
    """What a worker runs: measure(seconds) trains for about so long and returns the speed and the peak memory."""
    turn, network = {"report": report, "lucidrains": lucidrains}.get(name, ours)(name, batch, device)
    count = sum(p.numel() for p in network.parameters())
    begin = time.perf_counter()
    turn(0)  # the first step allocates and chooses kernels, or compiles
    first = time.perf_counter() - begin

    def measure(seconds: float) -> dict[str, Any]:
        images, taken = turn(seconds)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()  # the other contenders use this GPU, too
        speed = images / taken
        return {"images_per_second": speed, "peak_mib": peak_memory(), "parameters": count, "first_step_seconds": first}

    return measure


def repeat(step: Callable[[], object], batch: int, device: str) -> Turn:
    """A turn made of steps, at least one."""

    def turn(seconds: float) -> tuple[int, float]:
        wait_for(device)
        begin, images = time.perf_counter(), 0
        while images == 0 or time.perf_counter() - begin < seconds:
            step()
            images += batch
        wait_for(device)
        return images, time.perf_counter() - begin

    return turn


def ours(name: str, batch: int, device: str) -> tuple[Turn, torch.nn.Module]:
    """The package's whole loop: batches from a dataset, dropped conditions, clipping, the average of the weights."""
    from accelerate import Accelerator

    from ddpm_faces.diffusion.schedule import Schedule
    from ddpm_faces.training.config import Recipe
    from ddpm_faces.training.loop import TrainState, train
    from ddpm_faces.utils.devices import find_precision

    precision = find_precision("no" if name == "ours, fp32" else "auto", torch.device(device))
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    dataset = random_dataset(2048)
    network = celeba64(dataset.frequencies)
    state = TrainState.new(network, Recipe(batch_size=batch, flip=True), accelerator, 10**6)
    if name == "ours, compiled":
        state.parallel = torch.compile(state.parallel)  # type: ignore[assignment]
    steps = train(state, dataset, Schedule(), 10**6)
    return repeat(lambda: next(steps), batch, device), network


def report(name: str, batch: int, device: str) -> tuple[Turn, torch.nn.Module]:
    """The report's loop as printed: fp32, Adam, the loss read in every step. Its images are in memory already."""
    from diffusers import DDPMScheduler

    from experiments.report_unet import ReportUNet

    network = ReportUNet().to(device)
    scheduler: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2")  # type: ignore[no-untyped-call]
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    x, y = torch.rand(batch, 3, SIZE, SIZE) * 2 - 1, torch.randint(0, 2, (batch, 40))

    def step() -> float:
        clean, c = x.to(device), y.float().to(device)
        noise = torch.randn_like(clean)
        t = torch.randint(0, 999, (batch,)).long().to(device)
        error = torch.nn.functional.mse_loss(network(scheduler.add_noise(clean, noise, t), t, c), noise)
        adam.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        adam.step()
        return error.item()

    return repeat(step, batch, device), network


def lucidrains(name: str, batch: int, device: str) -> tuple[Turn, torch.nn.Module]:
    """denoising-diffusion-pytorch at the width whose number of parameters is nearest to ours; unconditional, fp32."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    sizes = {dim: sum(p.numel() for p in Unet(dim).parameters()) for dim in (8, 12, 16, 20)}
    network = Unet(min(sizes, key=lambda dim: abs(sizes[dim] - parameters_of_ours())))
    diffusion = GaussianDiffusion(network, image_size=SIZE, timesteps=1000).to(device)
    adam = torch.optim.Adam(diffusion.parameters(), lr=8e-5)
    x = torch.rand(batch, 3, SIZE, SIZE)

    def step() -> None:
        adam.zero_grad()
        diffusion(x.to(device)).backward()
        adam.step()

    return repeat(step, batch, device), network


def parameters_of_ours() -> int:
    """The number of parameters of `celeba64`, which is built without memory."""
    with torch.device("meta"):
        return sum(p.numel() for p in celeba64().parameters())


def contenders(quick: bool, compiled: bool) -> list[str]:
    """The contenders that were asked for and can run here: the peer comes with `pip install -e ".[bench]"`."""
    left_out = ["ours, fp32"] * quick + ["ours, compiled"] * (not compiled)
    names = [name for name in CONTENDERS if name not in left_out]
    if not importlib.util.find_spec("denoising_diffusion_pytorch"):
        print('denoising-diffusion-pytorch is not installed and left out: pip install -e ".[bench]"')
        names.remove("lucidrains")
    return names


def take_turns(
    batch: int, quick: bool, device: str, log: Callable[[str], None], compiled: bool
) -> dict[str, list[dict[str, Any]]]:
    """What each contender measured, one turn in each round; one that is out of memory is left out, unless it is ours."""
    rounds, seconds = (1, 3) if quick else (3, 12)
    with ExitStack() as stack:
        log(f"training: first steps at a batch of {batch}")
        workers = {name: stack.enter_context(Worker(make, name, batch, device)) for name in contenders(quick, compiled)}
        for name, worker in list(workers.items()):
            try:
                worker.wait()
            except RuntimeError as error:
                if name == "ours" or "out of memory" not in str(error):
                    raise
                log(f"training: {name} at a batch of {batch} is out of memory and left out")
                del workers[name]
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for number in range(rounds):
            for name, worker in workers.items():
                log(f"training: round {number + 1} of {rounds}, {name} at a batch of {batch}")
                turns[name].append(worker(seconds))
    return turns


def run(
    batches: Sequence[int], quick: bool, device: str, log: Callable[[str], None], compiled: bool = False
) -> list[dict[str, Any]]:
    """A row for each batch size and contender; ratios are medians over the rounds, of two turns in the same round."""
    rows = []
    for batch in batches:
        turns = take_turns(batch, quick, device, log, compiled)
        for name, mine in turns.items():
            ratios = [a["images_per_second"] / b["images_per_second"] for a, b in zip(turns["ours"], mine, strict=True)]
            rows.append(
                {
                    "contender": name,
                    "batch": batch,
                    "parameters": mine[0]["parameters"],
                    "images_per_second": median(t["images_per_second"] for t in mine),
                    "ours_is_faster_by": median(ratios),
                    "peak_mib": max(t["peak_mib"] for t in mine),
                    "first_step_seconds": mine[0]["first_step_seconds"],
                }
            )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| training, 64x64 | parameters | batch | images per second | ours is faster by | peak memory | first step |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {CONTENDERS[row['contender']]} | {row['parameters']:,} | {row['batch']} | {row['images_per_second']:.1f} | "
            f"{row['ours_is_faster_by']:.1f}x | {row['peak_mib']:,.0f} MiB | {row['first_step_seconds']:.1f} s |"
        )
    return "\n".join(lines)
