"""What `train` refuses: in one line, with status 2, before anything is fetched or written."""

from __future__ import annotations

import pytest
from conftest import write_mnist
from quick_runs import flags, refuse, run

from ddpm_faces.conditions import CELEBA
from ddpm_faces.data import open_dataset
from ddpm_faces.data.dataset import build
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.models import checkpoint
from ddpm_faces.train import main
from ddpm_faces.training import run_folder
from ddpm_faces.training.config import TrainSettings
from ddpm_faces.training.start import model_config
from ddpm_faces.utils.errors import UserError


def test_what_cannot_be_is_refused_before_anything_is_fetched(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("ddpm_faces.training.run.fetch", lambda *_: pytest.fail("this would download 1.4 GB"))
    base = ["--data", "celeba", "--download", "--data-root", str(tmp_path / "data")]
    assert "no crop" in refuse(capsys, [*base, "--crop", "square"])
    assert "no preset 'celeba46'; did you mean celeba64?" in refuse(capsys, [*base, "--preset", "celeba46"])
    assert "--schedule sigmoid" in refuse(capsys, [*base, "--schedule", "sigmoid"])
    assert "cannot write in" in refuse(capsys, [*base, "--out", str(tmp_path / "file" / "run")])


def test_bad_input_is_one_line_and_leaves_nothing(celeba, tmp_path, capsys):
    base = {"data": "celeba", "data_root": celeba, "out": tmp_path / "run"}
    nowhere = {**base, "data_root": tmp_path / "none"}
    assert "ways to get it" in refuse(capsys, flags(**nowhere))
    assert "no MNIST in" in refuse(capsys, flags(**nowhere | {"data": "mnist", "preset": None}))
    assert "no data set 'celebs'" in refuse(capsys, flags(**base | {"data": "celebs"}))
    for name, value, said in (
        ("crop", "square", "no crop 'square'"), ("preset", "huge", "no preset 'huge'"), ("schedule", "sigmoid", "--schedule"),
        ("device", "tpu", "no device 'tpu'"), ("precision", "fp16", "fp16"), ("batch-size", 0, "--batch-size 0 is outside"),
        ("embedding", 0, "--embedding"), ("max-steps", 0, "--max-steps"), ("lr", "nan", "--lr"),
        ("import", "no.such", "no module 'no'"), ("guidance-alone", 101, "--guidance-alone"),
    ):  # fmt: skip
        assert said in refuse(capsys, flags(**base | {name: value})), name
    assert "not the folder of a run" in refuse(capsys, ["--resume", str(tmp_path / "nothing")])
    write_mnist(tmp_path)
    digits = flags(data="mnist", data_root=tmp_path, guidance_alone=4, out=tmp_path / "run", preset=None)
    assert "a class says all" in refuse(capsys, digits)
    assert not (tmp_path / "run").exists()


def test_a_preset_that_does_not_fit_the_images_is_refused():
    images = build("odd", {"data": "odd"}, (36, 36, 3), CELEBA, range(4), lambda i: toy_face(i, 36))
    with pytest.raises(UserError, match=r"preset celeba64 is not for images of \(3, 36, 36\)"):  # halved three times
        model_config(TrainSettings(preset="celeba64"), images)


def test_from_python_the_argument_is_named():
    with pytest.raises(UserError, match=r"^batch_size=0 is outside 1 \.\. 65536$"):
        TrainSettings(batch_size=0)
    with pytest.raises(UserError, match="did you mean batch_size"):
        TrainSettings(bacth_size=4)


def test_a_typo_in_a_flag_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--bacth-size", "4"])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and len(said.strip().splitlines()) == 1 and "did you mean --batch-size" in said


def test_runs_are_not_overwritten_and_keep_their_nature(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    run(celeba, out, max_steps=1)
    capsys.readouterr()
    assert "already holds a run" in refuse(capsys, flags(data="celeba", data_root=celeba, out=out))
    assert "must stay 4" in refuse(capsys, ["--resume", str(out), "--batch-size", "8"])
    assert "minutes plans a new run" in refuse(capsys, ["--resume", str(out), "--minutes", "3"])
    assert "leave out away" in refuse(capsys, ["--resume", str(out), "--out", str(tmp_path / "b")])
    assert "must stay celeba" in refuse(capsys, ["--resume", str(out), "--data", "toy"])
    for path in run_folder.states(out):
        path.unlink()
    assert "no state to go on from" in refuse(capsys, ["--resume", str(out)])


def test_a_run_of_other_images_is_not_gone_on_with(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    run(celeba, out, max_steps=1)
    path = run_folder.states(out)[0]
    tensors, config, entries = checkpoint.read(path)
    other = config.model_copy(update={"image": (3, 32, 32)})
    path.write_bytes(checkpoint.encode(tensors, other, progress=entries["progress"]))
    capsys.readouterr()
    assert "images of (32, 32)" in refuse(capsys, ["--resume", str(out)])


def test_other_images_are_not_resumed_on(celeba, tmp_path, capsys):
    run(celeba, tmp_path / "run", max_steps=1)
    (celeba / "celeba/img_align_celeba/000001.jpg").unlink()
    open_dataset("celeba", celeba)  # decoded now, so that what is printed below is the refusal alone
    capsys.readouterr()
    assert "does not hold the images" in refuse(capsys, ["--resume", str(tmp_path / "run")])
