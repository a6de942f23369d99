"""Invertible chains: the gradient of the whole chain is plain autograd's, and the memory is that of one step."""

from __future__ import annotations

import pytest
import torch

import ddpm_faces
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.inversion import CHAINS, ladder
from ddpm_faces.diffusion.invertible import round_trip, sample_invertible
from ddpm_faces.diffusion.schedule import Schedule

SCHEDULE = Schedule()
BOUNDS = {torch.float32: 1e-4, torch.float64: 1e-9}


def curved(x, t):
    """A cheap network that is not linear in x and differs from step to step."""
    ab = SCHEDULE.alpha_bar.to(x)[t].view(-1, 1, 1, 1)
    return (1 - ab).sqrt() * (x - 0.3 * ab.sqrt() * torch.sin(3 * x)) / (ab * 0.25 + 1 - ab)


def gradients(chain, eps, noise, rungs, target):
    """Of a loss that is not linear in the image: by plain autograd, and by the invertible chain."""
    found = []
    for sample in (chain.sample, lambda *given: sample_invertible(chain, *given)):
        x = noise.clone().requires_grad_()
        image = sample(eps, chain.start(eps, x, rungs), rungs)
        (gradient,) = torch.autograd.grad(((image - target) ** 2).sum(), x)
        found.append((image, gradient))
    return found


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("depth", [0.968, 0.992], ids=["sigma 20", "sigma 80"])
@pytest.mark.parametrize("steps", [1, 2, 14, 15])
@pytest.mark.parametrize("name", CHAINS)
def test_the_gradient_is_plain_autograds(name, steps, depth, dtype):
    noise, target = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(steps)).to(dtype)
    rungs = ladder(SCHEDULE, steps, depth)
    assert rungs[-1].ratio == pytest.approx(20 if depth < 0.99 else 80, rel=0.03)
    (image, plain), (again, ours) = gradients(CHAINS[name], curved, noise, rungs, target)
    assert torch.equal(image, again)
    assert float((ours - plain).abs().max() / plain.abs().max()) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", CHAINS)
def test_the_gradient_is_plain_autograds_on_the_shipped_model(name, dtype):
    network = ddpm_faces.load("celeba64").network.to(dtype)
    eps = guided(network, torch.zeros(1, 40, dtype=dtype).index_fill_(1, torch.tensor([31]), 1.0), 2.0)
    noise, target = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    (image, plain), (again, ours) = gradients(CHAINS[name], eps, noise, ladder(SCHEDULE, 5, 0.968), target)
    assert torch.equal(image, again)
    assert float((ours - plain).abs().max() / plain.abs().max()) < BOUNDS[dtype]


def test_both_states_of_a_pair_get_their_gradients():
    chain, rungs = CHAINS["edict"], ladder(SCHEDULE, 7, 0.968)
    state = torch.randn(2, 1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    plain = torch.autograd.grad(chain.sample(curved, (state[0], state[1]), rungs).square().sum(), state)[0]
    ours = torch.autograd.grad(sample_invertible(chain, curved, (state[0], state[1]), rungs).square().sum(), state)[0]
    assert float((ours - plain).abs().max()) < 1e-9 * float(plain.abs().max())


@pytest.mark.parametrize("name", CHAINS)
def test_the_graph_keeps_one_pair_for_any_number_of_steps(name):
    for steps in (5, 50):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            x = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
            sample_invertible(CHAINS[name], curved, (x, x), ladder(SCHEDULE, steps, 0.968))
        assert sum(kept) == 2 * x.numel()


def test_a_network_that_ignores_the_state_has_a_gradient_too():
    x = torch.randn(1, 3, 4, 4, requires_grad=True)
    image = sample_invertible(CHAINS["bdia"], lambda x, t: torch.ones_like(x), (x, x), ladder(SCHEDULE, 6, 0.9))
    image.sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_a_round_trip_shows_where_float32_ends():
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    chain = CHAINS["o-belm"]
    short, long = ladder(SCHEDULE, 15, 0.968), ladder(SCHEDULE, 15, 1.0)
    assert round_trip(chain, curved, chain.start(curved, x, short), short) < 1e-4
    assert round_trip(chain, curved, chain.start(curved, x, long), long) > 1e-3
