"""A model as samplers, commands and notebooks use it: a network, and the description that says what its inputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from ddpm_faces.conditions import Labels
from ddpm_faces.diffusion.guidance import Eps, guided, scale_by_count
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.architectures import LARGEST, Description, find_architecture
from ddpm_faces.utils.errors import UserError

MOST_NAMES, MOST_PAIRS = 10_000, 500
Scale = Annotated[float, Field(ge=-100, le=100)]
Side = Annotated[int, Field(ge=1, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]


class Facts(BaseModel):
    """What a checkpoint says of its training; further facts are kept as they come.

    guidance: the scale that suits the model where the whole condition is said, and guidance_alone, where one attribute alone is
    (the same unless it is given). sampler and steps: the ones that suit the model, by default dpm's. data, crop, licence: what
    the model was trained on. step, images_seen, minutes: for how long. init_from: the model that training began with.
    """

    model_config = ConfigDict(extra="allow", strict=True)
    guidance: Scale = 1.0
    guidance_alone: Scale | None = None
    sampler: str | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    data: str | None = None
    crop: str | None = None
    licence: str | None = None
    preset: str | None = None
    weighting: str | None = None
    step: int | None = None
    images_seen: int | None = None
    minutes: float | None = None
    init_from: dict[str, Any] | None = None


class Config(BaseModel):
    """What a checkpoint says of itself: all that is needed to build its network and to use it.

    labels: of the condition. image: (C, H, W). embedding: channels that the condition becomes. unet: the architecture's own
    sizes. schedule: keyword arguments of Schedule. frequencies: how often each attribute is present in the training data, ()
    for classes. architecture: a registered name. Raises ValueError (pydantic's) on what no network can have.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    labels: Labels
    image: tuple[Side, Side, Side]
    embedding: Side
    unet: dict[str, int | tuple[int, ...]]
    schedule: dict[str, str | int] = {"kind": "cosine", "steps": 1000}
    facts: Facts = Field(default_factory=Facts)
    frequencies: tuple[Share, ...] = ()
    architecture: str = "unet"

    @field_validator("labels")
    @classmethod
    def _names_differ(cls, labels: Labels) -> Labels:
        if len(set(labels.names)) != len(labels) or len(labels) > MOST_NAMES:
            raise ValueError("the names are not a list of different strings")
        if len(labels.exclusive) > MOST_PAIRS:
            raise ValueError("there are too many exclusive pairs")
        if not {side.removeprefix("-") for pair in labels.exclusive for side in pair} <= set(labels.names):
            raise ValueError("an exclusive pair has a name that there is not")
        return labels

    @model_validator(mode="after")
    def _possible(self) -> Config:
        if len(self.frequencies) not in (0, len(self.labels)):
            raise ValueError("the frequencies are not one for each name")
        if self.image[0] not in (1, 3):
            raise ValueError(f"images of shape {self.image}")
        try:
            find_architecture(self.architecture).check(self.described())
        except (TypeError, KeyError) as error:
            raise ValueError(f"sizes {self.unet} are not those of {self.architecture}: {error}") from None
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the condition's entries."""
        return self.labels.names

    def described(self) -> Description:
        """The description that the architecture builds from."""
        schedule = Schedule(**self.schedule)  # type: ignore[arg-type]
        return Description(self.image, len(self.labels), self.embedding, schedule, self.frequencies, self.unet)

    def network(self) -> nn.Module:
        """A new network of this description, with fresh weights."""
        return find_architecture(self.architecture).build(self.described())


@dataclass
class DiffusionModel:
    """A model ready for use: the network eps(x, t, c), and the config that says what its inputs mean.

    `load` freezes the weights, so that sampling builds no graph unless the start noise or the condition asks for gradients.
    To train a loaded network, call `model.network.requires_grad_(True)`.
    """

    network: nn.Module
    config: Config
    source: str = "memory"

    clip = True  # x0 is held to [-1, 1] while sampling: pixels have a range, latents have none

    @cached_property
    def schedule(self) -> Schedule:
        """The noise schedule that the network was trained with."""
        return self.config.described().schedule

    @property
    def labels(self) -> Labels:
        """What the entries of a condition vector mean."""
        return self.config.labels

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the condition's entries, in order."""
        return self.config.names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image, and of the noise that sampling begins with."""
        return self.config.image

    @property
    def decoded_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what `decode` gives; for a model of latents another than `image_shape`."""
        return self.image_shape

    @property
    def name(self) -> str:
        """A short name for titles and folders: the run's, where the file is a run's model.safetensors."""
        path = Path(self.source)
        return path.parent.name if path.stem == "model" else path.stem

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    @property
    def scales(self) -> Tensor:
        """The factors by which the network multiplies positive and negative entries: (2, K), on the CPU."""
        scales: Tensor = getattr(self.network, "scales", torch.ones(2, len(self.labels)))
        return scales.cpu()

    @property
    def guidance(self) -> float:
        """The guidance scale that suits the model where the whole condition is said, as its file says; 1 is plain."""
        return self.config.facts.guidance

    @property
    def guidance_alone(self) -> float:
        """The guidance scale that suits the model where one attribute alone is said. A class says all that there is to say."""
        alone = self.config.facts.guidance_alone
        return self.guidance if alone is None or self.labels.one_hot else alone

    def guidance_for(self, conditions: Tensor) -> Tensor:
        """The guidance scales (N,) that suit conditions (N, K), by how much each says: see `scale_by_count`."""
        return scale_by_count(conditions, self.guidance_alone, self.guidance)

    def null(self, conditions: Tensor) -> Tensor:
        """The conditions that say nothing, one for each of conditions (N, K)."""
        return torch.zeros_like(conditions)

    def eps(self, conditions: Tensor, guidance: float | Tensor = 1.0, away_from: Tensor | None = None) -> Eps:
        """eps(x, t) for conditions (N, K) under guidance: the contract of samplers, inversion and search.

        away_from: the conditions (N, K) that guidance leads away from, as an edit needs it; by default the null condition.
        """
        return guided(self.network, conditions, guidance, self.null(conditions) if away_from is None else away_from)

    def decode(self, x: Tensor) -> Tensor:
        """Samples (N, C, H, W) -> images in [-1, 1]."""
        return x.clamp(-1, 1)

    def to(self, device: torch.device | str) -> DiffusionModel:
        """Move the weights to a device, in place; returns the model."""
        self.network.to(device)
        return self

    def require(self, kind: str) -> None:
        """UserError unless the model is conditioned on `kind`: "attributes" or "classes"."""
        if self.labels.kind == kind:
            return
        has = {
            "classes": f"it knows the classes {', '.join(self.names[:12])}",
            "attributes": f"it knows attributes such as {', '.join(self.names[-3:])}",
            "unconditional": "it is unconditional: nothing can be asked of it",
        }
        raise UserError(f"{self.source} knows no {kind}; {has[self.labels.kind]}")
