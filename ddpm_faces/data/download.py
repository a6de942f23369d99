"""Fetching CelebA (1.4 GB) where it is not present: torchvision's Google Drive files, then the Hugging Face hub.

Drive often answers "quota exceeded"; the hub's copy holds the same pictures as parquet files, which are turned into
torchvision's layout. Whatever happens, nothing half-made is left under a name that a reader would trust.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddpm_faces import files
from ddpm_faces.attributes import CELEBA
from ddpm_faces.data.celeba import SPLITS, WAYS, present
from ddpm_faces.data.store import cache_root, fingerprint
from ddpm_faces.errors import UserError
from ddpm_faces.files import PARTIAL
from ddpm_faces.locks import held

HUB = "flwrlabs/celeba"


def fetch_celeba(root: Path) -> None:
    """Bring CelebA into root/celeba by the first route that works. Raises UserError, with the other ways, if none does."""
    existed = root.exists()
    files.make_folder(root)
    with held(
        cache_root() / f"fetch-{fingerprint({'root': str(root.absolute())})}.lock", f"fetching CelebA into {root}", wait=True
    ):
        if not present(root):  # another process may have fetched it meanwhile
            for leftover in root.glob(f"celeba{PARTIAL}*"):  # of one that was killed
                shutil.rmtree(leftover, ignore_errors=True)
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
            problems.append(f"{name}: {(str(error) or type(error).__name__).splitlines()[0][:120]}")
    if not existed and not any(root.iterdir()):
        root.rmdir()
    raise UserError(f"CelebA could not be fetched ({'; '.join(problems)}); {WAYS}; then --data-root FOLDER")


def from_drive(root: Path) -> None:
    """torchvision's own route; it checks md5 sums and unpacks."""
    import gdown  # noqa: F401 (torchvision's need, asked for here to be named if it lacks)
    from torchvision.datasets import CelebA

    with tempfile.TemporaryDirectory(prefix=f"celeba{PARTIAL}", dir=root) as partial:
        CelebA(partial, split="all", target_type="attr", download=True)
        (Path(partial) / "celeba").rename(root / "celeba")


def from_hub(root: Path) -> None:
    """Download the parquet files of the hub's copy and unpack them."""
    import pyarrow  # noqa: F401 (before hours of download)
    from huggingface_hub import HfApi, hf_hub_download

    listed = sorted(name for name in HfApi().list_repo_files(HUB, repo_type="dataset") if name.endswith(".parquet"))
    shards = {split: [n for n in listed if Path(n).name.startswith(f"{split}-")] for split in SPLITS}
    local = {s: [Path(hf_hub_download(HUB, n, repo_type="dataset")) for n in names] for s, names in shards.items()}
    unpack_parquet(local, root / "celeba")


def unpack_parquet(shards: Mapping[str, Sequence[Path]], target: Path) -> int:
    """Turn parquet files (column "image" with its bytes, one boolean column an attribute) into torchvision's layout.

    shards: split -> files. Pictures are numbered in order, through the splits. Returns their number; raises ValueError
    where a column lacks or there is no picture.
    """
    import pyarrow.parquet as parquet
    from tqdm import tqdm

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}{PARTIAL}", dir=target.parent))
    number, attributes, partition = 0, [], []
    try:
        (partial / "img_align_celeba").mkdir()
        for split in SPLITS:
            for path in tqdm(shards.get(split, ()), f"unpacking {split}", unit="file"):
                opened = parquet.ParquetFile(path)
                missing = [name for name in ("image", *CELEBA) if name not in opened.schema_arrow.names]
                if missing:
                    raise ValueError(f"{path.name} has no column {missing[0]}")
                for batch in opened.iter_batches(batch_size=512, columns=["image", *CELEBA]):
                    for row in batch.to_pylist():
                        number += 1
                        name = f"{number:06d}.jpg"
                        (partial / "img_align_celeba" / name).write_bytes(row["image"]["bytes"])
                        attributes.append(" ".join([name, *("1" if row[a] else "-1" for a in CELEBA)]))
                        partition.append(f"{name} {SPLITS.index(split)}")
        if not number:
            raise ValueError("there are no pictures in it")
        heading = [str(number), " ".join(CELEBA)]
        (partial / "list_attr_celeba.txt").write_text("\n".join([*heading, *attributes, ""]))
        (partial / "list_eval_partition.txt").write_text("\n".join([*partition, ""]))
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return number
