"""The samplers against diffusers' own steps, on the same betas."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from ddpm_faces.diffusion.samplers import SAMPLERS, ddim, ddpm, dpm
from ddpm_faces.diffusion.schedule import Schedule


def toy_eps(x, t):
    return torch.sin(3 * x) * (0.5 + 0.4 * torch.cos(t.float() / 150))[:, None, None, None]


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_schedule_equals_diffusers(kind):
    name = {"cosine": "squaredcos_cap_v2", "linear": "linear"}[kind]
    theirs = DDPMScheduler(num_train_timesteps=1000, beta_schedule=name)
    ours = Schedule(kind, 1000)
    assert (ours.beta - theirs.betas).abs().max() < 1e-6
    assert (ours.alpha_bar - theirs.alphas_cumprod).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_equals_diffusers(kind, eta):
    schedule = Schedule(kind, 1000)
    theirs = DDIMScheduler(
        trained_betas=schedule.beta.numpy(), clip_sample=True, timestep_spacing="trailing", set_alpha_to_one=True
    )
    # diffusers keeps alpha_bar in float32, in which 1 - alpha_bar_s - sigma^2 loses all its digits at the last step (eta 1)
    theirs.alphas_cumprod = schedule.alpha_bar
    theirs.set_timesteps(20)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 8, generator=rng)
    noises = [torch.randn(2, 3, 8, 8, generator=rng) for _ in range(20)]
    ours = ddim(toy_eps, x, schedule, 20, iter(noises).__next__, clip=True, eta=eta)
    for state, t, noise in zip(ours, theirs.timesteps, noises, strict=True):
        assert state.t == t
        e = toy_eps(x, t.expand(2))
        x = theirs.step(e, t, x, eta=eta, use_clipped_model_output=True, variance_noise=noise).prev_sample
        assert (state.x - x).abs().max() < 1e-5
        x = state.x  # step by step: errors must not hide in, or build up from, earlier ones


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_ddpm_equals_diffusers(kind):
    schedule = Schedule(kind, 100)
    theirs = DDPMScheduler(
        num_train_timesteps=100, trained_betas=schedule.beta.numpy(), clip_sample=True, timestep_spacing="trailing"
    )
    theirs.set_timesteps(100)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    # both draw from a generator of the same seed, once a step but for the last
    here, there = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    ours = ddpm(toy_eps, x, schedule, 100, lambda: torch.randn(x.shape, generator=here), clip=True)
    for state, t in zip(ours, theirs.timesteps, strict=True):
        assert state.t == t
        x = theirs.step(toy_eps(x, t.expand(2)), int(t), x, generator=there).prev_sample
        assert (state.x - x).abs().max() < 1e-5
        x = state.x


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 10, 20])
def test_dpm_equals_diffusers(kind, steps):
    schedule = Schedule(kind, 1000)
    theirs = DPMSolverMultistepScheduler(
        trained_betas=schedule.beta.float().numpy(), algorithm_type="dpmsolver++", solver_order=2, prediction_type="sample"
    )
    theirs.set_timesteps(timesteps=schedule.timesteps(steps, "karras"))
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    ours = dpm(toy_eps, x, schedule, steps, lambda: pytest.fail("it asks for no noise"), clip=True)
    for state, t in zip(ours, theirs.timesteps, strict=True):
        assert state.t == t
        x = theirs.step(state.x0, int(t), x).prev_sample
        assert (state.x - x).abs().max() < 1e-5
        x = state.x


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("spacing", ["even", "karras"])
def test_timesteps_fall_from_the_noisiest_and_are_as_many_as_asked(kind, spacing):
    schedule = Schedule(kind, 1000)
    for n in (1, 2, 3, 15, 250, 999, 1000):
        ts = schedule.timesteps(n, spacing)
        assert len(ts) == n and ts[0] == 999 and min(ts) >= 0
        assert all(a > b for a, b in pairwise(ts))
    assert schedule.timesteps(15, "karras")[-1] == 0


@pytest.mark.parametrize("name, order", [("ddim", 1), ("dpm", 2)])
def test_twice_the_steps_divide_the_error_by_two_to_the_order(name, order):
    """For data N(m, s^2) the flow from noise to data is known in closed form: where each pixel should arrive, exactly."""
    schedule, m, s = Schedule("cosine", 1000), 0.3, 0.2

    def eps(x, t):
        ab = schedule.alpha_bar[t].float()[:, None, None, None]
        return (x - ab.sqrt() * m) * (1 - ab).sqrt() / (ab * s**2 + 1 - ab)

    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    ab = float(schedule.alpha_bar[-1])
    exact = m + s * (x - ab**0.5 * m) / (ab * s**2 + 1 - ab) ** 0.5
    errors = []
    for steps in (20, 40):
        *_, last = SAMPLERS[name].function(eps, x, schedule, steps, lambda: pytest.fail("they ask for no noise"), False)
        errors.append(float((last.x - exact).abs().mean()))
    assert errors[0] < 0.05 and 0.8 * 2**order < errors[0] / errors[1] < 1.25 * 2**order, errors


@pytest.mark.parametrize("name, steps", [("ddpm", 1000), ("ddim", 1000), ("dpm", 50)])
def test_samplers_reach_the_data_of_a_perfect_gaussian_model(name, steps):
    """For data N(m, s^2) the best eps is known in closed form, so the samples' mean and deviation are too."""
    schedule, m, s = Schedule("cosine", 1000), 0.3, 0.2
    rng = torch.Generator().manual_seed(0)

    def eps(x, t):
        ab = schedule.alpha_bar[t].float()[:, None, None, None]
        return (x - ab.sqrt() * m) * (1 - ab).sqrt() / (ab * s**2 + 1 - ab)

    x = torch.randn(64, 1, 16, 16, generator=rng)
    *_, last = SAMPLERS[name].function(eps, x, schedule, steps, lambda: torch.randn(x.shape, generator=rng), False)
    assert abs(last.x.mean().item() - m) < 0.01  # 16,384 pixels: a standard error of 0.0016
    assert abs(last.x.std().item() - s) < 0.01
