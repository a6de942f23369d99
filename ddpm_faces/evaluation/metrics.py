"""Distances between two sets of pictures by their features: FID, KID, IS, precision and recall, all torch-fidelity's own.

Features are (N, F) tensors on the CPU, logits (N, K). Each function says how many pictures it needs and refuses fewer.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ddpm_faces.errors import UserError
from ddpm_faces.judge import Opinion

LEAST = 64  # pictures, for any figure at all
SUBSETS, NEIGHBOURS, SPLITS = 100, 3, 10


def require(count: int, least: int, what: str) -> None:
    """UserError if there are fewer pictures than the statistic needs."""
    if count < least:
        raise UserError(f"{what} needs at least {least} pictures, here are {count}: raise --n")


def statistics(features: Tensor) -> dict[str, np.ndarray]:
    """{"mu" (F,), "sigma" (F, F)}: mean and covariance, in float64."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    require(len(features), LEAST, "the Frechet distance")
    return fid_features_to_statistics(features.double())


def frechet(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The squared Frechet distance of two Gaussians, Heusel et al. 2017 (6): FID where the features are Inception's.

    Biased upwards by about the number of features over that of pictures: compare at equal counts only.
    """
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    return float(fid_statistics_to_metric(one, other, verbose=False)["frechet_inception_distance"])


def kernel_distance(generated: Tensor, real: Tensor, seed: int = 0) -> tuple[float, float]:
    """KID, Binkowski et al. 2018: mean and standard deviation over 100 subsets of at most 1000 pictures. Unbiased."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    size = min(1000, len(generated), len(real))
    require(size, LEAST, "KID")
    found = kid_features_to_metric(
        generated.double(), real.double(), kid_subsets=SUBSETS, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    return float(found["kernel_inception_distance_mean"]), float(found["kernel_inception_distance_std"])


def inception_score(logits: Tensor) -> tuple[float, float]:
    """IS, Salimans et al. 2016: mean and standard deviation over ten parts; logits of classes that exclude each other."""
    from torch_fidelity.metric_isc import isc_features_to_metric

    require(len(logits), LEAST, "the Inception score")
    found = isc_features_to_metric(logits, splits=SPLITS)
    return float(found["inception_score_mean"]), float(found["inception_score_std"])


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Kynkaanniemi et al. 2019, with three neighbours: the shares of generated pictures that lie among the real ones, and of
    real ones that lie among the generated. At most as many of either as there are of both."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    size = min(len(generated), len(real))
    require(size, LEAST, "precision and recall")
    found = prc_features_to_metric(
        generated[:size].float(), real[:size].float(), prc_neighborhood=NEIGHBOURS, prc_batch_size=10_000,
        save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    return float(found["precision"]), float(found["recall"])


def compare(generated: Opinion, real: Opinion, exclusive: bool) -> dict[str, float]:
    """All of these figures of generated pictures against real ones, by name; IS only where the classes exclude each other."""
    kid, kid_spread = kernel_distance(generated.features, real.features)
    precision, recall = precision_recall(generated.features, real.features)
    found = {
        "FID": frechet(statistics(generated.features), statistics(real.features)),
        "KID": kid, "KID spread": kid_spread, "precision": precision, "recall": recall,
    }  # fmt: skip
    if exclusive:
        found["IS"], found["IS spread"] = inception_score(generated.logits)
    return found
