"""A data set decoded once: one flat file of uint8 pixels that training maps into memory and reads batches from.

A dataset is a folder: images.u8 (N, H, W, C), conditions.npy (N, K) int8, and store.json, which holds the shape, the names of
the conditions, the facts it was made from (the folder's name ends in their fingerprint), the names of the images where they
have any, and every image that was skipped, with the reason.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor

from ddpm_faces.conditions.labels import Labels
from ddpm_faces.data.damage import explain
from ddpm_faces.data.decoding import Decode, decode_all
from ddpm_faces.data.whole import make_whole
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.locks import held

FORMAT = 1


class Dataset:
    """An opened dataset, described by `labels`. Raises UserError where the folder is damaged.

    images: (N, H, W, C) uint8, read-only, mapped into memory where the file system can. conditions: (N, K) int8.
    """

    def __init__(self, folder: Path, labels: Labels):
        self.folder, self.labels = folder, labels
        try:
            self.info: dict[str, Any] = json.loads((folder / "store.json").read_text())
            self.images = _read_images(folder / "images.u8", tuple(self.info["shape"]))
            self.conditions: np.ndarray = np.load(folder / "conditions.npy", allow_pickle=False)
            self.fingerprint = fingerprint(self.info["facts"])
            if tuple(self.info["names"]) != labels.names:
                raise ValueError("its conditions have other names")
            if self.conditions.shape != (len(self.images), len(labels)):
                raise ValueError(f"{len(self.images)} images, but conditions of shape {self.conditions.shape}")
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"the dataset {folder} cannot be read ({explain(error)}); delete that folder, it is made anew"
            ) from None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the conditions."""
        return self.labels.names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    @property
    def frequencies(self) -> tuple[float, ...]:
        """How often each attribute is present, to 4 digits; () for one-hot labels, which only ever say what is there."""
        return () if self.labels.one_hot else tuple((self.conditions > 0).mean(axis=0).round(4).tolist())

    def name(self, i: int) -> str:
        """The file that image i was decoded from, or its number where the source has no files."""
        names = self.info.get("pictures") or ()
        return str(names[i]) if i < len(names) else str(i)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """The images (B, C, H, W) uint8, channels last in memory, and their conditions (B, K) float32."""
        images = torch.from_numpy(self.images[indices]).permute(0, 3, 1, 2)
        return images, torch.from_numpy(self.conditions[indices]).float()

    def select(self, names: Sequence[str]) -> Dataset:
        """The same images with these attributes only, in this order; none for a dataset without conditions.

        Raises ValueError for a name that is not the dataset's, and for some of several classes, which are no attributes.
        """
        if self.labels.one_hot and names and tuple(names) != self.names:
            raise ValueError("classes cannot be selected: an image of another class would have none")
        exclusive = tuple(p for p in self.labels.exclusive if all(side.removeprefix("-") in names for side in p))
        selected = copy.copy(self)
        selected.conditions = self.conditions[:, [self.labels.index(name) for name in names]]
        selected.labels = Labels(tuple(names), self.labels.one_hot and bool(names), exclusive)
        return selected

    def image_batches(self, count: int = 8192, mirror: bool = False) -> Callable[[], Iterator[Tensor]]:
        """A function that gives an iterator over `count` images spread over the dataset, the same at every call.

        Batches are (B, C, H, W) float32 in [-1, 1], of at most 512 images; mirror: each batch is followed, within the same
        tensor, by its mirror images.
        """
        chosen = spread(len(self), count)

        def batches() -> Iterator[Tensor]:
            for indices in np.array_split(chosen, -(-len(chosen) // 512)):
                x = self.batch(indices)[0].float() / 127.5 - 1
                yield torch.cat((x, x.flip(3))) if mirror else x

        return batches


def _read_images(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels as a read-only map, or read whole where the file system refuses maps, as some network drives do."""
    if path.stat().st_size != math.prod(shape):
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes instead of {math.prod(shape):,}")
    try:
        return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
    except OSError:
        images = np.fromfile(path, dtype=np.uint8).reshape(shape)
        images.flags.writeable = False
        return images


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(n)


def batch_indices(n: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """Which images step number `step` trains on: (batch_size,) int64.

    The order is one permutation of the n images after another, cut into batches. It depends on nothing but the arguments: a
    run that is resumed in the middle of an epoch sees exactly what it would have seen.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // n
    parts = [_permutation(n, seed, int(e))[positions[epochs == e] % n] for e in np.unique(epochs)]
    return np.concatenate(parts)


def spread(total: int, count: int) -> np.ndarray:
    """`count` numbers spread evenly over 0 .. total - 1, or all of them if there are fewer."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))


def cache_root() -> Path:
    """Where datasets are kept: $DDPM_FACES_CACHE, or ddpm_faces in the user's cache folder. UserError if there is none."""
    try:
        said = os.environ.get("DDPM_FACES_CACHE")
        return Path(said or platformdirs.user_cache_dir("ddpm_faces", appauthor=False)).expanduser()
    except RuntimeError as error:  # no HOME, and no entry for the user id: a container, say
        raise UserError(f"no place for the cache: {error}; set DDPM_FACES_CACHE to a folder") from None


def fingerprint(facts: dict[str, Any]) -> str:
    """A short name for what a dataset was made from: any change of the facts changes it."""
    return hashlib.sha256(json.dumps({"format": FORMAT, **facts}, sort_keys=True).encode()).hexdigest()[:12]


def build(
    name: str,
    facts: dict[str, Any],
    shape: tuple[int, int, int],
    labels: Labels,
    items: Sequence[Any] | Callable[[], Sequence[Any]],
    decode: Decode,
) -> Dataset:
    """Open the dataset that these facts describe, making it first if need be.

    name: begins the folder's name. shape: (H, W, C) of an image. items: what to decode, or a function that tells, called only
    if the dataset must be made. decode(item) gives an image (H, W, C) uint8 and its conditions (K,), or raises, upon which the
    item is skipped and named. Nothing half-made is ever left under the final name. Raises UserError where no image is left,
    the disk is full or the folder cannot be written.
    """
    folder = cache_root() / f"{name}-{fingerprint(facts)}"
    whole = folder / "store.json"  # written last

    def make(partial: Path) -> None:
        wanted = items() if callable(items) else items
        kept, skipped = decode_all(partial, name, shape, len(labels), wanted, decode)
        info = {"shape": [len(kept), *shape], "names": labels.names, "facts": facts, "skipped": skipped}
        info |= {"pictures": kept} if isinstance(kept[0], str) else {}
        (partial / whole.name).write_text(json.dumps(info, indent=1))

    try:
        if not whole.is_file():
            with held(folder.parent / f"{folder.name}.lock", f"making the dataset {folder}", wait=True):
                if not whole.is_file():  # another process may have made it meanwhile
                    make_whole(folder, make)
    except OSError as error:
        raise UserError(f"could not write the dataset {folder}: {error.strerror or error}; DDPM_FACES_CACHE moves it") from None
    dataset = Dataset(folder, labels)
    if skipped := dataset.info["skipped"]:
        print(
            f"{name}: skipped {len(skipped)} unreadable images, listed in {whole} (once they are mended, "
            f"delete that folder); the first is {skipped[0]}"
        )
    return dataset
