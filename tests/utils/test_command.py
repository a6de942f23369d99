"""What every command does with errors, streams and signals."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_faces.utils.command import command, tell
from ddpm_faces.utils.errors import UserError

SCRIPT = """
import sys, time
from ddpm_faces.utils.command import command
from ddpm_faces.utils.errors import UserError

@command
def main(argv=None):
    BODY

if __name__ == "__main__":
    sys.exit(main())
"""


def run(body: str, *options: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, *options, "-c", SCRIPT.replace("BODY", body)], capture_output=True, env=env)


def raising(error: BaseException):
    @command
    def main(argv=None):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("too few\nfaces"), 2, "ddpm_faces: too few faces"),
        (OSError(errno.ENOSPC, "No space left", "x"), 2, "ddpm_faces: 'x': No space left; nothing saved before is lost"),
        (OSError(errno.ENOSPC, "No space left"), 2, "ddpm_faces: No space left; nothing saved before is lost"),
        (KeyboardInterrupt(), 130, "ddpm_faces: stopped"),
    ],
)
def test_what_the_user_can_mend_is_one_line(error, status, line, capsys):
    assert raising(error)([]) == status
    assert capsys.readouterr().err == f"{line}\n"


def test_what_is_a_bug_is_raised():
    for error in (ValueError("a bug"), OSError("without a number")):
        with pytest.raises(type(error)):
            raising(error)([])


def test_the_status_is_that_of_main():
    assert command(lambda argv: None)([]) == 0 and command(lambda argv: 143)([]) == 143


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_letters_that_the_terminal_lacks(encoding):
    body = 'print("naïve 漢字", file=sys.stdout); raise UserError("naïve 漢字 \\ud800")'
    done = run(body, PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and done.stdout and b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(b"ddpm_faces: na")


def test_without_a_stderr(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert raising(UserError("x"))([]) == 2
    assert capsys.readouterr().out == "", "print(file=None) would print it there"
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert raising(UserError("x"))([]) == 2


def test_without_a_stdout(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert command(lambda argv: print("x"))([]) == 0


def test_tell_escapes_what_a_stream_cannot_encode(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    tell("naïve")
    assert stream.buffer.getvalue().decode().strip() == "na\\xefve"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "body",
    [
        'print("line")',
        'for _ in range(100_000): print("line")',
        "from ddpm_faces.utils.settings import Settings, parse; parse(Settings, ['--help'])",
    ],
    ids=["a line", "many lines", "help"],
)
def test_a_reader_that_leaves_is_no_error(body, unbuffered):
    """`command | head -1`: nothing on stderr, neither at the print nor when the interpreter flushes at exit."""
    script = SCRIPT.replace("BODY", f"sys.stdin.read()\n    {body}")
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stdin.close()  # it goes on, now that nobody reads
    assert process.stderr.read() == b"" and process.wait() in (0, 141), "argparse passes over a pipe that is closed at once"


def test_ctrl_c_during_a_slow_import_is_one_line(tmp_path: Path):
    (tmp_path / "slow.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("BODY", "import slow")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    assert process.stdout is not None and process.stdout.readline() == b"importing\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b"ddpm_faces: stopped\n" and process.returncode == 130


def test_a_program_is_named_as_its_user_can_type_it(tmp_path: Path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").touch()
    script = SCRIPT.replace("BODY", "from ddpm_faces.utils.settings import Settings, parse; parse(Settings, argv)")
    for name in ("paint", "__main__"):
        (tmp_path / "room" / f"{name}.py").write_text(script)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for module, program in (("room.paint", "room.paint"), ("room", "room")):
        done = subprocess.run([sys.executable, "-m", module, "--x"], capture_output=True, text=True, env=env)
        assert done.returncode == 2
        assert done.stderr == f"python -m {program}: no flag --x (--help lists the flags)\n"
    code = "from room import paint; paint.main(['--x'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stderr == "python -m room.paint: no flag --x (--help lists the flags)\n"
