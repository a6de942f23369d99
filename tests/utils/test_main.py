"""`python -m ddpm_faces` and `ddpm-faces`: the list of commands, and each of them by its name."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import ddpm_faces
from ddpm_faces.__main__ import commands, main

ROOT = Path(ddpm_faces.__file__).parent
COMMANDS = sorted(path.stem.replace("_", "-") for path in ROOT.glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_the_list_names_every_command_with_a_summary(argv, capsys):
    assert main(argv) == 0
    out = capsys.readouterr().out
    listed = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    assert [name for name, _ in listed] == COMMANDS and {"sample", "train-classifier"} <= set(COMMANDS)
    assert all(len(summary) > 10 and "python -m" not in summary for _, summary in listed)
    assert all(len(line) < 128 for line in out.splitlines())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ddpm_faces {ddpm_faces.__version__}\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("smaple", "there is no command 'smaple'; did you mean sample?"),
        ("qqq", "there is no command 'qqq'; choose data-report, distil, edit, evaluate, export, "),
        ("__main__", "there is no command '__main__'"),
        ("--seed", "there is no command '--seed'"),
    ],
)
def test_a_wrong_name_is_one_line(word, message, capsys):
    assert main([word, "--n", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ddpm_faces: {message}")


@pytest.mark.parametrize("word", ["train_classifier", "train-classifier"])
def test_a_command_runs_with_its_flags(word, capsys):
    with pytest.raises(SystemExit) as caught:
        main([word, "--no-such-flag"])
    assert caught.value.code == 2
    assert "python -m ddpm_faces.train_classifier: no flag --no-such-flag" in capsys.readouterr().err


def test_the_status_of_a_command_is_passed_on(capsys):
    assert main(["sample", "--n", "0"]) == 2
    assert "ddpm_faces: --n 0" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["-OO"]], ids=["", "without docstrings"])
def test_help_of_every_command_is_fast_and_imports_no_torch(options):
    code = """
import importlib, sys
for name in ["__main__", *sys.argv[1:]]:
    try:
        importlib.import_module(f"ddpm_faces.{name.replace('-', '_')}").main(["--help"])
    except SystemExit as end:
        assert end.code == 0, name
heavy = {"torch", "numpy", "PIL", "scipy", "matplotlib", "diffusers", "accelerate"} & set(sys.modules)
assert not heavy, heavy
"""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *options, "-c", code, *COMMANDS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - start < 10, "all together, on a busy machine"


def test_the_summaries_need_no_import():
    assert set(commands()) == set(COMMANDS)
    code = "import sys; from ddpm_faces.__main__ import main; main([]); print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
