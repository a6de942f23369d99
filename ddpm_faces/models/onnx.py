"""A network as an ONNX file, for other runtimes than torch: eps(x, t, c) for any number of images, and what c means."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from ddpm_faces.diffusion.process import add_noise
from ddpm_faces.diffusion.samplers import find_sampler
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError

SPACINGS = {"dpm": "karras", "few": "open"}  # of the samplers' steps; the others take even ones


def describe_for_onnx(model: DiffusionModel) -> dict[str, Any]:
    """What a sampler must know, for JSON: names, guidance, alpha_bar of all steps, and the steps that suit the model."""
    facts, schedule = model.config.facts, model.schedule
    sampler = find_sampler(facts.sampler or "dpm")
    steps = facts.steps or sampler.steps_on(schedule)
    return {
        "model": model.name,
        "image": model.image_shape,
        "names": model.names,
        "kind": model.labels.kind,
        "guidance": model.guidance,
        "guidance_alone": model.guidance_alone,
        "sampler": sampler.name,
        "timesteps": schedule.timesteps(steps, SPACINGS.get(sampler.name, "even")),
        "alpha_bar": schedule.alpha_bar.tolist(),
        "licence": facts.licence,
    }


def export_onnx(model: DiffusionModel, path: Path) -> None:
    """Write eps(x, t, c) in float32: x (B, C, H, W), t (B,) int64, c (B, K), B free. The file's metadata hold, under
    "ddpm_faces", `describe_for_onnx` as JSON. Raises UserError where onnx and onnxscript are not installed."""
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError('export needs onnx and onnxscript: pip install "ddpm_faces[onnx]"') from None
    x, t = torch.zeros(2, *model.image_shape), torch.tensor([0, 1])
    c = torch.zeros(2, len(model.names))
    batch = torch.export.Dim("batch", min=1, max=65536)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its own exporter
        program = torch.onnx.export(
            model.network, (x, t, c), dynamo=True, dynamic_shapes=({0: batch},) * 3, verbose=False,
            input_names=["x", "t", "c"], output_names=["eps"],
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {"ddpm_faces": json.dumps(describe_for_onnx(model))})
    onnx.save(proto, str(path))


def difference_from_torch(model: DiffusionModel, path: Path, steps: tuple[int, ...] = (0, 300, 600, 957)) -> float:
    """The largest difference of eps, onnxruntime's against torch's, over a few steps of the schedule, on noised grey images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator, worst = torch.Generator().manual_seed(0), 0.0
    for step in (s for s in steps if s < model.schedule.steps):
        noise = torch.randn(3, *model.image_shape, generator=generator)
        c = torch.randint(-1, 2, (3, len(model.names)), generator=generator).float()
        t = torch.full((3,), step)
        x = add_noise(torch.zeros_like(noise), noise, t, model.schedule)
        wanted = model.network(x, t, c).cpu()
        (eps,) = session.run(None, {"x": x.numpy(), "t": t.numpy(), "c": c.numpy()})
        worst = max(worst, float((torch.from_numpy(eps) - wanted).abs().max()))
    return worst
