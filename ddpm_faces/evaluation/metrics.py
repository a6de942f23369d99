"""Distances between two sets of images by their features: FID, KID, IS, precision and recall, all torch-fidelity's own.

Features are (N, F) tensors on the CPU, logits (N, K). Each function says how many images it needs and refuses fewer.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ddpm_faces.data.dataset import spread
from ddpm_faces.evaluation import LEAST
from ddpm_faces.models.classifier_checkpoint import Extracted
from ddpm_faces.utils.errors import UserError

SUBSETS, NEIGHBOURS, SPLITS = 100, 3, 10


def require(count: int, least: int, what: str) -> None:
    """UserError if there are fewer images than the statistic needs."""
    if count < least:
        raise UserError(f"{what} needs at least {least} images, here are {count}")


def statistics(features: Tensor) -> dict[str, np.ndarray]:
    """{"mu" (F,), "sigma" (F, F)}: mean and covariance, in float64."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    require(len(features), LEAST, "the Frechet distance")
    found: dict[str, np.ndarray] = fid_features_to_statistics(features.double())
    return found


def frechet(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The squared Frechet distance of two Gaussians, Heusel et al. 2017 (6): FID where the features are Inception's.

    Biased upwards by about the number of features over that of images: compare at equal counts only.
    """
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    return float(fid_statistics_to_metric(one, other, verbose=False)["frechet_inception_distance"])


def kernel_distance(generated: Tensor, real: Tensor, seed: int = 0) -> tuple[float, float]:
    """KID, Binkowski et al. 2018: mean and standard deviation over 100 subsets. Unbiased, so that counts may differ.

    Subsets of 1000 images, or of half of the smaller set if that is less: larger ones would be too alike to vary.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    require(min(len(generated), len(real)), LEAST, "KID")
    size = min(1000, len(generated) // 2, len(real) // 2)
    found = kid_features_to_metric(
        generated.double(), real.double(), kid_subsets=SUBSETS, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    return float(found["kernel_inception_distance_mean"]), float(found["kernel_inception_distance_std"])


def inception_score(logits: Tensor) -> tuple[float, float]:
    """IS, Salimans et al. 2016: mean and standard deviation over ten parts, or fewer so that each has 100 images.

    logits: of classes that exclude each other. A part with fewer images of each class cannot reach the number of classes.
    """
    from torch_fidelity.metric_isc import isc_features_to_metric

    require(len(logits), LEAST, "the Inception score")
    found = isc_features_to_metric(logits, splits=min(SPLITS, max(1, len(logits) // 100)))
    return float(found["inception_score_mean"]), float(found["inception_score_std"])


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Kynkaanniemi et al. 2019, with three neighbours: the shares of generated images that lie among the real ones, and of
    real ones that lie among the generated. Of the larger set as many as there are of the smaller, spread over it."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    size = min(len(generated), len(real))
    require(size, LEAST, "precision and recall")
    one, other = (x[spread(len(x), size)].float() for x in (generated, real))
    found = prc_features_to_metric(
        one, other, prc_neighborhood=NEIGHBOURS, prc_batch_size=10_000, save_cpu_ram=True, verbose=False
    )
    return float(found["precision"]), float(found["recall"])


def compare(generated: Extracted, real: Extracted, one_hot: bool) -> dict[str, float]:
    """All of these figures of generated images against real ones, by name; IS only if the logits are one_hot classes."""
    kid, kid_spread = kernel_distance(generated.features, real.features)
    precision, recall = precision_recall(generated.features, real.features)
    found = {
        "FID": frechet(statistics(generated.features), statistics(real.features)),
        "KID": kid, "KID spread": kid_spread, "precision": precision, "recall": recall,
    }  # fmt: skip
    if one_hot:
        found["IS"], found["IS spread"] = inception_score(generated.logits)
    return found
