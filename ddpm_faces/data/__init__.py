"""Data sets by name: each opens as a Store, decoded once and kept in the cache."""

from __future__ import annotations

from pathlib import Path

from ddpm_faces.data.store import Store
from ddpm_faces.errors import UserError

DATA = ("celeba", "mnist", "toy", "toydigits")
# What may be done with models that were trained on it.
LICENCES = {
    "celeba": "CelebA: non-commercial research only (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
    "mnist": "MNIST: CC BY-SA 3.0 (LeCun, Cortes, Burges)",
    "toy": "procedural drawings, MIT",
    "toydigits": "procedural drawings, MIT",
}


def fetch(data: str, root: Path) -> None:
    """Download the data set into root unless (part of) it is there. Raises UserError, with the ways to get it by hand."""
    if data == "celeba":
        from ddpm_faces.data import celeba, download

        if not celeba.present(root):
            download.fetch_celeba(root)
    elif data == "mnist":
        from ddpm_faces.data import mnist

        if not mnist.find_files(root, "train"):
            mnist.download(root)


def open_data(data: str, root: str | Path | None = None, split: str = "train", crop: str = "center140", size: int = 0) -> Store:
    """The Store of "celeba" or "mnist" (these need root), "toy" (faces) or "toydigits" (both drawn on the spot).

    split: "train", "valid" or "test" (MNIST's "valid" is its test set). crop: CelebA's (see celeba.CROPS). size: side of a
    picture in pixels, by default 64 for CelebA and 32 for toy faces; a digit's is always 32.
    Raises UserError where the data cannot be had.
    """
    if data not in DATA:
        raise UserError(f"no data set '{data}': choose {', '.join(DATA)}")
    if split not in ("train", "valid", "test"):
        raise UserError(f"no split '{split}': choose train, valid, test")
    if data == "toy":
        from ddpm_faces.data.toyfaces import open_toy

        return open_toy(split, size or 32)
    if data == "toydigits":
        from ddpm_faces.data.toydigits import open_toydigits

        return open_toydigits(split)
    if data == "mnist":
        from ddpm_faces.data.mnist import open_mnist

        return open_mnist(root or "data", split)
    from ddpm_faces.data.celeba import open_celeba

    return open_celeba(root or "data", split, crop, size or 64)
