"""From the ways in which a user can say a condition to condition vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_faces.conditions.prior import sample_vector
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.errors import UserError

Condition = (
    str | Mapping[str, float] | Sequence[int] | Sequence[str] | Sequence[Mapping[str, float]] | Tensor | np.ndarray | int
)


def to_conditions(model: DiffusionModel, condition: Condition, n: int | None = None) -> Tensor:
    """Condition vectors (N, K), float32, for `model` from what a user may say.

    Models of attributes: a spec ("Smiling,-Male"), a mapping of names to values in [-1, 1] or booleans, a sequence of these, or
    vectors (K,) or (N, K). Models of classes: "0-9" or "cat,dog", a class by index, a sequence of indices, or vectors. One
    vector is repeated n times (once by default); several classes are gone through in turn until there are n. Raises UserError
    on what the model does not know.
    """
    if n is not None and (not isinstance(n, int | np.integer) or n < 0):
        raise UserError(f"the number of images is a whole number, not {n!r}")
    whole = _as_array(condition)
    vectors = _from_array(model, whole) if whole is not None else _from_words(model, condition)
    if n is None or len(vectors) == n:
        return vectors
    if whole is not None and whole.ndim == 2 and len(vectors) != 1:
        raise UserError(f"{len(vectors)} conditions for {n} images: give one, or as many as images")
    return vectors.repeat(-(-n // max(len(vectors), 1)), 1)[:n]


def check_wish(model: DiffusionModel, wish: str | Mapping[str, float]) -> dict[str, float]:
    """A wish as exact names and values. UserError on names that there are not, and on wishes that exclude each other."""
    values = model.labels.parse(wish) if isinstance(wish, str) else dict(wish)
    vector = model.labels.vector(values)
    named = {model.labels.find(name) for name in values}
    for name in named:
        moved = model.labels.set_attribute(vector.double().numpy(), name, float(vector[model.labels.index(name)]))
        clash = sorted(other for other in named if float(moved[model.labels.index(other)]) != vector[model.labels.index(other)])
        if clash:
            raise UserError(f"{name} and {clash[0]} exclude each other: ask for one of them, or for less of both")
    return {name: float(vector[model.labels.index(name)]) for name in model.names if name in named}


def to_wish(model: DiffusionModel, vector: Tensor) -> dict[str, float]:
    """What a condition (K,) asks for, by name; entries of 0 ask nothing. The inverse of `Labels.vector`."""
    return {name: float(value) for name, value in zip(model.names, vector, strict=True) if value}


def draw_others(model: DiffusionModel, asked: Tensor, seeds: Sequence[int]) -> Tensor:
    """Whole conditions (N, K) of attributes: what is asked for, (N, K) with 0 where nothing is, on a person whose other
    attributes are drawn by the seed (conditions/prior.py)."""
    rows = []
    for row, seed in zip(asked, seeds, strict=True):
        vector = sample_vector(model.labels, model.config.frequencies, seed, to_wish(model, row))
        rows.append(torch.from_numpy(vector).float())
    return torch.stack(rows)


def _as_array(condition: Condition) -> Tensor | None:
    """The condition as a tensor, if it is one, an array, or a list of vectors."""
    if isinstance(condition, Tensor):
        return condition
    if isinstance(condition, np.ndarray) and condition.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(condition))
    if isinstance(condition, list | tuple) and condition and isinstance(condition[0], list | tuple | Tensor | np.ndarray):
        try:
            return torch.stack([torch.as_tensor(row) for row in condition])
        except (TypeError, ValueError, RuntimeError):
            raise UserError("the conditions are not vectors of one length") from None
    return None


def _from_array(model: DiffusionModel, array: Tensor) -> Tensor:
    whole = array.dtype != torch.bool and not array.is_floating_point()
    if model.labels.one_hot and whole and array.ndim <= 1 and not _is_one_hot(array, len(model.labels)):
        return _from_indices(model, array.flatten().tolist())
    if array.dtype == torch.bool:
        array = 2 * array.float() - 1 if not model.labels.one_hot else array.float()  # booleans are yes and no
    vectors = array.float() if array.ndim == 2 else array.float()[None]
    if vectors.ndim != 2 or vectors.shape[1] != len(model.labels):
        raise UserError(f"conditions of {model.source} are (N, {len(model.labels)}), not {tuple(array.shape)}")
    if not bool((vectors.abs() <= 1 + 1e-6).all()):
        raise UserError("a condition's entries lie in [-1, 1]")
    if (
        not model.labels.one_hot
        and not array.is_floating_point()
        and len(vectors)
        and set(vectors.flatten().tolist()) == {0, 1}
    ):
        raise UserError("whole numbers 0 and 1 are ambiguous: give booleans, -1 and 1, or floats (0 is not said)")
    return vectors.clamp(-1, 1)


def _is_one_hot(array: Tensor, length: int) -> bool:
    """Whether this is one condition, a single 1 among zeros: a list of so many classes would hardly be 0, 0, 1, 0, ..."""
    return tuple(array.shape) == (length,) and sorted(array.tolist()) == [0] * (length - 1) + [1]


def _from_words(model: DiffusionModel, condition: Condition) -> Tensor:
    labels = model.labels
    if isinstance(condition, np.ndarray):
        condition = condition.tolist()
    if isinstance(condition, Mapping) or (isinstance(condition, str) and not labels.one_hot):
        values = _parse(model, condition)
        return labels.vector(values)[None]  # (1, 0) for an unconditional model
    if isinstance(condition, list | tuple) and condition and not labels.one_hot and labels.names:
        return torch.cat([_from_words(model, c) for c in condition])
    if isinstance(condition, str):
        return _from_indices(model, labels.parse_classes(condition)) if condition else torch.zeros(1, len(labels))
    model.require("classes")
    return _from_indices(model, list(condition) if isinstance(condition, Sequence | range) else [condition])


def _parse(model: DiffusionModel, condition: str | Mapping[str, float]) -> Mapping[str, float]:
    """Named values of a spec or a mapping; UserError where the model has no attributes to name."""
    if condition:
        model.require("attributes")
    return model.labels.parse(condition) if isinstance(condition, str) else condition


def _from_indices(model: DiffusionModel, words: Sequence[Any]) -> Tensor:
    """Classes by index or, where a list holds names, by name."""
    labels = model.labels
    try:
        indices = [labels.index(labels.find(w)) if isinstance(w, str) else index(w) for w in words]
    except TypeError:
        raise UserError(f"classes are given by name or number, not as {words!r:.80}") from None
    if not indices or any(i not in range(len(labels)) for i in indices):
        raise UserError(f"classes are 0 to {len(labels) - 1}, at least one, not {words!r:.80}")
    return labels.one_hot_vectors(indices)
