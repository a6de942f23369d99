"""--import: modules of one's own are found in the working folder, and one that is not there is told in one line."""

from __future__ import annotations

import sys

import pytest

from ddpm_faces.data import DATASETS, find_source
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.plugins import import_modules

MINE = """
from ddpm_faces.data import DataSource, register_dataset
register_dataset("mine", DataSource(open=None, licence="my own"))
"""


def test_a_module_in_the_working_folder_registers_what_it_has(tmp_path, monkeypatch):
    (tmp_path / "my_data_set.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])  # as an installed script has it
    monkeypatch.setitem(DATASETS, "mine", None)  # and out of it afterwards
    import_modules(["my_data_set"])
    assert find_source("mine").licence == "my own"


@pytest.mark.parametrize("name", ["no_such_module", "json.no_such_part", "", "a b", ".relative", "../escape", "file.py.", "1"])
def test_what_is_no_module_is_told(name):
    with pytest.raises(UserError, match=f"^cannot import '{name}': ".replace(".", r"\.")):
        import_modules(["json", name])


def test_a_module_that_lacks_another_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "needs_another.py").write_text("import another_that_is_missing")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="another_that_is_missing"):
        import_modules(["needs_another"])
