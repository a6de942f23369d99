"""A model as one HTML file: build_page puts the weights, the engine and the page's own files into it.

The file asks nothing of any server: its content security policy forbids every connection, and it works from file://.
"""

from __future__ import annotations

import base64
import html
import json
import re
from importlib.resources import files
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ddpm_faces.conditions.prior import sample_vector
from ddpm_faces.diffusion.samplers import find_sampler
from ddpm_faces.models.denoiser import GAIN
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError

MOST = 20_000_000  # parameters that a page carries
SAMPLERS = ("dpm", "ddim", "few")  # of sampler.js
GROUP = 72  # weights that share a scale: the 3x3 kernels of eight input channels; widths are multiples of eight
ENDS = ("unet.enter.", "unet.exit.")  # small, and what int8 would harm most
SCRIPTS = ("weights.js", "random.js", "network.js", "sampler.js", "worker.js")
REPOSITORY = "https://github.com/ddpm-faces/ddpm_faces"
BIASES = (
    " Its pictures show nobody. Its attributes are opinions of annotators about celebrities, with their biases, and it joins"
    " what the data join: change one and others move along. It must not be used to judge, identify or imitate anyone."
)
PEOPLE = 256  # plausible conditions that the page holds
# The sliders under their headings; attributes of no group stand under "More".
GROUPS = {
    "Expression": ("Smiling", "Mouth_Slightly_Open", "Narrow_Eyes"),
    "Hair": (
        *("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Straight_Hair", "Wavy_Hair", "Bangs", "Bald"),
        "Receding_Hairline",
    ),
    "Beard": ("No_Beard", "Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow"),
    "Accessories": ("Eyeglasses", "Wearing_Hat", "Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie"),
    "Person": ("Male", "Young", "Heavy_Makeup", "Wearing_Lipstick", "Pale_Skin", "Chubby"),
}
ENGINES = ("engine-relaxed.wasm", "engine.wasm")  # a browser takes the first that it can run


def pack_weights(model: DiffusionModel, int8: bool = False) -> bytes:
    """The network's weights as safetensors: vectors in float32, matrices as 16-bit integers; with int8, 3x3 kernels as bytes.

    The integers of a row, or of a kernel's part of GROUP weights, share a scale, NAME.scale: as large as float16, and closer.

    Raises UserError for another architecture than the U-Net, and for more than 20 million parameters.
    """
    if model.config.architecture != "unet":
        raise UserError(f"{model.source}: the page runs the U-Net, not the architecture '{model.config.architecture}'")
    count = sum(p.numel() for p in model.network.parameters())
    if count > MOST:
        raise UserError(f"{model.source} has {count:,} parameters; a page carries at most {MOST:,}")
    packed: dict[str, Tensor] = {}
    for name, tensor in model.network.state_dict().items():
        tensor = tensor.detach().cpu().float()
        if tensor.dim() < 2 or name.startswith("linear_denoiser."):  # few numbers, on which much depends
            packed[name] = tensor
            continue
        kernel = tensor.shape[2:] == (3, 3) and not name.startswith(ENDS)
        rows = tensor.reshape(-1, GROUP if kernel else tensor[0].numel())
        kind = torch.int8 if int8 and kernel else torch.int16
        scale = rows.abs().amax(dim=1).clamp(min=1e-12) / torch.iinfo(kind).max
        packed[name], packed[f"{name}.scale"] = (rows / scale[:, None]).round().to(kind).view_as(tensor), scale
    return save({name: tensor.contiguous() for name, tensor in packed.items()})


def describe(model: DiffusionModel) -> dict[str, Any]:
    """What the page must know of the model, for JSON."""
    config, labels, facts = model.config, model.labels, model.config.facts
    sampler = facts.sampler or "dpm"
    if sampler not in SAMPLERS:
        raise UserError(f"{model.source} is sampled by '{sampler}'; the page knows {', '.join(SAMPLERS)}")
    return {
        "name": model.name,
        "image": config.image,
        "names": labels.names,
        "kind": labels.kind,
        "exclusive": labels.exclusive,
        "embedding": config.embedding,
        "unet": config.unet,
        "schedule": {"kind": model.schedule.kind, "steps": model.schedule.steps},
        "scales": model.scales.tolist(),
        "gain": GAIN,
        "guidance": model.guidance,
        "guidance_alone": model.guidance_alone,
        "sampler": sampler,
        "steps": facts.steps or find_sampler(sampler).steps_on(model.schedule),
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "data": facts.data,
        "licence": facts.licence,
    }


def text_of(name: str) -> str:
    """One of the page's own files."""
    return (files("ddpm_faces.web") / name).read_text(encoding="utf-8")


def bytes_of(name: str) -> bytes:
    """One of the engine's binaries."""
    return (files("ddpm_faces.web") / name).read_bytes()


def worker_script() -> str:
    """The worker's files in the order in which they build on each other, as one classic script."""
    return '"use strict";\n' + "\n".join(text_of(name) for name in SCRIPTS)


def script_json(value: Any) -> str:
    """JSON that cannot end the <script> element that holds it."""
    return json.dumps(value).replace("<", "\\u003c")


def base64_of(data: bytes) -> str:
    """Bytes as they stand in the page."""
    return base64.b64encode(data).decode("ascii")


def people(model: DiffusionModel) -> list[list[float]]:
    """The conditions that a new seed begins with: seed i takes the i-th. `interpolate` begins with the same attributes."""
    labels = model.labels
    if labels.one_hot:
        return labels.one_hot_vectors(range(len(labels))).tolist()
    if not labels.names:
        return [[]]
    rows = [sample_vector(labels, model.config.frequencies, seed, {}) for seed in range(PEOPLE)]
    return [[int(value) if float(value).is_integer() else float(value) for value in row] for row in rows]


def build_page(model: DiffusionModel, int8: bool = False) -> str:
    """The whole page as HTML. Raises UserError for a model that it cannot carry."""
    weights, config = pack_weights(model, int8), describe(model)
    what, other = {"attributes": ("a face", "New person"), "classes": ("a digit", "New one")}.get(
        model.labels.kind, ("a picture", "New one")
    )
    facts = {
        "title": f"{model.name}, a diffusion model in one page",
        "heading": f"{what[:1].upper()}{what[1:]} from noise",
        "introduction": f"A diffusion model of {config['parameters'] / 1e6:.1f} million parameters runs in this page, on your "
        "machine. Move a slider and see what changes. Nothing is sent anywhere.",
        "new": other,
        "note": _note(model, int8),
    }
    parts = {name: html.escape(text) if name != "note" else text for name, text in facts.items()}
    parts |= {
        "style": text_of("page.css"),
        "config": script_json(config | {"people": people(model), "groups": GROUPS}),
        "weights": base64_of(weights),
        "engines": script_json([base64_of(bytes_of(name)) for name in ENGINES]),
        "worker": worker_script(),
        "script": "\n".join(text_of(name) for name in ("conditions.js", "address.js", "page.js")),
    }
    return re.sub(r"{{(\w+)}}", lambda found: parts[found[1]], text_of("page.html"))


def _note(model: DiffusionModel, int8: bool) -> str:
    facts, rounded = model.config.facts, ", its kernels rounded to 8 bits" if int8 else ""
    said = [f"This is <b>{html.escape(model.name)}</b>{rounded}, a denoising diffusion model"]
    said.append(f" trained on {html.escape(facts.data)}." if facts.data else ".")
    if facts.licence:
        said.append(f" Licence of its data: {html.escape(facts.licence)}.")
    if model.labels.kind == "attributes":
        said.append(BIASES)
    home, course = (
        f'<a href="{REPOSITORY}{part}">{name}</a>' for part, name in (("", "ddpm_faces"), ("#readme", "the course"))
    )
    return f"<p>{''.join(said)}</p>\n<p>Made by {home}, which teaches how such a model works: {course}.</p>"
