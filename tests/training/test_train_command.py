"""`python -m ddpm_faces.train`: what a run leaves behind, that it resumes exactly, and networks and data of other kinds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from conftest import write_mnist
from PIL import Image
from quick_runs import flags, refuse, run

from ddpm_faces.data import open_dataset
from ddpm_faces.generation.generate import generate
from ddpm_faces.models import checkpoint
from ddpm_faces.train import main
from ddpm_faces.training import run_folder
from experiments.report_unet import ReportUNet


def test_a_run_leaves_a_whole_folder(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(celeba, out, epochs=3, sample_every=4) == 0  # 8 images, 6 steps
    said = capsys.readouterr().out
    assert "step 6 of 6" in said and f"sample from it with: python -m ddpm_faces.sample --model {out}\n" in said
    saved = json.loads((out / "config.json").read_text())
    assert saved["settings"]["batch_size"] == 4 and saved["settings"]["flip"] is True
    assert saved["versions"]["torch"] == torch.__version__.split("+")[0] and saved["command"] and saved["commit"]
    assert [row["step"] for row in run_folder.read_losses(out)] == [2, 4, 6]
    assert Image.open(out / "loss.png").size[0] > 300
    assert {p.name for p in (out / "samples").iterdir()} == {"step-00000004.png", "step-00000006.png"}
    assert [p.name for p in run_folder.states(out)] == ["step-00000006.safetensors", "step-00000003.safetensors"]
    assert list((out / "tensorboard").rglob("events*"))
    model = checkpoint.load(out)
    assert model.image_shape == (3, 64, 64) and model.config.facts.crop == "center140"
    assert model.config.facts.images_seen == 24


def test_stopping_and_resuming_is_bit_equal(celeba, tmp_path, capsys):
    """--max-steps, then --resume from the folder alone, gives the weights and the loss curve of an uninterrupted run."""
    assert run(celeba, tmp_path / "whole", epochs=4) == 0
    assert run(celeba, tmp_path / "parts", epochs=4, max_steps=5) == 0
    assert f"--resume {tmp_path / 'parts'}" in capsys.readouterr().out
    assert main(["--resume", str(tmp_path / "parts")]) == 0
    whole, parts = (run_folder.latest_state(tmp_path / name) for name in ("whole", "parts"))
    assert whole[2].step == parts[2].step == 8
    curves = [[(r["step"], r["loss"], r["lr"]) for r in run_folder.read_losses(tmp_path / name)] for name in ("whole", "parts")]
    assert curves[0] == curves[1] and [step for step, *_ in curves[0]] == [2, 4, 6, 8]
    for name, tensor in whole[0].items():
        assert torch.equal(parts[0][name], tensor), name


def test_a_run_of_an_older_version_is_resumed_bit_for_bit(celeba, tmp_path):
    """Before version 0.2, states called the linear denoiser "gaussian", and config.json lacked some settings."""
    assert run(celeba, tmp_path / "whole", epochs=3) == 0
    old = tmp_path / "old"
    assert run(celeba, old, epochs=3, max_steps=3) == 0
    for path in run_folder.states(old):
        tensors, config, entries = checkpoint.read(path)
        raw = config.model_dump(mode="json", exclude={"labels"}) | {"format": 2, "names": config.names}
        renamed = {name.replace("linear_denoiser.", "gaussian."): t for name, t in tensors.items()}
        path.write_bytes(checkpoint.pack(renamed, entries | {checkpoint.KEY: json.dumps(raw)}))
    described = json.loads((old / "config.json").read_text())
    for name in ("attributes", "import_", "threads"):
        del described["settings"][name]
    (old / "config.json").write_text("\ufeff" + json.dumps(described))  # and an editor put a BOM before it
    assert main(["--resume", str(old)]) == 0
    whole, resumed = (run_folder.latest_state(folder)[0] for folder in (tmp_path / "whole", old))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_a_damaged_newest_state_gives_way_to_the_one_before(celeba, tmp_path, capsys):
    run(celeba, tmp_path / "run", epochs=3)
    newest = run_folder.states(tmp_path / "run")[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    assert main(["--resume", str(tmp_path / "run")]) == 0
    assert "trying the state before it" in capsys.readouterr().err
    assert run_folder.latest_state(tmp_path / "run")[2].step == 6


def test_what_a_resumed_run_is_told_counts(celeba, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.chdir(celeba.parent)
    assert run(celeba.relative_to(celeba.parent), out, guidance=2, max_steps=1) == 0
    monkeypatch.chdir("/")
    assert main(["--resume", str(out), "--guidance", "7", "--precision", "no"]) == 0, "from another place, in fp32"
    assert checkpoint.load(out).guidance == 7
    described = json.loads((out / "config.json").read_text())
    assert described["settings"]["guidance"] == 7 and [b["settings"]["guidance"] for b in described["before"]] == [2]
    capsys.readouterr()
    assert main(["--resume", str(out)]) == 0
    assert "nothing to do, step 2 of 2" in capsys.readouterr().out


def test_rare_attributes_are_known_as_rare(celeba, tmp_path):
    run(celeba, tmp_path / "run", max_steps=1)
    dataset, config = open_dataset("celeba", celeba), checkpoint.load(tmp_path / "run").config
    assert config.frequencies == tuple((dataset.conditions > 0).mean(axis=0).round(4))


def test_a_run_begins_with_the_spectrum_of_its_images(celeba, tmp_path):
    assert run(celeba, tmp_path / "run", max_steps=1) == 0
    linear = checkpoint.load(tmp_path / "run").network.linear_denoiser
    images = torch.from_numpy(open_dataset("celeba", celeba, "train").images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    assert (linear.mean - (images + images.flip(3)).mean(0) / 2).abs().max() < 1e-5, "mirrored, as faces are in training"
    assert linear.variance[-1, 0, 0] > 100 * linear.variance[-1, 40:, 40:].mean() > 0, "images are smooth"


def test_a_registered_network_is_trained_and_used_like_ours(celeba, tmp_path, capsys):
    """The report's, from outside of the package, comes with a recipe of its own and has no linear denoiser."""
    values = {"preset": "report", "import_": "experiments.report_unet"}
    assert run(celeba, tmp_path / "whole", **values) == 0
    assert run(celeba, tmp_path / "parts", **values, max_steps=1) == 0
    assert f"--resume {tmp_path / 'parts'} --import experiments.report_unet" in capsys.readouterr().out
    assert main(["--resume", str(tmp_path / "parts")]) == 0
    whole, parts = (run_folder.latest_state(tmp_path / name)[0] for name in ("whole", "parts"))
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    model = checkpoint.load(tmp_path / "whole")
    assert isinstance(model.network, ReportUNet) and sum(p.numel() for p in model.network.parameters()) == 1_380_080
    assert generate(model, "Smiling", n=2, steps=2).shape == (2, 3, 64, 64)
    settings = run_folder.read_config(tmp_path / "whole")
    assert settings["weighting"] == "uniform" and settings["p_null"] == settings["p_each"] == 0, "its own recipe"
    assert not settings["flip"] and settings["clip"] == settings["ema"] == 0 and settings["precision"] == "no"
    assert all(torch.equal(whole[name.replace("ema.", "model.")], t) for name, t in whole.items() if name.startswith("ema."))
    other = flags(data="celeba", data_root=celeba, out=tmp_path / "other", **values, weighting="unit")
    capsys.readouterr()
    assert "needs a linear denoiser" in refuse(capsys, other) and not (tmp_path / "other").exists()


def test_a_preset_that_nobody_registers_is_told_with_the_way_to_do_it(celeba, tmp_path):
    """In a process of its own: here, the report's network is registered already."""
    argv = flags(data="celeba", data_root=celeba, out=tmp_path / "run", max_steps=1, preset="report")
    done = subprocess.run([sys.executable, "-m", "ddpm_faces.train", *argv], capture_output=True, text=True)
    assert done.returncode == 2 and "no preset 'report'" in done.stderr and "--import" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


def test_chosen_attributes_alone_are_trained_on(celeba, tmp_path, capsys):
    assert run(celeba, tmp_path / "run", attributes="smiling,Male", max_steps=1) == 0
    model, dataset = checkpoint.load(tmp_path / "run"), open_dataset("celeba", celeba)
    assert model.names == ("Smiling", "Male") and model.network.conditions == 2
    where = [dataset.labels.index(name) for name in model.names]
    assert model.config.frequencies == tuple(dataset.frequencies[i] for i in where)
    assert main(["--resume", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert "attributes of a resumed run must stay" in refuse(
        capsys, ["--resume", str(tmp_path / "run"), "--attributes", "Young"]
    )
    again = flags(init_from=tmp_path / "run", out=tmp_path / "again", preset=None, data_root=celeba, max_steps=1)
    assert main(again) == 0 and checkpoint.load(tmp_path / "again").names == ("Smiling", "Male")
    capsys.readouterr()
    base = {"out": tmp_path / "none", "preset": None}
    assert "did you mean Smiling" in refuse(capsys, flags(**base, data="celeba", data_root=celeba, attributes="Smilling"))
    write_mnist(tmp_path)
    assert "has classes" in refuse(capsys, flags(**base, data="mnist", data_root=tmp_path, attributes="3"))
    assert not (tmp_path / "none").exists()


def test_the_unconditional_baseline_trains(celeba, tmp_path):
    assert run(celeba, tmp_path / "plain", unconditional=True, max_steps=1, sample_every=1) == 0
    model = checkpoint.load(tmp_path / "plain")
    assert model.labels.kind == "unconditional" and model.names == ()


def test_digits_train_and_a_short_schedule_is_sampled(tmp_path):
    write_mnist(tmp_path)
    argv = flags(data="mnist", data_root=tmp_path, sample_every=2, max_steps=2, out=tmp_path / "run", schedule_steps=10)
    assert main(argv) == 0
    assert checkpoint.load(tmp_path / "run").labels.kind == "classes"
    assert (tmp_path / "run" / "samples" / "step-00000002.png").exists()


def test_a_diverged_run_says_so_and_keeps_the_states_before(celeba, tmp_path, capsys):
    out = tmp_path / "run"
    run(celeba, out, epochs=50, max_steps=3)
    before = run_folder.latest_state(out)
    capsys.readouterr()
    assert main(["--resume", str(out), "--lr", "1", "--clip", "0", "--max-steps", "90"]) == 2
    assert "is not a number at step" in capsys.readouterr().err
    after = run_folder.latest_state(out)
    assert all(bool(t.isfinite().all()) for t in after[0].values()) and after[2].step >= before[2].step


def test_max_minutes_ends_with_a_saved_state(celeba, tmp_path):
    assert run(celeba, tmp_path / "run", epochs=1000, max_minutes=0.01) == 0
    assert 1 <= run_folder.latest_state(tmp_path / "run")[2].step < 2000


@pytest.mark.parametrize("command", ["train", "train_classifier"])
def test_help_imports_no_torch(command):
    code = f"import sys, ddpm_faces.{command} as c\ntry: c.main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--batch-size" in done.stdout and done.stdout.endswith("False\n"), done.stderr
