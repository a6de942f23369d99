"""From a store to batches on the device that trains: over the bus each time, or from a copy that is there already."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.data.store import Store


def fits(store: Store, device: torch.device) -> bool:
    """Whether all pictures would take at most half of a GPU's free memory; never on a CPU, where the map is as near."""
    return device.type == "cuda" and 2 * store.images.nbytes <= torch.cuda.mem_get_info(device)[0]


class Feed:
    """feed(indices) gives the pictures (B, C, H, W) uint8, channels last in memory, and conditions (B, K) float32, on `device`.

    resident: keep all of the store on the device (CelebA at 64x64 takes 2 GB), by default where it `fits`. Nothing waits for
    the device, so that it can be fed ahead.
    """

    def __init__(self, store: Store, device: torch.device, resident: bool | None = None):
        self.store, self.device = store, device
        self.resident = fits(store, device) if resident is None else resident
        if self.resident:
            self.images = torch.from_numpy(np.array(store.images)).to(device)
            self.conditions = torch.from_numpy(store.conditions).float().to(device)

    def __call__(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        if self.resident:
            where = self._send(torch.from_numpy(indices))
            return self.images[where].permute(0, 3, 1, 2), self.conditions[where]
        images, conditions = self.store.batch(indices)
        return self._send(images), self._send(conditions)

    def _send(self, t: Tensor) -> Tensor:
        """To the device; a copy from pinned memory is not waited for."""
        return (t.pin_memory() if self.device.type == "cuda" else t).to(self.device, non_blocking=True)
