# %% [markdown]
# # 5. Samplers
#
# A trained network predicts the noise in a picture. How to get from noise to a picture with it is another question, and it has
# several answers: DDPM takes a thousand small random steps, DDIM fifty without chance, DPM-Solver++ fifteen. Here they are
# seen as one family, their errors are measured, and we watch a picture on its way.
#
# Equations are from Ho et al. 2020 (DDPM), Song et al. 2021 (DDIM), Lu et al. 2022 (DPM-Solver++) and Karras et al. 2022.

# %%
# Small settings, about a minute on two CPU cores. On a GPU: PICTURES, REFERENCE_STEPS = 64, 1000
PICTURES = 10  # digits on which errors are averaged
REFERENCE_STEPS = 250  # steps of what counts as exact

# %%
import matplotlib.pyplot as plt
import torch

import ddpm_faces
from ddpm_faces.attributes import one_hot
from ddpm_faces.course import check, show
from ddpm_faces.diffusion import samplers
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.samplers import ddim, ddpm, dpm
from ddpm_faces.generation import start_noise
from ddpm_faces.images import grid

torch.set_grad_enabled(False)
model = ddpm_faces.load("mnist32", device="auto")
schedule, shape = model.schedule, (1, 32, 32)
conditions = one_hot([i % 10 for i in range(PICTURES)]).to(model.device)
eps = guided(model.network, conditions, 1.0)  # what a sampler sees of a model: eps(x, t)
start = torch.stack([start_noise(shape, seed)[0] for seed in range(PICTURES)]).to(model.device)


def chance(seed=0):
    """Gives fresh noise each time it is called, as DDPM needs it: always the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(start.shape, generator=generator).to(model.device)


def last(states):
    """The picture at the end of a sampler's states."""
    *_, state = states
    return state.x


# %% [markdown]
# ## 1. One family
#
# All samplers do the same in a step from $t$ down to $s$. From the network's noise $\hat\epsilon$ they take the clean picture
# $\hat x_0$ (notebook 1), and from both they mix the picture of step $s$, with less noise in it (DDIM, equation 12):
#
# $$x_s = \sqrt{\bar\alpha_s}\; \hat x_0 + \sqrt{1 - \bar\alpha_s - \sigma^2}\; \hat\epsilon + \sigma z, \qquad z \sim \mathcal N(0, I).$$
#
# The noise of $x_s$ has variance $1 - \bar\alpha_s$ in any case. The only choice is how much of it is the old noise
# $\hat\epsilon$ and how much is new, $z$:
#
# $$\sigma = \eta\, \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}} \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_s}}, \qquad
# \eta = 0 \text{: DDIM, nothing new}, \qquad \eta = 1 \text{: DDPM}.$$

# %%
show(samplers.predict, first="e = eps", last="return")
show(samplers.ddim, first="for step", last="yield")

# %% [markdown]
# At $\eta = 1$ the variance $\sigma^2$ is that of the posterior in notebook 1, and a little algebra shows that the mean is the
# posterior's too. So DDPM's sampler, written with the posterior, and DDIM's at $\eta = 1$ must give the same picture:

# %%
show(samplers.ddpm, first="for step", last="yield")

# %%
as_ddpm = last(ddpm(eps, start, schedule, 20, chance(), clip=True))
as_ddim = last(ddim(eps, start, schedule, 20, chance(), clip=True, eta=1.0))
print(f"largest difference of a pixel: {float((as_ddpm - as_ddim).abs().max()):.1e} (of 2)")

# %% [markdown]
# ## 2. Without chance: a differential equation
#
# At $\eta = 0$ divide the step by $\sqrt{\bar\alpha_s}$, and write $\bar x = x / \sqrt{\bar\alpha}$ and $\bar\sigma = \sqrt{1
# - \bar\alpha} / \sqrt{\bar\alpha}$ for the picture at full strength and the noise beside it. All that is left is
#
# $$\bar x_s = \bar x_t + (\bar\sigma_s - \bar\sigma_t)\, \hat\epsilon(x_t, t) \qquad\text{(DDIM, equation 13)},$$
#
# a step of Euler's method for $\mathrm d\bar x / \mathrm d\bar\sigma = \hat\epsilon$. The picture follows a curve, and its
# start decides its end. Euler walks along the tangent; where the curve bends, he leaves it. His error falls as one over the
# number of steps.

# %%
show(samplers.ddim, first="x = ab_s")  # sigma is 0; divide by sqrt(ab_s)

# %% [markdown]
# **DPM-Solver++(2M)** remembers the last $\hat x_0$ and assumes that $\hat x_0$ goes on changing as it just did, in $\lambda =
# \log(\sqrt{\bar\alpha} / \sqrt{1 - \bar\alpha})$. With $h$ and $h'$ for this step's and the last step's length in $\lambda$:
#
# $$D = \hat x_0 + \frac{h}{2 h'} \big(\hat x_0 - \hat x_0^{\text{last}}\big), \qquad
# x_s = \sqrt{\bar\alpha_s}\; D + \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}}\, \big(x_t - \sqrt{\bar\alpha_t}\; D\big).$$
#
# With $D = \hat x_0$ this is DDIM's step. The correction makes it a method of second order: twice the steps, a quarter of the
# error.

# %%
show(samplers.dpm, first="last_x0, last_width", last="yield")

# %% [markdown]
# Its first step, which has no last $\hat x_0$, is DDIM's; that can be seen:

# %%
t, s = schedule.timesteps(10, "karras")[:2]
first = next(dpm(eps, start, schedule, 10, chance()))
ab_t, ab_s = (float(schedule.alpha_bar[i]) for i in (t, s))
e = (start - ab_t**0.5 * first.x0) / (1 - ab_t) ** 0.5
by_ddim = ab_s**0.5 * first.x0 + (1 - ab_s) ** 0.5 * e  # the formula of part 1, without chance
print(f"largest difference, of values up to {float(by_ddim.abs().max()):.0f}: {float((first.x - by_ddim).abs().max()):.1e}")

# %% [markdown]
# ## 3. Where the steps are
#
# The thousand steps of training are even in $t$. A sampler that takes 15 of them may choose. Even in $t$, the first step alone
# takes $\bar\sigma$ from 20,000 to about 10, which is too far; DPM-Solver++ here uses the spacing of Karras et al. 2022
# (equation 5), even in the seventh root of $\bar\sigma$:
#
# $$\bar\sigma_i = \Big(\bar\sigma_{\max}^{1/7} + \tfrac{i}{n - 1}\big(\bar\sigma_{\min}^{1/7} - \bar\sigma_{\max}^{1/7}\big)\Big)^7.$$
#
# Here $\bar\sigma_{\max} = 80$, above which there is nothing to see but noise. Only the first step is taken from the true
# beginning, 20,000: that jump does no harm, since $\hat x_0$ hardly changes on the way.

# %%
from ddpm_faces.diffusion.schedule import Schedule

show(Schedule.timesteps, first="sigma =", last="wanted =")

# %%
sigma = ((1 - schedule.alpha_bar) / schedule.alpha_bar).sqrt()
figure, axes = plt.subplots(figsize=(8, 2.2), layout="constrained")
for height, spacing in enumerate(("even", "karras")):
    axes.semilogx(sigma[schedule.timesteps(15, spacing)], [height] * 15, "o", label=spacing)
axes.set(xlabel=r"noise beside the picture, $\bar\sigma$ (sampling goes from right to left)", yticks=(0, 1), ylim=(-0.6, 1.6))
axes.set_yticklabels(("even", "karras"))
axes.set_title("15 steps of the same schedule")
plt.show()

# %% [markdown]
# ## 4. Steps against quality
#
# DDIM and DPM-Solver++ approximate the same curve, so there is an exact answer: the picture at its end. With very many steps
# either gives it to within what we care about. How far from it are fewer steps? (Root mean square over all pixels, which lie
# between -1 and 1.)

# %%
reference = last(dpm(eps, start, schedule, REFERENCE_STEPS, chance(), clip=True))
counts = (5, 8, 12, 18, 27, 40)
error = {
    name: [
        float((last(sampler(eps, start, schedule, n, chance(), clip=True)) - reference).square().mean().sqrt()) for n in counts
    ]
    for name, sampler in (("ddim", ddim), ("dpm", dpm))
}

# %% [markdown]
# For a network the exact answer is itself computed. There is one model whose curve is known on paper: the linear guess of
# notebook 1, the package's `Gaussian`. Each of its frequencies keeps its place relative to the mean, in units of its
# deviation:
#
# $$x_0 = m + \sqrt{\frac{s^2}{\bar\alpha_T\, s^2 + 1 - \bar\alpha_T}}\, \big(x_T - \sqrt{\bar\alpha_T}\, m\big)
# \quad\text{for a frequency of mean } m \text{ and variance } s^2.$$
#
# With it the samplers can be tested against the truth.

# %%
show(type(model.network.gaussian).variance_of_xt)

# %%
from ddpm_faces.diffusion.process import mix

gaussian = model.network.gaussian
noisiest = torch.full((PICTURES,), schedule.steps - 1, device=model.device)
share = mix(schedule, noisiest, start)
stretch = (gaussian.variance / gaussian.variance_of_xt(share)).sqrt()
truth = gaussian.mean + gaussian.inverse(gaussian.transform(start - share.signal * gaussian.mean) * stretch)


def gaussian_eps(x, t):
    return gaussian(x, mix(schedule, t, x)).eps


many = (10, 20, 40, 80, 160)
exact_error = {
    name: [float((last(sampler(gaussian_eps, start, schedule, n, chance())) - truth).square().mean().sqrt()) for n in many]
    for name, sampler in (("ddim", ddim), ("dpm", dpm))
}

figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for axes, x, errors, title in zip(
    panels, (counts, many), (error, exact_error), ("digits: against many steps", "Gaussian: against the truth"), strict=True
):
    for name, label in (("ddim", "DDIM"), ("dpm", "DPM-Solver++")):
        axes.loglog(x, errors[name], "o-", label=label)
        axes.set(xlabel="steps", ylabel="error of a pixel (RMS)", title=title)
    axes.set_xticks(x, [str(n) for n in x])
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.legend()
plt.show()

# %% [markdown]
# DDIM's lines fall with the number of steps, DPM-Solver++'s with about its square: on the Gaussian it does in 40 steps more
# than DDIM in 160. (Their spacing differs, too, and a real network's curves bend more sharply than a Gaussian's, so that few
# steps are not enough for the order to show.)
#
# DDPM has no exact answer: it draws another picture each time. There the eye must judge, here on two faces from the same two
# noises:

# %%
columns, names = (5, 10, 20, 50), {"DDPM": "ddpm", "DDIM": "ddim", "DPM-Solver++": "dpm"}
faces = ddpm_faces.load("celeba64", device="auto")
blocks = [
    ddpm_faces.generate(faces, "Smiling", n=2, seed=30, sampler=name, steps=n) for name in names.values() for n in columns
]
grid(torch.cat(blocks), columns=8, left=list(names), top=[f"{n} steps" for n in columns for _ in range(2)])

# %% [markdown]
# With few steps DDPM and DDIM are pale and smooth: they go a long way towards an $\hat x_0$ that is the mean of many pictures
# (notebook 1). DPM-Solver++ has all its contrast after 10 steps and hardly changes any more. It and DDIM draw the same
# persons, since they follow the same curve; DDPM draws others, because chance has its say on the way. How good the pictures
# are is another matter. The curve is the network's, with the network's errors: of the shipped model's faces a detector finds a
# few more after 8 steps of DPM-Solver++ than after 15, which follow it more closely, but strips change less evenly
# (`benchmarks/README.md`; `python -m ddpm_faces.evaluate` measures both).
#
# ## 5. Determinism
#
# Without chance on the way, the starting noise decides everything. Then the noise is a *name* of the picture: the same noise
# under another condition gives the same handwriting (notebook 2), and noise between two others gives pictures between.
# ("Between" here is along an arc, $\cos a\, z_1 + \sin a\, z_2$: the plain mean of two noises has too little variance to be noise.)

# %%
again = last(ddim(eps, start, schedule, 20, chance(seed=1), clip=True))
once = last(ddim(eps, start, schedule, 20, chance(seed=0), clip=True))
print(f"DDIM, another chance on the way: largest difference {float((again - once).abs().max())}")
other = last(ddpm(eps, start, schedule, 20, chance(seed=1), clip=True))
print(f"DDPM, another chance on the way: largest difference {float((other - as_ddpm).abs().max()):.2f}")

alone = ddpm_faces.generate(model, "7", seed=5)
in_company = ddpm_faces.generate(model, [3, 1, 7], seed=[3, 4, 5])[2:]
print(
    f"a picture alone and in a batch differs by {float((alone - in_company).abs().max()):.4f}: rounding, 1 of 255 shades is 0.0078"
)

angles = torch.linspace(0, torch.pi / 2, 9)
between = torch.stack([a.cos() * start[2] + a.sin() * start[5] for a in angles])
three = guided(model.network, one_hot([3] * 9).to(model.device), 2.0)
nothing = guided(model.network, torch.zeros(9, 10, device=model.device), 1.0)
rows = [last(dpm(f, between, schedule, 15, chance(), clip=True)).cpu() for f in (three, nothing)]
grid(torch.cat(rows), columns=9, zoom=2, left=["asked: 3", "asked: nothing"], title="from one noise to another")

# %% [markdown]
# Small changes of the noise change little, and the hand changes smoothly; with no class asked for, the class itself changes on
# the way. Interpolation and editing rest on this, and so does going backwards from a picture to its noise.
#
# ## 6. A trajectory
#
# A sampler is a generator: it yields its state in each step, the picture $x$ now and the clean one $\hat x_0$ that it believes
# in. Here is one digit's way, under two samplers.

# %%
show(samplers.State)

# %%
watch, wanted = 6, 8  # which picture, how many moments


def way(sampler, n):
    """(x, believed x0) of the watched picture at `wanted` moments."""
    states = list(sampler(eps, start, schedule, n, chance(), True))
    chosen = [states[round(i)] for i in torch.linspace(0, n - 1, wanted).tolist()]
    return [s.x[watch].cpu() for s in chosen], [s.x0[watch].cpu() for s in chosen]


pictures = [picture for sampler, n in ((ddpm, 100), (dpm, 15)) for row in way(sampler, n) for picture in row]
grid(
    torch.stack(pictures),
    columns=wanted,
    zoom=3,
    left=["DDPM: x", "believed x0", "DPM: x", "believed x0"],
    top=["first step", *[""] * (wanted - 2), "last step"],
)

# %% [markdown]
# $\hat x_0$ begins as the mean of all sixes, decides on a shape while $x$ is still noise to the eye, and adds detail at the
# end. DPM's $x$ stays clean of new noise; DDPM's noise is renewed at every step.
#
# The same as curves: a few pixels' values $\bar x = x / \sqrt{\bar\alpha}$ against the noise $\bar\sigma$, which falls
# from left to right as sampling proceeds.
# Without chance the curves are smooth, nearly straight at first, which is why few steps are enough; DDPM's walk around.

# %%
figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", sharey=True)
pixels = [(10, 14), (16, 16), (20, 12), (22, 20)]
for axes, (name, sampler) in zip(panels, (("DDIM, 60 steps", ddim), ("DDPM, 60 steps", ddpm)), strict=True):
    ts = schedule.timesteps(60)
    landing = torch.tensor([*schedule.alpha_bar[ts[1:]].tolist(), 1.0])  # alpha_bar where each step lands
    xs = torch.stack([state.x[watch, 0].cpu() for state in sampler(eps, start, schedule, 60, chance(), True)])
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
# Most end near black or white, -1 or 1 (grey lines); a pixel on the edge of a stroke may end grey.
#
# ## Exercises
#
# ### Exercise 1
# Write a step of DDIM without chance, from $\bar\alpha_t$ to $\bar\alpha_s$, given $x_t$ and the noise in it. (No clipping.)


# %%
def ddim_step(xt, eps_t, ab_t, ab_s):
    """x_s from x_t; ab_t and ab_s are numbers."""
    return ...


def as_the_package(result):
    states = ddim(eps, start, schedule, 4, chance())
    before, after = next(states), next(states)
    t, s = schedule.timesteps(4)[1:3]
    told = eps(before.x, torch.full((PICTURES,), t, device=model.device))
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
# How often is the network asked? Count the *pictures* that go through it while `dpm` draws one digit in 15 steps with guidance
# 3. Wrap the network in a function that counts, and give that to `guided`.

# %%
pictures_through = ...

check(pictures_through, lambda n: n == 30, "with guidance each picture goes through twice a step")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# pictures_through = 0
#
#
# def counting(x, t, c):
#     global pictures_through
#     pictures_through += len(x)
#     return model.network(x, t, c)
#
#
# last(dpm(guided(counting, conditions[:1], 3.0), start[:1], schedule, 15, chance(), True))
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# On the curve of part 4: what order does DDIM have on the Gaussian? Estimate it from its errors at 80 and 160 steps, as
# $\log_2(\text{error}_{80} / \text{error}_{160})$, which is 1 if twice the steps halve the error.

# %%
order = ...

check(
    order,
    lambda p: abs(p - torch.tensor(exact_error["ddim"][-2] / exact_error["ddim"][-1]).log2()) < 1e-4,
    "exact_error['ddim'] is a list in the order of `many`",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
# order = math.log2(exact_error["ddim"][-2] / exact_error["ddim"][-1])
# ```
# </details>
#
# This is the end of the course. `README.md` says how to train on your own data, and `ddpm_faces/diffusion/` is short enough to
# read whole.
