"""`python -m ddpm_faces.evaluate` on small models: the report has every figure, images are sampled once, bad input is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import few_faces
import numpy as np
import pytest
from conftest import one_line, random_model, write_celeba, write_mnist
from PIL import Image
from small_classifier import random_classifier

from ddpm_faces.conditions import CELEBA, DIGITS, NO_LABELS, Labels
from ddpm_faces.evaluate import main
from ddpm_faces.evaluation import PARTS, memorisation, sweep
from ddpm_faces.evaluation.fingerprints import MEASURING, SAMPLING, code_fingerprint
from ddpm_faces.evaluation.part import load_part
from ddpm_faces.evaluation.run import command_line
from ddpm_faces.evaluation.settings import EvaluateSettings
from ddpm_faces.models import checkpoint
from ddpm_faces.models.classifier_checkpoint import save_classifier

MEASURED = ("error on training images", "error on held-out ones", "harder", "standard_error")
FAST = [
    "--n",
    "64",
    "--sweep-n",
    "64",
    "--each",
    "2",
    "--persons",
    "2",
    "--steps",
    "2",
    "--device",
    "cpu",
    "--import",
    "few_faces",
]


@pytest.fixture(scope="module")
def face_classifier(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("classifiers") / "small.safetensors"
    return save_classifier(path, random_classifier(CELEBA, (3, 16, 16)))


@pytest.fixture(scope="module")
def toy_model(tmp_path_factory) -> Path:
    model = random_model(CELEBA, (3, 16, 16), data="few", guidance=2.0, guidance_alone=3.0)
    return checkpoint.save(tmp_path_factory.mktemp("toy") / "toy.safetensors", model)


def read_report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_the_whole_report(toy_model, face_classifier, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep, "SCALES", (1.0, 4.0))
    monkeypatch.setattr(sweep, "STEPS", (4, 6, 2000))
    points, real_compare = [], sweep.compare
    monkeypatch.setattr(sweep, "compare", lambda *given, **more: points.append(given) or real_compare(*given, **more))
    argv = ["--model", str(toy_model), "--classifier", str(face_classifier), "--out", str(tmp_path), *FAST]
    assert main([*argv, "--only", "quality, control,strips", "--only", "memorisation,sweep", "--write-guidance"]) == 0
    said = capsys.readouterr().out
    report = read_report(tmp_path)
    about = report["about"]
    assert about["images"] == 64 and about["steps"] == 2 and about["guidance"] == 2 and about["extractor"] == "attributes"
    assert about["guidance alone"] == 3 and "guidance 2 (3 where one attribute alone is asked)" in said
    for fact in ("64 images", "2 steps", "guidance 2", "seed 0", "extractor attributes", "crop none"):
        assert fact in said
    rows = report["quality"]["rows"]
    assert next(iter(rows)) == "the model" and all({"FID", "KID", "precision", "recall"} <= set(row) for row in rows.values())
    assert rows["real training images (the floor)"]["FID"] < rows["noise (the ceiling)"]["FID"]
    assert rows["noise (the ceiling)"]["faces found"] == 0 and "frontal detector" in (tmp_path / "report.md").read_text()
    control = report["control"]["table"]
    assert set(control) == set(CELEBA.names) and control["Bald"]["asked alone"] == 4
    assert control["Bald"]["asked yes"] + control["Bald"]["asked no"] == 64
    assert set(report["strips"]["means"]) == {"monotone", "rise", "others", "similarity", "step", "jump"}
    assert report["memorisation"]["samples"] == 64 and report["memorisation"]["denoising"]["images"] == 100
    curves = report["sweep"]["by guidance"] + report["sweep"]["by steps"]
    assert len(points) == len(curves) == 6, "the default point once, and the blurred images"
    assert report["sweep"]["guidance chosen"] in [point["guidance"] for point in report["sweep"]["by guidance"]]
    chosen = checkpoint.load(toy_model)
    assert chosen.guidance == chosen.guidance_alone == report["sweep"]["guidance chosen"]
    text = (tmp_path / "report.md").read_text()
    for heading in ("Quality", "Control", "Interpolation", "Memorisation", "Sweep by guidance", "Sweep by steps"):
        assert f"## {heading}" in text
    for name in ("samples", "control", "strips", "curves", "nearest", "distances", "sweep"):
        assert Image.open(tmp_path / f"{name}.png").width > 200 and f"{name}.png" in text
    verdict = text.split("\n\n")[1]
    assert verdict.startswith("By FID") and "conditional accuracy" in verdict and verdict.count(". ") == 1, "two sentences"
    assert "not to be published" not in text, "toy faces are drawings"
    sampled = sum(np.load(path).shape[0] for path in tmp_path.rglob("*.npy"))
    assert f"sampling {sampled:,} images; --only" in said, "what was foretold"


def test_digits_have_a_score_of_their_own(tmp_path, capsys):
    write_mnist(tmp_path / "data", 80)
    model = checkpoint.save(tmp_path / "digits.safetensors", random_model(DIGITS, (1, 32, 32), data="mnist"))
    classifier = save_classifier(tmp_path / "classifier.safetensors", random_classifier(DIGITS, (1, 32, 32)))
    argv = ["--model", str(model), "--data-root", str(tmp_path / "data"), "--classifier", str(classifier), *FAST]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 0
    report, text = read_report(tmp_path / "out"), (tmp_path / "out" / "report.md").read_text()
    assert {"IS", "IS spread"} <= set(report["quality"]["rows"]["the model"]) and report["about"]["extractor"] == "classes"
    assert 0 <= report["control"]["recognised"] <= 1 and "Classes: recognised" in text and "The classifier recognises" in text
    assert set(report["control"]["table"]) == set(DIGITS.names) and "0 to 3" in report["strips"]["table"]
    assert "faces found" not in report["quality"]["rows"]["the model"] and report["left out"] == []


def test_unconditional_models_are_measured_but_not_asked(tmp_path, face_classifier, capsys, monkeypatch):
    monkeypatch.setattr(sweep, "STEPS", (4, 6))
    model = checkpoint.save(tmp_path / "plain.safetensors", random_model(NO_LABELS, (3, 16, 16), data="few"))
    argv = ["--model", str(model), "--classifier", str(face_classifier), "--out", str(tmp_path / "out"), *FAST]
    assert main([*argv, "--only", "quality,control,sweep"]) == 0
    report = read_report(tmp_path / "out")
    assert "control" not in report and "can be asked for nothing" in report["left out"][0]
    points = report["sweep"]["by steps"]
    assert report["sweep"]["by guidance"] == [] and len(points) > 2
    capsys.readouterr()
    assert main([*argv, "--only", "memorisation"]) == 0
    assert "sampling 0 images (64 more were sampled before)" in capsys.readouterr().out
    report = read_report(tmp_path / "out")
    assert report["sweep"]["by steps"] == points and "memorisation" in report, "the parts that were there stay"
    monkeypatch.setitem(sys.modules, "dlib", None)  # as if it were not installed
    assert main([*argv, "--only", "quality", "--seed", "7"]) == 0
    report = read_report(tmp_path / "out")
    assert "memorisation" not in report, "but not those made otherwise"
    assert "pip install dlib-bin" in report["left out"][0] and "faces found" not in report["quality"]["rows"]["the model"]


def test_images_of_real_people_are_marked(tmp_path, monkeypatch):
    monkeypatch.setattr(memorisation, "denoising", lambda suite: dict.fromkeys(MEASURED, 0.0) | {"images": 0})
    root = write_celeba(tmp_path / "data", 200, 40, (100, 20))
    model = checkpoint.save(tmp_path / "faces.safetensors", random_model(CELEBA, (3, 16, 16), data="celeba"))
    classifier = save_classifier(tmp_path / "classifier.safetensors", random_classifier(CELEBA, (3, 16, 16)))
    argv = ["--model", str(model), "--data-root", str(root), "--classifier", str(classifier), *FAST]
    assert main([*argv, "--only", "memorisation", "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "**nearest.png shows photographs of real people: not to be published.**" in text


def test_chosen_attributes_are_measured(tmp_path):
    labels = Labels(("Smiling", "Bald"))
    model = checkpoint.save(tmp_path / "two.safetensors", random_model(labels, (3, 16, 16), data="few"))
    classifier = save_classifier(tmp_path / "classifier.safetensors", random_classifier(labels, (3, 16, 16)))
    argv = ["--model", str(model), "--classifier", str(classifier), "--out", str(tmp_path / "out"), *FAST]
    assert main([*argv, "--only", "control,strips"]) == 0
    report = read_report(tmp_path / "out")
    assert list(report["control"]["table"]) == list(report["strips"]["table"]) == ["Smiling", "Bald"]
    assert "of few's test split" in report["about"]["reference"]


PART = """
from ddpm_faces.evaluation import PARTS
from ddpm_faces.evaluation.part import Part

NEEDS_CONDITIONS = False

def requests(suite):
    return [suite.samples()]

def measure(suite):
    return Part({"mean": float(suite.cache.sample(suite.samples()).mean())}, {})

def verdict(numbers):
    return "It is bright."

def report(numbers, about):
    return ["## Brightness", str(numbers["mean"])]

PARTS["brightness"] = "brightness"
"""


def test_a_part_from_outside_of_the_package_is_one_file(toy_model, face_classifier, tmp_path, monkeypatch):
    (tmp_path / "brightness.py").write_text(PART)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(PARTS, "brightness", "is put back after the test")
    argv = ["--model", str(toy_model), "--classifier", str(face_classifier), "--out", str(tmp_path / "out"), *FAST]
    assert main([*argv, "--import", "brightness", "--only", "brightness"]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.split("\n\n")[1] == "It is bright." and "## Brightness" in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--n", "10"], "--n 10 is outside 64 .. 100000"),
        (["--only", "beauty"], "no part 'beauty'"),
        (["--write-guidance"], "add --only sweep"),
        (["--extractor", "digits"], "no extractor 'digits' for these images"),
        (["--each", "0"], "--each 0 is outside 1 .. 1000"),
        (["--classifier", "nothing.safetensors"], "no classifier"),
        (["--data", "mnist", "--data-root", "nowhere"], "nowhere"),
        (["--extractor", "inception", "--inception-weights", "nothing.pth"], "no file nothing.pth"),
        (["--data", "celeba", "--data-root", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_told_in_one_line(toy_model, face_classifier, argv, message, tmp_path, capsys):
    given = {"--model": str(toy_model), "--classifier": str(face_classifier), "--out": str(tmp_path / "out"), "--device": "cpu"}
    words = [word for pair in (given | dict(zip(argv[::2], argv[1::2], strict=False))).items() for word in pair]
    assert main([*words, *argv[-1:][: len(argv) % 2]]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_data_of_other_images_is_refused(toy_model, face_classifier, tmp_path, capsys):
    write_mnist(tmp_path, 20)
    argv = ["--model", str(toy_model), "--classifier", str(face_classifier), "--data", "mnist", "--data-root", str(tmp_path)]
    assert main(argv) == 2
    assert "makes other images, or knows other names, than mnist has: give --data" in capsys.readouterr().err


def test_without_a_classifier_one_line_says_how_to_train_one(toy_model, tmp_path, capsys):
    assert main(["--model", str(toy_model), "--data", "celeba", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "train_classifier" in error and "--classifier FILE" in error and error.count("\n") == 1


def test_a_classifier_of_another_size_or_of_other_names_is_refused(toy_model, tmp_path, capsys):
    large = save_classifier(tmp_path / "large.safetensors", random_classifier(CELEBA, (3, 64, 64)))
    labels = Labels(tuple(f"Another_{name}" for name in CELEBA.names))
    other = save_classifier(tmp_path / "other.safetensors", random_classifier(labels, (3, 16, 16)))
    for path, message in ((large, r"(3, 64, 64), not (3, 16, 16)"), (other, "knows other names")):
        assert main(["--model", str(toy_model), "--classifier", str(path), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_help_does_not_wait_for_torch():
    code = "import sys, ddpm_faces.evaluate; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_part_is_a_registered_file_with_the_five_names():
    for name in PARTS:
        part = load_part(name)
        assert isinstance(part.NEEDS_CONDITIONS, bool)
        assert all(callable(getattr(part, function)) for function in ("requests", "measure", "verdict", "report"))


def test_a_change_of_any_room_that_figures_depend_on_is_noticed():
    assert code_fingerprint(SAMPLING) != code_fingerprint(MEASURING)
    with pytest.raises(ValueError, match=r"matches old_room/\*.py"):
        code_fingerprint((*SAMPLING, "old_room/*.py"))


def test_the_command_in_the_report_says_what_was_said(tmp_path):
    settings = EvaluateSettings(n=64, only=("sweep", "quality"), write_guidance=True, out=tmp_path / "a b")
    line = command_line(settings)
    assert line == f"python -m ddpm_faces.evaluate --n 64 --only sweep,quality --write-guidance --out '{tmp_path}/a b'"


def test_images_that_are_there_already_are_measured(toy_model, face_classifier, tmp_path, capsys):
    """Real training images stand for a generator's: as a folder and as an array they are nearer than blurred ones."""
    shown = np.asarray(few_faces.open_few(tmp_path, "train").images[:80])
    (tmp_path / "made").mkdir()
    for i, pixels in enumerate(shown):
        Image.fromarray(pixels).save(tmp_path / "made" / f"{i:03d}.png")
    np.savez(tmp_path / "made.npz", shown)
    argv = ["--model", str(toy_model), "--classifier", str(face_classifier), "--device", "cpu", "--import", "few_faces"]
    rows = []
    for given in ("made", "made.npz"):
        out = tmp_path / f"out-{given}"
        assert main([*argv, "--from", str(tmp_path / given), "--out", str(out)]) == 0
        report = json.loads((out / "report.json").read_text())
        assert report["about"]["images"] == 80 and report["about"]["model"] == given
        assert set(report) == {"about", "left out", "quality"}
        rows.append(report["quality"]["rows"])
    assert rows[0] == rows[1] and rows[0]["the model"]["FID"] < rows[0]["the same, blurred"]["FID"]
    assert "80 images in made" in (tmp_path / "out-made" / "report.md").read_text()
    np.savez(tmp_path / "large.npz", np.zeros((80, 32, 32, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    for given, complaint in (
        ("large.npz", "(16, 16, 3) uint8 are needed"),
        ("empty", "holds no images"),
        ("nowhere", "no folder and no .npz file"),
    ):
        assert main([*argv, "--from", str(tmp_path / given)]) == 2
        assert complaint in one_line(capsys.readouterr().err)
    assert main([*argv, "--from", str(tmp_path / "made"), "--only", "control"]) == 2
    assert "only quality" in one_line(capsys.readouterr().err)
