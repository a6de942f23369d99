"""Devices by name, precisions that suit them, and smaller batches where memory runs out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddpm_faces.utils.devices import autocast, best_precision, find_device, find_precision, full_precision, place
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.memory import halving, is_out_of_memory

CPU = torch.device("cpu")


def test_a_device_is_found_by_name_or_given():
    assert find_device("cpu") == CPU == find_device(CPU)
    assert find_device().type in ("cuda", "mps", "cpu")


@pytest.mark.parametrize("device", ["cuda:77", torch.device("cuda", 77), "cpu:3", "mps:9", "meta", "gpu", "", "cuda:x"])
def test_a_device_that_is_not_here_is_one_line(device):
    with pytest.raises(UserError, match=f"^no device '{device}' here: choose .*cpu$"):
        find_device(device)


@pytest.mark.parametrize("cards", [1, 2])
def test_several_cards(cards, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    assert find_device() == torch.device("cuda") and find_device(f"cuda:{cards - 1}").index == cards - 1
    with pytest.raises(UserError, match=r"choose cuda, .*cpu$" if cards == 1 else r"choose cuda:0, cuda:1, .*cpu$"):
        find_device(f"cuda:{cards}")


def test_absent_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", torch.device("cuda")):
        with pytest.raises(UserError, match="no device 'cuda' here"):
            find_device(device)


def test_precisions():
    assert find_precision("auto", CPU) == best_precision(CPU) and find_precision("bf16", CPU) == "bf16"
    for name, message in (("fp16", "precision fp16 is for CUDA"), ("fp8", "no precision 'fp8': choose auto, no, bf16, fp16")):
        with pytest.raises(UserError, match=message):
            find_precision(name, CPU)


def test_autocast_and_its_end():
    a = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (a @ a).dtype == torch.bfloat16
        with full_precision(CPU):
            assert (a @ a).dtype == torch.float32
    with autocast(CPU, "no"):
        assert (a @ a).dtype == torch.float32


def test_a_network_is_laid_out_as_it_likes():
    network = nn.Conv2d(4, 4, 3)
    assert place(network, CPU) is network and network.weight.is_contiguous(memory_format=torch.channels_last)
    other = nn.Conv2d(4, 4, 3)
    other.memory_format = torch.contiguous_format
    assert place(other, CPU).weight.is_contiguous()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA out of memory."),
        torch.OutOfMemoryError(),
    ],
    ids=repr,
)
def test_memory_is_asked_for_in_ever_smaller_batches(error, capsys):
    tried = []

    def work(size: int) -> str:
        tried.append(size)
        if size > 2:
            raise error
        return f"{size} at a time"

    if isinstance(error, torch.OutOfMemoryError):
        error.args = ("CUDA out of memory.",)
    assert is_out_of_memory(error)
    assert halving(work, 9) == "2 at a time" and tried == [9, 4, 2]
    assert capsys.readouterr().err.splitlines() == [
        f"ddpm_faces: out of memory; going on with {size} images at a time" for size in (4, 2)
    ]


def test_no_memory_for_one_image_is_said():
    def work(size: int) -> None:
        raise MemoryError

    with pytest.raises(UserError, match="out of memory even with one image at a time"):
        halving(work, 4)


def test_other_errors_pass():
    def work(size: int) -> None:
        raise RuntimeError("a bug")

    assert not is_out_of_memory(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        halving(work, 4)
