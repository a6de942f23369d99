"""When memory runs out: smaller batches and the same images, or one line that says what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from conftest import TRAIN, one_line, random_model

from ddpm_faces import generate
from ddpm_faces.conditions import CELEBA
from ddpm_faces.models import checkpoint

LIMITED = """
import resource, sys
from pathlib import Path
import torch
from ddpm_faces import generate, load
torch.set_num_threads(1)
model = load(sys.argv[1])
generate(model, "Smiling", n=2, steps=2)  # whatever is loaded at first use is loaded
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
torch.save(generate(model, "Smiling", n=int(sys.argv[3]), steps=2, batch_size=256), sys.argv[4])
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> str:
    """Its attention over 32 x 32 places and wide maps take hundreds of MB at 256 images of 64 x 64."""
    return str(checkpoint.save(tmp_path_factory.mktemp("models") / "m.safetensors", random_model(CELEBA, (3, 64, 64))))


def sample_with(megabytes: int, model_file: str, n: int, out) -> tuple[int, str]:
    command = [sys.executable, "-c", LIMITED, model_file, str(megabytes), str(n), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_sampling_goes_on_with_smaller_batches_and_gives_the_same_images(model_file, tmp_path):
    status, error = sample_with(200, model_file, 256, tmp_path / "images.pt")
    assert status == 0, error
    assert "out of memory; going on with 128 images at a time" in error
    free = generate(checkpoint.load(model_file), "Smiling", n=256, steps=2)
    # Convolutions round a few images at a time otherwise than many, and the first of two steps divides the difference by
    # sqrt(alpha_bar[999]) = 5e-5, so that one value in 100,000 may differ by over 1e-4; another image differs everywhere.
    assert (torch.load(tmp_path / "images.pt") - free).abs().mean(dim=(1, 2, 3)).max() < 1e-5


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_no_room_for_the_images_is_said_before_any_is_drawn(model_file, tmp_path):
    status, error = sample_with(200, model_file, 20_000, tmp_path / "images.pt")  # which are 980 MB
    assert status == 1 and "UserError: there is no memory for 20000 images: ask for fewer at once" in error


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_not_enough_for_one_image_is_said(model_file, tmp_path):
    status, error = sample_with(0, model_file, 8, tmp_path / "images.pt")
    assert status == 1 and "UserError: out of memory even with one image at a time" in error
    assert "going on with 4 images" in error


TRAIN_LIMITED = """
import resource, sys
from pathlib import Path
import torch
from ddpm_faces.train import main
torch.set_num_threads(1)
assert main([*sys.argv[2:], "--batch-size", "4", "--max-steps", "2", "--out", sys.argv[1] + "/small"]) == 0
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 100 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main([*sys.argv[2:], "--batch-size", "1024", "--max-steps", "2", "--out", sys.argv[1] + "/large"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_training_explains(celeba, tmp_path):
    flags = [flag for flag in TRAIN if flag not in ("--batch-size", "4")]
    command = [sys.executable, "-c", TRAIN_LIMITED, str(tmp_path), *flags, "--data-root", str(celeba)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "out of memory with batch_size 1024: start again with half of it" in one_line(done.stderr)
