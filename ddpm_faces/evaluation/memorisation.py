"""Does the model repeat its training pictures? Nearest ones, and how near they are beside those of pictures it never saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.data.store import spread
from ddpm_faces.evaluation import plots
from ddpm_faces.evaluation.denoising import denoising
from ddpm_faces.evaluation.suite import Part, Suite, sheet
from ddpm_faces.images import to_tensor

AT_ONCE = 1024  # pictures compared at a time
PAIRS, LOOKED_AT = 64, 5_000  # samples shown beside their nearest training pictures; at most so many are compared with them
COPY = 1 / 3  # Yoon et al. 2023: a picture is a copy if its nearest is so much nearer than its second nearest


class Nearest(NamedTuple):
    """Of each of N queries: distance (N,) to the nearest of the others, which that is (N,), distance (N,) to the second."""

    distance: Tensor
    which: Tensor
    second: Tensor


def nearest(queries: Tensor, among: Iterable[Tensor]) -> Nearest:
    """The nearest rows to each row of queries (N, F), Euclidean, among the rows of all parts (M_i, F) together."""
    values, which, start = torch.full((len(queries), 2), torch.inf), torch.zeros(len(queries), 2, dtype=torch.long), 0
    for part in among:
        found = torch.cdist(queries, part).topk(min(2, len(part)), dim=1, largest=False)
        candidates, numbers = torch.cat((values, found.values), dim=1), torch.cat((which, found.indices + start), dim=1)
        values, order = candidates.topk(2, dim=1, largest=False)
        which = numbers.gather(1, order)
        start += len(part)
    return Nearest(values[:, 0], which[:, 0], values[:, 1])


def pixels(pictures: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 -> (N, H * W * C) float32 in [-1, 1], scaled so that distances are the pixels' root mean square."""
    flat = torch.from_numpy(np.array(pictures)).flatten(1).float() / 127.5 - 1
    return flat / flat.shape[1] ** 0.5


def pixel_parts(pictures: np.ndarray, mirror: bool, size: int = AT_ONCE) -> Iterable[Tensor]:
    """All pictures as `pixels`, part by part; mirror: after them all their mirror images, in the same order."""
    for flip in (False, True)[: 1 + mirror]:
        for start in range(0, len(pictures), size):
            part = pictures[start : start + size]
            yield pixels(part[:, :, ::-1] if flip else part)


class Distances(NamedTuple):
    """How near to the training pictures: of generated ones, and of real ones that were not trained on."""

    generated: Nearest
    held_out: Nearest

    def summary(self) -> dict[str, float]:
        """Medians of the distances; how near the nearest is beside the second nearest (COPY or less: a copy).

        Smooth pictures lie nearer to all others, so that a small distance alone proves nothing; the ratio does not change.
        """
        found: dict[str, float] = {}
        for label, near in (("generated", self.generated), ("held-out", self.held_out)):
            ratio = near.distance / near.second.clamp(min=1e-12)
            found[f"distance, {label}"] = float(near.distance.median())
            found[f"nearest to second, {label}"] = float(ratio.median())
            found[f"share of copies, {label}"] = float((ratio <= COPY).float().mean())
        return found


def memorisation(suite: Suite) -> Part:
    """The nearest training pictures (and, of faces, mirror images) of the samples and of the test split."""
    generated, mirror = suite.samples(), suite.shows_faces  # digits have no mirror images
    generated = generated[spread(len(generated), LOOKED_AT)]
    held_out = suite.real(len(generated))
    features = [*suite.judge.extract(suite.train.images, progress="the judge on training pictures").features.split(AT_ONCE)]
    if mirror:
        images = suite.train.images[:, :, ::-1]
        features += suite.judge.extract(images, progress="and on their mirror images").features.split(AT_ONCE)
    sets = (generated, "samples"), (held_out, "held-out pictures")
    count = (1 + mirror) * -(-len(suite.train) // AT_ONCE)

    def near(queries: Tensor, parts: Iterable[Tensor], what: str) -> Nearest:  # which takes minutes among all of CelebA
        return nearest(queries, tqdm(parts, f"nearest to {what}", count, leave=False, unit=f"{AT_ONCE} img"))

    found = {
        "features": Distances(*(near(suite.judge.extract(p).features, features, what) for p, what in sets)),
        "pixels": Distances(*(near(pixels(p), pixel_parts(suite.train.images, mirror), what) for p, what in sets)),
    }
    count = min(PAIRS, len(generated))
    rows = [to_tensor(generated[:count])]
    for distances in found.values():
        index = distances.generated.which[:count]
        x = to_tensor(suite.train.images[(index % len(suite.train)).numpy()])
        rows.append(torch.where((index >= len(suite.train))[:, None, None, None], x.flip(3), x))
    columns = 16
    blocks = torch.stack(rows, dim=1).split(columns)  # of 16 samples, each above its nearest
    order = [block.transpose(0, 1).flatten(0, 1) for block in blocks if len(block) == columns]
    title = "samples; below each its nearest training picture in features, then in pixels"
    overview = sheet(torch.cat(order), columns, left=["sample", "features", "pixels"] * len(order), title=title)
    spaces = {space: distances.summary() for space, distances in found.items()}
    numbers = {"spaces": spaces, "samples": len(generated), "denoising": denoising(suite)}
    return Part(numbers, {"nearest.png": overview, "distances.png": plots.distances(found)})
