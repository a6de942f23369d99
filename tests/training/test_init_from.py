"""`train --init-from`: a run that begins with the weights of a trained model."""

from __future__ import annotations

import torch
from conftest import random_model, write_celeba, write_mnist
from quick_runs import flags, refuse, run

from ddpm_faces.conditions import NO_LABELS
from ddpm_faces.data import open_dataset
from ddpm_faces.models import checkpoint
from ddpm_faces.train import main
from ddpm_faces.training import run_folder


def test_a_run_begins_with_the_weights_of_another(celeba, tmp_path):
    first, same, tuned, whole = (tmp_path / name for name in ("first", "same", "tuned", "whole"))
    assert run(celeba, first, guidance=1.5, guidance_alone=4, embedding=7) == 0
    other = write_celeba(tmp_path / "other", n=24)
    start = {"data_root": other, "preset": None, "init_from": first}
    assert main(flags(**start, lr=0, out=same)) == 0
    assert main(flags(**start, guidance=3, out=whole)) == 0
    assert main(flags(**start, out=tuned, max_steps=1)) == 0
    assert main(["--resume", str(tuned)]) == 0
    old, kept, new = (checkpoint.load(folder) for folder in (first, same, tuned))
    assert (kept.guidance, new.guidance_alone, kept.guidance_alone) == (1.5, 4, 4)
    assert checkpoint.load(whole).guidance_alone == 3, "who says one scale gets one"
    assert kept.config.embedding == 7 and kept.config.facts.data == "celeba", "all the model's own"
    assert kept.config.frequencies == old.config.frequencies != open_dataset("celeba", other).frequencies
    assert kept.config.facts.init_from["images_seen"] == 8 and kept.config.facts.init_from["model"] == "first"
    assert new.config.facts.images_seen == len(open_dataset("celeba", other)) == 20, "what this run adds is counted by itself"
    weights = old.network.state_dict()
    assert all(torch.equal(kept.network.state_dict()[name], t) for name, t in weights.items())
    moved = {name for name, t in weights.items() if not torch.equal(new.network.state_dict()[name], t)}
    assert "unet.enter.weight" in moved and "linear_denoiser.mean" not in moved
    unbroken, resumed = (run_folder.latest_state(folder)[0] for folder in (whole, tuned))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in unbroken.items())


def test_the_licence_of_the_first_images_stays(tmp_path):
    write_mnist(tmp_path)
    values = {"preset": "mnist32", "max_steps": 1, "data_root": tmp_path}
    assert main(flags(**values, data="mnist", out=tmp_path / "a")) == 0
    begun = {"init_from": tmp_path / "a", "out": tmp_path / "b"}
    assert main(flags(**values | begun, data="toydigits")) == 0
    facts = checkpoint.load(tmp_path / "b").config.facts
    assert facts.data == "toydigits" and "MIT" in facts.licence and "CC BY-SA" in facts.licence


def test_what_a_run_cannot_begin_with_is_refused_before_anything_is_done(celeba, tmp_path, capsys):
    first, out = tmp_path / "first", tmp_path / "none"
    run(celeba, first, max_steps=1)
    capsys.readouterr()
    base = {"data": "celeba", "data_root": tmp_path / "no data is asked for", "preset": None, "out": out}
    mine = {**base, "init_from": first}
    assert "no model 'nowhere'" in refuse(capsys, flags(**base, init_from="nowhere"))
    assert "preset toy32 cannot be with" in refuse(capsys, flags(**base | {"preset": "toy32"}, init_from="celeba64"))
    assert "embedding 5 cannot be with" in refuse(capsys, flags(**mine, embedding=5))
    assert "unconditional True cannot be with" in refuse(capsys, flags(**mine, unconditional=True))
    assert "schedule_steps 50 cannot be with" in refuse(capsys, flags(**mine, schedule_steps=50))
    assert "begins a new run" in refuse(capsys, ["--resume", str(first), "--init-from", "celeba64"])
    odd = checkpoint.save(tmp_path / "odd.safetensors", random_model(NO_LABELS, (3, 16, 16)))
    assert "none of the presets" in refuse(capsys, flags(**base, init_from=odd))
    base["data_root"] = celeba
    assert "generates other images" in refuse(capsys, flags(**base, init_from="mnist32"))
    write_mnist(tmp_path)
    base |= {"data": "mnist", "data_root": tmp_path}
    assert "generates other images" in refuse(capsys, flags(**base, init_from="celeba64")), (
        "not: guidance_alone, which nobody said"
    )
    assert not out.exists()
