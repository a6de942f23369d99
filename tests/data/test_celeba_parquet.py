"""CelebA as the Hugging Face hub holds it: parquet files, read where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import write_celeba

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.data import fetch, open_dataset
from ddpm_faces.data.celeba.files import present
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.utils.errors import UserError

pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9912422\n"


def same(root: Path, other: Path, split: str = "train") -> bool:
    """Whether two copies give the same images and attributes."""
    a, b = (open_dataset("celeba", place, split) for place in (root, other))
    return np.array_equal(a.images, b.images) and np.array_equal(a.conditions, b.conditions)


@pytest.fixture
def plain(tmp_path) -> Path:
    """A copy in torchvision's layout, to make the files of and to compare with."""
    return write_celeba(tmp_path / "plain")


def write_shards(folder: Path, copy: Path, counts: dict[str, int], per_file: int = 2) -> None:
    """The images of a copy, in order, as the hub's parquet files: each has row groups of one image."""
    folder.mkdir(parents=True, exist_ok=True)
    files = iter(sorted((copy / "celeba/img_align_celeba").iterdir()))
    for split, count in counts.items():
        paths = [next(files) for _ in range(count)]
        parts = [paths[i : i + per_file] for i in range(0, count, per_file)]
        for number, part in enumerate(parts):
            has = [toy_face(int(path.stem) - 1, 178)[1] > 0 for path in part]
            columns: dict[str, list] = {"image": [{"bytes": p.read_bytes(), "path": "../../evil.jpg"} for p in part]}
            columns["celeb_id"] = [1] * len(part)
            columns |= {name: [bool(h[k]) for h in has] for k, name in enumerate(CELEBA.names)}
            file = folder / f"{split}-{number:05d}-of-{len(parts):05d}.parquet"
            parquet.write_table(pa.table(columns), file, row_group_size=1)


@pytest.mark.parametrize("where", [".", "celeba", "data", "celeba/img_align+identity+attr"])
def test_the_hubs_parquet_files_are_read_where_they_lie(plain, tmp_path, where):
    root = tmp_path / "hub"
    write_shards(root / where, plain, {"train": 8, "valid": 2, "test": 2})
    for split in ("train", "valid", "test"):
        assert same(root, plain, split)
    assert open_dataset("celeba", root, "valid").name(1) == "valid-00000-of-00001.parquet:1"
    assert present(root) and not list(root.rglob("*.jpg")), "nothing is unpacked"
    assert not list(tmp_path.rglob("*evil*")), "paths in the files mean nothing"


def test_parquet_files_that_are_missing_or_damaged(plain, tmp_path):
    root = tmp_path / "hub"
    write_shards(root, plain, {"train": 8, "valid": 2, "test": 2})
    shard = root / "train-00002-of-00004.parquet"
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(UserError, match="holds 3 of 4 parquet files of CelebA's train split"):
        open_dataset("celeba", root)
    (root / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="holds 0 of 1 parquet files of CelebA's test split"):
        open_dataset("celeba", root, "test")
    for content, reason in ((whole[:500], r"\w+"), (POINTER, "git lfs pull"), (b"", r"\w+")):
        shard.write_bytes(content)
        with pytest.raises(UserError, match=rf"00002-of-00004.parquet cannot be read: .*{reason}"):
            open_dataset("celeba", root)
    parquet.write_table(pa.table({"image": [{"bytes": b""}]}), shard)
    with pytest.raises(UserError, match="no column 5_o_Clock_Shadow"):
        open_dataset("celeba", root)


def test_the_hubs_files_are_copied_whole(plain, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    write_shards(tmp_path / "remote", plain, {"train": 8, "valid": 2, "test": 2})
    names = [f"remote/{path.name}" for path in (tmp_path / "remote").iterdir()]

    class Api:
        def list_repo_files(self, repository: str, repo_type: str) -> list[str]:
            return [*names, "README.md"]

    def download(repository: str, name: str, repo_type: str) -> str:
        if name == names[-1] and not quota:
            raise OSError("quota exceeded")
        return str(tmp_path / name)

    quota = []
    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr("ddpm_faces.data.celeba.download.from_drive", lambda root: 1 / 0)
    with pytest.raises(UserError, match="quota exceeded"):
        fetch("celeba", tmp_path / "mine")
    assert not (tmp_path / "mine").exists(), "nothing half-made"
    quota.append("enough")
    fetch("celeba", tmp_path / "mine")
    assert same(tmp_path / "mine", plain)
    fetch("celeba", tmp_path / "mine")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["celeba"]
