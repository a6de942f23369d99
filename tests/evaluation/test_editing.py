"""The editing part of `evaluate`: what it measures of edits whose outcome is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import random_model, write_celeba
from small_classifier import random_classifier

from ddpm_faces.conditions import CELEBA
from ddpm_faces.evaluate import main
from ddpm_faces.evaluation import editing, identity
from ddpm_faces.models import checkpoint
from ddpm_faces.models.classifier_checkpoint import save_classifier


@pytest.fixture(scope="module")
def flags(tmp_path_factory) -> list[str]:
    """A small model, two classifiers, and toy faces in CelebA's layout."""
    folder = tmp_path_factory.mktemp("editing")
    model = checkpoint.save(folder / "m.safetensors", random_model(CELEBA, (3, 16, 16), crop="center140", data="celeba"))
    classifier = save_classifier(folder / "c.safetensors", random_classifier(CELEBA, (3, 16, 16)))
    judge = save_classifier(folder / "j.safetensors", random_classifier(CELEBA, (3, 16, 16), seed=1))
    write_celeba(folder / "data", 140, width=89, splits=(70, 4))
    return [
        "--model", str(model), "--classifier", str(classifier), "--judge", str(judge), "--data-root", str(folder / "data"),
        "--only", "editing", "--n", "64", "--device", "cpu",
    ]  # fmt: skip


def test_the_report_tells_adding_from_removing_and_a_second_call_reads_the_edits(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(identity, "available", lambda: False)
    monkeypatch.setattr(editing.detector, "available", lambda: False)
    argv = [*flags, "--edits", "4", "--edit-curves", "0", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())["editing"]
    assert found["judge"] == "j.safetensors" and set(found["table"]) <= set(CELEBA.names) and found["curves"] == {}
    for row in found["table"].values():
        assert row["success"] is None or 0 <= row["success"] <= 1
    text = (tmp_path / "out" / "report.md").read_text()
    assert (
        "## Editing" in text
        and "added" in text
        and {p.name for p in (tmp_path / "out").glob("*.png")}
        == {
            "edits.png",
            "edit-matrix.png",
        }
    )
    monkeypatch.setattr(editing, "edit", None)  # a second call draws nothing anew
    assert main(argv) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["editing"]["table"] == found["table"]
    capsys.readouterr()


def test_curves_go_over_every_method_and_strength(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "available", lambda: False)
    monkeypatch.setattr(editing.detector, "available", lambda: False)
    monkeypatch.setattr(editing, "METHODS", ("difference", "o-belm"))
    assert main([*flags, "--edits", "2", "--edit-curves", "2", "--out", str(tmp_path / "out")]) == 0
    curves = json.loads((tmp_path / "out" / "report.json").read_text())["editing"]["curves"]
    assert set(curves) == {"difference", "o-belm"} and set(curves["o-belm"]) == {"1.5", "2.5", "4", "6"}
    assert (tmp_path / "out" / "edit-curves.png").is_file()


def test_measures_of_edits_made_by_hand(monkeypatch):
    """Four edits: nothing changed, all pixels changed, and the region alone changed, twice."""
    before = np.full((4, 8, 8, 3), 100, np.uint8)
    after = before.copy()
    after[1] += 10
    after[2:, :4] += 20
    region = np.zeros((4, 8, 8), np.float32)
    region[:, :4] = 1
    edits = editing.Edits(
        before, after, torch.tensor([0, 0, 1, 1]), torch.tensor([1, -1, 1, -1]), region, np.ones(4, np.float32)
    )

    class Judge:
        """Sees 2 in attribute 1 where the first row is bright, and the whole brightness in attribute 2."""

        config = type("Config", (), {"thresholds": torch.zeros(3)})

        def extract(self, images):
            bright = torch.from_numpy(images[:, 0, 0, 0] > 110)
            whole = torch.from_numpy(images.mean(axis=(1, 2, 3))).float()
            logits = torch.stack([torch.full((4,), -3.0), torch.where(bright, 2.0, -2.0), whole], dim=1)
            return type("Extracted", (), {"logits": logits})()

    monkeypatch.setattr(identity, "available", lambda: False)
    scored = editing.score(type("Suite", (), {"crop": None})(), Judge(), edits)
    assert scored["success"].tolist() == [0, 1, 1, 0]
    assert scored["outside"].tolist() == [0, 10, 0, 0], "shades beyond the region"
    assert scored["others"].tolist() == pytest.approx([0, (0 + 10) / 2, (0 + 10) / 2, (0 + 10) / 2])
    monkeypatch.setattr(editing.detector, "available", lambda: False)
    row = editing.summary(scored, edits, torch.tensor([False, False, True, True]))
    assert (row["added"], row["removed"], row["success"]) == (1, 0, 0.5)


def test_photos_are_half_with_and_half_without():
    class Test:
        conditions = np.where(np.arange(40)[:, None] < 10, 1, -1).repeat(40, axis=1)

    suite = type("Suite", (), {"easily_seen": ["Smiling"], "labels": CELEBA, "test": Test})()
    rows, attributes, signs = editing.photos(suite, 8)
    assert len(rows) == 8 and set(attributes.tolist()) == {CELEBA.index("Smiling")}
    assert (Test.conditions[rows, 0] == -signs.numpy()).all() and len(set(rows.tolist())) == 8
    assert len(editing.photos(suite, 60)[0]) == 10 + 30, "no more than there are"


def test_without_a_second_classifier_the_part_is_left_out_and_says_so(flags, tmp_path):
    i = flags.index("--judge")
    assert main([*flags[:i], *flags[i + 2 :], "--out", str(tmp_path / "out")]) == 0
    assert "--judge" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.skipif(not identity.available(), reason='pip install "ddpm_faces[photo]"')
def test_a_compressed_face_is_nearer_to_itself_than_another_is():
    import ddpm_faces
    from ddpm_faces.utils.images import to_uint8

    model = ddpm_faces.load("celeba64-fast")
    faces = to_uint8(ddpm_faces.generate(model, "Male,-Smiling", n=3, seed=4))
    softer = (faces.astype(int) * 9 // 10).astype(np.uint8)
    apart = torch.cdist(identity.embed(softer, "center140"), identity.embed(faces, "center140"))
    assert apart.argmin(dim=1).tolist() == [0, 1, 2] and float(apart.diag().max()) < 0.5 < float(apart.max())
