"""Does the model repeat its training images? The nearest ones, beside those of images it never saw."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.data.dataset import spread
from ddpm_faces.evaluation.denoising import denoising
from ddpm_faces.evaluation.nearest import AT_ONCE, Distances, Nearest, nearest, pixel_parts, pixels
from ddpm_faces.evaluation.part import Numbers, Part
from ddpm_faces.evaluation.report import cell, heading, percent, render, table
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite, sheet
from ddpm_faces.utils.images import to_tensor

NEEDS_CONDITIONS = False
PAIRS, LOOKED_AT = 64, 5_000  # samples shown beside their nearest training images; at most so many are compared with them
COLUMNS = 16
PRIVATE = "photographs of real people: not to be published"
COPIES = "A copy: the nearest is at most a third as far as the second nearest (Yoon et al. 2023)."


def requests(suite: Suite) -> list[Request]:
    """The samples that quality is measured on."""
    return [suite.samples()]


def measure(suite: Suite) -> Part:
    """The nearest training images of the samples and of as many held-out images, and how well either are denoised."""
    generated = suite.cache.sample(suite.samples())
    generated = generated[spread(len(generated), LOOKED_AT)]
    found = distances(suite, generated, suite.real(len(generated)))
    numbers = {
        "spaces": {space: both.summary() for space, both in found.items()},
        "samples": len(generated),
        "denoising": denoising(suite),
        "shows people": suite.source.people,
    }
    return Part(numbers, {"nearest.png": pairs(suite, generated, found), "distances.png": plot(found)})


def distances(suite: Suite, generated: np.ndarray, held_out: np.ndarray) -> dict[str, Distances]:
    """In features and in pixels. Mirror images count as training images where training mirrored them."""
    trained_on, mirror = suite.train.images, mirrored(suite)
    features = [*torch.split(suite.classifier.extract(trained_on, "the classifier on training images").features, AT_ONCE)]
    if mirror:
        images = trained_on[:, :, ::-1]
        features += torch.split(suite.classifier.extract(images, "and on their mirror images").features, AT_ONCE)
    count = (1 + mirror) * -(-len(trained_on) // AT_ONCE)

    def near(queries: Tensor, parts: Iterable[Tensor], what: str) -> Nearest:  # which takes minutes among all of CelebA
        return nearest(queries, tqdm(parts, f"nearest to {what}", count, leave=False, unit=f"{AT_ONCE} img"))

    sets = (generated, "samples"), (held_out, "held-out images")
    return {
        "features": Distances(*(near(suite.classifier.extract(x).features, features, what) for x, what in sets)),
        "pixels": Distances(*(near(pixels(x), pixel_parts(trained_on, mirror), what) for x, what in sets)),
    }


def mirrored(suite: Suite) -> bool:
    """Whether training on this data mirrors images, as its source recommends: a mirrored digit is no digit."""
    return bool(suite.source.recipe.get("flip", False))


def pairs(suite: Suite, generated: np.ndarray, found: dict[str, Distances]) -> Image.Image:
    """Rows of samples, and below each its nearest training images."""
    count, trained_on = min(PAIRS, len(generated)), suite.train.images
    rows = [to_tensor(generated[:count])]
    for both in found.values():
        which = both.generated.which[:count]
        x = to_tensor(trained_on[(which % len(trained_on)).numpy()])
        rows.append(torch.where((which >= len(trained_on))[:, None, None, None], x.flip(3), x))
    blocks = torch.split(torch.stack(rows, dim=1), COLUMNS)  # of 16 samples, each with its nearest
    order = [block.transpose(0, 1).flatten(0, 1) for block in blocks if len(block) == COLUMNS]
    title = "samples; below each its nearest training image in features, then in pixels"
    title += f" ({PRIVATE})" if suite.source.people else ""
    return sheet(torch.cat(order), COLUMNS, left=["sample", *found] * len(order), title=title)


def plot(found: dict[str, Distances]) -> Image.Image:
    """How near the nearest training image is: to generated images and to held-out ones."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, (space, near) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        both = {"generated": near.generated.distance.numpy(), "real, never trained on": near.held_out.distance.numpy()}
        edges = np.histogram_bin_edges(np.concatenate(list(both.values())), 40)
        for label, values in both.items():
            axes.hist(values, edges, density=True, alpha=0.6, label=label)
        axes.set(xlabel=f"distance to the nearest training image, in {space}", yticks=[])
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return render(figure)


def verdict(numbers: Numbers) -> str:
    """How many copies there are."""
    copies = {label: percent(numbers["spaces"]["features"][f"share of copies, {label}"]) for label in ("generated", "held-out")}
    return (
        f"{copies['generated']} of the images are copies of training images, as are {copies['held-out']} of held-out real ones."
    )


def report(numbers: Numbers, about: Numbers) -> list[str]:
    """Distances, and the errors of denoising."""
    noise = numbers["denoising"]
    lines = [
        *heading("Memorisation", numbers), *table(numbers["spaces"]), "",
        f"Distances of {numbers['samples']} samples and of the test split to the nearest training image. {COPIES}", "",
        f"The noise in {noise['images']} training images is predicted with a mean squared error of "
        f"{cell(noise['error on training images'])}, in as many held-out ones with {cell(noise['error on held-out ones'])}. "
        f"With each step counting alike these are harder by {percent(noise['harder'])}, with a standard error of "
        f"{percent(noise['standard_error'])}: more than two of them is overfitting.", "",
    ]  # fmt: skip
    lines += [f"**nearest.png shows {PRIVATE}.**", ""] if numbers["shows people"] else []
    return [*lines, "![](distances.png)", "![](nearest.png)"]
