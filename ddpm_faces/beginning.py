"""What a new run begins with: a fresh network for its data, or the weights of a trained model (`train --init-from`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from ddpm_faces import checkpoint
from ddpm_faces.data import DATA, LICENCES
from ddpm_faces.data.celeba import CROPS
from ddpm_faces.data.store import Store
from ddpm_faces.errors import UserError
from ddpm_faces.models.unet import PRESETS
from ddpm_faces.sample import short_name

if TYPE_CHECKING:
    from ddpm_faces.train import TrainConfig

# What --preset names: the architecture and its sizes, as a checkpoint says them.
NETWORKS: dict[str, tuple[str, dict]] = {name: ("unet", sizes) for name, sizes in PRESETS.items()} | {"report": ("report", {})}


def shared_with(said: dict[str, Any]) -> dict[str, Any]:
    """The settings that a run has from the model that it is said to begin with (`--init-from`).

    Guidance, data and crop may be said otherwise. UserError where others were, or where the model cannot be had.
    """
    given = checkpoint.load(said["init_from"])  # the weights too: a file that cannot be used is refused before data is fetched
    config, schedule = given.config, given.schedule
    fitting = [name for name, network in NETWORKS.items() if network == (config.architecture, config.unet)]
    if not fitting:
        raise UserError(f"--init-from {given.source}: its network is none of the presets, {', '.join(NETWORKS)}")
    shared = {
        "preset": fitting[0], "unconditional": not given.names, "embedding": config.embedding,
        "schedule": schedule.kind, "schedule_steps": schedule.steps,
    }  # fmt: skip
    for name, value in shared.items():
        if said.get(name, value) != value:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} {said[name]} cannot be with --init-from {said['init_from']}, whose own is {value}")
    facts = config.facts
    known = {"data": DATA, "crop": tuple(CROPS)}
    scales = {"guidance": given.guidance}
    if "guidance_alone" in facts:
        scales["guidance_alone"] = given.guidance_alone
    return shared | scales | {k: facts[k] for k, values in known.items() if facts.get(k) in values}


def fits(model: checkpoint.Config, store: Store) -> bool:
    """Whether a model draws such pictures as the store has, and knows its conditions or none."""
    return model.image == store.image_shape and model.names in ((), store.names)


def guidance_facts(config: TrainConfig) -> dict[str, float]:
    """What a checkpoint says of the scales that suit it."""
    alone = {} if config.guidance_alone is None else {"guidance_alone": config.guidance_alone}
    return {"guidance": config.guidance, **alone}


def described(config: TrainConfig) -> dict:
    """What a checkpoint says of how it was trained."""
    facts = {"data": config.data, "preset": config.preset, "licence": LICENCES[config.data], **guidance_facts(config)}
    facts["weighting"] = config.weighting
    if config.data == "celeba":
        facts["crop"] = config.crop
    return facts


def new_model_config(config: TrainConfig, store: Store) -> checkpoint.Config:
    """The checkpoint's description of a model for this data."""
    names = () if config.unconditional else store.names
    architecture, unet = NETWORKS[config.preset]
    return checkpoint.Config(
        names=names,
        frequencies=store.frequencies if names else (),
        image=store.image_shape,
        embedding=config.embedding,
        unet=dict(unet),
        architecture=architecture,
        schedule={"kind": config.schedule, "steps": config.schedule_steps},
        facts=described(config),
    )


def begin_with(given: checkpoint.DiffusionModel, config: TrainConfig) -> tuple[nn.Module, checkpoint.Config]:
    """(network, config) of a new run with the weights of `given`.

    What a fresh network takes from its data (how frequent each condition is, the pictures' mean and spectrum) stays as it is
    in `given`, since its weights were learned with it.
    """
    facts = described(config)
    facts["init_from"] = {"model": short_name(given), **given.config.facts}
    before = given.config.facts.get("licence", facts["licence"])
    if before != facts["licence"]:
        facts["licence"] += f"; began with a model under: {before}"
    model_config = replace(given.config, facts=facts)
    network = model_config.network()
    network.load_state_dict(given.network.state_dict())  # copied: on a CPU those of `given` are views of its file
    return network, model_config
