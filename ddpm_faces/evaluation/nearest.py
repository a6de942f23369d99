"""The nearest of many images, in features or in pixels, and how near it is: whether an image is a copy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 1024  # images compared at a time
COPY = 1 / 3  # Yoon et al. 2023: an image is a copy if its nearest is so much nearer than its second nearest


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


def pixels(images: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 -> (N, H * W * C) float32 in [-1, 1], scaled so that distances are the pixels' root mean square."""
    flat = torch.from_numpy(np.array(images)).flatten(1).float() / 127.5 - 1
    return flat / math.sqrt(flat.shape[1])


def pixel_parts(images: np.ndarray, mirror: bool, size: int = AT_ONCE) -> Iterator[Tensor]:
    """All images as `pixels`, part by part; mirror: after them all their mirror images, in the same order."""
    for flip in (False, True)[: 1 + mirror]:
        for start in range(0, len(images), size):
            part = images[start : start + size]
            yield pixels(part[:, :, ::-1] if flip else part)


class Distances(NamedTuple):
    """How near to the training images: of generated ones, and of real ones that were not trained on."""

    generated: Nearest
    held_out: Nearest

    def summary(self) -> dict[str, float]:
        """Medians of the distances; how near the nearest is beside the second nearest (COPY or less: a copy).

        Smooth images lie nearer to all others, so that a small distance alone proves nothing; the ratio does not change.
        """
        found: dict[str, float] = {}
        for label, near in (("generated", self.generated), ("held-out", self.held_out)):
            ratio = near.distance / near.second.clamp(min=1e-12)
            found[f"distance, {label}"] = float(near.distance.median())
            found[f"nearest to second, {label}"] = float(ratio.median())
            found[f"share of copies, {label}"] = float((ratio <= COPY).float().mean())
        return found
