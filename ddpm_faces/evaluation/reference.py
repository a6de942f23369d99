"""What real pictures look like to an extractor, measured once and kept; and pictures made worse on purpose, as rulers."""

from __future__ import annotations

import io
from zipfile import BadZipFile

import numpy as np
import torch

from ddpm_faces import files
from ddpm_faces.data.store import Store, cache_root, spread
from ddpm_faces.errors import UserError
from ddpm_faces.evaluation.extractors import Extractor
from ddpm_faces.images import to_tensor, to_uint8
from ddpm_faces.judge import Extracted

BLUR = 2.0  # deviation of the blur, in pixels


def extract_from_store(extractor: Extractor, store: Store, count: int, what: str) -> Extracted:
    """The extractor's opinion of `count` pictures spread over a store, kept in the cache.

    The file's name says data, split, crop, size, count and extractor, and by which weights.
    """
    chosen = spread(len(store), count)
    name = f"{store.folder.name}-{len(chosen)}-{extractor.name}-{extractor.identity}.npz"
    path = cache_root() / "features" / name
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as kept:
                return Extracted(torch.from_numpy(kept["logits"]), torch.from_numpy(kept["features"]))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise UserError(f"{path} is damaged ({error}): delete it, it is made anew") from None
    found = extractor.extract(store.images if len(chosen) == len(store) else store.images[chosen], what)
    content = io.BytesIO()
    np.savez(content, logits=found.logits.numpy(), features=found.features.numpy())
    files.write(path, content.getvalue())
    return found


def blurred(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8, out of focus: a Gaussian blur of BLUR pixels."""
    from torchvision.transforms.functional import gaussian_blur

    parts = np.array_split(pictures, -(-len(pictures) // 256))
    return np.concatenate([to_uint8(gaussian_blur(to_tensor(p), 2 * round(3 * BLUR) + 1, BLUR)) for p in parts])


def noise(pictures: np.ndarray, seed: int = 0) -> np.ndarray:
    """Uniform noise of the same shape: no picture at all."""
    return np.random.default_rng(seed).integers(0, 256, pictures.shape, dtype=np.uint8)
