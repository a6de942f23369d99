"""From conditions and seeds to pictures: the one path that commands, training and notebooks all sample through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.attributes import one_hot, parse_digits, parse_spec, to_vector
from ddpm_faces.checkpoint import DiffusionModel, require
from ddpm_faces.devices import autocast, find_precision
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.samplers import SAMPLERS, default_steps
from ddpm_faces.errors import UserError
from ddpm_faces.memory import halving, is_out_of_memory

Condition = str | Mapping[str, float] | Sequence[int] | Sequence[str] | Tensor | np.ndarray


def to_conditions(model: DiffusionModel, condition: Condition, n: int | None = None) -> Tensor:
    """Condition vectors (N, K) float32 for `model` from what a user may say.

    Face models: a spec ("Smiling,-Male"), several specs, a mapping of names to values, or vectors (K,) or (N, K). Digit
    models: "0-9", a sequence of digits, or vectors. What makes one vector is repeated n times (1 by default); several
    digits are gone through in turn until there are n. Raises UserError on what the model does not know.
    """
    if isinstance(condition, np.ndarray):
        condition = torch.from_numpy(condition)
    elif model.names and isinstance(condition, (list, tuple)) and condition and all(isinstance(c, str) for c in condition):
        condition = torch.cat([to_conditions(model, c) for c in condition])
    if isinstance(condition, Tensor):
        vectors = condition.float() if condition.ndim == 2 else condition.float()[None]
        if vectors.ndim != 2 or vectors.shape[1] != len(model.names):
            raise UserError(f"conditions of {model.source} are (N, {len(model.names)}), not {tuple(condition.shape)}")
        if not bool((vectors.abs() <= 1).all()):
            raise UserError("a condition's entries lie in [-1, 1]")
    elif isinstance(condition, Mapping) or (isinstance(condition, str) and model.config.kind != "digits"):
        values = parse_spec(condition, model.names) if isinstance(condition, str) and condition else dict(condition or {})
        if values or model.names:
            require(model, "attributes")
        vectors = to_vector(values, model.names)[None]  # (1, 0) for an unconditional model
    else:
        require(model, "digits")
        digits = parse_digits(condition) if isinstance(condition, str) else cast(list[int], list(condition))
        if not digits or any(d not in range(10) for d in digits):
            raise UserError(f"digits are 0 to 9, at least one, not {digits}")
        vectors = one_hot(digits)
    if n is None or len(vectors) == n:
        return vectors
    if isinstance(condition, Tensor) and len(vectors) != 1:
        raise UserError(f"{len(vectors)} conditions for {n} pictures: give one, or as many as pictures")
    return vectors.repeat(-(-n // len(vectors)), 1)[:n]


def start_noise(shape: Sequence[int], seed: int) -> tuple[Tensor, torch.Generator]:
    """Standard normal noise (C, H, W) of one picture, and its generator, which gives the later steps' noise.

    It is drawn on the CPU, so that a seed means the same picture on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator), generator


@torch.no_grad()
def generate(
    model: DiffusionModel,
    condition: Condition = "",
    n: int | None = None,
    *,
    seed: int | Sequence[int] = 0,
    guidance: float | Tensor | None = None,
    sampler: str = "dpm",
    steps: int | None = None,
    batch_size: int = 64,
    precision: str = "auto",
    progress: bool = False,
) -> Tensor:
    """Sample pictures (N, C, H, W), float32 in [-1, 1], on the CPU.

    condition: see to_conditions. seed: picture i starts from seed + i, or give one seed per picture; a picture depends on
    its seed, condition and guidance alone, never on its batch. guidance: CFG scale, 1 plain, or (N,), one a picture; by
    default what the checkpoint says of such conditions (`guidance_for`). n: how many, one for each condition by default.
    sampler: "dpm" (DPM-Solver++), "ddim" or "ddpm". steps: network evaluations a picture, by default 15, 50 and 1000.
    batch_size: pictures at a time, halved where memory runs out. precision: "bf16" or "fp16" where the device is faster with
    it ("auto"), or "no": the same pictures to about one of 255 shades. Raises UserError on anything impossible.
    """
    vectors = to_conditions(model, condition, n)
    try:
        seeds = [index(s) for s in seed] if isinstance(seed, Iterable) else [index(seed) + i for i in range(len(vectors))]
    except TypeError:
        raise UserError(f"seeds are whole numbers, not {seed!r}") from None
    if len(seeds) != len(vectors):
        raise UserError(f"{len(seeds)} seeds for {len(vectors)} pictures")
    if not seeds:
        raise UserError("no picture is asked for: n is 0")
    if sampler not in SAMPLERS:
        raise UserError(f"no sampler '{sampler}': choose {', '.join(SAMPLERS)}")
    if batch_size < 1 or not all(0 <= s < 2**63 for s in seeds):
        raise UserError(f"the batch size must be at least 1 and seeds 0 to 2^63, not {batch_size} and {seeds[:3]}")
    scales = torch.as_tensor(model.guidance_for(vectors) if guidance is None else guidance).cpu().double()
    if scales.shape not in ((), (len(seeds),)):
        raise UserError(f"guidance is one number, or one for each of {len(seeds)} pictures, not {tuple(scales.shape)}")
    for bad in scales[~(scales.abs() <= 100)].flatten()[:1]:
        raise UserError(f"guidance {bad:g} is out of range: 0 ignores the condition, 1 is plain, 2 to 5 exaggerate")
    scales = scales.expand(len(seeds))
    steps = default_steps(sampler, model.schedule) if steps is None else steps
    precision = find_precision(precision, model.device)
    model.schedule.timesteps(steps)  # an impossible number is refused before any work

    from tqdm import tqdm

    try:  # room for all of them is taken before any work, so that it is not missing after it
        pictures = torch.empty((len(seeds), *model.image_shape))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"there is no memory for {len(seeds)} pictures: ask for fewer at once") from None
    done = 0

    def sample(size: int) -> None:
        """All that are not there yet, `size` at a time."""
        nonlocal done
        while done < len(seeds):
            part = slice(done, done + size)
            starts = [start_noise(model.image_shape, s) for s in seeds[part]]
            x = torch.stack([noise for noise, _ in starts]).to(model.device, memory_format=torch.channels_last)

            def noise(starts=starts) -> Tensor:
                return torch.stack([torch.randn(model.image_shape, generator=g) for _, g in starts]).to(model.device)

            eps = guided(model.network, vectors[part].to(model.device), scales[part])
            for state in SAMPLERS[sampler](eps, x, model.schedule, steps, noise, True):
                x = state.x
                bar.update(len(x))
            pictures[part] = x.clamp(-1, 1).cpu()
            done += len(x)

    bar = tqdm(total=steps * len(seeds), desc="sampling", unit="step", leave=False, disable=not progress)
    with bar, autocast(model.device, precision):
        halving(sample, min(batch_size, len(seeds)))
    return pictures
