"""What a search wants of a picture: what was asked for, as a classifier sees it, on the whole and on the salient part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_faces.models.classifier_checkpoint import Classifier
from ddpm_faces.models.saliency import GradCam, Saliency, crop, salient_boxes

Loss = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) in [-1, 1] -> a loss for each, (B,)


class AsksFor:
    """What conditions (B, K) ask of a picture, measured by a classifier; entries of 0 ask nothing.

    names: of the conditions' columns. The odds of an attribute are those of a picture that is as likely to have it as not, so
    that rare ones are not asked for more loudly (`ClassifierConfig.thresholds`).
    """

    def __init__(self, classifier: Classifier, names: tuple[str, ...], conditions: Tensor) -> None:
        columns = [names.index(name) for name in classifier.names]
        self.classifier, self.asked = classifier, conditions[:, columns].to(classifier.device)

    def of(self, rows: Tensor) -> AsksFor:
        """The same for some of the conditions."""
        return AsksFor(self.classifier, self.classifier.names, self.asked[rows])

    def loss(self, images: Tensor) -> Tensor:
        """(B,): the cross-entropy of what was asked for, the mean over the entries."""
        said = self.asked != 0
        return (F.softplus(-self._distances(images)) * said).sum(dim=1) / said.sum(dim=1)

    def margins(self, images: Tensor) -> Tensor:
        """(B,): by how many logits the worst entry that was asked for is beyond even odds."""
        return torch.where(self.asked != 0, self._distances(images), torch.inf).amin(dim=1)

    def _distances(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier.network(images) - self.classifier.config.thresholds.to(images)
        if self.classifier.labels.one_hot:  # against all other classes together
            logits = logits - torch.stack([_others(logits, k).logsumexp(dim=1) for k in range(logits.shape[1])], dim=1)
        return logits * self.asked.sign()


def _others(logits: Tensor, k: int) -> Tensor:
    return torch.cat((logits[:, :k], logits[:, k + 1 :]), dim=1)


@dataclass(frozen=True)
class Objective:
    """The loss of a search: (1 - beta) l(picture) + beta l(salient crop) + stay |picture - anchor|.

    asks: the classifier's view, or None where `own` is the loss l and there is no margin to reach. saliency: a detector; None
    is Grad-CAM of what is asked for. beta 0 looks at no salient part.
    """

    asks: AsksFor | None
    own: Loss | None = None
    saliency: Saliency | None = None
    beta: float = 0.0
    stay: float = 0.0

    def losses(self, images: Tensor, rows: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of each picture (B,), and its saliency map (B, 1, H, W) where one was asked for.

        rows (B,): which of the starts the pictures are of. anchor (B, C, H, W): pictures to stay near; nan minds no distance.
        """
        loss, seen = self.of(rows), None
        total = loss(images)
        if self.beta:
            seen = self._saliency(rows)(images)
            total = (1 - self.beta) * total + self.beta * loss(crop(images, salient_boxes(seen)))
        if self.stay:
            total = total + self.stay * (images - anchor).abs().nan_to_num(0.0).mean(dim=(1, 2, 3))
        return total, seen

    def of(self, rows: Tensor) -> Loss:
        """The loss of whole pictures of these starts."""
        if self.own is not None:
            return self.own
        assert self.asks is not None
        return self.asks.of(rows).loss

    def margins(self, images: Tensor, rows: Tensor) -> Tensor:
        """The worst margin of each picture (B,); under a loss of one's own, none is ever reached."""
        if self.asks is None or self.own is not None:
            return images.new_full((len(rows),), -torch.inf)
        return self.asks.of(rows).margins(images)

    def _saliency(self, rows: Tensor) -> Saliency:
        if self.saliency is not None:
            return self.saliency
        assert self.asks is not None
        return GradCam(self.asks.classifier, self.asks.asked[rows].sign())
