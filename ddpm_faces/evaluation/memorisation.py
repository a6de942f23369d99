"""Does the model repeat its training pictures? Nearest ones, and how near they are beside those of pictures it never saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Nearest(NamedTuple):
    """Of each of N queries: distance (N,) to the nearest of the others, and which that is, (N,)."""

    distance: Tensor
    which: Tensor


def nearest(queries: Tensor, among: Iterable[Tensor]) -> Nearest:
    """The nearest row to each row of queries (N, F), Euclidean, among the rows of all parts (M_i, F) together."""
    best, index, start = torch.full((len(queries),), torch.inf), torch.zeros(len(queries), dtype=torch.long), 0
    for part in among:
        found = torch.cdist(queries, part).min(dim=1)
        nearer = found.values < best
        best, index = torch.where(nearer, found.values, best), torch.where(nearer, found.indices + start, index)
        start += len(part)
    return Nearest(best, index)


def pixels(pictures: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 -> (N, H * W * C) float32 in [-1, 1], scaled so that distances are the pixels' root mean square."""
    flat = torch.from_numpy(np.array(pictures)).flatten(1).float() / 127.5 - 1
    return flat / flat.shape[1] ** 0.5


def pixel_parts(pictures: np.ndarray, mirror: bool, size: int = 1024) -> Iterable[Tensor]:
    """All pictures as `pixels`, part by part; mirror: after them all their mirror images, in the same order."""
    for flip in (False, True)[: 1 + mirror]:
        for start in range(0, len(pictures), size):
            part = pictures[start : start + size]
            yield pixels(part[:, :, ::-1] if flip else part)


class Memory(NamedTuple):
    """How near to the training pictures: of generated ones, and of real ones that were not trained on."""

    generated: Nearest
    held_out: Nearest

    def summary(self) -> dict[str, float]:
        """Medians, and the share of generated pictures nearer than all but 1 in 100 held-out ones: 0.01 if none is copied."""
        least = torch.quantile(self.held_out.distance, 0.01)
        return {
            "median": float(self.generated.distance.median()),
            "median of held-out": float(self.held_out.distance.median()),
            "nearer than 99% of held-out": float((self.generated.distance < least).float().mean()),
        }
