"""The comparison on equal faces, in small; and that it goes on where it was interrupted."""

from __future__ import annotations

import json

import pytest

from ddpm_faces.data import open_dataset
from experiments import learning, trials


def test_learning_compares_on_equal_faces_and_goes_on_where_it_was(celeba, tmp_path, capsys, monkeypatch):
    def run(**changes) -> int:
        small = {"data-root": celeba, "out": tmp_path, "images": 8, "trial-images": 4, "held-out": 2, "batch-size": 4}
        return learning.main([str(word) for name, value in (small | changes).items() for word in (f"--{name}", value)])

    monkeypatch.setattr(trials, "LEVELS", (100, 900))
    assert run() == 0
    first = capsys.readouterr().out
    assert "| 8 |" in first and "Learning rates chosen" in first and (tmp_path / "learning.png").exists()
    figures = json.loads((tmp_path / "results.json").read_text())["figures"]
    assert set(figures) == {f"{n}, {w}" for n in learning.CONTENDERS for w in ("0.0005", "0.001", "0.002", "final")}
    monkeypatch.setattr(learning, "learn", lambda *_: pytest.fail("it was learned already"))
    assert run() == 0 and capsys.readouterr().out == first
    refused = {"held-out": (1, "other settings"), "images": (3, "not one step"), "trial-images": (9, "is outside 4 .. 8")}
    for name, (value, message) in refused.items():
        assert run(**{name: value}) == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("name", learning.CONTENDERS)
def test_an_interrupted_comparison_goes_on(celeba, tmp_path, monkeypatch, name):
    monkeypatch.setattr(trials, "LEVELS", (900,))
    datasets = open_dataset("celeba", celeba), open_dataset("celeba", celeba)
    marks = (4, 8, 12)

    def learn(folder: str) -> dict:
        settings = learning.LearningSettings(out=tmp_path / folder, held_out=2, batch_size=4)
        return learning.learn(name, 1e-3, marks, settings, datasets)

    whole = learn("whole")
    measure, calls = learning.held_out_error, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 5:  # two a mark
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(learning, "held_out_error", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn("parts")
    assert learn("parts") == whole and len(calls) == 7, "the last mark alone was measured again"
    assert not list((tmp_path / "parts").iterdir())
