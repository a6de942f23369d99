"""Data sets by name: each opens as a Dataset, decoded once and kept in the cache.

To add one, write a module with `SOURCE = DataSource(...)` and name it in DATASETS; from outside of the package, call
`register_dataset`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm_faces.data.source import SPLITS, DataSource
from ddpm_faces.utils.errors import UserError, hint
from ddpm_faces.utils.files import expand

if TYPE_CHECKING:
    from ddpm_faces.data.arrays import from_arrays as from_arrays
    from ddpm_faces.data.dataset import Dataset
    from ddpm_faces.data.folder import from_folder as from_folder
else:

    def __getattr__(name: str) -> object:  # they import torch and numpy, which --help does without
        home = {"from_arrays": "arrays", "from_folder": "folder"}.get(name)
        if home is None:
            raise AttributeError(f"module 'ddpm_faces.data' has no attribute '{name}'")
        return getattr(import_module(f"ddpm_faces.data.{home}"), name)


__all__ = [
    "DATASETS", "DataSource", "fetch", "find_source", "from_arrays", "from_folder", "open_dataset", "register_dataset",
]  # fmt: skip

# The module that holds SOURCE, imported when it is needed, or the source itself.
DATASETS: dict[str, str | DataSource] = {
    "celeba": "ddpm_faces.data.celeba",
    "folder": "ddpm_faces.data.folder",
    "mnist": "ddpm_faces.data.mnist",
    "toy": "ddpm_faces.data.toy.faces",
    "toydigits": "ddpm_faces.data.toy.digits",
}


def register_dataset(name: str, source: str | DataSource) -> None:
    """Make `source`, or the SOURCE of the module of that name, available as `--data NAME` and to `open_dataset`."""
    DATASETS[name] = source


def find_source(name: str) -> DataSource:
    """The registered data set of this name. Raises UserError, with the closest name, if there is none."""
    if name not in DATASETS:
        raise UserError(f"no data set '{name}': choose {', '.join(DATASETS)}{hint(name.lower(), DATASETS)}")
    found = DATASETS[name]
    source: DataSource = import_module(found).SOURCE if isinstance(found, str) else found
    return source


def fetch(name: str, root: str | Path) -> None:
    """Download a data set into the folder `root` unless (part of) it is there.

    Raises UserError, with the ways to get it by hand.
    """
    if download := find_source(name).fetch:
        download(expand(root))


def open_dataset(
    name: str,
    root: str | Path | None = None,
    split: str = "train",
    crop: str | None = None,
    size: int | None = None,
    table: str | Path | None = None,
) -> Dataset:
    """One split of a registered data set.

    root: the folder that holds it, by default `data`; data sets that are drawn need none. split: "train", "valid" or "test"
    (MNIST's "valid" is its test set). crop: one of the source's crops, if it has any. size: side of an image in pixels, by
    default 64 for CelebA and 32 for toy faces; a digit's is always 32. table: of labels, for a folder of pictures. Raises
    UserError where the data cannot be had.
    """
    source = find_source(name)
    if split not in SPLITS:
        raise UserError(f"no split '{split}': choose {', '.join(SPLITS)}")
    if source.crops and crop and crop not in source.crops:
        raise UserError(f"no crop '{crop}': choose {', '.join(source.crops)}")
    if table is not None and not source.tables:
        raise UserError(f"{name} has labels of its own and takes no table")
    tables = {} if table is None else {"table": expand(table)}
    return source.open(expand(root or "data"), split, crop or next(iter(source.crops), None), size or None, **tables)
