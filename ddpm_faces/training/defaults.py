"""The settings that go with what a user said: those of a data set, a preset, a model to begin with or a run to resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddpm_faces.data import DATASETS, find_source
from ddpm_faces.models import checkpoint
from ddpm_faces.models.architectures import PRESETS, find_preset
from ddpm_faces.training import run_folder
from ddpm_faces.training.config import TrainSettings
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.files import expand
from ddpm_faces.utils.plugins import import_modules
from ddpm_faces.utils.settings import load_json

# What a resumed run may not change, because the steps before would not fit.
FIXED = (
    *("data", "preset", "crop", "size", "attributes", "unconditional", "embedding", "schedule", "schedule_steps"),
    *("batch_size", "seed", "flip", "weighting"),
)
# What a resumed run does not take from its config.json. import_ is code: no file says what is imported.
NOT_INHERITED = ("resume", "download", "max_steps", "minutes", "max_minutes", "out", "import_")


def defaults(said: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that go with what was `said`, which overrides them.

    They are those of the resumed run, or of the model to begin with, of the preset and of the data set, in this order. Raises
    UserError where what was said cannot go together.
    """
    import_modules(said.get("import_", ()))
    for one, other in (("unconditional", "attributes"), ("minutes", "epochs")):
        if said.get(one) and said.get(other):
            raise UserError(f"{one} and {other} contradict each other: keep one")
    values = _of_run(said) if "resume" in said else _of_recipes(said, _of_model(said) if "init_from" in said else {})
    if "guidance" in said:  # one scale for all conditions, unless two were said
        values["guidance_alone"] = None
    return values


def settings_for(**said: Any) -> TrainSettings:
    """The settings of a whole training from a few of them, as the flags of `train` give it. Raises UserError."""
    return TrainSettings(**defaults(said) | said)


def _of_recipes(said: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    first = {"data": "toy", "preset": "toy32"}
    source = find_source({**first, **model, **said}["data"])
    chosen = {**first, **source.recipe, **model}
    small = {"preset": "toy32"} if said.get("size") and int(said["size"]) <= 32 else {}
    preset = find_preset({**chosen, **small, **said}["preset"])
    crop = {"crop": source.crops[0]} if source.crops else {}
    return {**crop, **source.recipe, **small, **preset.recipe, **model}


def _of_model(said: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run has from the model that it begins with. Only guidance, data and crop may be said otherwise."""
    given = checkpoint.load(said["init_from"])  # the weights too: a file that cannot be used is refused before data is fetched
    config, schedule, facts = given.config, given.schedule, given.config.facts
    fitting = [name for name, p in PRESETS.items() if (p.architecture, p.sizes) == (config.architecture, config.unet)]
    if not fitting:
        raise UserError(f"init_from {given.source}: its network is none of the presets, {', '.join(PRESETS)}")
    own = {
        "preset": fitting[0],
        "attributes": given.names if given.labels.kind == "attributes" else (),
        "unconditional": not given.names,
        "embedding": config.embedding,
        "schedule": schedule.kind,
        "schedule_steps": schedule.steps,
    }
    for name, value in own.items():
        if said.get(name, value) != value:
            raise UserError(f"{name} {said[name]} cannot be with init_from {said['init_from']}, whose own is {value}")
    data = said.get("data", facts.data if facts.data in DATASETS else "toy")
    crop = {"crop": facts.crop} if facts.crop in find_source(data).crops else {}
    alone = {} if facts.guidance_alone is None else {"guidance_alone": facts.guidance_alone}
    return own | {"data": data, "guidance": facts.guidance} | alone | crop


def _of_run(said: Mapping[str, Any]) -> dict[str, Any]:
    folder = expand(said["resume"])
    if "init_from" in said:
        raise UserError(f"init_from begins a new run, and {folder} has weights of its own: leave one of the two away")
    if "minutes" in said:
        raise UserError("minutes plans a new run: a resumed one keeps its plan, and epochs changes it")
    if "out" in said:
        raise UserError("a resumed run goes on in its own folder: leave out away")
    saved = {name: value for name, value in run_folder.read_config(folder).items() if name not in NOT_INHERITED}
    settings = load_json(TrainSettings, saved, f"{folder}/config.json")
    for name in FIXED:
        if name in said and said[name] != getattr(settings, name):
            raise UserError(f"{name} of a resumed run must stay {getattr(settings, name)}; for another start a new run")
    return settings.model_dump(include=set(saved)) | {"out": folder}
