"""The experiment on searching the noise: its prompts are possible, its figures are kept, and its table has them all."""

from __future__ import annotations

import json

import numpy as np
import torch
from PIL import Image

import ddpm_faces
from ddpm_faces.generation.conditions import check_wish
from experiments import noise_search


def test_the_prompts_are_possible_and_of_both_kinds():
    model = ddpm_faces.load("celeba64")
    wishes = [noise_search.make_wish(model, i) for i in range(16)]
    assert sorted({len(wish) for wish in wishes}) == [1, 2, 3, 4]
    assert wishes == [noise_search.make_wish(model, i) for i in range(16)]
    for wish in wishes:
        assert check_wish(model, wish) == wish
    names = sorted(noise_search.EASILY_SEEN, key=lambda name: model.config.frequencies[model.names.index(name)])
    assert all(next(iter(wish)) in names for wish in wishes)
    assert all(set(wish) & set(names[:6]) for wish in wishes[1::2])


def test_the_interval_holds_the_mean_and_narrows():
    few, many = noise_search.interval([0.0, 1.0] * 5), noise_search.interval([0.0, 1.0] * 500)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]


def test_the_random_box_is_a_box():
    maps = noise_search.Rectangle(3)(torch.zeros(5, 3, 64, 64))
    assert maps.shape == (5, 1, 64, 64)
    for one in maps[:, 0]:
        rows, columns = np.flatnonzero(one.amax(dim=1)), np.flatnonzero(one.amax(dim=0))
        assert int(one.sum()) == len(rows) * len(columns)
        assert 0.15 < float(one.mean()) < 0.25


def test_figures_are_kept_and_the_table_has_them(tmp_path, capsys):
    argv = ["--prompts", "2", "--iterations", "1", "--only", "no search,doodl", "--threads", "1", "--out", str(tmp_path)]
    assert noise_search.main(argv) == 0
    table = (tmp_path / "noise_search.md").read_text()
    assert table.count("| doodl |") + table.count("| doodl, norm kept only |") >= 2
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert len(figures) == 2 * 5
    assert all(figure["calls"] >= noise_search.DRAW for figure in figures.values())
    assert Image.open(tmp_path / "sheet.png").height > 5 * 128
    taken = {name: figure["seconds"] for name, figure in figures.items()}
    assert noise_search.main(argv) == 0
    again = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert {name: figure["seconds"] for name, figure in again.items()} == taken, "measured once"
    assert noise_search.main(["--only", "sgol", "--out", str(tmp_path / "other")]) == 2
    assert "no method begins so" in capsys.readouterr().err
