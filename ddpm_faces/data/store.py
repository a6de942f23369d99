"""A data set decoded once: one flat file of uint8 pixels that training maps into memory and reads batches from.

A store is a folder: images.u8 (N, H, W, C), conditions.npy (N, K) int8, and store.json, which holds the shape, the names of
the conditions, the facts it was made from (the folder's name ends in their fingerprint), the names of the pictures where they
have any, and every picture that was skipped, with the reason.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.errors import UserError
from ddpm_faces.files import PARTIAL
from ddpm_faces.locks import held

FORMAT = 1


def cache_root() -> Path:
    """Where stores live: $DDPM_FACES_CACHE, or ddpm_faces in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DDPM_FACES_CACHE") or Path(home) / "ddpm_faces")


class Store:
    """An opened store. `images` is a read-only map (N, H, W, C) uint8, `conditions` an array (N, K) int8."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self.info: dict = json.loads((folder / "store.json").read_text())
            shape = tuple(self.info["shape"])
            self.images = np.memmap(folder / "images.u8", dtype=np.uint8, mode="r", shape=shape)
            self.conditions = np.load(folder / "conditions.npy", allow_pickle=False)
            self.names: tuple[str, ...] = tuple(self.info["names"])
            self.fingerprint: str = fingerprint(self.info["facts"])
            if self.conditions.shape != (len(self.images), len(self.names)):
                raise ValueError(f"{len(self.images)} pictures, but conditions of shape {self.conditions.shape}")
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"the store {folder} cannot be read ({error}); delete that folder, it is made anew") from None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    @property
    def frequencies(self) -> tuple[float, ...]:
        """How often each condition is present, to 4 digits; () for one-hot ones, which only ever say what is there."""
        absent = bool((self.conditions < 0).any())
        return tuple((self.conditions > 0).mean(axis=0).round(4).tolist()) if absent else ()

    def name(self, i: int) -> str:
        """The file that picture i was decoded from, or its number where the source has no files."""
        names = self.info.get("pictures") or ()
        return names[i] if i < len(names) else str(i)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """The pictures (B, C, H, W) uint8, channels last in memory, and their conditions (B, K) float32."""
        images = torch.from_numpy(self.images[indices]).permute(0, 3, 1, 2)
        return images, torch.from_numpy(self.conditions[indices]).float()


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(n)


def batch_indices(n: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """Which pictures step number `step` trains on: (batch_size,) int64.

    The order is one permutation of the n pictures after another, cut into batches; as it depends on nothing but its
    arguments, a run resumed in the middle of an epoch sees exactly what it would have seen.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // n
    parts = [_permutation(n, seed, int(e))[positions[epochs == e] % n] for e in np.unique(epochs)]
    return np.concatenate(parts)


def spread(total: int, count: int) -> np.ndarray:
    """`count` numbers spread evenly over 0 .. total - 1, or all of them if there are fewer."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))


def fingerprint(facts: dict) -> str:
    """A short name for what a store was made from: any change of the facts changes it."""
    return hashlib.sha256(json.dumps({"format": FORMAT, **facts}, sort_keys=True).encode()).hexdigest()[:12]


def build(
    name: str,
    facts: dict,
    shape: tuple[int, int, int],
    names: Sequence[str],
    items: Sequence | Callable[[], Sequence],
    decode: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> Store:
    """Open the store that these facts describe, making it first if need be.

    name: begins the folder's name. shape: (H, W, C) of a picture. items: what to decode, or a function that tells, called
    only if the store must be made; decode(item) gives a picture (H, W, C) uint8 and its conditions (K,), or raises, upon
    which the item is skipped and named. Nothing half-made is ever left under the final name. Raises UserError where no
    picture is left, the disk is full or the folder cannot be written.
    """
    folder = cache_root() / f"{name}-{fingerprint(facts)}"
    try:
        if not (folder / "store.json").is_file():
            with held(folder.parent / f"{folder.name}.lock", f"making the store {folder}", wait=True):
                if not (folder / "store.json").is_file():  # another process may have made it meanwhile
                    _make(folder, name, facts, shape, names, items, decode)
    except OSError as error:
        raise UserError(f"could not write the store {folder}: {error.strerror or error}; DDPM_FACES_CACHE moves it") from None
    store = Store(folder)
    if skipped := store.info["skipped"]:
        print(
            f"{name}: skipped {len(skipped)} unreadable pictures, listed in {folder / 'store.json'} (once they are "
            f"mended, delete that folder); the first is {skipped[0]}"
        )
    return store


def _make(folder: Path, name: str, facts: dict, shape: tuple, names: Sequence[str], items, decode: Callable) -> None:
    """Make the store beside its place and rename it; what a killed process left of it goes first."""
    for leftover in folder.parent.glob(f"{folder.name}{PARTIAL}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}{PARTIAL}", dir=folder.parent))
    try:
        items = items() if callable(items) else items
        skipped, kept = _decode_all(partial, name, names, items, decode)
        if not kept:
            raise UserError(f"{name}: none of {len(items)} pictures could be read; first: {'; '.join(skipped[:1])}")
        info = {"shape": [len(kept), *shape], "names": list(names), "facts": facts, "skipped": skipped}
        if isinstance(kept[0], str):
            info["pictures"] = kept
        (partial / "store.json").write_text(json.dumps(info, indent=1))
        shutil.rmtree(folder, ignore_errors=True)  # an older one without its store.json: an interrupted copy, say
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _decode_all(folder: Path, name: str, names: Sequence[str], items: Sequence, decode: Callable) -> tuple[list[str], list]:
    """Write images.u8 and conditions.npy; returns (what was skipped and why, the items that were kept)."""
    from tqdm import tqdm

    def attempt(item):
        try:
            return decode(item)
        except MemoryError:
            raise
        except Exception as error:  # Pillow answers damage with many kinds, decompression bombs among them
            own = (None, errno.EIO, errno.EACCES, errno.EPERM)  # a bad sector or a forbidden file is this picture's fault
            if isinstance(error, OSError) and error.errno not in own:  # and the rest is the machine's, or the disk has gone
                raise UserError(
                    f"{item} cannot be read ({error.strerror}): is the data still there? Nothing was kept"
                ) from None
            return f"{item}: {error}"

    skipped: list[str] = []
    kept: list = []
    conditions: list[np.ndarray] = []
    with (folder / "images.u8").open("wb") as file, ThreadPoolExecutor() as pool:
        results = tqdm(_in_order(pool, attempt, items), f"decoding {name}", len(items), unit="img", leave=False)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, str):
                skipped.append(result)
            else:
                kept.append(item)
                file.write(np.ascontiguousarray(result[0]).tobytes())
                conditions.append(result[1])
    np.save(folder / "conditions.npy", np.asarray(conditions, dtype=np.int8).reshape(-1, len(names)))
    return skipped, kept


def _in_order(pool: ThreadPoolExecutor, work: Callable, items: Sequence, chunk: int = 1024) -> Iterable:
    """pool.map in chunks, so that a big data set's results never pile up in memory."""
    for start in range(0, len(items), chunk):
        yield from pool.map(work, items[start : start + chunk])
