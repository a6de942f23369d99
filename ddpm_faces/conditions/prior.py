"""A plausible whole condition where a user names a few attributes: a prior over attributes, given the wishes.

`PRIORS` holds the priors that know their attributes; all others are drawn independently, by their frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ddpm_faces.conditions import celeba_prior
from ddpm_faces.conditions.celeba import NAMES
from ddpm_faces.conditions.labels import Labels

# The names, in the order of the columns -> a function (rng, n) -> (n, K) of -1/+1.
PRIORS: dict[tuple[str, ...], Callable[[np.random.Generator, int], np.ndarray]] = {NAMES: celeba_prior.sample_attributes}


def sample_vector(labels: Labels, frequencies: Sequence[float], seed: int, wishes: Mapping[str, float]) -> np.ndarray:
    """A plausible condition (K,) of attributes, drawn by the seed and then changed as wished, in the order of labels.names.

    frequencies: how often each attribute is present, for labels without a prior of their own; () for one half.
    """
    values = _sample(labels, frequencies, np.random.default_rng(seed))
    for name, value in wishes.items():
        values = labels.set_attribute(values, name, value, frozenset(wishes))
    return values


def _sample(labels: Labels, frequencies: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    for names, prior in PRIORS.items():
        if set(names) == set(labels.names):
            drawn: np.ndarray = prior(rng, 1)[0][[names.index(name) for name in labels.names]].astype(float)
            return drawn
    present = rng.random(len(labels)) < (np.array(frequencies) if frequencies else 0.5)
    values = -np.ones(len(labels))
    for i in rng.permutation(np.flatnonzero(present)):
        values = labels.set_attribute(values, labels.names[i], 1.0)
    return values
