"""A whole exact chain as one differentiable function, in memory that does not grow with its steps.

Plain autograd keeps what the network computed in every step. A chain that can be undone needs to keep its last state only: on
the way back each step is undone, the network is called once more in the state found there, now with gradients, and the adjoint
is pulled through (Wallace et al. 2023, DOODL). One more forward pass than plain autograd is the price.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from ddpm_faces.diffusion.guidance import Eps
from ddpm_faces.diffusion.inversion import Edict, Pair, Rung, TwoStep, ddim_step, evaluate

Chain = TwoStep | Edict
Pull = Callable[[Tensor], Tensor]


def sample_invertible(chain: Chain, eps: Eps, state: Pair, rungs: list[Rung]) -> Tensor:
    """`chain.sample(eps, state, rungs)`, with the same gradients to the state and memory for a single step.

    state: a pair of (B, C, H, W), as `chain.start` or `chain.invert` gives it. Gradients flow to the state only, not to what
    eps closes over (weights, conditions), and once: there are none of second order. Where rounding grows too much on the way
    up, the gradient is wrong: `round_trip` measures that.
    """
    pair: Pair = _Run.apply(*state, chain, eps, rungs)
    return chain.image(pair)


def round_trip(chain: Chain, eps: Eps, state: Pair, rungs: list[Rung]) -> float:
    """The largest absolute error of a state that goes down the chain and is undone again; inf where the way up overflows."""
    down = chain.sample_pair(eps, state, rungs)
    zeros = torch.zeros_like(down[0]), torch.zeros_like(down[1])
    undo = _undo_edict if isinstance(chain, Edict) else _undo_two_step
    back, _ = undo(chain, _without_pull(eps), down, zeros, rungs)
    error = max(float((one - other).abs().max()) for one, other in zip(back, state, strict=True))
    return error if error == error else float("inf")


class _Run(Function):
    """(x, y) on the top rung -> the pair at the bottom."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, chain: Chain, eps: Eps, rungs: list[Rung]) -> Pair:
        pair = chain.sample_pair(eps, (x, y), rungs)
        if any(out is given for out in pair for given in (x, y)):  # a chain without steps: a Function must not return its input
            pair = (pair[0].clone(), pair[1].clone())
        ctx.save_for_backward(*pair)
        ctx.chain, ctx.eps, ctx.rungs = chain, eps, rungs
        return pair

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gx: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
        undo = _undo_edict if isinstance(ctx.chain, Edict) else _undo_two_step
        _, (gx, gy) = undo(ctx.chain, _with_pull(ctx.eps), ctx.saved_tensors, (gx, gy), ctx.rungs)
        return gx, gy, None, None, None


Evaluate = Callable[[Tensor, Rung], tuple[Tensor, Pull]]


def _with_pull(eps: Eps) -> Evaluate:
    """(x, rung) -> eps there, and the function v -> J^T v of its Jacobian at x. Called where autograd records nothing."""

    def at(x: Tensor, rung: Rung) -> tuple[Tensor, Pull]:
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            e = evaluate(eps, leaf, rung)
        if not e.requires_grad:  # a network that ignores x
            return e, torch.zeros_like
        return e, lambda v: torch.autograd.grad(e, leaf, v)[0]

    return at


def _without_pull(eps: Eps) -> Evaluate:
    return lambda x, rung: (evaluate(eps, x, rung), torch.zeros_like)


def _undo_two_step(chain: Any, at: Evaluate, pair: Pair, adjoint: Pair, rungs: list[Rung]) -> tuple[Pair, Pair]:
    """The pair on the top rungs from the one at the bottom, and the adjoint there: (middle, below) -> (above, middle)."""
    (middle, below), (g_middle, g_below) = pair, adjoint
    for near, here, far in zip(rungs, rungs[1:], rungs[2:], strict=False):
        e, pull = at(middle, here)
        above = chain.up(middle, below, e, near, here, far)
        from_middle, from_above, from_e = _coefficients(chain, near, here, far)
        g_above = from_above * g_below
        g_middle = g_middle + from_middle * g_below + pull(from_e * g_below)
        (middle, below), (g_middle, g_below) = (above, middle), (g_above, g_middle)
    return (middle, below), (g_middle, g_below)


def _coefficients(chain: TwoStep, near: Rung, here: Rung, far: Rung) -> tuple[float, float, float]:
    """The state below is a sum of middle, above and eps: their weights, read off the step itself."""
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    given = ((one, zero, zero), (zero, one, zero), (zero, zero, one))
    a, b, c = (float(chain.down(*values, near, here, far)) for values in given)
    return a, b, c


def _undo_edict(chain: Any, at: Evaluate, pair: Pair, adjoint: Pair, rungs: list[Rung]) -> tuple[Pair, Pair]:
    """`Edict.invert_pair`, and with each of its lines the adjoint of the line that it undoes."""
    (x, y), (gx, gy), p = pair, adjoint, chain.mix
    for i in range(1, len(rungs)):
        high, low = rungs[i], rungs[i - 1]
        a = low.alpha / high.alpha
        b = low.sigma - a * high.sigma
        if i % 2 == 0:
            x, y, gx, gy = y, x, gy, gx
        y, gx, gy = (y - (1 - p) * x) / p, gx + (1 - p) * gy, p * gy  # Y = p y + (1 - p) X
        x, gx, gy = (x - (1 - p) * y) / p, p * gx, gy + (1 - p) * gx  # X = p x + (1 - p) y
        e, pull = at(x, high)
        y, gx, gy = ddim_step(y, e, low, high), gx + pull(b * gy), a * gy  # y = a y' + b eps(x)
        e, pull = at(y, high)
        x, gy, gx = ddim_step(x, e, low, high), gy + pull(b * gx), a * gx  # x = a x' + b eps(y)
        if i % 2 == 0:
            x, y, gx, gy = y, x, gy, gx
    return (x, y), (gx, gy)
