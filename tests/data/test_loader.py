"""A loader gives the same batches whether the dataset is copied to the device or read from the map."""

import numpy as np
import torch

from ddpm_faces.data import open_dataset
from ddpm_faces.data.loader import Loader, fits


def test_resident_or_not_batches_are_the_same(celeba):
    dataset = open_dataset("celeba", celeba)
    here = torch.device("cpu")
    indices = np.array([3, 0, 5, 3])
    for images, conditions in (Loader(dataset, here, resident=True)(indices), Loader(dataset, here)(indices)):
        assert images.shape == (4, 3, 64, 64) and images.dtype == torch.uint8
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), dataset.images[indices])
        assert torch.equal(conditions, torch.from_numpy(dataset.conditions[indices]).float())


def test_a_cpu_needs_no_copy(celeba):
    assert not fits(open_dataset("celeba", celeba), torch.device("cpu"))
