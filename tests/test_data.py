"""Data sets from whatever copy there is: decoded once, in a fixed order, and damage is named instead of trained on."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_celeba, write_mnist
from PIL import Image

from ddpm_faces.attributes import CELEBA, DIGITS
from ddpm_faces.data import fetch, open_data
from ddpm_faces.data.celeba import CROPS, load_face, split_of
from ddpm_faces.data.download import unpack_parquet
from ddpm_faces.data.store import batch_indices, cache_root
from ddpm_faces.data.toyfaces import toy_face
from ddpm_faces.errors import UserError


def test_every_picture_comes_once_an_epoch_and_the_order_needs_no_memory():
    n, batch = 10, 4
    seen = np.concatenate([batch_indices(n, batch, step, seed=3) for step in range(5)])  # two epochs
    assert sorted(seen[:n]) == sorted(seen[n:]) == list(range(n))
    assert not np.array_equal(seen[:n], seen[n:])
    assert np.array_equal(batch_indices(n, batch, 4, seed=3), seen[16:20]), "a step in the middle is found directly"
    assert not np.array_equal(batch_indices(n, batch, 0, seed=4), seen[:4])
    assert len(batch_indices(3, 8, 0, 0)) == 8, "a batch may be larger than the data"


def test_celeba_pictures_and_labels_belong_together(celeba):
    store = open_data("celeba", celeba)
    assert store.names == CELEBA and store.images.shape == (8, 64, 64, 3)
    for i in range(8):
        assert np.array_equal(store.conditions[i], toy_face(i, 178)[1])
        assert np.array_equal(store.images[i], load_face(celeba / f"celeba/img_align_celeba/{i + 1:06d}.jpg", "center140", 64))
    images, conditions = store.batch(np.array([3, 1]))
    assert images.shape == (2, 3, 64, 64) and conditions.shape == (2, 40)
    assert np.array_equal(images[1].permute(1, 2, 0).numpy(), store.images[1])
    assert len(open_data("celeba", celeba, "valid")) == len(open_data("celeba", celeba, "test")) == 2


def test_a_store_is_made_once_and_anew_when_its_source_changes(celeba):
    first = open_data("celeba", celeba)
    made = Path(first.images.filename).stat().st_mtime_ns
    assert Path(open_data("celeba", celeba).images.filename).stat().st_mtime_ns == made
    assert open_data("celeba", celeba, crop="center148").images.filename != first.images.filename
    Image.new("RGB", (178, 218)).save(celeba / "celeba/img_align_celeba/000001.jpg")
    again = open_data("celeba", celeba)
    assert again.images.filename != first.images.filename and not again.images[0].any()
    assert not list(cache_root().glob("*partial*"))


def test_kaggles_layout(celeba):
    root = celeba / "celeba"
    (root / "img_align_celeba").rename(celeba / "inner")
    (root / "img_align_celeba").mkdir()
    (celeba / "inner").rename(root / "img_align_celeba" / "img_align_celeba")
    rows = [line.split() for line in (root / "list_attr_celeba.txt").read_text().splitlines()[1:]]
    table = [",".join(["image_id", *rows[0]]), *(",".join(row) for row in rows[1:])]
    (root / "list_attr_celeba.txt").unlink()
    (root / "list_attr_celeba.csv").write_text("\n".join(table))
    parts = (root / "list_eval_partition.txt").read_text().replace(" ", ",")
    (root / "list_eval_partition.txt").unlink()
    (root / "list_eval_partition.csv").write_text("image_id,partition\n" + parts)
    store = open_data("celeba", root)
    assert len(store) == 8 and np.array_equal(store.conditions[2], toy_face(2, 178)[1])


def test_a_half_size_copy_gives_the_same_crop(celeba, tmp_path):
    for path in sorted((celeba / "celeba/img_align_celeba").iterdir())[:3]:
        small = Image.open(path).resize((89, 109), Image.Resampling.BICUBIC)
        small.save(tmp_path / "half.png")
        for crop in CROPS:
            whole, half = (load_face(p, crop, 32).astype(float) for p in (path, tmp_path / "half.png"))
            assert np.abs(whole - half).mean() < 6, "shifted by a pixel it would be more"


def test_without_a_partition_the_official_one_goes_by_number():
    assert [split_of(f"{n:06d}.jpg", None) for n in (1, 162770, 162771, 182637, 182638, 202599)] == [0, 0, 1, 1, 2, 2]


def test_damaged_pictures_are_named_and_skipped(celeba, capsys):
    folder = celeba / "celeba/img_align_celeba"
    whole = (folder / "000002.jpg").read_bytes()
    (folder / "000002.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "000003.jpg").write_bytes(b"")
    (folder / "000004.jpg").write_bytes(b"<html>quota exceeded</html>")
    Image.new("RGB", (300, 40)).save(folder / "000005.jpg")
    bomb = bytearray(whole)
    at = bomb.index(b"\xff\xc0")  # the frame header: its height and width become 65535
    bomb[at + 5 : at + 9] = b"\xff" * 4
    (folder / "000007.jpg").write_bytes(bomb)
    Image.new("L", (178, 218), 77).save(folder / "000006.jpg")  # grey is sound
    store = open_data("celeba", celeba)
    assert len(store) == 3 and len(store.info["skipped"]) == 5
    assert [text[:10] for text in store.info["skipped"]] == [f"00000{i}.jpg" for i in (2, 3, 4, 5, 7)]
    assert [list(c) for c in store.conditions] == [list(toy_face(i, 178)[1]) for i in (0, 5, 7)], "no label slips"
    assert "skipped 5 unreadable pictures" in capsys.readouterr().out


def test_incomplete_copies_are_told_with_the_ways_to_get_it(celeba, tmp_path):
    with pytest.raises(UserError, match=r"img_align_celeba.*list_attr_celeba.*mmlab"):
        open_data("celeba", tmp_path / "nowhere")
    (celeba / "celeba/list_attr_celeba.txt").rename(tmp_path / "attributes")
    with pytest.raises(UserError, match=r"data: list_attr_celeba.txt\|csv not found.*Kaggle"):
        open_data("celeba", celeba)
    shutil.move(tmp_path / "attributes", celeba / "celeba/list_attr_celeba.txt")
    shutil.rmtree(celeba / "celeba/img_align_celeba")
    with pytest.raises(UserError, match="img_align_celeba/ not found"):
        open_data("celeba", celeba)


def edit(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text().splitlines()
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    path.write_text("\n".join(lines))


def test_attribute_files_that_disagree_are_refused(celeba):
    path = celeba / "celeba/list_attr_celeba.txt"
    good = path.read_text()
    edit(path, 1, "Smiling", "Grinning")
    with pytest.raises(UserError, match="heading lacks Smiling"):
        open_data("celeba", celeba)
    path.write_text(good)
    edit(path, 3, "000002", "900002")  # the file's name: a picture without a row, a row without a picture
    assert len(open_data("celeba", celeba)) == 7
    path.write_text(good)
    edit(path, 4, " -1", "")
    with pytest.raises(UserError, match=r"row 3 \(000003.jpg\): 39 values instead of 40"):
        open_data("celeba", celeba)
    path.write_text(good)
    edit(path, 4, " -1", " 5")
    with pytest.raises(UserError, match="row 3"):
        open_data("celeba", celeba)
    path.write_text(good.replace("0000", "x000"))
    with pytest.raises(UserError, match="disagree: no picture of 12 has a row"):
        open_data("celeba", celeba)


def test_columns_in_another_order_are_put_right(celeba):
    path = celeba / "celeba/list_attr_celeba.txt"
    count, heading, *rows = path.read_text().splitlines()
    turned = [" ".join([row.split()[0], *reversed(row.split()[1:])]) for row in rows]
    path.write_text("\n".join([count, " ".join(reversed(heading.split())), *turned]))
    assert np.array_equal(open_data("celeba", celeba).conditions[1], toy_face(1, 178)[1])


def test_what_is_there_is_not_fetched_over(celeba):
    before = sorted(celeba.rglob("*"))
    fetch("celeba", celeba)  # would need the network otherwise
    assert sorted(celeba.rglob("*")) == before


def test_a_download_that_cannot_be_names_the_other_ways(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(UserError, match=r"Google Drive: .*Hugging Face hub: .*Kaggle"):
        fetch("celeba", mine)
    with pytest.raises(UserError, match=r"could not be downloaded .*ossci"):
        fetch("mnist", mine)
    assert mine.is_dir(), "the folder was there before"
    with pytest.raises(UserError):
        fetch("celeba", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_hubs_parquet_files_become_torchvisions_layout(celeba, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [(celeba / f"celeba/img_align_celeba/{i + 1:06d}.jpg", toy_face(i, 178)[1]) for i in range(6)]
    shards = {}
    for split, part in (("train", rows[:3]), ("valid", rows[3:5]), ("test", rows[5:])):
        columns = {"image": [{"bytes": p.read_bytes(), "path": p.name} for p, _ in part], "celeb_id": [1] * len(part)}
        columns |= {name: [bool(a[k] > 0) for _, a in part] for k, name in enumerate(CELEBA)}
        shards[split] = [tmp_path / f"{split}-00000.parquet"]
        parquet.write_table(pa.table(columns), shards[split][0])
    assert unpack_parquet(shards, tmp_path / "made" / "celeba") == 6
    store = open_data("celeba", tmp_path / "made", "valid")
    assert len(store) == 2 and np.array_equal(store.conditions[1], rows[4][1])
    assert np.array_equal(store.images[0], load_face(rows[3][0], "center140", 64))
    with pytest.raises(ValueError, match="no column"):
        parquet.write_table(pa.table({"image": [{"bytes": b""}]}), tmp_path / "bad.parquet")
        unpack_parquet({"train": [tmp_path / "bad.parquet"]}, tmp_path / "bad")
    assert not (tmp_path / "bad").exists() and not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_padded_and_one_hot(tmp_path, packed):
    images, labels = write_mnist(tmp_path, packed=packed)
    store = open_data("mnist", tmp_path)
    assert store.names == DIGITS and store.images.shape == (20, 32, 32, 1)
    assert np.array_equal(store.images[:, 2:30, 2:30, 0], images) and not store.images[:, :2].any()
    assert np.array_equal(store.conditions.argmax(axis=1), labels) and (store.conditions.sum(axis=1) == 1).all()


def test_missing_and_damaged_mnist(tmp_path):
    with pytest.raises(UserError, match=r"no MNIST in .*ossci"):
        open_data("mnist", tmp_path)
    write_mnist(tmp_path)
    raw = tmp_path / "MNIST/raw"
    whole = (raw / "train-images-idx3-ubyte.gz").read_bytes()
    for damaged in (whole[:300], b"", b"<html>", gzip.compress(b"nonsense"), gzip.compress(gzip.decompress(whole)[:-100])):
        (raw / "train-images-idx3-ubyte.gz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"MNIST's .* damaged"):
            open_data("mnist", tmp_path)


def test_no_such_data_split_or_crop(celeba):
    with pytest.raises(UserError, match="no data set 'lsun'"):
        open_data("lsun")
    with pytest.raises(UserError, match="no crop"):
        open_data("celeba", celeba, crop="whole")
    lonely = write_celeba(celeba / "other", n=3)
    (lonely / "celeba/list_eval_partition.txt").write_text("")
    with pytest.raises(UserError, match="no picture of CelebA's test split"):
        open_data("celeba", lonely, "test")
