"""Images are sampled once for one way of sampling them."""

from __future__ import annotations

import numpy as np
import torch
from conftest import random_model

from ddpm_faces.conditions import CELEBA
from ddpm_faces.evaluation import samples
from ddpm_faces.evaluation.samples import Request, SampleCache


def test_images_sampled_once_are_read_again_and_only_the_same_ones(tmp_path, monkeypatch):
    model = random_model(CELEBA, (3, 16, 16), guidance=2.0, guidance_alone=3.0)
    options = {"guidance": 1.0, "sampler": "ddim", "steps": 2}
    null, whole = (Request("a", value * torch.ones(70, 40), list(range(70))) for value in (0.0, 1.0))
    cache = SampleCache(model, tmp_path, options)
    assert cache.count([null, whole, null]) == (140, 140), "what is asked for twice is sampled once"
    first = cache.sample(null)
    kept = sorted(tmp_path.rglob("*.npy"))
    assert first.shape == (70, 16, 16, 3) and len(kept) == 2
    kept[1].unlink()  # as if interrupted
    assert cache.count([null, whole]) == (140, 76)
    sampled, generate = [], samples.generate
    monkeypatch.setattr(samples, "generate", lambda *a, **k: sampled.append(len(k["seed"])) or generate(*a, **k))
    assert np.array_equal(SampleCache(model, tmp_path, options).sample(null), first) and sampled == [6]
    kept[0].write_bytes(kept[1].read_bytes())  # of 6 images instead of 64
    assert np.array_equal(cache.sample(null), first) and sampled == [6, 64], "a damaged file is made anew"
    other = cache.sample(
        Request("a", null.conditions, null.seeds, {"guidance": 3.0})
    )  # of null conditions: the same images, but
    assert sampled == [6, 64, 64, 6] and other.shape == first.shape, "other options are another folder"
    cache = SampleCache(model, tmp_path, options | {"guidance": None})
    own = cache.sample(whole)
    folders = len(list(tmp_path.iterdir()))
    assert np.array_equal(cache.sample(Request("a", whole.conditions, whole.seeds, {"guidance": model.guidance})), own)
    assert len(list(tmp_path.iterdir())) == folders, "the same scale, said or not, is sampled once"
    model.config.facts.guidance = model.guidance + 1
    assert not np.array_equal(cache.sample(whole), own), "another default, other images"
    with torch.no_grad():
        model.network.unet.exit.bias.add_(1)
    assert not np.array_equal(SampleCache(model, tmp_path, options).sample(null), first), "other weights, other images"
