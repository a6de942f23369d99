"""Search for a better start: gradients of a loss on the finished picture run back through the exact chain into its noise.

DOODL (Wallace et al. 2023) looks at the whole picture; the saliency-guided search (SGOOL) looks at its salient part as well.
The person stays, as far as the wish allows; nothing is trained. Only one classifier is asked: let another one judge.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ddpm_faces.diffusion.inversion import CHAINS
from ddpm_faces.diffusion.white_noise import KEEPS
from ddpm_faces.generation.conditions import Condition, check_wish, draw_others, to_conditions, to_wish
from ddpm_faces.generation.edit import conditions as edit_conditions
from ddpm_faces.generation.edit import estimate
from ddpm_faces.generation.generate import find_scales, find_seeds, start_noise
from ddpm_faces.generation.invert import find_rungs
from ddpm_faces.generation.objective import AsksFor, Loss, Objective
from ddpm_faces.generation.search import METHODS, Problem, State, search
from ddpm_faces.models.classifier_checkpoint import Classifier, find_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.models.saliency import Saliency
from ddpm_faces.utils.devices import full_precision
from ddpm_faces.utils.errors import UserError, hint

STEPS, DEPTH = 10, 0.967  # from sigma 20, where an exact chain still bears the way up
LONGEST = 100  # steps that float32 bears: beyond it, what a chain cannot undo grows past 1e-4
STAY, GUIDANCE = 2.0, 2.0  # of a photo: how much the search minds leaving it, and the scale of the way down


@dataclass(frozen=True)
class Optimised:
    """before, after: pictures (N, C, H, W) of the start and of the best iterate; noise (N, C, H, W): the best start;
    saliency (N, 1, H, W): where the search looked last, or None; losses (iterations + 1, N), nan once a start had stopped;
    margins (N,): the worst margin of what was asked, after the search, or None under a loss of your own; state: with which
    another call goes on."""

    before: Tensor
    after: Tensor
    noise: Tensor
    saliency: Tensor | None
    losses: Tensor
    margins: Tensor | None
    state: State


def optimise(
    model: DiffusionModel,
    condition: Condition,
    n: int | None = None,
    *,
    seed: int = 0,
    others: Literal["drawn", "unsaid"] = "drawn",
    photos: Tensor | None = None,
    method: str = "sgool",
    iterations: int = 50,
    margin: float = 2.0,
    loss: Loss | None = None,
    classifier: Classifier | None = None,
    saliency: Saliency | None = None,
    beta: float = 0.5,
    stay: float | None = None,
    keep: str = "bands",
    guidance: float | Tensor | None = None,
    steps: int = STEPS,
    state: State | None = None,
    watch: Callable[[State], None] = lambda state: None,
    progress: bool = False,
) -> Optimised:
    """Search for starts from which `model` draws what `condition` asks, beginning with the noise of seed, seed + 1, ...

    condition, n, seed, guidance: as `generate` takes them. others: attributes that nobody asked for are "drawn" by the start's
    seed, as in a strip, or left "unsaid". photos (N, C, H, W): begin with the noise behind these aligned photos instead,
    inverted under the attributes that the classifier sees; the guidance scale is then 2 by default.

    method: "doodl" takes the loss of the whole picture; "sgool" adds, with the weight beta, that of its salient part;
    "best-of" draws a fresh start in each iteration and keeps the best, which shows somebody else; "one-step" keeps the start
    and pulls at each step of sampling, harder in each iteration. iterations: changes at most; a start stops once the worst
    logit that was asked for is `margin` beyond even odds. loss: your own, in place of the classifier's; then no start stops.
    saliency: a detector of models/saliency.py (by default Grad-CAM of the classifier). stay: weight of the mean absolute
    distance from the start's picture (by default 0) or the photo (2). keep: what keeps the noise white, see
    diffusion/white_noise.py.

    steps: of the chain; with more than 100 it runs in float64. state: of an earlier call with the same arguments, which goes
    on. watch: called with the state after every iteration. Raises UserError on anything impossible.
    """
    _check(method, iterations, beta, keep)
    asked = to_conditions(model, condition, n if photos is None else len(photos))
    seeds = find_seeds(seed, len(asked))
    looks = method == "sgool" and beta > 0
    listens, judge = loss is None or (looks and saliency is None), None
    if listens or photos is not None:
        judge = classifier or find_classifier(model, device=model.device)
    if listens and not bool((asked != 0).any(dim=1).all()):
        raise UserError("nothing is asked for: say what the pictures should show, or give a loss and a saliency")
    asks = None if judge is None or not bool((asked != 0).any()) else AsksFor(judge, model.names, asked.to(model.device))
    stay = stay if stay is not None else 0.0 if photos is None else STAY
    objective = Objective(asks, loss, saliency, beta if looks else 0.0, stay)
    if not model.labels.one_hot:
        for row in asked:
            check_wish(model, to_wish(model, row))
    source, conditions = _conditions(model, asked, seeds, others, photos, judge)
    rungs = find_rungs(model, steps, DEPTH)
    if steps > LONGEST:
        model = dataclasses.replace(model, network=copy.deepcopy(model.network).double())
    source, conditions = (c.to(model.device, next(model.network.parameters()).dtype) for c in (source, conditions))
    scales = find_scales(model, conditions, GUIDANCE if photos is not None and guidance is None else guidance)
    problem = Problem(model, conditions, scales, rungs, objective, seeds, KEEPS[keep], margin)
    with full_precision(model.device):
        state = state or State.new(*_start(problem, source, photos))
        search(problem, METHODS[method], state, iterations, progress, watch)
    return _result(state, objective)


def _check(method: str, iterations: int, beta: float, keep: str) -> None:
    if method not in METHODS:
        raise UserError(f"no method '{method}': choose {', '.join(METHODS)}{hint(method, METHODS)}")
    if iterations < 1 or not 0 <= beta <= 1:
        raise UserError(f"iterations {iterations} and beta {beta:g} are impossible: iterations begin at 1, beta is from 0 to 1")
    if keep not in KEEPS:
        raise UserError(f"nothing called '{keep}' keeps noise white: choose {', '.join(KEEPS)}{hint(keep, KEEPS)}")


def _conditions(
    model: DiffusionModel, asked: Tensor, seeds: list[int], others: str, photos: Tensor | None, judge: Classifier | None
) -> tuple[Tensor, Tensor]:
    """What the network is told, (N, K): of the photos as they are, and what was asked for on the person's other attributes."""
    if photos is not None:
        model.require("attributes")
        if photos.ndim != 4 or tuple(photos.shape[1:]) != model.image_shape:
            wanted = ("N", *model.image_shape)
            raise UserError(f"photos are {wanted} for this model, not {tuple(photos.shape)}: align them first")
        assert judge is not None
        return edit_conditions(model, [to_wish(model, row) for row in asked], estimate(judge, photos))
    if others not in ("drawn", "unsaid"):
        raise UserError(f"other attributes are drawn or unsaid, not '{others}'")
    told = asked if others == "unsaid" or model.labels.one_hot else draw_others(model, asked, seeds)
    return told, told


def _start(problem: Problem, source: Tensor, photos: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The noise to begin with, the offset of the chain's second state, and the pictures to stay near: see `State`."""
    model = problem.model
    if photos is None:
        noise = torch.stack([start_noise(model.image_shape, s)[0] for s in problem.seeds]).to(model.device)
        return noise, torch.zeros_like(noise), None
    chain, x = CHAINS[problem.chain], photos.to(model.device, source.dtype)
    high, low = chain.invert(model.eps(source), x, problem.rungs)
    offset = low - chain.start(problem.eps(torch.arange(len(photos), device=model.device)), high, problem.rungs)[1]
    return high.float(), offset.float(), x.float()


def _result(state: State, objective: Objective) -> Optimised:
    margins = None if objective.own is not None else state.margin.cpu()
    seen, losses = None if state.saliency is None else state.saliency.cpu(), torch.stack(state.losses).cpu()
    return Optimised(state.before.cpu(), state.after.cpu(), state.noise.cpu(), seen, losses, margins, state)
