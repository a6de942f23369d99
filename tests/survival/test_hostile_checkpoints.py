"""Checkpoints that someone, or chance, has changed: refused in one line or loaded; nothing runs, and no memory is taken."""

from __future__ import annotations

import json
import random
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ddpm_faces.models import checkpoint
from ddpm_faces.models.architectures import LARGEST
from ddpm_faces.sample import main
from ddpm_faces.utils.errors import UserError


def split(content: bytes) -> tuple[dict, bytes]:
    """A safetensors file's header and its data."""
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def join(header: dict | str | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + data


ODD = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    10**30,
    1e308,
    float("nan"),
    "",
    "x" * 5000,
    "../../etc/passwd",
    "a\nb\x1b[2J",
    [],
    [[]],
    {},
]


def mutate_config(header: dict, data: bytes, rng: random.Random) -> bytes:
    """One value of the description, at any depth, is replaced, removed or doubled."""
    config = json.loads(header["__metadata__"]["ddpm_faces"])
    place = config
    while True:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        break
    how = rng.randrange(3)
    if how == 0 and isinstance(place, dict):
        del place[key]
    elif how == 1 and isinstance(place, dict):
        place[rng.choice(("surprise", "__class__", "a\nb", "../x"))] = rng.choice(ODD)
    else:
        place[key] = rng.choice(ODD)
    header["__metadata__"]["ddpm_faces"] = json.dumps(config)
    return join(header, data)


def mutate_header(header: dict, data: bytes, rng: random.Random) -> bytes:
    """One tensor is renamed, dropped, reshaped, retyped, moved, or listed twice."""
    name = rng.choice([n for n in header if n != "__metadata__"])
    entry = header[name]
    how = rng.randrange(8)
    if how == 0:
        header[rng.choice(("../../evil", "model\n.weight", "", "x" * 10_000))] = header.pop(name)
    elif how == 1:
        del header[name]
    elif how == 2:
        entry["shape"] = rng.choice(([], [10**12], [0], [2**63], list(reversed(entry["shape"])), [1, *entry["shape"]]))
    elif how == 3:
        entry["dtype"] = rng.choice(("F16", "BF16", "F64", "I32", "BOOL", "U8", "F8_E4M3", "C64", "F33"))
    elif how == 4:
        entry["data_offsets"] = [rng.choice((-1, 0, 10**11)), rng.choice((0, 5, 10**12))]
    elif how == 5:
        return join(json.dumps(header)[:-1] + f', "{name}": {json.dumps(entry)}}}', data)
    elif how == 6:
        header["__metadata__"] = rng.choice(
            ({}, {"ddpm_faces": "not JSON"}, {"ddpm_faces": "[" * 100_000}, {"ddpm_faces": 5}, "text")
        )
    else:
        entry[rng.choice(("dtype", "shape", "data_offsets"))] = rng.choice(ODD[:6] + ODD[9:])
    return join(header, data)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Anything: cut, lengthened, overwritten, or with a length that is a lie."""
    changed = bytearray(content)
    how = rng.randrange(5)
    if how == 0:
        return content[: rng.randrange(len(content))]
    if how == 1:
        return content + bytes(rng.randrange(1, 2000))
    if how == 2:
        changed[:8] = struct.pack("<Q", rng.choice((0, 1, 100 * 2**30, 2**63, 2**64 - 1, len(content), len(content) - 8)))
    else:
        end = len(content) if how == 3 else 3000
        for _ in range(rng.randrange(1, 30)):
            changed[rng.randrange(8, end)] = rng.randrange(256)
    return bytes(changed)


@pytest.fixture
def little_memory(face_file):
    """No more address space than the process has, and 64 MB: what takes the memory that a header claims would fail."""
    checkpoint.load(face_file)  # what is loaded at first use is loaded
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    before = resource.getrlimit(resource.RLIMIT_AS)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_mutated_checkpoints(face_file, tmp_path, amount, little_memory):
    content = Path(face_file).read_bytes()
    rng, path = random.Random(5), tmp_path / "mutated.safetensors"
    loaded, refused = 0, 0
    for k in range(amount(90, 900)):
        header, data = split(content)
        kind = k % 3
        path.write_bytes(
            mutate_config(header, data, rng)
            if kind == 0
            else mutate_header(header, data, rng)
            if kind == 1
            else mutate_bytes(content, rng)
        )
        try:
            model = checkpoint.load(path)
        except UserError as error:
            refused += 1
            assert str(error).isprintable() and len(str(error)) < 1100
        else:
            loaded += 1
            assert all(t.dtype == torch.float32 and bool(t.isfinite().all()) for t in model.network.state_dict().values())
            assert np.isfinite(model.guidance) and all(1 <= n <= LARGEST for n in model.image_shape)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["mutated.safetensors"], "written where it should not"
    assert refused > 0.6 * (loaded + refused) and loaded > 0


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
def test_pickles_run_nothing_and_the_reason_is_given(tmp_path, capsys, ending):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / f"model{ending}"
    torch.save({"weights": Evil()}, path)
    assert main(["--model", str(path), "--out", str(tmp_path / "x.png")]) == 2
    assert "any code" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_state_is_no_model_and_says_where_the_model_is(face_file, face_model, tmp_path):
    tensors = {f"{part}.{name}": t for part in ("model", "ema") for name, t in load_file(face_file).items()}
    path = tmp_path / "run/states/step-00000001.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(checkpoint.encode(tensors, face_model.config))
    with pytest.raises(UserError, match="give the run's folder"):
        checkpoint.load(path)
