"""Distillation: the student's steps, the target, the loop, and the command."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import random_model

import ddpm_faces
from ddpm_faces.conditions import CELEBA
from ddpm_faces.diffusion.process import eps_from_x0
from ddpm_faces.diffusion.samplers import few
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.distil import main
from ddpm_faces.models import checkpoint
from ddpm_faces.training import run_folder
from ddpm_faces.training.accelerator import make_accelerator
from ddpm_faces.training.config import DistilSettings, Recipe
from ddpm_faces.training.distil_run import run
from ddpm_faces.training.distillation import Plan, distil, plausible_conditions
from ddpm_faces.training.loop import TrainState


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_the_teacher_walks_from_each_of_the_students_steps_to_the_next(steps):
    schedule = Schedule()
    plan = Plan.make(schedule, steps, 4)
    assert plan.steps == tuple(schedule.timesteps(steps, "open")) and plan.steps[0] == 999
    walked = [t for part in plan.between for t in part]
    assert walked == sorted(set(walked), reverse=True), "downwards, nothing twice"
    assert [part[0] for part in plan.between] == list(plan.steps)
    assert all(3 <= len(part) <= 5 for part in plan.between)


def test_the_target_makes_the_students_step_land_where_the_teacher_did():
    plan, rng = Plan.make(Schedule(), 4, 3), torch.Generator().manual_seed(0)
    for i, step in enumerate(plan.steps):
        x, y = (torch.randn(2, 3, 4, 4, generator=rng, dtype=torch.float64) for _ in range(2))
        x0 = plan.target(x, y, i, clip=False)
        assert torch.allclose(plan.land(x, x0, i, clip=False), y, atol=1e-9)
        if i == 3:
            assert torch.allclose(x0, y, atol=1e-12), "the last step lands on the clean image itself"
            continue
        t = torch.full((2,), step)
        e = eps_from_x0(x, x0, t, plan.schedule)  # DDIM (12), written out
        ab = float(plan.schedule.alpha_bar[plan.steps[i + 1]])
        assert torch.allclose(ab**0.5 * x0 + (1 - ab) ** 0.5 * e, y, atol=1e-7)


def test_a_student_that_predicts_the_targets_samples_what_its_teacher_samples():
    """The chain of targets, taken by the sampler `few`, ends where the teacher's walk ends."""
    teacher = random_model(CELEBA, (3, 16, 16), guidance=2.0, guidance_alone=3.0)
    plan = Plan.make(teacher.schedule, 4, 3)
    c = torch.sign(torch.randn(2, 40, generator=torch.Generator().manual_seed(1)))
    guided = teacher.eps(c, teacher.guidance_for(c))
    start = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    y = start
    for i in range(4):
        y = plan.teach(guided, y, i, clip=True)

    def perfect(x, t):
        i = plan.steps.index(int(t[0]))
        return eps_from_x0(x, plan.target(x, plan.teach(guided, x, i, True), i, True), t, plan.schedule)

    *_, last = few(perfect, start, plan.schedule, 4, lambda: pytest.fail("no noise is needed"), clip=True)
    assert (last.x - y).abs().max() < 2e-3, "to the error of float32 at the noisiest step"


def test_a_student_comes_nearer_to_its_teacher():
    teacher = random_model(CELEBA, (3, 16, 16), guidance=2.0)
    plan, pool = Plan.make(teacher.schedule, 2, 2), plausible_conditions(teacher, 32)
    assert set(pool.unique().tolist()) == {-1.0, 1.0}
    accelerator = make_accelerator("cpu", "no", Path("unused"))
    recipe = Recipe(batch_size=8, lr=1e-3, warmup=2, ema=0.9, p_null=0.1, p_each=0.7)
    state = TrainState.new(copy.deepcopy(teacher.network).requires_grad_(True), recipe, accelerator, 120)
    losses = [float(record.loss) for record in distil(state, teacher, plan, pool, 60)]
    assert len(losses) == 120 and state.step == 120
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    with pytest.raises(ValueError, match="no multiple"):
        state.step = 1
        next(distil(state, teacher, plan, pool, 60))


@pytest.fixture(scope="module")
def student(face_file: str, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("student") / "fast"
    assert main(["--model", face_file, *QUICK, "--out", str(folder)]) == 0
    return folder


QUICK = ["--steps", "2", "--substeps", "2", "--images", "16", "--batch-size", "4", "--save-every", "1", "--device", "cpu"]


def test_a_student_samples_by_its_own_sampler_without_guidance(student, face_file):
    model = ddpm_faces.load(student)
    facts, teacher = model.config.facts, ddpm_faces.load(face_file)
    assert (facts.sampler, facts.steps, model.guidance, model.guidance_alone) == ("few", 2, 1.0, 1.0)
    assert facts.distilled_from["guidance"] == teacher.guidance and facts.images_seen == 16
    plain = ddpm_faces.generate(model, "Smiling", n=2)
    assert torch.equal(plain, ddpm_faces.generate(model, "Smiling", n=2, sampler="few", steps=2, guidance=1.0))
    assert not torch.equal(plain, ddpm_faces.generate(model, "Smiling", n=2, sampler="dpm"))
    assert {path.name for path in student.iterdir()} >= {"config.json", "loss.csv", "loss.png", "model.safetensors", "samples"}


def test_a_resumed_distillation_ends_as_an_uninterrupted_one(student, face_file, tmp_path):
    import shutil

    again = tmp_path / "again"
    shutil.copytree(student, again)
    newest, *_ = run_folder.states(again)
    newest.unlink()
    quick = {"steps": 2, "substeps": 2, "batch_size": 4, "save_every": 1, "device": "cpu"}
    ended = run(DistilSettings(model=face_file, images=1, out=again, resume=True, **quick))
    assert (ended.images, ended.total) == (16, 16), "the number of images is that of the first call"
    one, other = (checkpoint.read(run_folder.states(folder)[0])[0] for folder in (student, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_distilled_is_told_in_one_line(student, face_file, digit_file, tmp_path, capsys):
    for argv, message in (
        (["--model", face_file, *QUICK, "--out", str(student)], "already holds a student"),
        (["--model", face_file, *QUICK, "--out", str(tmp_path / "new"), "--resume"], "no state to go on from"),
        (["--model", digit_file, *QUICK, "--out", str(student), "--resume"], "another teacher"),
        (["--model", face_file, *QUICK, "--out", str(tmp_path / "n"), "--init-from", digit_file], "not that of the teacher"),
        (["--model", face_file, "--steps", "0"], "steps"),
        (["--model", "celeba46"], "no model 'celeba46'"),
    ):
        assert main(argv) == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1 and message in err[0], err
    assert not (tmp_path / "new").exists()


def test_minutes_plan_the_images(face_file, tmp_path, capsys):
    folder = tmp_path / "planned"
    assert main(["--model", face_file, *QUICK, "--minutes", "0.02", "--out", str(folder)]) == 0
    said = capsys.readouterr().out
    images = run_folder.read_config(folder)["images"]
    assert f"about 0.02 min here, {images:,} images" in said and images % 4 == 0


def test_a_curve_that_cannot_be_drawn_does_not_end_a_distillation(face_file, tmp_path):
    """Colab's MPLBACKEND, in another environment, names a module that is not installed."""
    out = tmp_path / "student"
    flags = [
        "--model",
        str(face_file),
        "--steps",
        "2",
        "--images",
        "8",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "ddpm_faces.distil", *flags],
        env=os.environ | {"MPLBACKEND": "not_installed", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("warning: the loss curve failed") == 1
    assert run_folder.states(out) and list((out / "samples").glob("*.png")) and not (out / "loss.png").exists()
