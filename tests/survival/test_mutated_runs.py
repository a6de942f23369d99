"""A run's own files, changed: resuming takes an older state or refuses in one line, and never trains on nonsense."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from conftest import TRAIN, one_line
from safetensors import safe_open
from safetensors.torch import save

from ddpm_faces.train import main
from ddpm_faces.training import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, amount) -> Path:
    from conftest import write_celeba

    root = write_celeba(tmp_path_factory.mktemp("data"))
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main([*TRAIN, "--data-root", str(root), "--epochs", "5", "--max-steps", "8", "--out", str(out)]) == 0
    return out


def test_a_damaged_newest_state_does_not_push_out_the_good_one(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    newest = run_folder.states(copy)[0]
    newest.rename(run_folder.state_path(copy, 9))  # where the run would not come by again before its next save
    run_folder.state_path(copy, 9).write_bytes(b"{}")
    assert main(["--resume", str(copy), "--max-steps", "10", "--save-every", "3"]) == 0
    assert [path.name for path in run_folder.states(copy)] == ["step-00000010.safetensors", "step-00000007.safetensors"]


@pytest.mark.parametrize(
    "damage", ["", "step,images\n", "a,b\n1,2\n", "\0\0", "step,images,loss,lr,images_per_second\n5,20,x,0,1\n"]
)
def test_a_damaged_loss_curve_costs_the_curve_alone(run, tmp_path, damage):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "loss.csv").write_text(damage)
    assert run_folder.read_losses(copy) == []
    assert main(["--resume", str(copy)]) == 0
    assert [row["step"] for row in run_folder.read_losses(copy)] == [10]


@pytest.mark.parametrize(
    "progress",
    [
        {"step": -3}, {"step": "many"}, {"step": 10**30}, {"pending": []}, {"pending": [1, -5]}, {"minutes": None},
        {"data": "x"}, {"scaler": 5}, {"adam_step": 1.5}, {"step": True},
    ],
)  # fmt: skip
def test_damaged_progress_gives_way_to_the_state_before(run, tmp_path, capsys, progress):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    newest = run_folder.states(copy)[0]
    with safe_open(newest, "pt") as opened:
        tensors, entries = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()
    entries["progress"] = json.dumps({**json.loads(entries["progress"]), **progress})
    newest.write_bytes(save(tensors, entries))
    assert run_folder.latest_state(copy)[2].step == 7
    assert "progress noted in it is damaged" in capsys.readouterr().err


def test_tensors_of_other_shapes_are_refused(run, tmp_path, capsys):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    for path in run_folder.states(copy):
        with safe_open(path, "pt") as opened:
            tensors, entries = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()
        tensors["exp_avg.unet.exit.bias"] = tensors["exp_avg.unet.exit.bias"][:1].clone()  # would broadcast
        path.write_bytes(save(tensors, entries))
    assert main(["--resume", str(copy)]) == 2
    assert "does not fit this model" in one_line(capsys.readouterr().err)


def test_damaged_settings_are_refused(run, tmp_path, capsys, amount):
    rng = random.Random(6)
    described = json.loads((run / "config.json").read_text())
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    for _ in range(amount(10, 60)):
        changed = json.loads(json.dumps(described))
        name = rng.choice(["batch_size", "epochs", "lr", "data", "preset", "crop", "schedule", "ema", "surprise", "seed"])
        changed["settings"][name] = rng.choice([None, [], {}, "x", -5, 1e300, "../..", "a\nb"])
        text = json.dumps(changed)
        (copy / "config.json").write_text(text if rng.random() < 0.8 else text[: rng.randrange(len(text) - 1)])
        assert main(["--resume", str(copy), "--max-steps", "9"]) in (0, 2)  # some, an epoch more or less, are possible
        for path in run_folder.states(copy):
            if path > run_folder.state_path(copy, 8):
                path.unlink()
        error = capsys.readouterr().err
        assert "Traceback" not in error and ("ddpm_faces: " in error or name in ("epochs", "crop"))
