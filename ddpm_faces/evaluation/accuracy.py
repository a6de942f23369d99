"""How right logits are: on real images, and on generated ones, where what was asked for stands for the label."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def balanced_accuracy(said: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """The mean of sensitivity and specificity (Brodersen et al. 2010) by class, (K,); said, yes and no are (N, K) booleans.

    NaN where there is no yes, or no no. What is neither does not count.
    """
    sensitivity = (said & yes).sum(dim=0).double() / yes.sum(dim=0)
    specificity = (~said & no).sum(dim=0).double() / no.sum(dim=0)
    return (sensitivity + specificity) / 2


def predictions(logits: Tensor, one_hot: bool, thresholds: Tensor | float = 0.0) -> Tensor:
    """(N, K) booleans: the class of the largest logit, or every attribute whose logit is above its threshold."""
    return F.one_hot(logits.argmax(dim=1), logits.shape[1]).bool() if one_hot else logits > thresholds


def scores(logits: Tensor, labels: Tensor, one_hot: bool, thresholds: Tensor | float = 0.0) -> dict[str, list[float]]:
    """How right logits (N, K) are, for each class, where labels (N, K) are -1 and +1, or one-hot.

    "accuracy"; "balanced", see `balanced_accuracy`, where a yes begins at `thresholds` (`ClassifierConfig.thresholds`);
    "majority", the accuracy of always giving the more frequent answer; "present", the share of yes.
    """
    truth = labels > 0
    present = truth.double().mean(dim=0)
    return {
        "accuracy": (predictions(logits, one_hot) == truth).double().mean(dim=0).tolist(),
        "balanced": balanced_accuracy(predictions(logits, one_hot, thresholds), truth, ~truth).tolist(),
        "majority": torch.maximum(present, 1 - present).tolist(),
        "present": present.tolist(),
    }


class ConditionalAccuracy(NamedTuple):
    """By attribute or class, each of length K: accuracy, balanced accuracy, and how many images were to have it and not to."""

    accuracy: list[float]
    balanced: list[float]
    yes: list[int]
    no: list[int]


def conditional_accuracy(logits: Tensor, asked: Tensor, one_hot: bool, thresholds: Tensor | float = 0.0) -> ConditionalAccuracy:
    """How often the classifier sees what was asked for. logits (N, K); asked (N, K), one-hot, or +1, -1, and 0 for not said.

    thresholds: of the balanced accuracy, see `ClassifierConfig.thresholds`; the accuracy is taken at 0, as on real images. A
    class's accuracy is how often it is recognised where it was asked for. NaN for what was never asked for, and in "balanced"
    for what was asked one way only.
    """
    yes, no = asked > 0, asked <= 0 if one_hot else asked < 0
    counted = yes if one_hot else yes | no
    right = (predictions(logits, one_hot) == yes) & counted
    accuracy = right.sum(dim=0).double() / counted.sum(dim=0)
    balanced = balanced_accuracy(predictions(logits, one_hot, thresholds), yes, no)
    return ConditionalAccuracy(accuracy.tolist(), balanced.tolist(), yes.sum(dim=0).tolist(), no.sum(dim=0).tolist())
