"""From conditions and noise to images: the one path that commands, training and notebooks sample through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.diffusion.samplers import NamedSampler, find_sampler
from ddpm_faces.diffusion.sampling import Sampler
from ddpm_faces.generation.conditions import Condition, to_conditions
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.devices import autocast, find_precision, full_precision
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.memory import halving, is_out_of_memory

Seeds = SupportsIndex | Sequence[SupportsIndex] | Tensor | np.ndarray


def start_noise(shape: Sequence[int], seed: int) -> tuple[Tensor, torch.Generator]:
    """Standard normal noise (C, H, W) of one image, float32, and its generator, which gives the noise of the later steps.

    The noise is drawn on the CPU, so that a seed means the same image on every device.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu"), generator


def generate(
    model: DiffusionModel,
    condition: Condition = "",
    n: int | None = None,
    *,
    seed: Seeds = 0,
    noise: Tensor | None = None,
    guidance: float | Tensor | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    precision: str = "auto",
    progress: bool = False,
) -> Tensor:
    """Sample images (N, C, H, W) in [-1, 1], float32 (float64 from a network in double), on the CPU.

    condition: see `to_conditions`. n: how many, one for each condition by default. seed: image i starts from the noise of
    seed + i, or give one seed for each image; an image depends on its seed, condition and guidance alone, never on its batch.
    noise: start noise (N, C, H, W) in place of the seeds' (which then give the later steps' noise only): a photo's inversion,
    or an optimised start. guidance: the scale, 1 plain, or (N,), one for each image; by default the scale that suits the model
    (`DiffusionModel.guidance_for`). sampler: "dpm" (DPM-Solver++, 15 steps), "ddim" (50), "ddpm" (1000), "few" (4, for
    distilled students), another registered name, or your own function on the contract of diffusion/samplers.py; by default
    the model's own, which is dpm unless its file says otherwise. batch_size: images at a time, halved where memory runs out.
    precision: "bf16" or "fp16" where the device is faster with it ("auto"), or "no"; the images agree to about one of 255
    shades. Gradients flow to the noise if it asks for them. Raises UserError on anything impossible.
    """
    if not isinstance(model, DiffusionModel):
        raise UserError(f"generate takes a model, as ddpm_faces.load gives it, not {type(model).__name__}")
    vectors = to_conditions(model, condition, n)
    seeds = find_seeds(seed, len(vectors))
    scales = find_scales(model, vectors, guidance)
    chosen, steps = find_sampler_for(model, sampler, steps)
    precision, dtype = find_precision(precision, model.device), _dtype_of(model)
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise UserError(f"the batch size is a whole number from 1, not {batch_size!r}")
    if noise is not None and tuple(noise.shape) != (len(seeds), *model.image_shape):
        raise UserError(f"the noise of {len(seeds)} images is {(len(seeds), *model.image_shape)}, not {tuple(noise.shape)}")
    images = _room_for(len(seeds), model, dtype)

    from tqdm import tqdm

    done = 0

    def sample(size: int) -> None:
        """All images that are not there yet, `size` at a time."""
        nonlocal done
        while done < len(seeds):
            part = slice(done, done + size)
            starts = [start_noise(model.image_shape, s) for s in seeds[part]]
            x = torch.stack([first for first, _ in starts]) if noise is None else noise[part]
            x = x.to(model.device, dtype, memory_format=torch.channels_last)

            def later(starts: list[tuple[Tensor, torch.Generator]] = starts, like: Tensor = x) -> Tensor:
                return torch.stack([torch.randn(model.image_shape, generator=g, device="cpu") for _, g in starts]).to(like)

            eps = model.eps(vectors[part].to(x.device, x.dtype), scales[part])
            for state in chosen.function(eps, x, model.schedule, steps, later, model.clip):
                x = state.x
                bar.update(len(x))
            images[part] = model.decode(x).cpu()
            done += len(starts)

    bar = tqdm(total=steps * len(seeds), desc="sampling", unit="step", leave=False, disable=not progress)
    with bar, full_precision(model.device) if precision == "no" else autocast(model.device, precision):
        halving(sample, min(int(batch_size), len(seeds)))
    return images


def find_seeds(seed: Seeds, n: int) -> list[int]:
    """A seed for each of n images. Raises UserError where they are not whole numbers from 0 to 2^63, or not n."""
    try:
        many = isinstance(seed, Iterable) and getattr(seed, "ndim", 1) > 0
        seeds = [index(s) for s in seed] if many else [index(seed) + i for i in range(n)]  # type: ignore[union-attr, arg-type]
    except TypeError:
        raise UserError(f"seeds are whole numbers, not {seed!r}") from None
    if len(seeds) != n:
        raise UserError(f"{len(seeds)} seeds for {n} images")
    if not seeds:
        raise UserError("no image is asked for: n is 0")
    if not all(0 <= s < 2**63 for s in seeds):
        raise UserError(f"seeds are 0 to 2^63, not {next(s for s in seeds if not 0 <= s < 2**63)}")
    return seeds


def find_scales(model: DiffusionModel, vectors: Tensor, guidance: float | Tensor | None) -> Tensor:
    """The guidance scale of each condition (N, K): (N,) float64, on the CPU. Raises UserError on scales that make no sense."""
    try:
        scales = torch.as_tensor(model.guidance_for(vectors) if guidance is None else guidance).cpu().double()
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"guidance is a number, not {guidance!r:.80}") from None
    if scales.shape not in ((), (len(vectors),)):
        raise UserError(f"guidance is one number, or one for each of {len(vectors)} images, not {tuple(scales.shape)}")
    for bad in scales[~(scales.abs() <= 100)].flatten()[:1]:
        raise UserError(f"guidance {bad:g} is out of range: 0 ignores the condition, 1 is plain, 2 to 5 exaggerate")
    return scales.expand(len(vectors))


def find_sampler_for(
    model: DiffusionModel, sampler: str | Sampler | None = None, steps: int | None = None
) -> tuple[NamedSampler, int]:
    """The sampler, and its number of steps on this model's schedule, by default those of the model's file.

    Raises UserError on an unknown sampler, and before any work on an impossible number of steps.
    """
    own = model.config.facts.sampler or "dpm"
    try:
        chosen = find_sampler(own if sampler is None else sampler)
        by_default = model.config.facts.steps if chosen.name == own else None
        count = (by_default or chosen.steps_on(model.schedule)) if steps is None else steps
        if int(count) != count:
            raise ValueError(f"steps is a whole number, not {steps}")
        model.schedule.timesteps(int(count))
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(str(error)) from None
    return chosen, int(count)


def _dtype_of(model: DiffusionModel) -> torch.dtype:
    """The dtype of the chain: that of the weights. UserError on half precision, in which the noisiest steps overflow."""
    dtype = next(model.network.parameters()).dtype
    if dtype not in (torch.float32, torch.float64):
        raise UserError(f"the network's weights are {dtype}: call model.network.float(), and say precision='bf16' or 'fp16'")
    return dtype


def _room_for(n: int, model: DiffusionModel, dtype: torch.dtype) -> Tensor:
    """Memory for all images, taken before any work, so that it is not missing after it."""
    try:
        return torch.empty((n, *model.decoded_shape), dtype=dtype, device="cpu")
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"there is no memory for {n} images: ask for fewer at once") from None
