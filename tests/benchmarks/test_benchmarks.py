"""The benchmarks run and say what they should; no test asks how fast anything is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from benchmarks import data, roofline, sampling, training
from benchmarks.workers import Worker


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


def test_our_network_is_no_smaller_than_the_reports():
    assert training.parameters_of_ours() >= 1_380_080


@pytest.mark.parametrize("name", ["ours, fp32", "report"])
def test_contenders_train_whole_batches(name):
    turn, _ = {"report": training.report}.get(name, training.ours)(name, 2, "cpu")
    assert turn(0)[0] == 2, "at least one step"


class OneConvolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, x, t, c):
        return self.conv(x)


def test_flops_are_counted_as_by_hand():
    forward = 2 * 3 * 16 * 9 * 64 * 64
    assert roofline.count_flops(OneConvolution()) == 2 * forward, "forward, and backward to the weights but not to the image"


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
    case = {"sampler": "dpm", "steps": 15, "calls": 30, "images_per_second": 4.0, "faster_than_report_by": 150.0}
    case |= {"distance": 2.0, "worst": 3.5}
    result = {"reference": ("ddim", 1000), "guidance": 4.0, "default": ["dpm", 15], "cases": [case], "interpolate_seconds": 9.0}
    text = sampling.table(result | {"report_seconds_per_image": 40.0, "report_steps_timed": 10})
    assert "dpm 15, the default" in text and "150x" in text and "2.0 (3.5)" in text and "9.0 s" in text
    speed = {"first epoch": 500.0, "later epochs": 9000.0, "torchvision": 400.0}
    memory = [{"images": 512, "dataset_mib": 6.0, "private_mib": 3.2}]
    assert "9,000" in data.table({"images_per_second": speed, "memory": memory})
    profile = {"convolutions": 0.7, "Adam": 0.3}
    facts = {"batch": 64, "precision": "bfloat16", "flops_per_image": 2e9, "images_per_second": 50.0, "profile": profile}
    assert "50%" in roofline.table(facts | {"flops_per_second": 1e11, "matmul_flops_per_second": 2e11, "share": 0.5})
