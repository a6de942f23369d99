"""Files are written whole or not at all, on every file system."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError


def test_a_file_is_written_with_its_folders_and_common_rights(tmp_path):
    path = files.write(tmp_path / "a" / "b" / "c", b"content")
    assert path.read_bytes() == b"content" and list(path.parent.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.write(Path("~/x"), b"") == tmp_path / "x" and (tmp_path / "x").exists()
    assert files.make_folder(Path("~/a/b")) == tmp_path / "a" / "b" and (tmp_path / "a" / "b").is_dir()
    files.check_folder(Path("~"))
    assert files.expand("~/x") == tmp_path / "x"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENOTSUP])
def test_a_file_system_without_rights(code, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "chmod", refuse)
    assert files.write(tmp_path / "x", b"content").read_bytes() == b"content"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush(code, tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    assert files.write(tmp_path / "x", b"content").read_bytes() == b"content"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_flush_that_fails_leaves_what_was_there(code, tmp_path, monkeypatch):
    path = files.write(tmp_path / "x", b"before")

    def fail(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"could not write .*; what was there before is intact"):
        files.write(path, b"after")
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("function", [files.check_folder, files.make_folder])
def test_a_folder_that_cannot_be_is_refused(function, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write in .*; choose another folder"):
        function(tmp_path / "file" / "folder")
    with pytest.raises(UserError, match="too long"):
        function(tmp_path / ("x" * 300))


def test_asking_makes_nothing(tmp_path):
    files.check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_only_half_written_files_are_removed(tmp_path):
    kept = [files.write(tmp_path / name, b"") for name in ("a", ".hidden", "a.part")]
    (tmp_path / ".a.12345678.part").touch()
    files.remove_partial(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    files.remove_partial(tmp_path / "absent")
