"""What several tests need: small models with random weights, a small copy of "CelebA" made of toy faces, a cache of its own."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_faces.conditions import CELEBA, DIGITS, NO_LABELS, Labels
from ddpm_faces.data.toy.faces import toy_face
from ddpm_faces.models import checkpoint
from ddpm_faces.models.model import Config, DiffusionModel, Facts

SMALL = {"channels": (16, 24), "attention": (1,), "blocks": 1}


os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the commands that tests start: the bits of a sum depend on it


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="tests/survival: do all the harm (`make test-slow`), not the sample of .ci/run"
    )


@pytest.fixture(scope="session")
def amount(request):
    """amount(few, many): how much harm to do, few in `.ci/run` and many in `make test-slow`."""
    return lambda few, many: many if request.config.getoption("--full") else few


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Datasets go to a temporary folder that the workers of a run share: no test reads or writes the user's."""
    root = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DDPM_FACES_CACHE", str((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "cache"))
        yield


def random_model(labels: Labels, image: tuple[int, int, int], seed: int = 0, **facts) -> DiffusionModel:
    """An untrained small model, with noise in the layers that start at zero, so that nothing is trivially equal."""
    torch.manual_seed(seed)
    config = Config(labels=labels, image=image, embedding=8, unet=SMALL, facts=Facts(**facts))
    network = config.network()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return DiffusionModel(network.eval().requires_grad_(False), config)


@pytest.fixture(scope="session")
def face_model() -> DiffusionModel:
    return random_model(CELEBA, (3, 16, 16), guidance=2.0)


@pytest.fixture(scope="session")
def digit_model() -> DiffusionModel:
    return random_model(DIGITS, (1, 16, 16))


@pytest.fixture(scope="session")
def face_file(face_model, tmp_path_factory) -> str:
    return str(checkpoint.save(tmp_path_factory.mktemp("models") / "faces.safetensors", face_model))


@pytest.fixture(scope="session")
def digit_file(digit_model, tmp_path_factory) -> str:
    return str(checkpoint.save(tmp_path_factory.mktemp("models") / "digits.safetensors", digit_model))


@pytest.fixture(scope="session")
def unconditional_file(tmp_path_factory) -> str:
    return str(checkpoint.save(tmp_path_factory.mktemp("models") / "plain.safetensors", random_model(NO_LABELS, (3, 16, 16))))


def write_celeba(root: Path, n: int = 12, width: int = 178, splits: tuple[int, int] | None = None) -> Path:
    """A copy of CelebA in torchvision's layout, whose images 000001.jpg ... are toy faces on portrait canvases.

    splits: images in the training and the validation split, by default all but four, and two.
    """
    train, valid = splits or (n - 4, 2)
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    lines = [str(n), " ".join(CELEBA.names)]
    for i in range(n):
        image, attributes = toy_face(i, width)
        canvas = Image.new("RGB", (width, round(width * 218 / 178)), (200, 200, 200))
        canvas.paste(Image.fromarray(image), (0, (canvas.height - width) // 2))
        canvas.save(folder / f"{i + 1:06d}.jpg", quality=95)
        lines.append(" ".join([f"{i + 1:06d}.jpg", *(str(a) for a in attributes)]))
    (root / "celeba" / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = [f"{i + 1:06d}.jpg {0 if i < train else 1 if i < train + valid else 2}" for i in range(n)]
    (root / "celeba" / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return root


# A training small enough to be killed and begun again many times: toy faces, 2 steps an epoch.
TRAIN = [
    "--data", "celeba", "--preset", "toy32", "--batch-size", "4", "--device", "cpu", "--sample-every", "0",
    "--log-every", "5", "--save-every", "7",
]  # fmt: skip


def train_process(*argv: str, **environment: str) -> subprocess.Popen:
    """`python -m ddpm_faces.train`, its stderr unbuffered by pipes of ours."""
    command = [sys.executable, "-m", "ddpm_faces.train", *argv]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def one_line(error: str) -> str:
    """The one line that a refused command printed besides its progress bar; fails on a traceback."""
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("ddpm_faces: ")]
    assert len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


@pytest.fixture
def celeba(tmp_path) -> Path:
    return write_celeba(tmp_path / "data")


@pytest.fixture(scope="session")
def toy_attributes() -> np.ndarray:
    return np.stack([toy_face(i)[1] for i in range(8)])


def write_mnist(root: Path, n: int = 20, packed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's files (its IDX format) with random images; returns them and their labels."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        for name, data in (("images-idx3", images), ("labels-idx1", labels)):
            content = struct.pack(f">{1 + data.ndim}i", 0x800 + data.ndim, *data.shape) + data.tobytes()
            path = raw / f"{prefix}-{name}-ubyte"
            path.with_suffix(".gz" if packed else "").write_bytes(gzip.compress(content) if packed else content)
    return images, labels
