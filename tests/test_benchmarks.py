"""The benchmarks run and say what they should; how fast anything is, no test asks."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from benchmarks import ablation, data, learning, roofline, sampling, training, trials
from benchmarks.workers import Worker
from ddpm_faces.attributes import CELEBA
from ddpm_faces.data import open_data
from ddpm_faces.models.report import ReportUNet


def make_adder(first: int):
    if first < 0:
        raise ValueError("no negative numbers")
    return lambda second: first + second


def test_workers_answer_and_tell_what_went_wrong():
    with Worker(make_adder, 2) as two, Worker(make_adder, 30) as thirty:
        assert (two(1), thirty(1), two(5)) == (3, 31, 7)
        with pytest.raises(RuntimeError, match="unsupported operand"):
            two("x")
    with pytest.raises(RuntimeError, match="no negative numbers"):
        Worker(make_adder, -1).wait()


def test_the_reports_network_is_the_reports():
    network = ReportUNet()
    assert sum(p.numel() for p in network.parameters()) == 1_380_080  # of its listing, with the fourth up block
    x, t = torch.randn(1, 3, 64, 64), torch.tensor([500])
    with torch.no_grad():
        answers = [network(x, t, c * torch.ones(1, 40)) for c in (0, 1)]
    assert answers[0].shape == x.shape and (answers[0] - answers[1]).abs().max() > 1e-4, "the condition is seen"


def test_our_network_is_no_smaller_than_the_reports():
    assert training.parameters_of_ours() >= 1_380_080


def test_learning_compares_on_equal_faces_and_goes_on_where_it_was(celeba, tmp_path, capsys, monkeypatch):
    flags = ["--data-root", str(celeba), "--out", str(tmp_path), "--images", "8", "--trial-images", "4"]
    flags += ["--held-out", "2", "--batch-size", "4"]
    monkeypatch.setattr(trials, "LEVELS", (100, 900))
    assert learning.main(flags) == 0
    first = capsys.readouterr().out
    assert "| 8 |" in first and "Learning rates chosen" in first and (tmp_path / "learning.png").exists()
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) - {"about"} == {f"{n}, {w}" for n in learning.CONTENDERS for w in ("0.0005", "0.001", "0.002", "final")}
    monkeypatch.setattr(learning, "learn", lambda *_: pytest.fail("it was learned already"))
    assert learning.main(flags) == 0 and capsys.readouterr().out == first
    assert learning.main([*flags, "--held-out", "1"]) == 2 and "other settings" in capsys.readouterr().err


@pytest.mark.parametrize("name", learning.CONTENDERS)
def test_an_interrupted_comparison_goes_on(celeba, tmp_path, monkeypatch, name):
    monkeypatch.setattr(trials, "LEVELS", (900,))
    stores = open_data("celeba", celeba), open_data("celeba", celeba)
    marks = (4, 8, 12)

    def learn(folder: str) -> dict:
        config = learning.LearningConfig(out=tmp_path / folder, held_out=2, batch_size=4)
        return learning.learn(name, 1e-3, 12, marks, config, stores)

    whole = learn("whole")
    measure, calls = learning.held_out_error, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 5:  # two a mark
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(learning, "held_out_error", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn("parts")
    assert learn("parts") == whole and len(calls) == 7, "the last mark alone was measured again"
    assert not list((tmp_path / "parts").iterdir())


def test_ablation_compares_at_equal_time_and_goes_on_where_it_was(celeba, tmp_path, capsys, monkeypatch):
    chosen = ["conditions as channels only, not in the time embedding", "two blocks a level"]
    flags = ["--data-root", str(celeba), "--out", str(tmp_path), "--images", "16", "--batch-size", "4", "--held-out", "2"]
    flags += [word for name in chosen for word in ("--only", name)]
    monkeypatch.setattr(trials, "LEVELS", (100, 900))
    variants = {name: ablation.VARIANTS[name] for name in (ablation.PRESET, *chosen)}
    monkeypatch.setattr(ablation, "VARIANTS", variants)
    config = ablation.AblationConfig(out=tmp_path, batch_size=2)
    ours, larger = variants[ablation.PRESET].size, variants[chosen[1]].size
    measured = ablation.speeds(open_data("celeba", celeba), config, rounds=1)
    assert measured[ours] == 1 and measured[larger] > 1
    monkeypatch.setattr(ablation, "speeds", lambda *_: {ours: 1, larger: 2})
    assert ablation.main(flags) == 0
    first = capsys.readouterr().out
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert list(rows) == [ablation.PRESET, *chosen] and not list(tmp_path.glob("unfinished*"))
    assert [row["images"] for row in rows.values()] == [16, 16, 8], "what takes twice as long sees half as much"
    assert all(0.5 < row["error"] < 2 for row in rows.values()) and first.count("two blocks a level") == 2
    monkeypatch.setattr(ablation, "trial", lambda *_: pytest.fail("it was tried already"))
    assert ablation.main(flags) == 0 and capsys.readouterr().out.split("\nchip")[0] in first, "only the table again"
    bad = (["--only", "three blocks"], "no variant 'three blocks'"), (["--images", "3"], "--images 3 is outside 4")
    damaged = (["--lr", "0.1"], "other settings"), (["--held-out", "9999"], "the validation split has")
    for words, message in (*bad, *damaged):
        assert ablation.main([*flags, *words]) == 2 and message in capsys.readouterr().err
    (tmp_path / "results.json").write_text("{")
    assert ablation.main(flags) == 2 and "is damaged" in capsys.readouterr().err


def test_of_each_face_the_rarest_thing_to_see_is_told():
    frequencies = [0.5] * 40
    hat, smile, male = (CELEBA.index(name) for name in ("Wearing_Hat", "Smiling", "Male"))
    frequencies[hat] = 0.05
    c = -torch.ones(3, 40)
    c[0, [hat, smile]] = c[1, male] = 1
    shown = ablation.single(CELEBA, frequencies)(c)
    assert shown[0, hat] == 1 and shown[1, male] == 1 and shown.abs().sum() == 2, "a face with nothing to see is told nothing"


class OneConvolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, x, t, c):
        return self.conv(x)


def test_flops_are_counted_as_by_hand():
    forward = 2 * 3 * 16 * 9 * 64 * 64
    assert roofline.count_flops(OneConvolution()) == 2 * forward, "forward, and backward to the weights but not to the picture"


def test_the_profile_sorts_operators_and_counts_none_twice():
    def event(key: str, spent: float, where=DeviceType.CPU):
        return SimpleNamespace(key=key, self_cpu_time_total=spent, self_device_time_total=10 * spent, device_type=where)

    events = [event("aten::mkldnn_convolution", 30.0), event("aten::convolution_backward", 40.0), event("aten::addmm", 5.0)]
    events += [event("aten::_scaled_dot_product_flash_attention_for_cpu_backward", 15.0), event("aten::index", 10.0)]
    events += [event("void cudnn::convolution_kernel", 70.0, DeviceType.CUDA)]
    profiled = SimpleNamespace(key_averages=lambda: events)
    for device in ("cpu", "cuda"):
        assert roofline.shares(profiled, device) == {
            "convolutions, backward": 0.4,
            "convolutions": 0.3,
            "attention, backward": 0.15,
            "everything else": 0.1,
            "matrix products outside attention": 0.05,
        }


def test_tables_say_what_was_measured():
    row = {"batch": 64, "parameters": 10, "images_per_second": 50.0, "ours_is_faster_by": 1.0, "peak_mib": 900.0}
    row["first_step_seconds"] = 2.5
    text = training.table([{"contender": "ours", **row}, {"contender": "report", **row, "ours_is_faster_by": 12.3}])
    assert "12.3x" in text and "900 MiB" in text and "2.5 s" in text
    way = {"sampler": "dpm", "steps": 15, "calls": 30, "images_per_second": 4.0, "faster_than_report_by": 150.0}
    way |= {"distance": 2.0, "worst": 3.5}
    result = {"reference": ("ddim", 1000), "guidance": 4.0, "default": ["dpm", 15], "ways": [way], "interpolate_seconds": 9.0}
    text = sampling.table(result | {"report_seconds_a_picture": 40.0, "report_steps_timed": 10})
    assert "dpm 15, the default" in text and "150x" in text and "2.0 (3.5)" in text and "9.0 s" in text
    speed = {"first epoch": 500.0, "later epochs": 9000.0, "torchvision": 400.0}
    memory = [{"pictures": 512, "store_mib": 6.0, "own_mib": 3.2}]
    assert "9,000" in data.table({"images_per_second": speed, "memory": memory})
    profile = {"convolutions": 0.7, "Adam": 0.3}
    facts = {"batch": 64, "precision": "bfloat16", "flops_a_picture": 2e9, "images_per_second": 50.0, "profile": profile}
    assert "50%" in roofline.table(facts | {"flops_per_second": 1e11, "matmul_flops_per_second": 2e11, "share": 0.5})
