"""Settings: the same declaration read from flags, from Python and from JSON, and one clear line for every mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from ddpm_faces import __version__
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.settings import Settings, from_flags, given, load_json, parse


class Example(Settings):
    batch_size: int = Field(128, ge=1, le=65536, description="images a step")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    steps: int | None = Field(None, ge=1, description="steps (default 50% of all)")
    attr: tuple[str, ...] = Field((), description="attributes")
    set: str = Field("", description="what is asked for")
    from_: float = Field(-1.0, ge=-1, le=1, description="where to begin", title="VALUE")
    out: Path | None = Field(None, description="a file")
    data_root: Path = Field(Path("data"), description="a folder")
    gif: bool = Field(False, description="animate")
    flip: bool = Field(True, description="mirror")
    precision: Literal["auto", "bf16"] = Field("auto", description="arithmetic")
    sampler: str = Field("dpm", description="the sampler")

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ("dpm", "ddim"):
            raise ValueError(f"no sampler '{name}': choose dpm, ddim")
        return name

    @model_validator(mode="after")
    def _agree(self) -> Example:
        if self.gif and self.steps == 1:
            raise UserError("--gif needs --steps above 1, whatever --unknown-flag and --batch-size are")
        return self


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line with which flags are refused: by a UserError, or printed before exit status 2."""
    try:
        with pytest.raises(SystemExit) as caught:
            parse(Example, argv)
    except UserError as error:
        return str(error)
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    return line


def test_flags_are_the_fields_and_unsaid_ones_keep_their_defaults():
    settings = parse(Example, ["--batch-size", "4", "--lr=2e-3", "--gif", "--no-flip", "--precision", "bf16"])
    assert (settings.batch_size, settings.lr, settings.gif, settings.flip) == (4, 2e-3, True, False)
    assert settings.model_fields_set == {"batch_size", "lr", "gif", "flip", "precision"}
    assert settings == Example(batch_size=4, lr=2e-3, gif=True, flip=False, precision="bf16")
    assert parse(Example, []) == Example()


def test_the_command_line_is_read_where_no_flags_are_passed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--steps", "7"])
    assert parse(Example, None).steps == 7


def test_the_environment_changes_nothing(monkeypatch):
    for name in ("LR", "lr", "BATCH_SIZE", "SET"):
        monkeypatch.setenv(name, "3")
    assert parse(Example, []) == Example()


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--set", "-Male"], "set", "-Male"),
        (["--set=-Male,Young=0.5"], "set", "-Male,Young=0.5"),
        (["--from", "-1e-1"], "from_", -0.1),
        (["--from", "-.5"], "from_", -0.5),
        (["--attr", "Smiling,Male"], "attr", ("Smiling", "Male")),
        (["--attr", "Smiling", "--attr", "Male, Young"], "attr", ("Smiling", "Male", "Young")),
        (["--attr", "-Male"], "attr", ("-Male",)),
        (["--steps", "15.0"], "steps", 15),
        (["--set", '{"a": [1'], "set", '{"a": [1'),
        (["--set", "null"], "set", "null"),
    ],
)
def test_values(argv, field, value):
    assert getattr(parse(Example, argv), field) == value


def test_home_is_expanded_in_every_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(Example, ["--out", "~/x.png"]).out == tmp_path / "x.png"
    assert given(Example, ["--out", "~/x.png"]) == {"out": tmp_path / "x.png"}
    assert Example(data_root=Path("~/data")).data_root == tmp_path / "data"
    assert load_json(Example, {"out": "~/x.png"}, "x").out == tmp_path / "x.png"
    assert Example(out=Path("~nobody-of-this-name/x")).out == Path("~nobody-of-this-name/x")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--bacth-size", "4"], "no flag --bacth-size; did you mean --batch-size?"),
        (["--bacth-size=4"], "no flag --bacth-size; did you mean --batch-size?"),
        (["--batch", "4"], "no flag --batch; did you mean"),
        (["--zzzzzz"], "no flag --zzzzzz (--help lists the flags)"),
        (["stray"], "unexpected word 'stray'"),
        (["--set"], "--set: expected one argument"),
        (["--set", "--gif"], "--set: expected one argument"),
        (["--gif=yes"], "--gif"),
        (["--set", "Smiling", "--set", "not Male"], "--set is given twice: Smiling and 'not Male'; say it once"),
        (["--batch-size", "1", "--batch-size", "2"], "--batch-size is given twice: 1 and 2"),
        (["--flip", "--no-flip"], "--flip is given twice: yes and no"),
        (["--batch-size", "0"], "--batch-size 0 is outside 1 .. 65536"),
        (["--lr", "0"], "--lr 0 must be above 0"),
        (["--lr", "nan"], "--lr nan: should be a finite number"),
        (["--lr", "inf"], "--lr inf: should be a finite number"),
        (["--steps", "0"], "--steps 0 must be at least 1"),
        (["--steps", "1.5"], "--steps 1.5: should be a valid integer"),
        (["--steps", ""], "--steps '': should be a valid integer"),
        (["--steps", "9" * 5000], "exceeded maximum size"),
        (["--from", "-2"], "--from -2 is outside -1 .. 1"),
        (["--precision", "fp8"], "--precision fp8: should be 'auto' or 'bf16'"),
        (["--sampler", "x"], "no sampler 'x': choose dpm, ddim"),
        (["--gif", "--steps", "1"], "--gif needs --steps above 1"),
    ],
)
def test_flags_are_refused(capsys, argv, message):
    assert message in refused(capsys, *argv)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is outside 1 .. 65536"),
        ({"from_": -2}, "from_=-2 is outside -1 .. 1"),
        ({"lr": "fast"}, "lr='fast': should be a valid number"),
        ({"attr": "Smiling"}, "attr='Smiling': should be a valid tuple"),
        ({"batchsize": 1}, "there is no setting 'batchsize'; did you mean batch_size?"),
        ({"sampler": "x"}, "no sampler 'x': choose dpm, ddim"),
        ({"gif": True, "steps": 1}, "gif needs steps above 1, whatever --unknown-flag and batch_size are"),
    ],
)
def test_python_is_told_of_fields(values, message):
    with pytest.raises(UserError) as caught:
        Example(**values)
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_merged_values_are_told_of_flags():
    assert from_flags(Example, {"batch_size": 3, "steps": 2}) == Example(batch_size=3, steps=2)
    with pytest.raises(UserError, match=r"^--batch-size 0 is outside"):
        from_flags(Example, {"batch_size": 0})
    with pytest.raises(UserError, match=r"^--gif needs --steps"):
        from_flags(Example, {"gif": True, "steps": 1})


def test_given_is_what_was_said_and_nothing_else():
    said = given(Example, ["--gif", "--steps", "1", "--attr", "a,b", "--out", "x"])
    assert said == {"gif": True, "steps": 1, "attr": ("a", "b"), "out": Path("x")}, "the two do not agree, but may be merged"
    assert given(Example, []) == {}
    with pytest.raises(UserError, match="--batch-size 0 is outside"):
        given(Example, ["--batch-size", "0"])


class Needed(Settings):
    n: int = Field(description="how many")


def test_a_field_without_default_must_be_given():
    assert parse(Needed, ["--n", "3"]).n == 3
    with pytest.raises(UserError, match=r"^--n must be given"):
        parse(Needed, [])
    with pytest.raises(UserError, match=r"^n must be given"):
        Needed()


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Example().batch_size = 3  # type: ignore[misc]


def test_json_round_trip():
    settings = Example(attr=("a", "b"), out=Path("x"), steps=3)
    for values in (settings.model_dump(), settings.model_dump(mode="json")):
        assert load_json(Example, values, "config.json") == settings
    assert load_json(Example, {"lr": 1}, "config.json").lr == 1.0


@pytest.mark.parametrize(
    "values",
    [
        {"batch_size": "3"},
        {"batch_size": True},
        {"batch_size": 1.5},
        {"batch_size": None},
        {"gif": 1},
        {"out": 3},
        {"attr": [1]},
        {"attr": "a"},
        {"lr": float("nan")},
        {"x": 1},
        {"precision": "fp8"},
        {"gif": True, "steps": 1},
    ],
)
def test_damaged_json(values: dict[str, Any]):
    with pytest.raises(UserError, match=r"config.json is damaged or of another version of ddpm_faces"):
        load_json(Example, values, "config.json")


def test_help_says_defaults_ranges_and_choices_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        parse(Example, ["--help"], "What it does.\n\nAnd much more.")
    out = capsys.readouterr().out
    assert caught.value.code == 0 and "What it does." in out and "much more" not in out
    for line in (
        "--batch-size SIZE     images a step (1 .. 65536; default 128)",
        "--lr LR               learning rate (above 0; default 0.001)",
        "--steps STEPS         steps (default 50% of all) (at least 1)",
        "--from VALUE          where to begin (-1 .. 1; default -1.0)",
        "--attr ATTR           attributes\n",
        "--data-root ROOT      a folder (default data)",
        "--gif, --no-gif       animate\n",
        "--precision {auto,bf16}",
    ):
        assert line in out, line


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Example, ["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"ddpm_faces {__version__}\n"


def test_settings_import_nothing_slow():
    code = "import sys, ddpm_faces.utils.settings; print(*sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_saved_settings_with_odd_bytes_and_endless_nesting():
    class Here(Settings):
        root: Path = Path("data")
        n: int = 1

    odd = os.fsdecode(b"/data\xff")
    assert load_json(Here, {"root": odd, "n": 2}, "config.json").root == Path(odd)
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UserError, match=r"config.json is damaged"):
        load_json(Here, {"n": nested}, "config.json")
