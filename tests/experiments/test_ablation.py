"""The ablation, in small. The tests choose the clock by which it compares at equal time: none asks how fast anything is."""

from __future__ import annotations

from itertools import cycle

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ddpm_faces.conditions import CELEBA
from ddpm_faces.data import open_dataset
from ddpm_faces.utils.settings import parse
from experiments import ablation, trials

CHOSEN = ("conditions as channels only", "two blocks a level")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two variants besides the preset, and errors at two levels of noise."""
    monkeypatch.setattr(trials, "LEVELS", (100, 900))
    monkeypatch.setattr(ablation, "VARIANTS", {name: ablation.VARIANTS[name] for name in (ablation.PRESET, *CHOSEN)})


def test_a_step_of_each_size_is_timed(celeba, tmp_path):
    settings = ablation.AblationSettings(out=tmp_path, batch_size=2, images=2)
    same, larger = (ablation.VARIANTS[name].size for name in (ablation.PRESET, CHOSEN[1]))
    with FlopCounterMode(display=False) as counter:  # operations instead of seconds: the same on every machine
        times = ablation.relative_times(open_dataset("celeba", celeba), settings, counter.get_total_flops, rounds=1)
    assert times.keys() == {same, larger} and times[same] == 1 and 1.2 < times[larger] < 2


@pytest.fixture
def flags(celeba, tmp_path):
    """flags(**changes): those of a small ablation."""
    small = {"data-root": celeba, "out": tmp_path, "images": 16, "batch-size": 4, "held-out": 2}
    return lambda **changes: [str(word) for name, value in (small | changes).items() for word in (f"--{name}", value)]


def test_ablation_compares_at_equal_time_and_goes_on_where_it_was(flags, tmp_path, capsys, monkeypatch):
    clock = cycle((0, 1, 0, 2)).__next__  # six steps take 1, and those of the larger network 2
    some = ablation.ablate(parse(ablation.AblationSettings, flags(only=CHOSEN[0])), clock)
    assert list(some) == [ablation.PRESET, CHOSEN[0]], "what was asked for, and the preset"
    monkeypatch.setattr(ablation, "relative_times", lambda *_: pytest.fail("it was timed already"))
    rows = ablation.ablate(parse(ablation.AblationSettings, flags()), clock)
    assert rows.items() > some.items() and not list(tmp_path.glob("unfinished*")), "the others go with the ones before"
    assert [row["images"] for row in rows.values()] == [16, 16, 8], "what takes twice as long sees half as much"
    assert all(0.5 < row["error"] < 2 for row in rows.values())
    first = capsys.readouterr().out
    monkeypatch.setattr(ablation, "trial", lambda *_: pytest.fail("it was tried already"))
    assert ablation.main(flags()) == 0
    table = capsys.readouterr().out
    assert all(line in table for line in first.splitlines()) and table.count("two blocks a level") == 1, "only the table again"


def test_impossible_ablations_are_refused_in_one_line(flags, tmp_path, capsys):
    refused = {"only": ("three blocks", "no variant 'three blocks'"), "images": (3, "not one step")}
    refused["held-out"] = (9999, "the validation split has")
    for name, (value, message) in refused.items():
        assert ablation.main(flags(**{name: value})) == 2 and message in capsys.readouterr().err
    trials.Results(tmp_path / "results.json", {"lr": 0.1})
    assert ablation.main(flags()) == 2 and "other settings" in capsys.readouterr().err
    (tmp_path / "results.json").write_text("{")
    assert ablation.main(flags()) == 2 and "is damaged" in capsys.readouterr().err


def test_of_each_face_the_rarest_attribute_is_shown():
    frequencies = [0.5] * 40
    hat, smile, male = (CELEBA.index(name) for name in ("Wearing_Hat", "Smiling", "Male"))
    frequencies[hat] = 0.05
    c = -torch.ones(3, 40)
    c[0, [hat, smile]] = c[1, male] = 1
    shown = ablation.rarest(CELEBA, frequencies)(c)
    assert shown[0, hat] == 1 and shown[1, male] == 1 and shown.abs().sum() == 2, "a face with nothing to see is given nothing"
