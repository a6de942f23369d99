"""From a dataset to batches on the device that trains: over the bus each time, or from a copy that is there already."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.data.dataset import Dataset


def fits(dataset: Dataset, device: torch.device) -> bool:
    """Whether all images take at most half of a GPU's free memory. Never on a CPU, which reads the map as fast."""
    return device.type == "cuda" and 2 * dataset.images.nbytes <= torch.cuda.mem_get_info(device)[0]


class Loader:
    """loader(indices) gives images (B, C, H, W) uint8, channels last in memory, and conditions (B, K) float32, on `device`.

    resident: keep all of the dataset on the device (CelebA at 64x64 takes 2 GB), by default where it `fits`. Nothing waits for
    the device, so that batches can be sent ahead.
    """

    def __init__(self, dataset: Dataset, device: torch.device, resident: bool | None = None):
        self.dataset, self.device = dataset, device
        self.resident = fits(dataset, device) if resident is None else resident
        if self.resident:
            self.images = torch.from_numpy(np.array(dataset.images)).to(device)
            self.conditions = torch.from_numpy(dataset.conditions).float().to(device)

    def __call__(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        if self.resident:
            where = self._send(torch.from_numpy(indices))
            return self.images[where].permute(0, 3, 1, 2), self.conditions[where]
        images, conditions = self.dataset.batch(indices)
        return self._send(images), self._send(conditions)

    def _send(self, t: Tensor) -> Tensor:
        """To the device; a copy from pinned memory is not waited for."""
        return (t.pin_memory() if self.device.type == "cuda" else t).to(self.device, non_blocking=True)
