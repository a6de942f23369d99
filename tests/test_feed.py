"""A feed gives the same batches whether the store is copied to the device or read from the map."""

import numpy as np
import torch

from ddpm_faces.data import open_data
from ddpm_faces.data.feed import Feed, fits


def test_resident_or_not_batches_are_the_same(celeba):
    store = open_data("celeba", celeba)
    here = torch.device("cpu")
    indices = np.array([3, 0, 5, 3])
    for images, conditions in (Feed(store, here, resident=True)(indices), Feed(store, here)(indices)):
        assert images.shape == (4, 3, 64, 64) and images.dtype == torch.uint8
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), store.images[indices])
        assert torch.equal(conditions, torch.from_numpy(store.conditions[indices]).float())


def test_a_cpu_needs_no_copy(celeba):
    assert not fits(open_data("celeba", celeba), torch.device("cpu"))
