# %% [markdown]
# # 1. Noise
#
# A diffusion model learns one thing only: to predict the noise in a picture. This notebook is about that noise: how it is added,
# how much there is at each step, why predicting it is the same as removing it, and how one goes back by a single step.
#
# Nothing is trained here. The equations are those of Ho et al. 2020 ("DDPM"); under each stand the package's own lines that
# compute it, read from the installed files.

# %%
# Small settings; all of it runs in about a minute on two CPU cores. On a GPU: FACES, DRAWS = 64, 5_000_000
FACES = 12  # pictures on which the errors of part 5 are averaged
DRAWS = 400_000  # random numbers in the simulations

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import ddpm_faces
from ddpm_faces.course import check, show
from ddpm_faces.data.toyfaces import toy_faces
from ddpm_faces.diffusion.process import add_noise, posterior, x0_from_eps
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.images import grid

torch.set_grad_enabled(False)  # nothing is learned in this notebook
rng = torch.Generator().manual_seed(0)

# %% [markdown]
# ## 1. A little noise, a thousand times
#
# A picture is a point $x_0$ in a space with one axis for each pixel and colour, scaled to $[-1, 1]$. The forward process
# shrinks it slightly and adds a little Gaussian noise, and does so $T = 1000$ times (DDPM, equation 2):
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\big(\sqrt{1 - \beta_t}\; x_{t-1},\ \beta_t I\big), \qquad
# x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon_t, \quad \epsilon_t \sim \mathcal N(0, I).$$
#
# The factor $\sqrt{1 - \beta_t}$ keeps the size: if $x_{t-1}$ has variance 1, then $x_t$ has $(1 - \beta_t) + \beta_t = 1$
# too. Below, two toy faces (drawings that the package makes from a seed) are taken through all thousand steps, one after the
# other. (The package itself never does this, for part 3 gives a short cut, so the step is written out here.)

# %%
schedule = Schedule()  # the cosine schedule of 1000 steps, with which the shipped models were trained
pictures, _ = toy_faces(2, 64, seed=4)
faces = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1  # (2, 3, 64, 64) in [-1, 1]

watched = [0, 99, 249, 499, 749, 999]
x, seen = faces, []
for t, beta in enumerate(schedule.beta.tolist()):
    x = (1 - beta) ** 0.5 * x + beta**0.5 * torch.randn(x.shape, generator=rng)
    if t in watched:
        seen.append(x)
grid(torch.stack(seen, dim=1).flatten(0, 1), columns=6, top=[f"t = {t}" for t in watched])

# %% [markdown]
# In the code the steps are counted from 0 to 999, in the paper from 1 to 1000: `t = 0` is the picture after one step, hardly
# changed, while $x_0$ in the formulas is always the clean picture, and the $\bar\alpha$ before the first step is 1. (Values outside
# $[-1, 1]$ are cut off for display.) At the end nothing is left of the face: $x_{999}$ cannot be told from pure noise. That is
# the point: everybody can draw pure noise, so whoever can go *back* from there can draw faces.

# %% [markdown]
# ## 2. The schedule
#
# How much noise comes when is a choice. The package's default is the squared cosine of Nichol & Dhariwal 2021 (equation 17),
# which fixes the share of the picture that is left, $\bar\alpha$ (part 3 says why it is called that), and takes the $\beta_t$
# from it:
#
# $$\bar\alpha(u) = \frac{f(u)}{f(0)}, \qquad f(u) = \cos^2\!\Big(\frac{u + 0.008}{1.008} \cdot \frac{\pi}{2}\Big), \qquad
# \beta_t = \min\Big(1 - \frac{f(u_{t+1})}{f(u_t)},\ 0.999\Big), \qquad u_t = t / T.$$
#
# The other one, DDPM's, lets $\beta_t$ rise in a straight line from $10^{-4}$ to $0.02$. (On the logarithmic axis
# below, a straight line looks bent.)

# %%
show(Schedule.beta)

# %%
linear = Schedule("linear")
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for s in (schedule, linear):
    left.plot(s.beta, label=s.kind)
    right.plot(s.alpha_bar, label=s.kind)
left.legend()
left.set(title=r"noise added at each step, $\beta_t$", xlabel="step t", yscale="log")
right.set(title=r"share of the picture left, $\bar\alpha_t$", xlabel="step t")
right.legend()
plt.show()

# %% [markdown]
# The linear schedule is finished early: after 700 steps less than one percent of the variance is the picture's, and the remaining
# 300 teach a network little. The cosine falls evenly. The same face, under both:

# %%
steps = list(range(100, 1000, 150))
noise = torch.randn((1, 3, 64, 64), generator=rng)
rows = [add_noise(faces[:1].repeat(len(steps), 1, 1, 1), noise, torch.tensor(steps), s) for s in (linear, schedule)]
grid(torch.cat(rows), columns=len(steps), top=[f"t = {t}" for t in steps], left=["linear", "cosine"])

# %% [markdown]
# ## 3. The closed form
#
# A thousand steps to make one training picture would be slow. But a sum of Gaussians is a Gaussian. Write $\alpha_t = 1 -
# \beta_t$ and put the step to $x_{t-1}$ into the step to $x_t$:
#
# $$x_t = \sqrt{\alpha_t \alpha_{t-1}}\; x_{t-2} + \underbrace{\sqrt{\alpha_t (1 - \alpha_{t-1})}\; \epsilon_{t-1} +
# \sqrt{1 - \alpha_t}\; \epsilon_t}_{\text{independent: the variances add to } 1 - \alpha_t \alpha_{t-1}} =
# \sqrt{\alpha_t \alpha_{t-1}}\; x_{t-2} + \sqrt{1 - \alpha_t \alpha_{t-1}}\; \epsilon.$$
#
# Go on like this down to $x_0$, and only the product of all alphas is left (DDPM, equation 4):
#
# $$\bar\alpha_t = \prod_{s \le t} \alpha_s, \qquad q(x_t \mid x_0) = \mathcal N\big(\sqrt{\bar\alpha_t}\; x_0,\ (1 - \bar\alpha_t) I\big), \qquad
# x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon.$$

# %%
show(Schedule.alpha_bar)
show(add_noise)

# %% [markdown]
# Is it true? Take one pixel of value 0.7 through $t$ single steps, many times over, and compare the mean and the spread with
# the closed form.

# %%
pixel = torch.full((DRAWS,), 0.7)
print("   t    mean: simulated  closed form    deviation: simulated  closed form")
for t, beta in enumerate(schedule.beta[:601].tolist()):
    pixel = (1 - beta) ** 0.5 * pixel + beta**0.5 * torch.randn(pixel.shape, generator=rng)
    if t % 200 == 0:
        alpha_bar = float(schedule.alpha_bar[t])
        print(
            f"{t:4}    {pixel.mean():15.4f}  {alpha_bar**0.5 * 0.7:11.4f}    {pixel.std():20.4f}  {(1 - alpha_bar) ** 0.5:11.4f}"
        )

# %% [markdown]
# ## 4. Signal and noise
#
# What makes a step hard is neither $t$ nor $\beta_t$ but how strong the picture is beside the noise, the signal-to-noise
# ratio:
#
# $$\mathrm{SNR}_t = \frac{\bar\alpha_t}{1 - \bar\alpha_t}, \qquad \lambda_t = \tfrac12 \log \mathrm{SNR}_t =
# \log \frac{\sqrt{\bar\alpha_t}}{\sqrt{1 - \bar\alpha_t}}.$$
#
# Two schedules with the same SNR at a step show a network the same picture there. DPM-Solver++, one of the
# samplers of notebook 5, measures the length of its steps in $\lambda$:

# %%
from ddpm_faces.diffusion import samplers

show(samplers._log_snr)

# %%
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for s in (schedule, linear):
    axes.plot([samplers._log_snr(a) for a in s.alpha_bar.tolist()], label=s.kind)
axes.axhline(0, color="gray", linewidth=0.8)
axes.annotate("as much noise as picture", (560, 0.2), color="gray")
axes.set(xlabel="step t", ylabel=r"$\lambda_t$, half the log of the SNR")
axes.legend()
plt.show()

# %% [markdown]
# The noise has the same strength at every spatial frequency; pictures have not. Coarse shapes are strong and fine detail is
# weak, so detail drowns first and shapes last. The package measures a data set's mean strength at every frequency of a cosine
# transform (`models/gaussian.py`) and keeps it with the model. Here is that of the shipped face model, beside the noise of
# three steps, $(1 - \bar\alpha_t) / \bar\alpha_t$ where the picture counts as 1. Where the faces' curve is below a dashed
# line, that detail is hidden.

# %%
model = ddpm_faces.load("celeba64", device="auto")
gaussian = model.network.gaussian
variance = gaussian.variance[-1].cpu()  # (64, 64), of the brightness: the strongest colour axis comes last
frequency = (torch.arange(64)[:, None] ** 2 + torch.arange(64) ** 2).float().sqrt()
rings = range(1, 64)
strength = [float(variance[(frequency >= r - 0.5) & (frequency < r + 0.5)].mean()) for r in rings]

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.loglog(rings, strength, color="black", label="faces")
for t, colour in zip((50, 250, 700), ("tab:green", "tab:orange", "tab:red"), strict=True):
    alpha_bar = float(schedule.alpha_bar[t])
    axes.axhline((1 - alpha_bar) / alpha_bar, color=colour, linestyle="--", label=f"noise at t = {t}")
axes.set(xlabel="frequency (half waves across the picture)", ylabel="variance", title="Detail drowns first")
axes.legend(loc="lower left")
plt.show()

# %% [markdown]
# So going back from the noise means: first decide the coarse (light or dark, head and hair), then ever finer detail. You will
# see just that in notebook 5.

# %% [markdown]
# ## 5. To predict the noise is to remove it
#
# The network $\epsilon_\theta(x_t, t)$ is asked for the noise in $x_t$. Who knows the noise knows the picture: solve the
# closed form for $x_0$ (DDPM, equation 15).
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\; \epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}$$

# %%
show(x0_from_eps)

# %% [markdown]
# Below, a generated face is noised to five levels and given to the shipped model, without any condition (what conditions are
# is the subject of notebooks 2 to 4). Beside the network's $\hat x_0$ stands what the best *linear* filter makes of the same
# $x_t$: it knows nothing but the mean face and the strengths of part 4 (Wiener's filter). Under the assumption that faces are
# Gaussian it would be the best there is:
#
# $$\mathbb E[\epsilon \mid x_t] = \frac{\sqrt{1 - \bar\alpha_t}}{\bar\alpha_t s^2 + 1 - \bar\alpha_t}\,\big(x_t - \sqrt{\bar\alpha_t}\, m\big)
# \quad\text{for each frequency, of mean } m \text{ and variance } s^2.$$

# %%
show(type(gaussian).forward)

# %%
from ddpm_faces.diffusion.process import mix

levels = torch.tensor([100, 300, 500, 700, 900], device=model.device)
null = torch.zeros(len(levels), len(model.names), device=model.device)  # a condition that says nothing
face = ddpm_faces.generate(model, "Smiling,-Male,Young", seed=3).to(model.device)

same_noise = torch.randn((1, 3, 64, 64), generator=rng).to(model.device)
xt = add_noise(face.repeat(5, 1, 1, 1), same_noise, levels, schedule)
by_filter = x0_from_eps(xt, gaussian(xt, mix(schedule, levels, xt)).eps, levels, schedule)
by_network = x0_from_eps(xt, model.network(xt, levels, null), levels, schedule)
grid(
    torch.cat((face.repeat(5, 1, 1, 1), xt, by_filter, by_network)),
    columns=5,
    top=[f"t = {t}" for t in levels.tolist()],
    left=["x0", "xt", "linear filter", "network"],
)

# %% [markdown]
# Two things to see. The network keeps edges where the filter can only blur: it knows what faces look like. And the more noise
# there is, the smoother and the more average its answer becomes. That is no weakness. The loss is a mean squared error, and
# what makes that smallest is the *mean* of all pictures that could have been under this noise:
#
# $$\arg\min_{\epsilon_\theta}\ \mathbb E\,\lVert \epsilon - \epsilon_\theta(x_t, t) \rVert^2 \;=\;
# \mathbb E[\epsilon \mid x_t] \;=\; -\sqrt{1 - \bar\alpha_t}\; \nabla_{x_t} \log q(x_t).$$
#
# At $t = 900$ almost any face could have been there, so the answer is near the mean of all faces. (The last equality is
# Tweedie's formula: the predicted noise points away from where pictures are likely. It makes $\epsilon_\theta$ a *score*,
# which notebook 3 uses.) The loss, in the package (the weights and the condition `c` are a matter of notebook 2):

# %%
from ddpm_faces.diffusion.process import loss

show(loss, first="xt =", last="return")

# %% [markdown]
# The error of the noise by level, averaged over generated faces:

# %%
many = ddpm_faces.generate(model, "", n=FACES, seed=100, steps=10).to(model.device)
by_level: dict[str, list[float]] = {"linear filter": [], "network": []}
all_levels = list(range(20, 1000, 120))
for t in all_levels:
    when = torch.full((FACES,), t, device=model.device)
    eps = torch.randn(many.shape, generator=rng).to(model.device)
    xt = add_noise(many, eps, when, schedule)
    told = {
        "linear filter": gaussian(xt, mix(schedule, when, xt)).eps,
        "network": model.network(xt, when, null[:1].expand(FACES, -1)),
    }
    for name, guess in told.items():
        by_level[name].append(float((guess - eps).square().mean()))

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, errors in by_level.items():
    axes.semilogy(all_levels, errors, "o-", label=name)
axes.set(xlabel="step t", ylabel="mean squared error of the noise")
axes.legend()
plt.show()

# %% [markdown]
# The noise is hard to predict where there is little of it, and easy where there is nothing else. (The faces here came from the
# model itself, which flatters it a little. Real ones are not part of this course.)

# %% [markdown]
# ## 6. One step back: the posterior
#
# To draw a picture we go back, from $x_t$ to $x_{t-1}$. If we knew $x_0$, what would $x_{t-1}$ be? By Bayes' rule
#
# $$q(x_{t-1} \mid x_t, x_0) \;\propto\; q(x_t \mid x_{t-1})\; q(x_{t-1} \mid x_0),$$
#
# since $x_t$ does not depend on $x_0$ any more once $x_{t-1}$ is given. Both factors are Gaussians that we know. Their
# exponents, with $x_{t-1}$ written as $y$:
#
# $$-\frac12 \left[ \frac{(x_t - \sqrt{\alpha_t}\, y)^2}{1 - \alpha_t} + \frac{(y - \sqrt{\bar\alpha_{t-1}}\, x_0)^2}{1 - \bar\alpha_{t-1}} \right] =
# -\frac12 \Bigg[ \underbrace{\left( \frac{\alpha_t}{1 - \alpha_t} + \frac{1}{1 - \bar\alpha_{t-1}} \right)}_{1 / \tilde\beta_t} y^2 -
# 2 \underbrace{\left( \frac{\sqrt{\alpha_t}\, x_t}{1 - \alpha_t} + \frac{\sqrt{\bar\alpha_{t-1}}\, x_0}{1 - \bar\alpha_{t-1}} \right)}_{\tilde\mu_t / \tilde\beta_t} y +
# \dots \Bigg].$$
#
# A quadratic in $y$: so the product is a Gaussian again, with the variance and the mean that are marked. For the variance,
# bring the bracket to one denominator and use $\alpha_t \bar\alpha_{t-1} = \bar\alpha_t$:
#
# $$\frac{1}{\tilde\beta_t} = \frac{\alpha_t (1 - \bar\alpha_{t-1}) + (1 - \alpha_t)}{(1 - \alpha_t)(1 - \bar\alpha_{t-1})} =
# \frac{1 - \bar\alpha_t}{(1 - \alpha_t)(1 - \bar\alpha_{t-1})},
# \qquad \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t.$$
#
# The mean is the second bracket times $\tilde\beta_t$ (DDPM, equation 7):
#
# $$\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, x_0 +
# \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t.$$
#
# The package computes it for any earlier step $s$, not only $t - 1$: nothing in the derivation needs the two to be neighbours,
# if $\alpha_t$ is read as $\bar\alpha_t / \bar\alpha_s$ and $\beta_t$ as one minus that.

# %%
show(posterior)

# %% [markdown]
# **Check 1: against the formulas above**, for all neighbouring steps at once.

# %%
alpha_bar, beta = schedule.alpha_bar, schedule.beta
x0_value, xt_value = torch.tensor(0.3, dtype=torch.float64), torch.tensor(-0.8, dtype=torch.float64)
worst = 0.0
for t in range(1, schedule.steps):
    ab_t, ab_s = float(alpha_bar[t]), float(alpha_bar[t - 1])
    mean = ab_s**0.5 * beta[t] / (1 - ab_t) * x0_value + (1 - beta[t]) ** 0.5 * (1 - ab_s) / (1 - ab_t) * xt_value
    variance = (1 - ab_s) / (1 - ab_t) * beta[t]
    ours = posterior(xt_value, x0_value, ab_t, ab_s)
    worst = max(worst, abs(float(ours.mean - mean)), abs(float(ours.variance - variance)))
print(f"largest difference: {worst:.1e}")

# %% [markdown]
# **Check 2: against Bayes' rule itself.** For one pixel, multiply the two densities on a fine grid of $y$, normalise the product,
# and lay the package's Gaussian over it. **Check 3: against chance.** Simulate many pairs $(x_s, x_t)$ from one $x_0$, and
# keep those whose $x_t$ came out near the value that was seen: a histogram of their $x_s$.

# %%
x0_value, xt_value, s, t = 0.6, -0.5, 350, 500
ab_s, ab_t = float(alpha_bar[s]), float(alpha_bar[t])
alpha = ab_t / ab_s
ours = posterior(torch.tensor(xt_value), torch.tensor(x0_value), ab_t, ab_s)


def normal(y, mean, variance):
    return np.exp(-((y - mean) ** 2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5


y = np.linspace(-4, 4, 8001)
product = normal(xt_value, alpha**0.5 * y, 1 - alpha) * normal(y, ab_s**0.5 * x0_value, 1 - ab_s)
product /= product.sum() * (y[1] - y[0])
gauss = normal(y, float(ours.mean), ours.variance)

xs = ab_s**0.5 * x0_value + (1 - ab_s) ** 0.5 * torch.randn(DRAWS, generator=rng)
xt = alpha**0.5 * xs + (1 - alpha) ** 0.5 * torch.randn(DRAWS, generator=rng)
kept = xs[(xt - xt_value).abs() < 0.02].numpy()

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.hist(kept, bins=60, density=True, color="lightgray", label=f"simulated, {len(kept)} that fit")
axes.plot(
    y,
    normal(y, ab_s**0.5 * x0_value, 1 - ab_s),
    color="tab:blue",
    linestyle=":",
    label=r"before $x_t$ is seen: $q(x_s \mid x_0)$",
)
axes.plot(y, product, color="tab:orange", linewidth=4, alpha=0.6, label="Bayes' rule on a grid")
axes.plot(y, gauss, color="black", linewidth=1, label="the package's posterior")
axes.set(xlim=(-2.5, 3), xlabel="$x_s$", title=f"$x_0$ = {x0_value}, $x_{{{t}}}$ = {xt_value}: where was $x_{{{s}}}$?")
axes.legend(fontsize=8)
plt.show()
print(f"Bayes on a grid differs by {np.abs(product - gauss).max():.1e}; mean and deviation: simulated {kept.mean():.3f} and")
print(f"{kept.std():.3f}, the package's {float(ours.mean):.3f} and {ours.variance**0.5:.3f}")

# %% [markdown]
# While sampling, $x_0$ is not known. The model's $\hat x_0$ takes its place, a draw from this Gaussian is the next $x$, and
# the game repeats. That is all of DDPM's algorithm 2:

# %%
show(samplers.ddpm, first="for step", last="yield")

# %% [markdown]
# ## Exercises
#
# Put your answer in the place of the dots and run the cell. The solutions are below each, folded.
#
# ### Exercise 1
# At which step of the cosine schedule does the noise become as strong as the picture, that is: which is the first $t$ with
# $\mathrm{SNR}_t < 1$? (Find it by code rather than on the plot.)

# %%
first_noisy = ...

check(first_noisy, lambda t: schedule.alpha_bar[t] < 0.5 <= schedule.alpha_bar[t - 1], "what is alpha_bar where the SNR is 1?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The SNR is 1 where $\bar\alpha = 1/2$, and $\bar\alpha$ falls.
#
# ```python
# first_noisy = int((schedule.alpha_bar < 0.5).nonzero()[0])
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# Noise a picture *further*: given $x_s$ and fresh noise, make $x_t$ for a later step $t$ in one go. (Part 3 shows the way for
# two steps; which product of alphas leads from $s$ to $t$?)


# %%
def noise_further(xs, eps, s, t):
    """x_t from x_s, for steps s < t; eps is standard normal noise."""
    return ...


def is_right(result):
    ab_s, ab_t = schedule.alpha_bar[300], schedule.alpha_bar[600]
    from_picture = noise_further(torch.ones(1), torch.zeros(1), 300, 600)  # the two shares, one at a time
    from_noise = noise_further(torch.zeros(1), torch.ones(1), 300, 600)
    variance = from_picture**2 * (1 - ab_s) + from_noise**2  # of x_t, given x_0
    return bool((from_picture * ab_s**0.5 - ab_t**0.5).abs() < 1e-6 and (variance - (1 - ab_t)).abs() < 1e-6)


check(noise_further(torch.ones(1), torch.ones(1), 300, 600), is_right, "x_0 must keep sqrt(alpha_bar_t) in all")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def noise_further(xs, eps, s, t):
#     alpha = schedule.alpha_bar[t] / schedule.alpha_bar[s]  # the product of the alphas from s + 1 to t
#     return alpha**0.5 * xs + (1 - alpha) ** 0.5 * eps
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# The posterior needs $x_0$; the network gives $\epsilon$. Put $\hat x_0$ into $\tilde\mu_t$ and simplify: the mean of a DDPM
# step is $\frac{1}{\sqrt{\alpha_t}}\big(x_t - k_t\, \epsilon_\theta\big)$ (DDPM, equation 11). What is $k_t$? Fill in the
# function; it is compared with the package's posterior.


# %%
def k(t):
    """The factor of the noise, from schedule.beta[t] and schedule.alpha_bar[t]."""
    return ...


def agrees(_):
    xt, eps, t = torch.tensor(0.4, dtype=torch.float64), torch.tensor(-1.3, dtype=torch.float64), 640
    ab_t, ab_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[t - 1])
    x0 = (xt - (1 - ab_t) ** 0.5 * eps) / ab_t**0.5
    mine = (xt - k(t) * eps) / (1 - schedule.beta[t]) ** 0.5
    return bool((mine - posterior(xt, x0, ab_t, ab_s).mean).abs() < 1e-9)


check(lambda: k(640), agrees, "collect what stands before eps in the mean, and use alpha_t * alpha_bar_{t-1} = alpha_bar_t")

# %% [markdown]
# <details><summary>Solution</summary>
#
# With $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \epsilon) / \sqrt{\bar\alpha_t}$ the noise has the factor
# $-\frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t} \cdot \frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}} =
# -\frac{1}{\sqrt{\alpha_t}} \cdot \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}$.
#
# ```python
# def k(t):
#     return schedule.beta[t] / (1 - schedule.alpha_bar[t]) ** 0.5
# ```
# </details>
#
# **Next:** `2_digits.ipynb` opens the network and trains one.
