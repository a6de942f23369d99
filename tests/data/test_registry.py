"""Data sets are registered by name, with all that is theirs; a user's own are opened like the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddpm_faces.conditions.labels import Labels
from ddpm_faces.data import DATASETS, DataSource, fetch, find_source, open_dataset, register_dataset
from ddpm_faces.data.dataset import Dataset, build
from ddpm_faces.utils.errors import UserError

SHAPES = Labels(("Round", "Red"), exclusive=(("Round", "-Red"),))

SHIPPED = ("celeba", "folder", "mnist", "toy", "toydigits")  # other tests register more


def open_shapes(root: Path, split: str, crop: str | None, size: int | None) -> Dataset:
    side = size or 8

    def decode(i: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((side, side, 1), i, np.uint8), np.array([1, -1 if i % 4 else 1])

    facts = {"data": "shapes", "split": split, "crop": crop, "size": side, "root": str(root)}
    return build(f"shapes-{split}", facts, (side, side, 1), SHAPES, range(8), decode)


@pytest.fixture
def shapes(monkeypatch) -> DataSource:
    source = DataSource(open=open_shapes, licence="mine", recipe={"flip": True}, classifier_epochs=2.0, crops=("left", "right"))
    monkeypatch.setattr("ddpm_faces.data.DATASETS", dict(DATASETS))
    register_dataset("shapes", source)
    return source


def test_a_data_set_of_ones_own_is_opened_like_the_others(shapes):
    assert find_source("shapes") is shapes
    dataset = open_dataset("shapes", size=16)
    assert dataset.images.shape == (8, 16, 16, 1) and dataset.labels is SHAPES and dataset.names == SHAPES.names
    assert dataset.frequencies == (1.0, 0.25)
    assert dataset.info["facts"]["crop"] == "left", "the first crop is the default"
    assert open_dataset("shapes", crop="right", split="test").info["facts"]["crop"] == "right"
    with pytest.raises(UserError, match="no crop 'middle': choose left, right"):
        open_dataset("shapes", crop="middle")
    fetch("shapes", Path("nowhere"))  # nothing to fetch


def test_a_module_can_be_registered_by_its_name(shapes, tmp_path, monkeypatch):
    (tmp_path / "my_shapes.py").write_text(
        "from ddpm_faces.data import DataSource\nSOURCE = DataSource(open=lambda *wanted: wanted, licence='mine')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    register_dataset("my shapes", "my_shapes")
    assert open_dataset("my shapes", "~", "valid", size=4) == (Path.home(), "valid", None, 4)
    assert open_dataset("my shapes")[0] == Path("data")


def test_every_data_set_says_all_that_is_its_own():
    recipes = {name: find_source(name).recipe for name in SHIPPED}
    assert {name: recipe["preset"] for name, recipe in recipes.items()} == {
        "celeba": "celeba64", "folder": "celeba64", "mnist": "mnist32", "toy": "toy32", "toydigits": "mnist32"
    }  # fmt: skip
    assert [recipe.get("flip", False) for recipe in recipes.values()] == [True, False, False, True, False]
    assert [recipe.get("p_each") for recipe in recipes.values()] == [None, None, 0.0, None, 0.0]
    assert [find_source(name).classifier_epochs for name in SHIPPED] == [16, 6, 3, 6, 6]
    assert all(find_source(name).licence for name in SHIPPED)
    assert find_source("celeba").crops[0] == "center140"
    assert [find_source(name).faces for name in SHIPPED] == [True, False, False, True, False]
    assert [find_source(name).people for name in SHIPPED] == [True, False, False, False, False]


def test_names_that_are_not_known_get_a_hint():
    with pytest.raises(UserError, match=r"no data set 'lsun': choose celeba, folder, mnist"):
        open_dataset("lsun")
    with pytest.raises(UserError, match=r"no data set 'Celebs': .*did you mean celeba\?"):
        find_source("Celebs")
    with pytest.raises(UserError, match=r"no split 'dev': choose train, valid, test"):
        open_dataset("toy", split="dev")


def test_the_names_are_known_without_torch():
    code = "import sys, ddpm_faces.data; print('torch' in sys.modules, list(ddpm_faces.data.DATASETS))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == f"False {list(SHIPPED)}\n"
