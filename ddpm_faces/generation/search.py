"""The search itself: a loop that draws each start's picture, keeps the best one, and asks a method for the next start.

A method is a function of a `Problem` and a `State`; it draws the rows that are still searched and says where they go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.inversion import CHAINS, Rung
from ddpm_faces.diffusion.invertible import sample_invertible
from ddpm_faces.diffusion.white_noise import Keep
from ddpm_faces.generation.objective import Objective
from ddpm_faces.models.model import DiffusionModel

LARGEST_GRADIENT, MOMENTUM, RATE = 1e-3, 0.9, 5.0  # of single values, and of DOODL's update; its own rate is 1


@dataclass
class State:
    """Where a search of N starts stands; all it needs to go on, and all that it found. Tensors are on the model's device.

    start, z (N, C, H, W): the noise at first and now; velocity: of z. offset: what the chain's second state is beside that of
    its own beginning: zeros, but for the inversion of a photo. anchor: pictures to stay near, the photo or `before`. live: rows
    that are still searched. images: of the last iteration; before, after, noise, loss, margin: the first pictures, the best
    ones, and their noise, losses and margins. saliency (N, 1, H, W): where the search looked last, or None. losses: (N,) for
    each iteration, nan once a start had stopped.
    """

    start: Tensor
    offset: Tensor
    anchor: Tensor
    z: Tensor
    velocity: Tensor
    live: Tensor
    images: Tensor
    before: Tensor
    after: Tensor
    noise: Tensor
    loss: Tensor
    margin: Tensor
    saliency: Tensor | None = None
    losses: list[Tensor] = field(default_factory=list)

    @classmethod
    def new(cls, start: Tensor, offset: Tensor, anchor: Tensor | None = None) -> State:
        """The state before the first iteration. anchor: by default what the first iteration draws."""
        empty = torch.zeros_like(start)
        return cls(
            start,
            offset,
            anchor=torch.full_like(start, torch.nan) if anchor is None else anchor,
            z=start.clone(),
            velocity=empty,
            live=torch.arange(len(start), device=start.device),
            images=empty.clone(),
            before=empty.clone(),
            after=empty.clone(),
            noise=start.clone(),
            loss=start.new_full((len(start),), torch.inf),
            margin=start.new_full((len(start),), -torch.inf),
        )

    def keep(self, drawn: Drawn, margin: float) -> None:
        """Take over what an iteration drew: what is better than before, and which starts are now good enough."""
        rows = self.live
        self.images[rows] = drawn.images
        if not self.losses:
            self.before = drawn.images.clone()
            self.anchor = torch.where(self.anchor.isnan(), self.before, self.anchor)
        better = drawn.losses < self.loss[rows]
        to = rows[better]
        self.after[to], self.noise[to] = drawn.images[better], drawn.z[better]
        self.loss[to], self.margin[to] = drawn.losses[better], drawn.margins[better]
        self.losses.append(drawn.losses.new_full((len(self.z),), torch.nan).index_put((rows,), drawn.losses))
        if drawn.saliency is not None:
            self.saliency = torch.zeros_like(self.z[:, :1]) if self.saliency is None else self.saliency
            self.saliency[rows] = drawn.saliency
        self.live = rows[drawn.margins < margin]


class Drawn(NamedTuple):
    """The live rows (B) in one iteration: z, images (B, C, H, W), losses, margins (B,), saliency (B, 1, H, W) or None."""

    z: Tensor
    images: Tensor
    losses: Tensor
    margins: Tensor
    saliency: Tensor | None = None


@dataclass(frozen=True)
class Problem:
    """What is searched: starts from which `model` draws what the objective wants, under conditions (N, K) and scales (N,).

    seeds: of the starts. chain, rungs: how pictures are drawn. keep: what keeps the noise white.
    """

    model: DiffusionModel
    conditions: Tensor
    scales: Tensor
    rungs: list[Rung]
    objective: Objective
    seeds: Sequence[int]
    keep: Keep
    margin: float = 2.0
    chain: str = "bdia"

    def eps(self, rows: Tensor) -> Eps:
        """The guided noise of some of the starts."""
        return self.model.eps(self.conditions[rows], self.scales[rows.cpu()])

    def draw(self, z: Tensor, state: State, eps: Eps | None = None) -> Tensor:
        """The pictures of the live rows from noise z (B, C, H, W). Gradients flow to z, in memory for a single step."""
        rows, chain = state.live, CHAINS[self.chain]
        eps = eps or self.eps(rows)
        high, low = chain.start(eps, z.to(self.conditions.dtype), self.rungs)
        images = sample_invertible(chain, eps, (high, low + state.offset[rows]), self.rungs)
        return self.model.decode(images).to(z.dtype)


Method = Callable[[Problem, State], Drawn]


def search(
    problem: Problem, method: Method, state: State, iterations: int, progress: bool, watch: Callable[[State], None]
) -> None:
    """Carry `state` on until so many iterations are behind it, or no start is left to search. watch: called after each."""
    from tqdm import tqdm

    done = len(state.losses)
    with tqdm(total=iterations + 1, initial=done, desc="searching", leave=False, disable=not progress) as bar:
        for _ in range(done, iterations + 1):
            if not len(state.live):
                break
            drawn = method(problem, state)
            state.keep(drawn, problem.margin)
            bar.set_postfix(loss=f"{float(drawn.losses.mean()):.3f}", searching=len(state.live), refresh=False)
            bar.update()
            watch(state)


def descend(problem: Problem, state: State) -> Drawn:
    """DOODL's step (Wallace et al. 2023): along a clipped gradient with momentum, and back to noise as white as it was."""
    rows = state.live
    z = state.z[rows].requires_grad_(True)
    images = problem.draw(z, state)
    losses, seen = problem.objective.losses(images, rows, state.anchor[rows])
    (gradient,) = torch.autograd.grad(losses.sum(), z)
    z, images, losses = z.detach(), images.detach(), losses.detach()
    velocity = MOMENTUM * state.velocity[rows] - RATE * gradient.clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
    state.velocity[rows] = velocity
    state.z[rows] = problem.keep(z + velocity, state.start[rows])
    return Drawn(z, images, losses, problem.objective.margins(images, rows), seen)


def draw_fresh(problem: Problem, state: State) -> Drawn:
    """Best of many: nothing is moved, and each iteration draws another start, which is somebody else."""
    rows, i = state.live, len(state.losses) + 1
    drawn = _evaluate(problem, state, problem.draw(state.z[rows], state))
    fresh = [torch.Generator().manual_seed((problem.seeds[row] * 2**20 + i + 2**40) % 2**63) for row in rows.tolist()]
    shape = tuple(state.z.shape[1:])
    state.z[rows] = torch.stack([torch.randn(shape, generator=generator) for generator in fresh]).to(state.z)
    return drawn


def pull(problem: Problem, state: State) -> Drawn:
    """One-step guidance: the start stays, and at every step of sampling the loss of x0_hat pulls at the state, the harder the
    more iterations there were. No gradient runs through the chain (Bansal et al. 2023, universal guidance)."""
    rows, scale = state.live, float(len(state.losses))
    plain, loss, alpha_bar = problem.eps(rows), problem.objective.of(rows), problem.model.schedule.alpha_bar

    def pulled(x: Tensor, t: Tensor) -> Tensor:
        if not scale:
            return plain(x, t)
        at = float(alpha_bar[int(t[0])])
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            e = plain(leaf, t)
            x0_hat = problem.model.decode((leaf - (1 - at) ** 0.5 * e) / at**0.5)
            (gradient,) = torch.autograd.grad(loss(x0_hat.to(state.z.dtype)).sum(), leaf)
        guided: Tensor = e.detach() + scale * (1 - at) ** 0.5 * gradient
        return guided

    return _evaluate(problem, state, problem.draw(state.z[rows], state, pulled))


def _evaluate(problem: Problem, state: State, images: Tensor) -> Drawn:
    rows = state.live
    losses, seen = problem.objective.losses(images, rows, state.anchor[rows])
    return Drawn(state.z[rows].clone(), images, losses, problem.objective.margins(images, rows), seen)


METHODS: dict[str, Method] = {"sgool": descend, "doodl": descend, "best-of": draw_fresh, "one-step": pull}
