# %% [markdown]
# # 5. Samplers
#
# A trained network predicts the noise in an image. How do we get from noise to an image with it? There are several answers.
# DDPM takes a thousand small random steps. DDIM takes fifty without randomness. DPM-Solver++ takes fifteen. This notebook shows
# them as one family, measures their errors, and watches an image on its way.
#
# Equations are from Ho et al. 2020 (DDPM), Song et al. 2021 (DDIM), Lu et al. 2022 (DPM-Solver++) and Karras et al. 2022.

# %%
# Small settings: about a minute on one CPU core. On a GPU: IMAGES, REFERENCE_STEPS = 64, 1000
IMAGES = 10  # digits over which errors are averaged
REFERENCE_STEPS = 120  # steps of the solution that counts as exact

# %%
import matplotlib.pyplot as plt
import torch

import ddpm_faces
from ddpm_faces.conditions import DIGITS
from ddpm_faces.diffusion import samplers, sampling
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.samplers import ddim, ddpm, dpm
from ddpm_faces.generation.generate import generate, start_noise
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid

torch.set_grad_enabled(False)
model = ddpm_faces.load("mnist32", device="auto")
schedule = model.schedule
conditions = DIGITS.one_hot_vectors([i % 10 for i in range(IMAGES)]).to(model.device)
eps = guided(model.network, conditions)  # what a sampler sees of a model: eps(x, t)
start = torch.stack([start_noise(model.image_shape, seed)[0] for seed in range(IMAGES)]).to(model.device)


def noise_source(seed=0, like=start):
    """A function that returns fresh noise at each call, as DDPM needs it; the same sequence for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(like.shape, generator=rng).to(like.device)


def last(states):
    """The image at the end of a sampler's states."""
    *_, state = states
    return state.x


def rms(difference):
    """Root mean square over all pixels."""
    return float(difference.square().mean().sqrt())


# %% [markdown]
# ## 1. One family
#
# A step from $t$ down to $s$ is the same in all samplers. They turn the predicted noise $\hat\epsilon$ into a clean image
# $\hat x_0$ (notebook 1), and mix the two into the image of step $s$, which has less noise (DDIM, equation 12):
#
# $$x_s = \sqrt{\bar\alpha_s}\; \hat x_0 + \sqrt{1 - \bar\alpha_s - \sigma^2}\; \hat\epsilon + \sigma z, \qquad z \sim \mathcal N(0, I).$$
#
# The noise in $x_s$ has variance $1 - \bar\alpha_s$ in any case. One choice is left: how much of it is the old noise
# $\hat\epsilon$, and how much is new noise $z$?
#
# $$\sigma = \eta\, \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}} \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_s}}, \qquad
# \eta = 0 \text{: DDIM, no new noise}, \qquad \eta = 1 \text{: DDPM}.$$

# %%
show(sampling.predict, first="e = eps", last="return")
show(samplers.ddim, first="for step", last="yield")

# %% [markdown]
# At $\eta = 1$ the variance $\sigma^2$ is that of the posterior in notebook 1. A little algebra shows that the mean is the
# posterior's too. So DDPM's sampler, written with the posterior, and DDIM's at $\eta = 1$ must draw the same image:

# %%
show(samplers.ddpm, first="for step", last="yield")

# %%
as_ddpm = last(ddpm(eps, start, schedule, 20, noise_source(), clip=True))
as_ddim = last(ddim(eps, start, schedule, 20, noise_source(), clip=True, eta=1.0))
print(f"largest difference of a pixel: {float((as_ddpm - as_ddim).abs().max()):.1e} (the range is 2)")

# %% [markdown]
# ## 2. Without new noise: a differential equation
#
# Set $\eta = 0$ and divide the step by $\sqrt{\bar\alpha_s}$. Write $\bar x = x / \sqrt{\bar\alpha}$ for the image at full
# strength and $\bar\sigma = \sqrt{1 - \bar\alpha} / \sqrt{\bar\alpha}$ for the noise in it. Then all that is left is
#
# $$\bar x_s = \bar x_t + (\bar\sigma_s - \bar\sigma_t)\, \hat\epsilon(x_t, t) \qquad\text{(DDIM, equation 13)}.$$
#
# This is a step of Euler's method for $\mathrm d\bar x / \mathrm d\bar\sigma = \hat\epsilon$. The image follows a curve, and
# the start of the curve decides its end. Euler's method walks along the tangent and leaves the curve where it bends. Its error
# falls as one over the number of steps.

# %%
show(samplers.ddim, first="x = ab_s")  # sigma is 0; divide by sqrt(ab_s)

# %% [markdown]
# **DPM-Solver++(2M)** remembers the last $\hat x_0$. It assumes that $\hat x_0$ goes on changing as it just did, in
# $\lambda = \log(\sqrt{\bar\alpha} / \sqrt{1 - \bar\alpha})$. Let $h$ and $h'$ be the widths of this step and the last one in
# $\lambda$:
#
# $$D = \hat x_0 + \frac{h}{2 h'} \big(\hat x_0 - \hat x_0^{\text{last}}\big), \qquad
# x_s = \sqrt{\bar\alpha_s}\; D + \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}}\, \big(x_t - \sqrt{\bar\alpha_t}\; D\big).$$
#
# With $D = \hat x_0$ this is DDIM's step. The correction makes the method one of second order: twice the steps, a quarter of
# the error.

# %%
show(samplers.dpm_along, first="last_x0, last_width", last="yield")

# %% [markdown]
# Its first step has no last $\hat x_0$, so it must be DDIM's:

# %%
t, s = schedule.timesteps(10, "karras")[:2]
first = next(dpm(eps, start, schedule, 10, noise_source()))
ab_t, ab_s = (float(schedule.alpha_bar[i]) for i in (t, s))
e = (start - ab_t**0.5 * first.x0) / (1 - ab_t) ** 0.5
by_ddim = ab_s**0.5 * first.x0 + (1 - ab_s) ** 0.5 * e  # the formula of part 1, without new noise
print(f"largest difference, of values up to {float(by_ddim.abs().max()):.0f}: {float((first.x - by_ddim).abs().max()):.1e}")

# %% [markdown]
# ## 3. Where the steps are
#
# Training spreads its thousand steps evenly over $t$. A sampler that takes 15 of them may choose. With even steps the first one
# alone takes $\bar\sigma$ from 20,000 to about 10, which is too far. DPM-Solver++ here uses the spacing of Karras et al. 2022
# (equation 5), which is even in the seventh root of $\bar\sigma$:
#
# $$\bar\sigma_i = \Big(\bar\sigma_{\max}^{1/7} + \tfrac{i}{n - 1}\big(\bar\sigma_{\min}^{1/7} - \bar\sigma_{\max}^{1/7}\big)\Big)^7.$$
#
# Here $\bar\sigma_{\max} = 80$; above it there is nothing to see but noise. Only the first step begins at the schedule's true
# end, 20,000. That jump does no harm to DDIM and DPM-Solver++. Their first step holds $\hat x_0$ still, and on the way to 80
# $\hat x_0$ changes by hardly anything, say $d$.
#
# It does harm a solver that averages the *noise* of both ends, such as Heun's method. At $\bar\sigma = 80$ a change of $d$ in
# $\hat x_0$ is a change of $d / 80$ in the noise. Half of the jump, 10,000, multiplies it: an error of $125\, d$. Such a solver
# must take its first step by DDIM. Notebook 6 does, and measures the difference.

# %%
from ddpm_faces.diffusion.schedule import Schedule

show(Schedule.timesteps, first="sigma =", last="wanted =")

# %%
sigma = ((1 - schedule.alpha_bar) / schedule.alpha_bar).sqrt()
figure, axes = plt.subplots(figsize=(8, 2.2), layout="constrained")
for height, spacing in enumerate(("even", "karras")):
    axes.semilogx(sigma[schedule.timesteps(15, spacing)], [height] * 15, "o", label=spacing)
axes.set(xlabel=r"noise beside the image, $\bar\sigma$ (sampling goes from right to left)", yticks=(0, 1), ylim=(-0.6, 1.6))
axes.set_yticklabels(("even", "karras"))
axes.set_title("15 steps of the same schedule")
plt.show()

# %% [markdown]
# ## 4. Steps against quality
#
# DDIM and DPM-Solver++ approximate the same curve. So there is an exact answer: the image at its end. With very many steps
# either comes as close to it as we care. How far from it are fewer steps? (Root mean square over all pixels, which lie between
# -1 and 1.)

# %%
reference = last(dpm(eps, start, schedule, REFERENCE_STEPS, None, clip=True))
counts = (5, 8, 12, 18, 27, 40)
error = {
    name: [rms(last(sampler(eps, start, schedule, n, None, clip=True)) - reference) for n in counts]
    for name, sampler in (("DDIM", ddim), ("DPM-Solver++", dpm))
}

# %% [markdown]
# For a network the exact answer is itself computed. One model has a curve that is known on paper: the linear denoiser of
# notebook 1. Each of its frequencies keeps its distance from the mean, in units of its standard deviation:
#
# $$x_0 = m + \sqrt{\frac{s^2}{\bar\alpha_T\, s^2 + 1 - \bar\alpha_T}}\, \big(x_T - \sqrt{\bar\alpha_T}\, m\big)
# \quad\text{for a frequency of mean } m \text{ and variance } s^2.$$
#
# It tests the samplers against the truth.

# %%
show(type(model.network.linear_denoiser).variance_of_xt)

# %%
from ddpm_faces.diffusion.process import alpha_sigma

linear_denoiser = model.network.linear_denoiser
at = alpha_sigma(schedule, torch.full((IMAGES,), schedule.steps - 1), start)
stretch = (linear_denoiser.variance / linear_denoiser.variance_of_xt(at)).sqrt()
truth = linear_denoiser.mean + linear_denoiser.inverse(
    linear_denoiser.transform(start - at.alpha * linear_denoiser.mean) * stretch
)


def linear_eps(x, t):
    return linear_denoiser(x, alpha_sigma(schedule, t, x)).eps


many = (10, 20, 40, 80, 160)
exact_error = {
    name: [rms(last(sampler(linear_eps, start, schedule, n, None)) - truth) for n in many]
    for name, sampler in (("DDIM", ddim), ("DPM-Solver++", dpm))
}

figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
titles = ("digits: against many steps", "linear denoiser: against the truth")
for axes, x, errors, title in zip(panels, (counts, many), (error, exact_error), titles, strict=True):
    for name, values in errors.items():
        axes.loglog(x, values, "o-", label=name)
    axes.set(xlabel="steps", ylabel="error of a pixel (RMS)", title=title)
    axes.set_xticks(x, [str(n) for n in x])
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.legend()
plt.show()

# %% [markdown]
# DDIM's error falls with the number of steps, DPM-Solver++'s with about its square. On the linear denoiser DPM-Solver++ needs
# 40 steps to do better than DDIM does in 160. (Their spacing differs, too. And the curves of a real network bend more sharply,
# so that few steps do not show the order.)
#
# A *step* is one network evaluation in these three samplers. That is not so in general: Heun's method needs two. Compare
# samplers at equal evaluations.
#
# DDPM has no exact answer, because it draws another image each time. There the eye must judge. Here are two faces from the same
# two noises:

# %%
columns, names = (5, 10, 20, 40), {"DDPM": "ddpm", "DDIM": "ddim", "DPM-Solver++": "dpm"}
faces = ddpm_faces.load("celeba64", device="auto")
blocks = [generate(faces, "Smiling", n=2, seed=30, sampler=name, steps=n) for name in names.values() for n in columns]
grid(torch.cat(blocks), columns=8, left=list(names), top=[f"{n} steps" for n in columns for _ in range(2)])

# %% [markdown]
# With few steps DDPM and DDIM are pale and smooth. They go a long way towards an $\hat x_0$ that is the mean of many images
# (notebook 1). DPM-Solver++ has all its contrast after 10 steps and then hardly changes. DDIM and DPM-Solver++ draw the same
# faces, because they follow the same curve. DDPM draws others, because new noise decides on the way.
#
# How good the images are is another question. The curve is the network's, with the network's errors. When the shipped model had
# seen 600,000 faces, a face detector found a few more of its faces after 8 steps of DPM-Solver++ than after 15, which follow the
# curve more closely. But with 8 steps strips changed less evenly. `python -m ddpm_faces.evaluate` measures both.
#
# Fewer steps still need a network that was trained for them: `celeba64-fast` lands in four calls where its teacher's curve ends
# (`ddpm_faces/training/distillation.py`).
#
# ## 5. Determinism
#
# Without new noise on the way, the start noise decides everything. So the noise is a *name* of the image. The same noise under
# another condition gives the same handwriting (notebook 2), and noise between two others gives images between theirs.
# ("Between" means along an arc, $\cos a\, z_1 + \sin a\, z_2$. The plain mean of two noises has too little variance to be
# noise.)

# %%
again = last(ddim(eps, start, schedule, 20, noise_source(seed=1), clip=True))
once = last(ddim(eps, start, schedule, 20, noise_source(seed=0), clip=True))
print(f"DDIM, other noise on the way: largest difference {float((again - once).abs().max())}")
other = last(ddpm(eps, start, schedule, 20, noise_source(seed=1), clip=True))
print(f"DDPM, other noise on the way: largest difference {float((other - as_ddpm).abs().max()):.2f}")

alone = generate(model, "7", seed=5)
in_company = generate(model, [3, 1, 7], seed=[3, 4, 5])[2:]
difference = float((alone - in_company).abs().max())
print(f"an image alone and in a batch: largest difference {difference:.4f}, which is rounding (one of 255 shades is 0.0078)")

angles = torch.linspace(0, torch.pi / 2, 9)
between = torch.stack([a.cos() * start[2] + a.sin() * start[5] for a in angles])
three = guided(model.network, DIGITS.one_hot_vectors([3] * 9).to(model.device), 2.0)
nothing = guided(model.network, torch.zeros(9, 10, device=model.device))
rows = [last(dpm(f, between, schedule, 15, None, clip=True)).cpu() for f in (three, nothing)]
grid(torch.cat(rows), columns=9, zoom=2, left=["asked: 3", "asked: nothing"], title="from one noise to another")

# %% [markdown]
# Small changes of the noise change little, and the handwriting changes smoothly. Where no class is asked for, the class changes
# on the way. Interpolation and editing build on this. So does inversion, which walks from an image back to its noise.
#
# ## 6. A trajectory
#
# A sampler is a generator. In each step it yields its state: the image $x$ now, and the clean image $\hat x_0$ that it
# predicts. Here is the way of one digit under two samplers.

# %%
show(sampling.State)

# %%
watch, moments = slice(6, 7), 8  # which image, and how many moments of its way
watched_eps, watched_start = guided(model.network, conditions[watch]), start[watch]


def way(sampler, n):
    """All states of the watched image."""
    return list(sampler(watched_eps, watched_start, schedule, n, noise_source(like=watched_start), True))


rows = []
for states in (way(ddpm, 100), way(dpm, 15)):
    chosen = [states[round(i)] for i in torch.linspace(0, len(states) - 1, moments).tolist()]
    rows += [torch.cat([s.x for s in chosen]).cpu(), torch.cat([s.x0 for s in chosen]).cpu()]
left = ["DDPM: x", "predicted x0", "DPM-Solver++: x", "predicted x0"]
grid(torch.cat(rows), columns=moments, zoom=3, left=left, top=["first step", *[""] * (moments - 2), "last step"])

# %% [markdown]
# $\hat x_0$ begins as the mean of all sixes. It decides on a shape while $x$ still looks like noise, and adds detail at the
# end. The $x$ of DPM-Solver++ receives no new noise. DDPM renews its noise at every step.
#
# The same as curves: the values $\bar x = x / \sqrt{\bar\alpha}$ of a few pixels against the noise $\bar\sigma$. Sampling goes
# from left to right. Without new noise the curves are smooth and nearly straight at first, which is why few steps are enough.
# DDPM's walk around.

# %%
figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", sharey=True)
pixels = [(10, 14), (16, 16), (20, 12), (22, 20)]
for axes, (name, sampler) in zip(panels, (("DDIM, 60 steps", ddim), ("DDPM, 60 steps", ddpm)), strict=True):
    landing = torch.tensor([*schedule.alpha_bar[schedule.timesteps(60)[1:]].tolist(), 1.0])  # alpha_bar where each step lands
    xs = torch.stack([state.x[0, 0].cpu() for state in way(sampler, 60)])
    noise_left = ((1 - landing) / landing).sqrt()
    near = noise_left < 8
    for row, column in pixels:
        axes.plot(noise_left[near], (xs[:, row, column] / landing.sqrt())[near], ".-", linewidth=1)
    axes.axhline(-1, color="gray", linewidth=0.6)
    axes.axhline(1, color="gray", linewidth=0.6)
    axes.set(title=name, xlabel=r"$\bar\sigma$", xlim=(8, -0.2))
panels[0].set_ylabel(r"$\bar x$ of four pixels")
plt.show()

# %% [markdown]
# Most pixels end near black or white, -1 or 1 (grey lines). A pixel on the edge of a stroke may end grey.
#
# ## Exercises
#
# ### Exercise 1
# Write a step of DDIM without new noise, from $\bar\alpha_t$ to $\bar\alpha_s$, given $x_t$ and the noise in it. Do not clip.


# %%
def ddim_step(xt, eps_t, ab_t, ab_s):
    """x_s from x_t; ab_t and ab_s are numbers."""
    return ...


def as_the_package(result):
    states = ddim(eps, start, schedule, 4, None)
    before, after = next(states), next(states)
    t, s = schedule.timesteps(4)[1:3]
    told = eps(before.x, torch.full((IMAGES,), t, device=model.device))
    mine = ddim_step(before.x, told, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s]))
    return float((mine - after.x).abs().max()) < 1e-3


check(lambda: ddim_step(start, start, 0.1, 0.3), as_the_package, "first x0, then mix x0 and the noise anew")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def ddim_step(xt, eps_t, ab_t, ab_s):
#     x0 = (xt - (1 - ab_t) ** 0.5 * eps_t) / ab_t**0.5
#     return ab_s**0.5 * x0 + (1 - ab_s) ** 0.5 * eps_t
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# How often is the network asked? Count the *images* that go through it while `dpm` draws one digit in 15 steps with guidance 3.
# Wrap the network in a function that counts, and pass that function to `guided`.

# %%
images_through = ...

check(images_through, lambda n: n == 30, "with guidance each image goes through twice a step")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# images_through = 0
#
#
# def counting(x, t, c):
#     global images_through
#     images_through += len(x)
#     return model.network(x, t, c)
#
#
# last(dpm(guided(counting, conditions[:1], 3.0), start[:1], schedule, 15, None, True))
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# What order does DDIM have on the linear denoiser? Estimate it from its errors at 80 and 160 steps in part 4, as
# $\log_2(\text{error}_{80} / \text{error}_{160})$. It is 1 if twice the steps halve the error.

# %%
order = ...

check(
    order,
    lambda p: abs(p - torch.tensor(exact_error["DDIM"][-2] / exact_error["DDIM"][-1]).log2()) < 1e-4,
    "exact_error['DDIM'] is a list in the order of `many`",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
# order = math.log2(exact_error["DDIM"][-2] / exact_error["DDIM"][-1])
# ```
# </details>
#
# **Next:** [6_measuring](6_measuring.ipynb): how good are the images, and what must one not believe?
