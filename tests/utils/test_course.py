"""The notebooks' helpers: the source shown is the package's own, and the check of an exercise never raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpm_faces.diffusion import process, samplers
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.generation.generate import generate
from ddpm_faces.utils.course import check, show, source


def test_a_function_is_shown_as_it_stands_in_its_file():
    where, *body = source(process.posterior).splitlines()
    file, line = where.removeprefix("# ").split(", line ")
    lines = (Path(process.__file__).parents[2] / file).read_text().splitlines()
    assert lines[int(line) - 1 :][: len(body)] == body and body[0].startswith("def posterior(")


@pytest.mark.parametrize(
    "thing", [Schedule, Schedule.beta, Schedule.timesteps, generate], ids=["class", "property", "method", "wrapped"]
)
def test_all_kinds_of_things_have_their_source(thing):
    assert "def " in source(thing) or "class " in source(thing)


def test_a_part_is_cut_out_with_its_own_line_number():
    assert source(process.add_noise, "return").splitlines()[1:] == ["return alpha * x0 + sigma * eps"]
    where, *body = source(samplers.ddpm, "for step", "yield").splitlines()
    assert body[0].startswith("for step") and body[-1].strip().startswith("yield") and len(body) > 3
    lines = Path(samplers.__file__).read_text().splitlines()
    assert lines[int(where.rsplit(" ", 1)[1]) - 1].strip() == body[0]


def test_a_line_that_is_gone_is_noticed():
    with pytest.raises(ValueError, match="no line of add_noise contains 'beta'"):
        source(process.add_noise, "beta")


def test_show_displays_it(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    show(process.add_noise)
    assert "add_noise" in shown[0]._repr_html_()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., "not yet: replace the dots with your answer"),
        (None, "not yet: replace the dots with your answer"),
        (3, "right"),
        (4, "not right: it is odd"),
        ("x", "not right: TypeError: not all arguments converted during string formatting"),
        (lambda: 3, "right"),
        (lambda: ..., "not yet: replace the dots with your answer"),
        (lambda: 1 / 0, "not right: ZeroDivisionError: division by zero"),
    ],
)
def test_a_check_says_what_it_thinks(answer, said, capsys):
    check(answer, lambda value: value % 2 == 1, "it is odd")
    assert capsys.readouterr().out == f"{said}\n"
