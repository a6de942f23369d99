"""The report's Table 1, in small: three models trained, measured the same way, and a table of them."""

from __future__ import annotations

import pytest
import torch
from conftest import write_celeba

from ddpm_faces.conditions import CELEBA
from ddpm_faces.models.classifier_checkpoint import Classifier, ClassifierConfig, save_classifier
from experiments import report_unet, table1


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(**settings) calls the command on a small copy of "CelebA"; its folder is tmp_path / "out"."""
    torch.manual_seed(0)
    described = ClassifierConfig(labels=CELEBA, image=(3, 64, 64), channels=(8, 8))
    classifier = Classifier(described.network().eval(), described)
    monkeypatch.setitem(report_unet.RECIPE, "batch_size", 4)
    monkeypatch.setattr(table1, "MODELS", {name: [*flags, "--sample-every", "0"] for name, flags in table1.MODELS.items()})
    small = {"images": 8, "batch-size": 4, "n": 64, "each": 1, "steps": 1, "device": "cpu", "out": tmp_path / "out"}
    small["data-root"] = write_celeba(tmp_path, 140, splits=(70, 2))
    small["classifier"] = save_classifier(tmp_path / "classifier.safetensors", classifier)

    def run(**changes) -> int:
        return table1.main([str(word) for name, value in (small | changes).items() for word in (f"--{name}", value)])

    return run


def test_what_would_fail_after_hours_of_training_is_refused_before(run, tmp_path, capsys):
    refused = {"classifier": "nothing.safetensors", "n": 10, "each": 0, "steps": 5000}
    for name, value in refused.items():
        assert run(**{name: value}) == 2 and str(value) in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_three_models_are_trained_measured_and_set_side_by_side(run, tmp_path, capsys):
    assert run() == 0
    text = (tmp_path / "out" / "table1.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ours") or line.startswith("| the report")]
    assert [row[0].strip("| ") for row in rows] == list(table1.ROWS)
    assert [row[1] for row in rows] == ["-", "2", "1", "1"], "the guidance of each"
    assert rows[0][-1].strip(" |") == "5.268 / 3.425" and rows[3][-1].strip(" |") == "4.356 / 3.409"
    assert len({row[2] for row in rows}) == 4, "four distances, each its own"
    assert "saw 8 faces" in text and "protocol differs" in text and "blurred" in text
    capsys.readouterr()
    assert run(images=16) == 2
    assert "other epochs" in capsys.readouterr().err
