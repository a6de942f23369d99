"""`python -m experiments.chain_memory`: how much memory a gradient through the whole chain of sampling takes, by its steps.

Plain autograd keeps every step, checkpointing every state between two steps, the invertible chain the last state only. Each
figure is the peak of a fresh process, less what the process had before the gradient.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import ddpm_faces
from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.inversion import CHAINS, Pair, Rung, ladder
from ddpm_faces.diffusion.invertible import sample_invertible
from ddpm_faces.evaluation.report import render, table
from ddpm_faces.generation.optimise import DEPTH
from ddpm_faces.utils.devices import full_precision
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import write_image
from ddpm_faces.utils.settings import Settings, command, parse
from experiments.machine import describe, machine
from experiments.trials import Results

WAYS = ("plain", "checkpointed", "invertible")


class MemorySettings(Settings):
    """The settings of `experiments.chain_memory`."""

    model: str = Field("mnist32", description="a shipped name, a run's folder or a file")
    steps: tuple[int, ...] = Field((5, 10, 20, 50, 100), description="lengths of the chain")
    batch_size: int = Field(8, ge=1, le=1024, description="pictures at a time")
    out: Path = Field(Path("out/chain-memory"), title="FOLDER", description="folder for the figures and the plot")
    one: tuple[str, ...] = Field((), title="WAY,STEPS", description="measure one and print its bytes: what the processes run")


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(MemorySettings, argv, __doc__)
    if settings.one:
        print(peak(settings, settings.one[0], int(settings.one[1])))
        return 0
    if len(settings.steps) < 2 or min(settings.steps) < 2:
        raise UserError("--steps takes two lengths and more, from 2")
    about = {"model": settings.model, "batch_size": settings.batch_size, "torch": torch.__version__}
    results = Results(settings.out / "figures.json", about)
    rows = {}
    for way in WAYS:
        figures = [results.once(f"{way}/{n}", functools.partial(_in_a_process, settings, way, n)) for n in settings.steps]
        slope = float(np.polyfit(settings.steps, figures, 1)[0])
        rows[way] = {f"{n} steps": f"{mib:.1f}" for n, mib in zip(settings.steps, figures, strict=True)} | {
            "a step": f"{slope:.3f}"
        }
    print(f"peak memory of a gradient in MiB; {describe(machine())}\n")
    print("\n".join(table(rows)))
    print(write_image(render(plot(results, settings.steps)), settings.out / "memory.png"))
    return 0


def _in_a_process(settings: MemorySettings, way: str, steps: int) -> float:
    """The peak in MiB."""
    argv = ["--model", settings.model, "--batch-size", str(settings.batch_size), "--one", f"{way},{steps}"]
    done = subprocess.run([sys.executable, "-m", "experiments.chain_memory", *argv], capture_output=True, text=True, check=True)
    return int(done.stdout) / 2**20


def peak(settings: MemorySettings, way: str, steps: int) -> int:
    """Bytes at the peak of one gradient from the picture to its noise, beyond what was there before."""
    torch.set_num_threads(1)
    model = ddpm_faces.load(settings.model)
    rungs = ladder(model.schedule, steps, DEPTH)
    eps = model.eps(torch.zeros(settings.batch_size, len(model.labels)))
    z = torch.randn(settings.batch_size, *model.image_shape, generator=torch.Generator().manual_seed(0))
    with full_precision(model.device):
        _gradient(way, model.eps(torch.zeros(1, len(model.labels))), z[:1], rungs[:3])  # what the first call of all allocates
        before = _peak_so_far()
        _gradient(way, eps, z, rungs)
    return _peak_so_far() - before


def _gradient(way: str, eps: Eps, z: Tensor, rungs: list[Rung]) -> Tensor:
    chain = CHAINS["bdia"]
    leaf = z.clone().requires_grad_(True)
    if way == "checkpointed":
        eps = functools.partial(checkpoint, eps, use_reentrant=False)
    state: Pair = chain.start(eps, leaf, rungs)
    image = sample_invertible(chain, eps, state, rungs) if way == "invertible" else chain.sample(eps, state, rungs)
    (gradient,) = torch.autograd.grad(image.square().sum(), leaf)
    return gradient


def _peak_so_far() -> int:
    """The largest resident size of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss begins with the size of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def plot(results: Results, steps: Sequence[int]) -> Figure:
    """Peak memory against the number of steps."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="steps of the chain", ylabel="peak memory of a gradient, MiB")
    for way in WAYS:
        axes.plot(steps, [results.figures[f"{way}/{n}"] for n in steps], marker="o", label=way)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
