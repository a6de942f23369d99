"""How well the noise is predicted, on training images and on others: where the two part, a model begins to overfit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.data.dataset import Dataset, spread
from ddpm_faces.diffusion.loss import Model
from ddpm_faces.diffusion.process import add_noise
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.evaluation.suite import Suite
from ddpm_faces.utils.devices import autocast

AT_ONCE = 50  # images
DENOISED = 500  # training images, and as many held-out ones, whose noise is predicted


def levels(steps: int, count: int = 10) -> tuple[int, ...]:
    """The middles of `count` equal parts of a schedule's steps: 50, 150, .. 950 of 1000."""
    return tuple((2 * i + 1) * steps // (2 * count) for i in range(count))


@torch.no_grad()
def denoising_errors(
    network: Model,
    dataset: Dataset,
    rows: np.ndarray,
    schedule: Schedule,
    at: Sequence[int],
    device: torch.device | str = "cpu",
    precision: str = "no",
    show: Callable[[Tensor], Tensor] = lambda c: c,
    progress: str = "",
) -> Tensor:
    """Mean squared error of the predicted noise, (len(rows), len(at)), for each of these images at each step of `at`.

    The noise depends on the step and the place in `rows` alone. show: what the network is shown of the conditions (B, K).
    device: where the network is. progress: names a bar.
    """
    device, errors = torch.device(device), []
    for step in tqdm(at, progress, unit="step", leave=False, disable=not progress):
        rng, found = torch.Generator().manual_seed(step), []
        for part in np.array_split(rows, max(1, len(rows) // AT_ONCE)):
            images, c = dataset.batch(part)
            eps = torch.randn(images.shape, generator=rng).to(device)
            x0 = images.to(device).float() / 127.5 - 1
            t = torch.full((len(part),), step, device=device)
            with autocast(device, precision):
                predicted = network(add_noise(x0, eps, t, schedule), t, show(c.to(device))).float()
            found.append((predicted - eps).square().mean(dim=(1, 2, 3)).cpu())
        errors.append(torch.cat(found))
    return torch.stack(errors, dim=1)


class Harder(NamedTuple):
    """By what share held-out images are harder than training ones, each step counting alike, and its standard error."""

    harder: float
    standard_error: float


def harder(trained_on: Tensor, held_out: Tensor) -> Harder:
    """Of the errors (N, steps) and (M, steps) of both. 0: none; what exceeds two standard errors is overfitting."""
    scale = trained_on.mean(dim=0)
    a, b = (trained_on / scale).mean(dim=1), (held_out / scale).mean(dim=1)
    return Harder(float(b.mean() - 1), float((a.var() / len(a) + b.var() / len(b)).sqrt()))


def denoising(suite: Suite) -> dict[str, float]:
    """The error of the predicted noise on training images and on as many of the test split."""
    model, count = suite.model, min(DENOISED, len(suite.train), len(suite.test))
    at = levels(model.schedule.steps)

    def errors(dataset: Dataset, what: str) -> Tensor:
        return denoising_errors(
            model.network, dataset, spread(len(dataset), count), model.schedule, at, model.device, suite.cache.precision,
            progress=f"predicting the noise of {what}",
        )  # fmt: skip

    trained_on, held_out = errors(suite.train, "training images"), errors(suite.test, "held-out ones")
    return {
        "images": count,
        "error on training images": float(trained_on.mean()),
        "error on held-out ones": float(held_out.mean()),
        **harder(trained_on, held_out)._asdict(),
    }
