"""The forward process, its inverse directions, the posterior, the loss and guidance, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from ddpm_faces.diffusion.guidance import guided, scale_by_count
from ddpm_faces.diffusion.loss import NoiseSample, loss, loss_weights, sample_noise
from ddpm_faces.diffusion.process import add_noise, alpha_sigma, eps_from_x0, posterior, x0_from_eps
from ddpm_faces.diffusion.schedule import Schedule

SCHEDULE = Schedule()


def test_noising_in_one_leap_is_noising_step_by_step():
    """q(x_t | x_0) in closed form has the mean and variance of t + 1 single steps q(x_t | x_{t-1}), DDPM (2)."""
    for kind in ("cosine", "linear"):
        schedule, mean, variance = Schedule(kind, 50), 1.0, 0.0
        for t, beta in enumerate(schedule.beta.tolist()):
            mean, variance = mean * math.sqrt(1 - beta), variance * (1 - beta) + beta
            x0, one = torch.ones(1, 1, 1, 1), torch.tensor([t])
            assert float(add_noise(x0, torch.zeros_like(x0), one, schedule)) == pytest.approx(mean, abs=1e-6)
            assert float(add_noise(torch.zeros_like(x0), x0, one, schedule)) == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_x0_and_eps_turn_into_each_other():
    torch.manual_seed(0)
    x0, eps, t = torch.rand(4, 3, 8, 8) * 2 - 1, torch.randn(4, 3, 8, 8), torch.tensor([0, 10, 500, 900])
    xt = add_noise(x0, eps, t, SCHEDULE)
    assert (x0_from_eps(xt, eps, t, SCHEDULE) - x0).abs().max() < 1e-4
    assert (eps_from_x0(xt, x0, t, SCHEDULE) - eps).abs().max() < 1e-4


def test_posterior_is_bayes_rule():
    """q(x_s | x_t, x_0) from its definition, the product of two Gaussians in x_s, for neighbours and for leaps."""
    ab = SCHEDULE.alpha_bar
    for t, s in ((500, 499), (500, 450), (999, 10), (1, 0)):
        ab_t, ab_s = float(ab[t]), float(ab[s])
        alpha = ab_t / ab_s
        prior_precision, likelihood_precision = 1 / (1 - ab_s), alpha / (1 - alpha)
        variance = 1 / (prior_precision + likelihood_precision)
        xt, x0 = torch.full((1, 1, 1, 1), 0.7), torch.full((1, 1, 1, 1), -0.3)
        mean = variance * (prior_precision * math.sqrt(ab_s) * -0.3 + math.sqrt(alpha) / (1 - alpha) * 0.7)
        ours = posterior(xt, x0, ab_t, ab_s)
        assert ours.variance == pytest.approx(variance, rel=1e-6)
        assert float(ours.mean) == pytest.approx(mean, rel=1e-4, abs=1e-6)


def test_every_step_is_trained_and_conditions_are_dropped_as_often_as_said():
    rng = torch.Generator().manual_seed(0)
    noise = sample_noise(torch.Size((40_000, 1, 1, 1)), 40, Schedule(steps=100), p_null=0.1, p_each=0.5, rng=rng)
    assert set(noise.t.tolist()) == set(range(100)), "the first and the last step too"
    shown = noise.keep.mean(dim=1)
    assert set(noise.keep.unique().tolist()) == {0, 1}
    # 10% are dropped whole; of the 45% dropped one by one, each keeps an entry with probability 40^-u
    share = 40.0 ** -(torch.arange(1000, dtype=torch.float64) + 0.5).div(1000)
    single = 40 * share * (1 - share) ** 39
    assert float((shown == 0).float().mean()) == pytest.approx(0.1 + 0.45 * float(((1 - share) ** 40).mean()), abs=0.006)
    assert float((shown == 1).float().mean()) == pytest.approx(0.45 + 0.45 * float((share**40).mean()), abs=0.01)
    assert float((noise.keep.sum(dim=1) == 1).float().mean()) == pytest.approx(0.45 * float(single.mean()), abs=0.004)
    assert float(noise.keep.mean()) == pytest.approx(0.9 * (0.5 + 0.5 * float(share.mean())), abs=0.01)


def test_loss_is_the_error_of_the_noise_and_drops_what_is_dropped():
    torch.manual_seed(0)
    x0, c = torch.zeros(2, 1, 4, 4), torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    noise = NoiseSample(torch.tensor([3, 9]), torch.randn(2, 1, 4, 4), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    seen = []

    def perfect(xt, t, c):
        seen.append(c)
        return noise.eps

    assert loss(perfect, x0, c, noise, SCHEDULE) == 0
    assert torch.equal(seen[0], torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    zero = loss(lambda xt, t, c: torch.zeros_like(xt), x0, c, noise, SCHEDULE)
    assert float(zero) == pytest.approx(float(noise.eps.square().mean()), rel=1e-6)


def test_snr_plus_one_weighting_is_the_error_of_v():
    """Salimans & Ho 2022: with v = sqrt(ab) eps - sqrt(1 - ab) x0, the weighted error of eps is the plain error of v."""
    torch.manual_seed(0)
    x0, guess = torch.rand(5, 3, 4, 4) * 2 - 1, torch.randn(5, 3, 4, 4)
    noise = NoiseSample(torch.tensor([0, 200, 500, 800, 990]), torch.randn(5, 3, 4, 4), torch.ones(5, 2))
    xt = add_noise(x0, noise.eps, noise.t, SCHEDULE)
    ab = SCHEDULE.alpha_bar[noise.t].float().view(-1, 1, 1, 1)

    def v(eps):
        return (eps - (1 - ab).sqrt() * xt) / ab.sqrt()

    assert (v(noise.eps) - (ab.sqrt() * noise.eps - (1 - ab).sqrt() * x0)).abs().max() < 1e-4
    ours = loss(lambda xt, t, c: guess, x0, torch.zeros(5, 2), noise, SCHEDULE, loss_weights("snr+1", noise.t, SCHEDULE))
    assert float(ours) == pytest.approx(float((v(guess) - v(noise.eps)).square().mean()), rel=1e-4)


def test_guidance_one_is_the_conditional_model_and_zero_the_null_model(face_model):
    torch.manual_seed(0)
    x, t, c = torch.randn(3, 3, 16, 16), torch.tensor([9, 99, 999]), torch.randn(3, 40).clamp(-1, 1)
    conditional, null = face_model.network(x, t, c), face_model.network(x, t, torch.zeros_like(c))
    assert (conditional - null).abs().max() > 1e-3, "otherwise this test proves nothing"
    assert torch.equal(guided(face_model.network, c, 1)(x, t), conditional)
    assert torch.equal(guided(face_model.network, c, 0)(x, t), null)
    tripled = guided(face_model.network, c, 3)(x, t)
    assert (tripled - (null + 3 * (conditional - null))).abs().max() < 1e-5
    nearly = guided(face_model.network, c, 1.0001)(x, t)
    assert (nearly - conditional).abs().max() < 1e-3, "the two-pass path agrees with the short cuts"
    each = guided(face_model.network, c, torch.tensor([3.0, 0.0, 1.0]))(x, t)
    for got, wanted in zip(each, (tripled[0], null[1], conditional[2]), strict=True):
        assert (got - wanted).abs().max() < 1e-5, "a scale for each image"


def test_the_scale_falls_with_what_is_said():
    c = torch.zeros(6, 40)
    c[1, 3] = -1
    c[2, :2] = torch.tensor([1.0, -1.0])
    c[3, :4] = 0.5  # as much as two
    c[4, :20], c[5] = 1, -1
    scales = scale_by_count(c, 4.0, 2.0)
    assert scales[[0, 1, 5]].tolist() == [4, 4, 2] and scales[2] == scales[3] and 2 < scales[4] < scales[2] < 4
    assert abs(float(scales[2]) - (4 - 2 * math.log(2) / math.log(40))) < 0.05 and float(scales[2]) == pytest.approx(3.6)
    assert scale_by_count(torch.eye(10), 1.5, 1.5).unique().tolist() == [1.5]
    assert scale_by_count(torch.zeros(3, 0), 2.0, 2.0).tolist() == [2, 2, 2], "an unconditional model"


def test_schedules_are_proper():
    for kind in ("cosine", "linear"):
        schedule = Schedule(kind, 200)
        assert bool((schedule.alpha_bar.diff() < 0).all()) and 0 < float(schedule.alpha_bar[-1]) < 0.01
        assert float(schedule.beta.min()) > 0 and float(schedule.beta.max()) < 1
    assert SCHEDULE.timesteps(1000) == list(range(999, -1, -1))
    assert SCHEDULE.timesteps(4) == [999, 749, 499, 249]
    for bad in (0, 1001, -3):
        with pytest.raises(ValueError, match=r"steps .* is impossible"):
            SCHEDULE.timesteps(bad)
    with pytest.raises(ValueError, match="no schedule"):
        Schedule("quadratic")
    with pytest.raises(ValueError, match="2 to 100,000 steps"):
        Schedule("cosine", 1)


def test_a_chain_in_float64_stays_in_float64():
    """Tables follow the images: a round trip through DDPM (4) is exact to 1e-12, which float32 tables would spoil."""
    x0, eps = torch.rand(2, 3, 4, 4).double() * 2 - 1, torch.randn(2, 3, 4, 4).double()
    t = torch.tensor([3, 990])
    xt = add_noise(x0, eps, t, SCHEDULE)
    assert xt.dtype == torch.float64
    assert (x0_from_eps(xt, eps, t, SCHEDULE) - x0).abs().max() < 1e-12
    alpha, sigma = alpha_sigma(SCHEDULE, t, xt)
    assert (alpha**2 + sigma**2 - 1).abs().max() < 1e-15
    noise = NoiseSample(t, eps, torch.ones(2, 1))
    assert loss(lambda x, t, c: 0 * x, x0, torch.zeros(2, 1).double(), noise, SCHEDULE).dtype == torch.float64


def test_guidance_from_one_condition_to_another_is_the_guidance_of_editing(face_model):
    torch.manual_seed(0)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([9, 99])
    source, target = torch.ones(2, 40), -torch.ones(2, 40)
    p, q = face_model.network(x, t, source), face_model.network(x, t, target)
    edited = guided(face_model.network, target, 2.5, null=source)(x, t)
    assert (edited - (p + 2.5 * (q - p))).abs().max() < 1e-5
    assert torch.equal(guided(face_model.network, source, 2.5, null=source)(x, t), p), "nothing asked, nothing changed"
