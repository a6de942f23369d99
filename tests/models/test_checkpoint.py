"""Checkpoints come back bit for bit, find themselves by name, and what is not a good one is refused without running it."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from conftest import random_model
from safetensors.torch import load_file, save_file

from ddpm_faces.conditions import CELEBA, NO_LABELS
from ddpm_faces.models import checkpoint
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError


def test_round_trip_is_bit_equal(face_model, tmp_path):
    path = checkpoint.save(tmp_path / "m.safetensors", face_model)
    loaded = checkpoint.load(path)
    assert loaded.config == face_model.config and loaded.labels == CELEBA and loaded.image_shape == (3, 16, 16)
    for name, tensor in face_model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
    x, t, c = torch.randn(2, 3, 16, 16), torch.tensor([1, 900]), torch.ones(2, 40)
    assert (loaded.network(x, t, c) - face_model.network(x, t, c)).abs().max() < 1e-5
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


def test_only_weights_are_stored(face_file):
    derived = [name for name in load_file(face_file) if "alpha" in name or "beta" in name or "frequencies" in name]
    assert derived == []


def test_half_precision_files_load_as_fp32(face_model, face_file, tmp_path):
    half = {name: t.half() for name, t in load_file(face_file).items()}
    path = tmp_path / "half.safetensors"
    path.write_bytes(checkpoint.encode(half, face_model.config))
    loaded = checkpoint.load(path).network.state_dict()
    assert all(t.dtype == torch.float32 for t in loaded.values())
    assert (loaded["embed.weight"] - face_model.network.embed.weight).abs().max() < 1e-3


def test_a_runs_folder_is_a_model(face_model, tmp_path):
    checkpoint.save(tmp_path / "model.safetensors", face_model)
    assert checkpoint.load(tmp_path).labels == CELEBA


def test_shipped_models_are_what_the_card_says():
    shipped = checkpoint.shipped()
    assert set(shipped) == {"celeba64", "celeba64-fast", "celeba64-two", "celeba64-one", "mnist32", "mnist32-fast"}
    faces, digits = checkpoint.load("celeba64"), checkpoint.load("mnist32")
    assert faces.labels == CELEBA and faces.image_shape == (3, 64, 64) and digits.image_shape == (1, 32, 32)
    assert 1.6e6 <= sum(p.numel() for p in faces.network.parameters()) <= 2.0e6
    for path in shipped.values():
        assert path.stat().st_size < 8e6
        facts = checkpoint.load(path).config.facts
        assert facts.images_seen > 0 and facts.minutes > 0 and facts.licence


def test_unknown_models_are_refused_with_the_known_names():
    with pytest.raises(UserError, match=r"no model 'celeba65'.*celeba64"):
        checkpoint.load("celeba65")


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickles_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "ran"
    (tmp_path / "plain.safetensors").write_bytes(pickle.dumps(Bomb(trace)))
    torch.save({"weights": Bomb(trace)}, tmp_path / "zipped.safetensors")
    for name in ("plain", "zipped"):
        with pytest.raises(UserError, match="pickle"):
            checkpoint.load(tmp_path / f"{name}.safetensors")
    assert not trace.exists()


def test_truncated_empty_and_garbage_files_are_refused(face_file, tmp_path):
    whole = Path(face_file).read_bytes()
    for i, content in enumerate([whole[: len(whole) // 2], whole[:100], whole[:4], b"", b"x" * 1000, b"\xff" * 64]):
        path = tmp_path / f"{i}.safetensors"
        path.write_bytes(content)
        with pytest.raises(UserError, match="truncated or not a safetensors"):
            checkpoint.load(path)


def change(face_file: str, tmp_path: Path, **changes) -> Path:
    """A copy of the file whose config has these entries instead."""
    tensors, _, metadata = checkpoint.read(Path(face_file))
    config = json.loads(metadata[checkpoint.KEY])
    config.update(changes)
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, {checkpoint.KEY: json.dumps(config)})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "update the package"),
        ({"labels": {"names": "Smiling"}}, "damaged"),
        ({"labels": {"names": [*CELEBA.names[:39], "Male"]}}, "damaged"),
        ({"labels": {"names": ["Red"], "exclusive": [["Red", "Blue"]]}}, "damaged"),
        ({"labels": {"names": [*CELEBA.names, "Left_Handed"]}}, "disagree at 'embed.weight'"),
        ({"image": [3, 64]}, "damaged"),
        ({"image": [3, 10**9, 64]}, "damaged"),
        ({"embedding": -1}, "damaged"),
        ({"schedule": {"kind": "cosine", "steps": 10**12}}, "damaged"),
        ({"schedule": {"kind": "cosine", "stepz": 10}}, "damaged"),
        ({"unet": {"channels": [16, 24]}}, "damaged"),
        ({"unet": {"channels": [4096] * 9, "attention": [1], "blocks": 4000}}, "damaged"),
        ({"unet": {"channels": [16, 24], "attention": [1], "blocks": 1, "x": 1}}, "cannot be built"),
        ({"unet": {"channels": [16, 32], "attention": [1], "blocks": 1}}, "disagree"),
        ({"unet": {"channels": [16, 24], "attention": [1], "blocks": 1, "time_width": 10**9}}, "damaged"),
        ({"architecture": "unet2"}, "no architecture 'unet2' is registered; did you mean unet"),
        ({"unet": {}}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"image": [3, 51, 51]}, "damaged"),
        ({"image": [2, 16, 16]}, "damaged"),
        ({"facts": []}, "damaged"),
        ({"facts": {"guidance": "much"}}, "damaged"),
        ({"facts": {"guidance_alone": 1000}}, "damaged"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(face_file, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        checkpoint.load(change(face_file, tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_foreign_files_and_diverged_weights_are_refused(face_model, face_file, tmp_path):
    tensors = load_file(face_file)
    save_file(tensors, tmp_path / "foreign.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="not written by ddpm_faces"):
        checkpoint.load(tmp_path / "foreign.safetensors")
    flat = tensors | {"linear_denoiser.variance": torch.zeros(face_model.image_shape)}
    (tmp_path / "flat.safetensors").write_bytes(checkpoint.encode(flat, face_model.config))
    with pytest.raises(UserError, match="variance"):
        checkpoint.load(tmp_path / "flat.safetensors")
    tensors["embed.bias"][0] = float("nan")
    (tmp_path / "nan.safetensors").write_bytes(checkpoint.encode(tensors, face_model.config))
    with pytest.raises(UserError, match="NaN"):
        checkpoint.load(tmp_path / "nan.safetensors")


def test_a_model_is_asked_only_for_what_it_knows(face_model, digit_model):
    face_model.require("attributes")
    digit_model.require("classes")
    with pytest.raises(UserError, match="knows no attributes; it knows the classes 0, 1"):
        digit_model.require("attributes")
    with pytest.raises(UserError, match="knows no classes; it knows attributes such as"):
        face_model.require("classes")
    with pytest.raises(UserError, match="unconditional"):
        random_model(NO_LABELS, (3, 16, 16)).require("classes")


def test_files_of_format_2_load(face_model, digit_model, tmp_path):
    """They held names in place of labels, and called the linear denoiser "gaussian"; the shipped models are such files."""
    for model in (face_model, digit_model):
        config = {"format": 2, **json.loads(model.config.model_dump_json(exclude={"labels"})), "names": model.names}
        weights = {name.replace("linear_denoiser", "gaussian"): t for name, t in model.network.state_dict().items()}
        path = tmp_path / "old.safetensors"
        path.write_bytes(checkpoint.pack(weights, {checkpoint.KEY: json.dumps(config)}))
        loaded = checkpoint.load(path)
        assert loaded.config == model.config
        assert all(torch.equal(t, model.network.state_dict()[name]) for name, t in loaded.network.state_dict().items())


def test_facts_that_this_version_does_not_know_are_kept(tmp_path):
    model = random_model(CELEBA, (3, 16, 16), guidance=2.0, colour="green")
    facts = checkpoint.load(checkpoint.save(tmp_path / "m.safetensors", model)).config.facts
    assert facts.guidance == 2 and facts.model_extra == {"colour": "green"}


def test_wrapped_networks_are_saved_as_what_they_wrap(face_model, tmp_path):
    for wrap in (torch.nn.DataParallel, torch.optim.swa_utils.AveragedModel, torch.compile):
        path = checkpoint.save(tmp_path / "m.safetensors", DiffusionModel(wrap(face_model.network), face_model.config))
        assert checkpoint.load(path).network.state_dict().keys() == face_model.network.state_dict().keys(), wrap


def test_what_load_would_refuse_is_not_written_over_a_good_file(face_model, tmp_path):
    path = checkpoint.save(tmp_path / "m.safetensors", face_model)
    good = path.read_bytes()
    broken = copy.deepcopy(face_model.network)
    broken.embed.weight.data[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"'embed.weight' are not all numbers .*nothing was written"):
        checkpoint.save(path, DiffusionModel(broken, face_model.config))
    assert path.read_bytes() == good
    checkpoint.save(path, DiffusionModel(copy.deepcopy(face_model.network).double(), face_model.config))
    assert path.read_bytes() == good, "double weights are written as float32"


def test_paths_know_the_home_folder(face_model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoint.save("~/m.safetensors", face_model)
    assert checkpoint.load("~/m.safetensors").labels == CELEBA and (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("model", [None, 3, torch.zeros(2)])
def test_what_is_no_name_is_told(model):
    with pytest.raises(UserError, match="a model is given as"):
        checkpoint.load(model)


def test_a_git_lfs_pointer_is_called_one(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UserError, match="Git LFS pointer"):
        checkpoint.load(path)


def test_a_description_that_claims_memory_is_refused_unread(face_file, tmp_path):
    tensors, _, _ = checkpoint.read(Path(face_file))
    path = tmp_path / "huge.safetensors"
    names = ", ".join(["1"] * 3_000_000)
    path.write_bytes(checkpoint.pack(tensors, {checkpoint.KEY: f'{{"format": 3, "labels": {{"names": [{names}]}}}}'}))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(path)


def test_only_what_wraps_a_network_is_unwrapped(face_model):
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = face_model.network

    own = Mine()
    assert checkpoint.unwrapped(own) is own
