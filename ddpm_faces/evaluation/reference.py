"""What real images look like to an extractor, measured once and kept; and images made worse on purpose, as rulers."""

from __future__ import annotations

import io
from zipfile import BadZipFile

import numpy as np
import torch

from ddpm_faces.data.dataset import Dataset, cache_root, spread
from ddpm_faces.evaluation.extractors import Extractor
from ddpm_faces.models.classifier_checkpoint import Extracted
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_tensor, to_uint8

REFERENCE = 10_000  # images of the test split, at most, that distances are measured to
BLUR = 2.0  # standard deviation of the blur, in pixels


def extract_dataset(extractor: Extractor, dataset: Dataset, count: int, what: str) -> Extracted:
    """The extractor's output for `count` images spread over a dataset, kept in the cache. Raises UserError.

    The file's name says data, split, crop, size, count and extractor, and by which weights. what: names the progress bar.
    """
    chosen = spread(len(dataset), count)
    path = cache_root() / "features" / f"{dataset.folder.name}-{len(chosen)}-{extractor.name}-{extractor.identity}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as kept:
                return Extracted(torch.from_numpy(kept["logits"]), torch.from_numpy(kept["features"]))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise UserError(f"{path} is damaged ({str(error) or 'it ends too early'}): delete it, it is made anew") from None
    found = extractor.extract(dataset.images if len(chosen) == len(dataset) else dataset.images[chosen], what)
    content = io.BytesIO()
    np.savez(content, logits=found.logits.numpy(), features=found.features.numpy())
    files.write(path, content.getvalue())
    return found


def blurred(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8, out of focus: a Gaussian blur of BLUR pixels."""
    from torchvision.transforms.functional import gaussian_blur

    parts, side = np.array_split(images, -(-len(images) // 256)), 2 * round(3 * BLUR) + 1
    return np.concatenate([to_uint8(gaussian_blur(to_tensor(part), [side, side], [BLUR, BLUR])) for part in parts])


def noise(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Uniform noise of the same shape: no image at all."""
    return np.random.default_rng(seed).integers(0, 256, images.shape, dtype=np.uint8)
