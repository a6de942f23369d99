"""Fetching CelebA (1.4 GB) where it is not present: from Google Drive through torchvision, or from the Hugging Face hub.

Drive often answers "quota exceeded". Whatever happens, nothing half-made is left under a name that a reader would trust.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ddpm_faces.data.celeba.files import BY_HAND, present
from ddpm_faces.data.damage import explain
from ddpm_faces.data.dataset import cache_root, fingerprint
from ddpm_faces.data.whole import make_whole, remove_leftovers
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.files import PARTIAL
from ddpm_faces.utils.locks import held

HUB = "flwrlabs/celeba"


def fetch_celeba(root: Path) -> None:
    """Bring CelebA into root/celeba by the first route that works, unless (part of) it is there.

    Raises UserError, with the other ways, if none does.
    """
    if present(root):
        return
    existed = root.exists()
    files.make_folder(root)
    lock = cache_root() / f"fetch-{fingerprint({'root': str(root.absolute())})}.lock"
    with held(lock, f"fetching CelebA into {root}", wait=True):
        if not present(root):  # another process may have fetched it meanwhile
            remove_leftovers(root / "celeba")
            _fetch(root, existed)


def _fetch(root: Path, existed: bool) -> None:
    if (root / "celeba").exists():
        raise UserError(f"{root / 'celeba'} is there but has no CelebA in it: remove it, or fetch into another --data-root")
    problems = []
    for name, route in (("Google Drive", from_drive), ("the Hugging Face hub", from_hub)):
        print(f"fetching CelebA (1.4 GB) from {name} into {root} ...", flush=True)
        try:
            return route(root)
        except ImportError as error:
            problems.append(f'{name}: needs {error.name}, pip install "ddpm_faces[fetch]"')
        except Exception as error:  # whatever the network libraries raise, the next route may still work
            problems.append(f"{name}: {explain(error)[:120]}")
    if not existed and not any(root.iterdir()):
        root.rmdir()
    raise UserError(f"CelebA could not be fetched ({'; '.join(problems)}); {BY_HAND}; then --data-root FOLDER")


def from_drive(root: Path) -> None:
    """torchvision's own route; it checks md5 sums and unpacks."""
    import gdown  # noqa: F401 (torchvision's need, asked for here to be named if it lacks)
    from torchvision.datasets import CelebA

    with tempfile.TemporaryDirectory(prefix=f"celeba{PARTIAL}", dir=root) as partial:
        CelebA(partial, split="all", target_type="attr", download=True)
        (Path(partial) / "celeba").rename(root / "celeba")


def from_hub(root: Path) -> None:
    """The parquet files of the hub's copy, which are read as they are."""
    import pyarrow  # noqa: F401 (to read them: before hours of download)
    from huggingface_hub import HfApi, hf_hub_download

    names = [name for name in HfApi().list_repo_files(HUB, repo_type="dataset") if name.endswith(".parquet")]
    if not names:
        raise ValueError("there are no parquet files in it")

    def fill(folder: Path) -> None:
        for name in names:
            shutil.copy(hf_hub_download(HUB, name, repo_type="dataset"), folder)

    make_whole(root / "celeba", fill)
