"""Search for a better start: gradients of a loss on the finished picture run back through the exact chain into its noise.

DOODL (Wallace et al. 2023) looks at the whole picture; the saliency-guided search (SGOOL) looks at its salient part as well.
The person stays, as far as the wish allows; nothing is trained. Only one classifier is asked: let another one judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_faces.diffusion.inversion import CHAINS, Rung
from ddpm_faces.diffusion.invertible import sample_invertible
from ddpm_faces.generation.conditions import Condition, to_conditions
from ddpm_faces.generation.generate import find_scales, find_seeds, start_noise
from ddpm_faces.generation.invert import find_rungs
from ddpm_faces.models.classifier_checkpoint import Classifier, find_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.models.saliency import GradCam, Saliency, crop, salient_boxes
from ddpm_faces.utils.devices import full_precision
from ddpm_faces.utils.errors import UserError, hint

METHODS = ("sgool", "doodl", "best-of")
CHAIN, STEPS, DEPTH = "bdia", 10, 0.967  # from sigma 20, where an exact chain still bears the way up
LARGEST_GRADIENT, MOMENTUM = 1e-3, 0.9  # DOODL's clipping of single values, and its momentum
Loss = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) in [-1, 1] -> a loss for each, (B,)


@dataclass(frozen=True)
class Optimised:
    """before, after: pictures (N, C, H, W) of the start and of the best iterate; noise (N, C, H, W): the best start;
    saliency (N, 1, H, W): where the search looked last, or None; losses (iterations + 1, N), nan once a start had stopped;
    margins (N,): the worst margin of what was asked, after the search, or None under a loss of your own."""

    before: Tensor
    after: Tensor
    noise: Tensor
    saliency: Tensor | None
    losses: Tensor
    margins: Tensor | None


class AsksFor:
    """What conditions (B, K) ask of a picture, measured by a classifier; entries of 0 ask nothing."""

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
        logits: Tensor = self.classifier.network(images)
        if self.classifier.labels.one_hot:  # against all other classes together
            logits = logits - torch.stack([_others(logits, k).logsumexp(dim=1) for k in range(logits.shape[1])], dim=1)
        return logits * self.asked.sign()


def _others(logits: Tensor, k: int) -> Tensor:
    return torch.cat((logits[:, :k], logits[:, k + 1 :]), dim=1)


@dataclass(frozen=True)
class _Problem:
    """What is searched for. loss_of and saliency_of give the loss and the detector of some rows of the conditions."""

    model: DiffusionModel
    conditions: Tensor
    scales: Tensor
    rungs: list[Rung]
    asks: AsksFor | None
    loss_of: Callable[[Tensor], Loss]
    saliency_of: Callable[[Tensor], Saliency] | None
    beta: float
    margin: float

    def draw(self, z: Tensor, rows: Tensor) -> Tensor:
        """The pictures of starts z (B, C, H, W); gradients flow to z."""
        eps = self.model.eps(self.conditions[rows], self.scales[rows.cpu()])
        chain = CHAINS[CHAIN]
        return self.model.decode(sample_invertible(chain, eps, chain.start(eps, z, self.rungs), self.rungs))

    def losses(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of each picture, (B,), and its saliency map, if it has one: (1 - beta) l(picture) + beta l(crop)."""
        loss = self.loss_of(rows)
        if self.saliency_of is None:
            return loss(images), None
        seen = self.saliency_of(rows)(images)
        return (1 - self.beta) * loss(images) + self.beta * loss(crop(images, salient_boxes(seen))), seen

    def margins(self, images: Tensor, rows: Tensor) -> Tensor:
        """The worst margin of each picture; without a classifier, none is ever reached."""
        return images.new_full((len(rows),), -torch.inf) if self.asks is None else self.asks.of(rows).margins(images)


class _Best:
    """The best iterate of each start so far."""

    def __init__(self, z: Tensor) -> None:
        self.before: Tensor | None = None
        self.noise, self.after = z.clone(), torch.zeros_like(z)
        self.loss, self.margin = z.new_full((len(z),), torch.inf), z.new_full((len(z),), -torch.inf)

    def keep(self, rows: Tensor, z: Tensor, images: Tensor, losses: Tensor, margins: Tensor) -> None:
        """Take what is better than before. The first call, with all starts, is what they were before the search."""
        self.before = images if self.before is None else self.before
        better = losses < self.loss[rows]
        to = rows[better]
        self.noise[to], self.after[to], self.loss[to], self.margin[to] = (v[better] for v in (z, images, losses, margins))

    def result(self, history: list[Tensor], maps: Tensor | None) -> Optimised:
        """All of it, on the CPU."""
        assert self.before is not None
        margins = None if bool((self.margin == -torch.inf).all()) else self.margin.cpu()
        losses, seen = torch.stack(history).cpu(), None if maps is None else maps.cpu()
        return Optimised(self.before.cpu(), self.after.cpu(), self.noise.cpu(), seen, losses, margins)


def optimise(
    model: DiffusionModel,
    condition: Condition,
    n: int | None = None,
    *,
    seed: int = 0,
    method: str = "sgool",
    iterations: int = 50,
    margin: float = 3.0,
    loss: Loss | None = None,
    classifier: Classifier | None = None,
    saliency: Saliency | None = None,
    beta: float = 0.5,
    guidance: float | Tensor | None = None,
    progress: bool = False,
) -> Optimised:
    """Search for starts from which `model` draws what `condition` asks, beginning with the noise of seed, seed + 1, ...

    condition, n, seed, guidance: as `generate` takes them. method: "doodl" takes the loss of the whole picture, "sgool" adds,
    with the weight beta, that of its salient part; "best-of" draws `iterations` fresh starts for each picture and keeps the
    one of least loss, which shows somebody else. margin: a start stops once the worst logit that was asked for is so far
    beyond even odds. loss: your own, in place of the classifier's; then all iterations are made. saliency: a detector of
    models/saliency.py (by default Grad-CAM of the classifier, for what was asked). Raises UserError on anything impossible.
    """
    if method not in METHODS:
        raise UserError(f"no method '{method}': choose {', '.join(METHODS)}{hint(method, METHODS)}")
    if iterations < 1 or not 0 <= beta <= 1:
        raise UserError(f"iterations {iterations} and beta {beta:g} are impossible: iterations begin at 1, beta is from 0 to 1")
    conditions = to_conditions(model, condition, n).to(model.device)
    looks, asks = method == "sgool", None
    if loss is None or (looks and saliency is None):
        if not bool((conditions != 0).any(dim=1).all()):
            raise UserError("nothing is asked for: say what the pictures should show, or give a loss and a saliency")
        asks = AsksFor(classifier or find_classifier(model, device=model.device), model.names, conditions)
    problem = _Problem(
        *(model, conditions, find_scales(model, conditions.cpu(), guidance), find_rungs(model, STEPS, DEPTH)),
        asks=asks if loss is None else None,
        loss_of=(lambda rows: loss) if loss is not None else (lambda rows: asks.of(rows).loss),  # type: ignore[union-attr]
        saliency_of=None if not looks else (lambda rows: saliency or _cam(asks, rows)),  # type: ignore[arg-type]
        beta=beta,
        margin=margin,
    )
    seeds = find_seeds(seed, len(conditions))
    z = torch.stack([start_noise(model.image_shape, s)[0] for s in seeds]).to(model.device)
    with full_precision(model.device):
        if method == "best-of":
            return _draw_many(problem, z, seeds, iterations, progress)
        return _descend(problem, z, iterations, progress)


def _cam(asks: AsksFor, rows: Tensor) -> Saliency:
    return GradCam(asks.classifier, asks.asked[rows].sign())


def _descend(problem: _Problem, z: Tensor, iterations: int, progress: bool) -> Optimised:
    """DOODL's update: a clipped gradient with momentum, and then back to the norm that the noise had."""
    from tqdm import trange

    norms, velocity, live = z.flatten(1).norm(dim=1), torch.zeros_like(z), torch.arange(len(z), device=z.device)
    best, history, maps = _Best(z), [], None
    with trange(iterations + 1, desc="searching", unit="iteration", leave=False, disable=not progress) as bar:
        for i in bar:
            start = z[live].requires_grad_(True)
            images = problem.draw(start, live)
            losses, seen = problem.losses(images, live)
            (gradient,) = torch.autograd.grad(losses.sum(), start)
            images, losses = images.detach(), losses.detach()
            margins = problem.margins(images, live)
            best.keep(live, z[live], images, losses, margins)
            history.append(losses.new_full((len(z),), torch.nan).index_put((live,), losses))
            if seen is not None:
                maps = seen if maps is None else maps.index_put((live,), seen)
            bar.set_postfix(loss=f"{float(losses.mean()):.3f}", searching=len(live))
            on = margins < problem.margin
            live, gradient = live[on], gradient[on]
            if i == iterations or not len(live):
                break
            velocity[live] = MOMENTUM * velocity[live] - gradient.clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
            moved = z[live] + velocity[live]
            z = z.index_put((live,), moved * (norms[live] / moved.flatten(1).norm(dim=1)).view(-1, 1, 1, 1))
    return best.result(history, maps)


def _draw_many(problem: _Problem, z: Tensor, seeds: list[int], iterations: int, progress: bool) -> Optimised:
    """Fresh starts, without gradients: of each picture, the first is its seed's, and the others are strangers."""
    from tqdm import trange

    rows, best, history = torch.arange(len(z), device=z.device), _Best(z), []
    for i in trange(iterations, desc="drawing", unit="start", leave=False, disable=not progress):
        if i:
            fresh = [torch.Generator().manual_seed(seed * iterations + i + 2**40) for seed in seeds]
            z = torch.stack([torch.randn(problem.model.image_shape, generator=g) for g in fresh]).to(z)
        images = problem.draw(z, rows)
        losses, _ = problem.losses(images, rows)
        best.keep(rows, z, images, losses, problem.margins(images, rows))
        history.append(losses)
    return best.result(history, None)
