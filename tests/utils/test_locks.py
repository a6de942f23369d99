"""One process at a time, and file systems on which nobody can know."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.locks import held

HOLD = "from ddpm_faces.utils.locks import held; from pathlib import Path; import sys, time\n"
HOLD += "with held(Path(sys.argv[1]), 'painting', wait=False): print('held', flush=True); time.sleep(60)"


def test_a_second_owner_is_refused_and_told_of_the_first(tmp_path, capsys):
    path = tmp_path / "new" / "run.lock"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None and owner.stdout.readline() == b"held\n"
    try:
        with pytest.raises(UserError, match=f"process {owner.pid} .* is painting: wait until"), held(path, "painting", False):
            pass
    finally:
        owner.kill()
        owner.wait()
    with held(path, "painting", wait=False):
        assert f"process {os.getpid()} " in path.with_suffix(".owner").read_text()
    assert not path.with_suffix(".owner").exists() and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error",
    [OSError(code, os.strerror(code)) for code in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)]
    + [NotImplementedError("no flock")],
    ids=repr,
)
def test_a_file_system_without_locks_gets_one_warning(error, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    done = False
    with held(tmp_path / "run.lock", "painting", wait=False):
        done = True
    (line,) = capsys.readouterr().err.splitlines()
    assert done and line.startswith(f"ddpm_faces: warning: no locks in {tmp_path} ({error}): make sure")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="replaces Linux's flock")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_the_systems_own_answer_reaches_us(code, tmp_path, monkeypatch, capsys):
    import fcntl

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with held(tmp_path / "run.lock", "painting", wait=True):
        pass
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_lock_that_may_not_be_made_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(UserError, match=r"cannot lock .*use a folder on a local disk"), held(tmp_path / "x.lock", "x", False):
        pass


def test_an_error_inside_is_not_mistaken_for_one_of_the_lock(tmp_path, capsys):
    with pytest.raises(OSError, match="No locks"), held(Path(tmp_path / "x.lock"), "x", wait=False):
        raise OSError(errno.ENOLCK, "No locks")
    assert capsys.readouterr().err == ""
