"""What a data set brings with it: how it is opened and fetched, its licence, and the settings that suit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddpm_faces.data.dataset import Dataset

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """One data set. Its module holds an object of this class, named SOURCE; see `ddpm_faces.data.DATASETS`."""

    open: Callable[..., Dataset]  # (root, split, crop, size), the last two None where unsaid; and table=PATH, see `tables`
    licence: str  # what may be done with models that were trained on it
    recipe: Mapping[str, Any] = field(default_factory=dict)  # defaults of the training settings; flags override them
    classifier_epochs: float = 6.0  # passes over the training split that suit an attribute classifier
    fetch: Callable[[Path], None] | None = None  # download into root what is not there; None where nothing need be fetched
    crops: tuple[str, ...] = ()  # the crops to choose from, the default first; () where images are taken whole
    tables: bool = False  # whether `open` takes a table of labels
    faces: bool = False  # whether images show faces, photographed or drawn
    people: bool = False  # whether they are photographs of real people, which are not to be published
