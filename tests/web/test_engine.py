"""The arithmetic in WebAssembly against torch, in both builds, and each binary against its source."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import ddpm_faces

wasmtime = pytest.importorskip("wasmtime")
WEB = Path(ddpm_faces.__file__).parent / "web"
BUILDS = {"engine.wasm": [], "engine-relaxed.wasm": ["-mrelaxed-simd"]}


class Engine:
    """The exported functions; tensors among the arguments are put into the engine's memory, and the result is read from it."""

    def __init__(self, build: str) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module.from_file(engine, str(WEB / build))
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.memory = self.exports["memory"]
        self.free = self.memory.data_len(self.store)  # above the stack
        self.memory.grow(self.store, 64)  # 4 MiB

    def put(self, x: Tensor) -> int:
        values = np.ascontiguousarray(x.detach().numpy(), dtype=np.float32)
        address = self.free
        ctypes.memmove(ctypes.addressof(self.memory.data_ptr(self.store).contents) + address, values.ctypes.data, values.nbytes)
        self.free += (values.nbytes + 127) // 64 * 64
        return address

    def get(self, address: int, shape: tuple[int, ...]) -> Tensor:
        data = self.memory.read(self.store, address, address + 4 * int(np.prod(shape)))
        return torch.from_numpy(np.frombuffer(data, np.float32).reshape(shape).copy())

    def __call__(self, name: str, out: Tensor, *arguments: Tensor | float | None) -> Tensor:
        address = self.put(out)
        numbers = [self.put(a) if isinstance(a, Tensor) else 0 if a is None else a for a in arguments]
        self.exports[name](self.store, address, *numbers)
        return self.get(address, tuple(out.shape))


@pytest.fixture(params=list(BUILDS))
def engine(request: pytest.FixtureRequest) -> Engine:
    torch.manual_seed(0)
    return Engine(request.param)


def close(mine: Tensor, theirs: Tensor, bound: float = 2e-5) -> None:
    assert mine.shape == theirs.shape
    assert float((mine - theirs).abs().max()) < bound


@pytest.mark.parametrize("side", [4, 7, 8, 20, 64])  # whole blocks of eight pixels, and rows that end within one
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("out", [1, 3, 16])
def test_conv3_is_torchs(engine, side, stride, out):
    x, weight, bias = torch.randn(1, 5, stride * side, stride * side), torch.randn(out, 5, 3, 3), torch.randn(out)
    padded = engine("pad", torch.ones(5, stride * side + 2, stride * side + 2), x, 5, stride * side, stride * side, 1)
    close(padded[None], F.pad(x, (1, 1, 1, 1)), 1e-9)
    start = torch.randn(out, side, side)
    wanted = F.conv2d(x, weight, bias, stride=stride, padding=1)[0]
    close(engine("conv3", start, padded, weight, bias, 5, out, side, side, 45, stride, 0), wanted)
    close(engine("conv3", start, padded, weight, None, 5, out, side, side, 45, stride, 1), start + wanted - bias[:, None, None])


def test_conv3_takes_a_part_of_the_input_channels(engine):
    """The condition's planes are convolved apart from the image, by another part of the same weights."""
    x, weight = torch.randn(1, 3, 8, 8), torch.randn(16, 9, 3, 3)
    padded = F.pad(x, (1, 1, 1, 1))
    wanted = F.conv2d(x, weight[:, :3], padding=1)[0]
    close(engine("conv3", torch.zeros(16, 8, 8), padded, weight, None, 3, 16, 8, 8, 81, 1, 0), wanted)


def test_pad_repeats_pixels_as_nearest_upsampling_does(engine):
    x = torch.randn(1, 6, 5, 3)
    wanted = F.pad(F.interpolate(x, scale_factor=2.0, mode="nearest"), (1, 1, 1, 1))[0]
    close(engine("pad", torch.ones(6, 12, 8), x, 6, 5, 3, 2), wanted, 1e-9)


@pytest.mark.parametrize("n", [16, 49, 4096])
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("modulated", [False, True])
def test_norm_is_torchs(engine, n, silu, modulated):
    x, weight, bias, modulate = 3 * torch.randn(1, 24, n) + 1, torch.randn(24), torch.randn(24), torch.randn(48)
    wanted = F.group_norm(x, 3, weight, bias)[0]
    if modulated:
        scale, shift = modulate[:, None].chunk(2)
        wanted = wanted * (1 + scale) + shift
    out = engine("norm", torch.zeros(24, n), x, weight, bias, modulate if modulated else None, 24, n, int(silu))
    close(out, F.silu(wanted) if silu else wanted)


@pytest.mark.parametrize("n", [16, 49, 64])
def test_attention_is_torchs(engine, n):
    """Two products and a softmax over rows: what engine.c's functions are for."""
    q, k, v = (torch.randn(24, n) for _ in range(3))
    plane = (n + 7) // 8 * 8
    keys = engine("transpose", torch.zeros(n, 24), k, 24, n, 24**-0.5)
    scores = engine("matmul", torch.zeros(n, plane), q, keys, None, 24, n, n, n, plane, 0)
    weights = engine.put(scores)
    engine.exports["softmax"](engine.store, weights, n, plane)
    shares = engine.get(weights, (n, plane))
    out = engine("matmul", torch.zeros(24, n), shares, v, None, n, 24, n, plane, n, 0)
    close(out, F.scaled_dot_product_attention(q.T[None], k.T[None], v.T[None])[0].T)


def test_silu_holds_where_the_exponential_would_overflow(engine):
    x = torch.linspace(-200, 200, 8 * 64).reshape(8, 64)
    mean, std = x.mean(), (x.var(unbiased=False) + 1e-5).sqrt()
    out = engine("norm", torch.zeros(8, 64), x, std.expand(8), mean.expand(8), None, 8, 64, 1)  # undoes the norm
    assert bool(out.isfinite().all())
    close(out, F.silu(x), 1e-4)


@pytest.mark.parametrize("build", BUILDS)
def test_the_binary_is_built_from_its_source(build, tmp_path, zig: Callable[[list[str], Path], None]):
    zig(BUILDS[build], tmp_path / build)
    assert (tmp_path / build).read_bytes() == (WEB / build).read_bytes(), "engine.c was changed: run `make engine`"


@pytest.fixture
def zig() -> Callable[[list[str], Path], None]:
    pytest.importorskip("ziglang")

    def build(flags: list[str], out: Path) -> None:
        command = [sys.executable, str(WEB / "build_engine.py"), *flags, str(out)]
        subprocess.run(command, check=True, capture_output=True)

    return build
