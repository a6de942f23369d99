"""Inversion and editing: chains that undo themselves, and differences that are zero where nothing differs."""

from __future__ import annotations

import pytest
import torch

import ddpm_faces
from ddpm_faces.diffusion.editing import difference, difference_ddpm
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.inversion import CHAINS, Edict, Path, invert_ddim, ladder, noised_path, sample_ddim
from ddpm_faces.diffusion.process import posterior
from ddpm_faces.diffusion.schedule import Schedule

SCHEDULE = Schedule()
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(scope="module")
def shipped():
    """eps of celeba64 in both precisions, and a face that the model has drawn."""
    model = ddpm_faces.load("celeba64")
    faces = ddpm_faces.generate(model, "Smiling", steps=8, precision="no")
    condition = torch.zeros(1, 40).index_fill_(1, torch.tensor([model.names.index("Smiling")]), 1.0)
    found = {}
    for dtype in BOUNDS:
        network = ddpm_faces.load("celeba64").network.to(dtype)
        found[dtype] = guided(network, condition.to(dtype)), faces.to(dtype)
    return found


def gaussian(x, t):
    """The exact noise of data that are N(0.3, 0.5^2) in every pixel: what a perfect network would answer."""
    ab = SCHEDULE.alpha_bar.to(x)[t].view(-1, 1, 1, 1)
    return (1 - ab).sqrt() * (x - ab.sqrt() * 0.3) / (ab * 0.25 + 1 - ab)


def test_a_ladder_begins_clean_and_rises_evenly_to_its_depth():
    rungs = ladder(SCHEDULE, 10, 0.95)
    assert len(rungs) == 11 and tuple(rungs[0]) == (0, 1.0, 0.0)
    assert [rung.t for rung in rungs[1:]] == [94, 189, 284, 379, 474, 569, 664, 759, 854, 949]
    assert rungs[-1].ratio == pytest.approx(12.8, abs=0.05), "sigma / alpha: far from the 20,000 of the last step"
    assert [rung.t for rung in ladder(SCHEDULE, 1000, 1.0)[1:]] == list(range(1000))
    for steps, depth in ((0, 0.5), (11, 0.01), (5, 0.0), (5, 1.1)):
        with pytest.raises(ValueError, match="depth"):
            ladder(SCHEDULE, steps, depth)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", CHAINS)
def test_exact_chains_undo_themselves_on_the_shipped_model(shipped, name, dtype):
    eps, x = shipped[dtype]
    rungs = ladder(SCHEDULE, 12, 0.95)
    back = CHAINS[name].sample(eps, CHAINS[name].invert(eps, x, rungs), rungs)
    assert back.dtype == dtype and float((back - x).abs().max()) < BOUNDS[dtype]


@pytest.mark.parametrize("steps", [14, 15])
@pytest.mark.parametrize("name", CHAINS)
def test_exact_chains_undo_themselves_on_an_untrained_model(face_model, name, steps):
    torch.manual_seed(0)
    x, eps, rungs = torch.rand(2, 3, 16, 16) * 2 - 1, face_model.eps(torch.zeros(2, 40)), ladder(SCHEDULE, steps, 0.95)
    back = CHAINS[name].sample(eps, CHAINS[name].invert(eps, x, rungs), rungs)
    assert float((back - x).abs().max()) < BOUNDS[torch.float32]
    assert float((sample_ddim(eps, invert_ddim(eps, x, rungs).x[-1], rungs) - x).abs().max()) > 0.01, "DDIM's own does not"


def test_edict_takes_a_sampled_pair_back_to_its_start():
    torch.manual_seed(0)
    start = torch.randn(2, 1, 4, 4, dtype=torch.float64) * 12
    for steps in (6, 7):
        rungs = ladder(SCHEDULE, steps, 0.95)
        pair = Edict().sample_pair(gaussian, (start, start), rungs)
        assert all(torch.allclose(end, start, atol=1e-10) for end in Edict().invert_pair(gaussian, pair, rungs))


@pytest.mark.parametrize("name", ["o-belm", "bdia"])
def test_two_step_chains_draw_what_ddim_draws_in_the_limit(name):
    torch.manual_seed(0)
    rungs = ladder(SCHEDULE, 200, 0.95)
    x = torch.randn(4, 1, 4, 4, dtype=torch.float64) * rungs[-1].sigma
    exact = sample_ddim(gaussian, x, ladder(SCHEDULE, 950, 0.95))
    drawn = CHAINS[name].sample(gaussian, CHAINS[name].start(gaussian, x, rungs), rungs)
    assert torch.allclose(drawn, exact, atol=0.03) and float((exact - x).abs().max()) > 0.3


def test_o_belm_is_of_second_order():
    torch.manual_seed(0)
    x = torch.randn(4, 1, 4, 4, dtype=torch.float64)
    exact = sample_ddim(gaussian, x, ladder(SCHEDULE, 800, 0.8))
    errors = []
    for steps in (40, 80):
        rungs = ladder(SCHEDULE, steps, 0.8)
        belm = CHAINS["o-belm"]
        errors.append(float((belm.sample(gaussian, belm.start(gaussian, x, rungs), rungs) - exact).abs().mean()))
    assert errors[0] < 0.3 * float((sample_ddim(gaussian, x, ladder(SCHEDULE, 40, 0.8)) - exact).abs().mean())


@pytest.mark.parametrize("steps", [3, 10])
def test_where_nothing_differs_the_difference_is_zero_whatever_the_path(face_model, steps):
    torch.manual_seed(1)
    x, c = torch.rand(2, 3, 16, 16) * 2 - 1, torch.randn(2, 40).clamp(-1, 1)
    rungs = ladder(face_model.schedule, steps)
    eps = face_model.eps(c)
    for path in (invert_ddim(eps, x, rungs), noised_path(eps, x, rungs, lambda: torch.randn(x.shape))):
        for recursion in (difference, difference_ddpm):
            assert float(recursion(face_model.eps(c, 4.0, away_from=c), path, rungs).abs().max()) < 1e-4
            other = recursion(face_model.eps(-c, 4.0, away_from=c), path, rungs)
            assert float(other.abs().max()) > 1e-2, "a wish does differ"


def test_the_difference_is_that_of_two_whole_chains_along_an_exact_path():
    """Along the path that the source condition itself draws, d_0 is the edited chain's image minus the source's."""
    rungs = ladder(SCHEDULE, 6)
    torch.manual_seed(0)
    top = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    source, wish = gaussian, lambda x, t: gaussian(x + 0.4, t)
    states = [top]
    for i in range(6, 0, -1):
        states.append(sample_ddim(source, states[-1], [rungs[i - 1], rungs[i]]))
    x = states[::-1]
    e = [source(state, torch.full((2,), rung.t)) for state, rung in zip(x, rungs, strict=True)]
    d = difference(wish, Path(x, e), rungs)
    assert torch.allclose(x[0] + d, sample_ddim(wish, top, rungs), atol=1e-12)


def test_the_ddpm_difference_is_that_of_two_posterior_chains_that_share_their_noise():
    rungs = ladder(SCHEDULE, 5)
    torch.manual_seed(0)
    x0 = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    path = noised_path(gaussian, x0, rungs, lambda: torch.randn(x0.shape, dtype=x0.dtype))
    wish = lambda x, t: gaussian(x + 0.4, t)  # noqa: E731
    edited = path.x[-1]
    for i in range(5, 0, -1):
        here, there = rungs[i], rungs[i - 1]
        means = []
        for eps, x in ((gaussian, path.x[i]), (wish, edited)):
            clean = (x - here.sigma * eps(x, torch.full((2,), here.t))) / here.alpha
            means.append(posterior(x, clean, here.alpha**2, there.alpha**2).mean)
        edited = means[1] + (path.x[i - 1] - means[0])  # the stored noise z_t, added again
    assert torch.allclose(x0 + difference_ddpm(wish, path, rungs), edited, atol=1e-12)
