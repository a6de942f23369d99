"""A search as files: what `python -m ddpm_faces.optimise` writes, and the file of starts with which it goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure  # without pyplot: no window, no global state
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from ddpm_faces.data import alignment, photo
from ddpm_faces.generation.conditions import Condition
from ddpm_faces.generation.edit_files import place_faces
from ddpm_faces.generation.edit_photo import crop_of
from ddpm_faces.generation.optimise import Optimised, optimise
from ddpm_faces.generation.optimise_settings import OUTPUT, OptimiseSettings
from ddpm_faces.generation.search import State
from ddpm_faces.models import checkpoint
from ddpm_faces.models.classifier_checkpoint import find_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import files
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.devices import find_device
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import check_path, encode_figure, grid, to_tensor, write_gif, write_image
from ddpm_faces.utils.threads import use_threads

KEY = "ddpm_faces_search"


def optimise_files(settings: OptimiseSettings) -> None:
    """Search, and write the sheet, the loss curve and the file of starts. Raises UserError."""
    state = None
    if settings.resume is not None:
        state, kept = read_state(files.expand(settings.resume))
        try:
            settings = settings.resumed(kept)
        except ValueError as error:
            raise UserError(str(error)) from None
    path = _out(settings)
    use_threads(settings.threads)
    model = checkpoint.load(settings.model, find_device(settings.device))
    condition, n = _condition(settings, model)
    frames: list[Tensor] = []

    def watch(now: State) -> None:  # a search is long: what it found is on the disk after every iteration
        write_state(path.with_suffix(".safetensors"), now, settings)
        if settings.gif:
            frames.append(now.images.cpu().clone())

    try:
        found = optimise(
            model, condition, n, seed=settings.seed, others=settings.others, photos=_photo(settings, model),
            method=settings.method, iterations=settings.iterations, margin=settings.margin, beta=settings.beta,
            classifier=find_classifier(model, settings.classifier, model.device), stay=settings.stay, keep=settings.keep,
            guidance=settings.guidance, steps=settings.steps, state=None if state is None else _on(state, model),
            watch=watch, progress=True,
        )  # fmt: skip
    except KeyboardInterrupt:
        tell(f"ddpm_faces: go on with --resume {path.with_suffix('.safetensors')}")
        raise
    write_state(path.with_suffix(".safetensors"), found.state, settings)
    write_image(sheet(found, settings, model.name), path)
    curve = files.write(path.with_name(f"{path.stem}-loss.png"), plot_losses(found, settings))
    assert found.margins is not None
    reached = int((found.margins >= settings.margin).sum())
    print(f"{path}: {reached} of {len(found.margins)} starts reached the margin of {settings.margin:g}")
    print(f"{curve}: the loss; {path.with_suffix('.safetensors')}: the starts, with which --resume goes on")
    if settings.gif and frames:
        pictures = [grid(images, len(images), title=f"{settings.set}; {settings.method}") for images in frames]
        print(f"{write_gif(pictures, path.with_suffix('.gif'))}: the search as an animation")


def sheet(found: Optimised, settings: OptimiseSettings, model: str) -> Image.Image:
    """Each start before and after, and, if that was asked for, where the search looked."""
    assert found.margins is not None
    rows, left = [found.before, found.after], ["before", "after"]
    if settings.photo:
        rows, left = [found.state.anchor.cpu(), *rows], ["photo", *left]
    if settings.show_saliency and found.saliency is not None:
        rows.append((found.after + 1) * found.saliency - 1)
        left.append("looked at")
    name = "photo" if settings.photo else "seed {}"
    top = [f"{name.format(settings.seed + i)}: {margin:+.1f}" for i, margin in enumerate(found.margins.tolist())]
    title = f"{settings.set}; {model}, {settings.method}, {len(found.losses) - 1} iterations; worst margin in logits"
    return grid(torch.cat(rows), len(found.margins), top=top, left=left, title=title)


def plot_losses(found: Optimised, settings: OptimiseSettings) -> bytes:
    """The loss of each start over the iterations, as a PNG; a dot where a start stopped."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="iteration", ylabel="loss", title=f"{settings.set}; {settings.method}")
    for i, losses in enumerate(found.losses.T):
        some = losses[~losses.isnan()]
        (line,) = axes.plot(some.tolist(), label="photo" if settings.photo else f"seed {settings.seed + i}")
        axes.plot([len(some) - 1], [float(some[-1])], "o", color=line.get_color())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if len(found.margins if found.margins is not None else ()) <= 12:
        axes.legend()
    return encode_figure(figure)


def write_state(path: Path, state: State, settings: OptimiseSettings) -> Path:
    """The file of starts: a safetensors file of the state, with the settings in its metadata."""
    fields = {name: value for name, value in vars(state).items() if isinstance(value, Tensor)}
    tensors = {name: value.cpu().contiguous() for name, value in fields.items()}
    tensors["losses"] = torch.stack(state.losses).cpu()
    return files.write(path, checkpoint.pack(tensors, {KEY: settings.model_dump_json(exclude={*OUTPUT})}))


def read_state(path: Path) -> tuple[State, dict[str, object]]:
    """A file of starts: the state, and the settings of the search. Raises UserError."""
    if not path.is_file():
        raise UserError(f"no file of starts {path}: a search writes one beside its sheet")
    tensors, metadata = checkpoint.read_tensors(path, KEY)
    try:
        losses = list(tensors.pop("losses").unbind())
        state, kept = State(**tensors, losses=losses), json.loads(metadata[KEY])
        OptimiseSettings.model_validate(kept)
    except (KeyError, TypeError, ValueError) as error:
        raise checkpoint.damaged(path, error) from None
    return state, kept


def _on(state: State, model: DiffusionModel) -> State:
    moved: dict[str, Any] = {name: value.to(model.device) for name, value in vars(state).items() if isinstance(value, Tensor)}
    return dataclasses.replace(state, **moved)


def _out(settings: OptimiseSettings) -> Path:
    """The sheet's path; a default one at which no search has left its starts."""
    if settings.out is not None:
        return check_path(settings.out)
    if settings.resume is not None:
        return check_path(files.expand(settings.resume).with_suffix(".png"))
    return check_path(files.free_path(Path("out") / "optimise.safetensors").with_suffix(".png"))


def _condition(settings: OptimiseSettings, model: DiffusionModel) -> tuple[Condition, int]:
    count = settings.n or (1 if settings.photo else 4)
    if model.labels.one_hot and settings.set:
        return (model.labels.parse_classes(settings.set) * count)[:count], count
    return settings.set, count


def _photo(settings: OptimiseSettings, model: DiffusionModel) -> Tensor | None:
    """The photo's face, aligned, at the model's size: (1, C, H, W)."""
    if settings.photo is None:
        return None
    path, crop = files.expand(settings.photo), crop_of(model)
    pixels = photo.open_photo(path).pixels
    (place,) = place_faces(settings, path, pixels, crop)
    return to_tensor(alignment.cut(pixels, place, crop, model.image_shape[-1])[None])
