"""The report's Table 1, in small: three models trained, measured the same way, and a table of them."""

from __future__ import annotations

import torch
from conftest import write_celeba

from benchmarks import table1
from ddpm_faces import judge
from ddpm_faces.attributes import CELEBA
from ddpm_faces.judge import Judge, JudgeConfig


def test_three_models_are_trained_measured_and_set_side_by_side(tmp_path, capsys):
    data = write_celeba(tmp_path, 140, splits=(70, 2))
    torch.manual_seed(0)
    described = JudgeConfig(CELEBA, (3, 64, 64), (8, 8), False)
    classifier = judge.save(tmp_path / "judge.safetensors", Judge(described.network().eval(), described))
    argv = [
        "--data-root",
        str(data),
        "--images",
        "8",
        "--batch-size",
        "4",
        "--n",
        "64",
        "--each",
        "1",
        "--steps",
        "1",
        "--device",
        "cpu",
    ]
    argv += ["--classifier", str(classifier), "--out", str(tmp_path / "out")]
    for bad in (["--classifier", "nothing.safetensors"], ["--n", "10"], ["--each", "0"], ["--steps", "5000"]):
        assert table1.main([*argv, *bad]) == 2 and not (tmp_path / "out").exists(), "before hours of training"
    assert table1.main(argv) == 0
    text = (tmp_path / "out" / "table1.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ours") or line.startswith("| the report")]
    assert [row[0].strip("| ") for row in rows] == list(table1.ROWS)
    assert [row[1] for row in rows] == ["-", "2", "1", "1"], "the guidance of each"
    assert rows[0][-1].strip(" |") == "5.268 / 3.425" and rows[3][-1].strip(" |") == "4.356 / 3.409"
    assert len({row[2] for row in rows}) == 4, "four distances, each its own"
    assert "saw 8 faces" in text and "What differs" in text and "blurred" in text
    capsys.readouterr()
    assert table1.main([*argv, "--images", "16"]) == 2
    assert "other epochs" in capsys.readouterr().err
