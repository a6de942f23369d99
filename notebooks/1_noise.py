# %% [markdown]
# # 1. Noise
#
# A diffusion model learns one thing: to predict the noise in an image. This notebook is about that noise. How is it added? How
# much of it is there at each step? Why does a network that predicts the noise also remove it? And how does one step back work?
#
# Nothing is trained here. The equations are those of Ho et al. 2020 ("DDPM"). Below each equation stand the lines of the
# package that compute it, read from the installed files.

# %%
# Small settings: about a minute on one CPU core. On a GPU: FACES, DRAWS = 64, 5_000_000
FACES = 8  # images over which the errors in part 5 are averaged
DRAWS = 400_000  # random numbers in the simulations

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import ddpm_faces
from ddpm_faces.data.toy.faces import toy_faces
from ddpm_faces.diffusion.process import add_noise, alpha_sigma, posterior, x0_from_eps
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid, to_tensor

torch.set_grad_enabled(False)  # this notebook trains nothing
rng = torch.Generator().manual_seed(0)

# %% [markdown]
# ## 1. A thousand small steps
#
# An image is a point $x_0$ in a space with one axis for each pixel and colour. Its values lie in $[-1, 1]$. The forward process
# shrinks the image slightly and adds a little Gaussian noise. It does so $T = 1000$ times (DDPM, equation 2):
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\big(\sqrt{1 - \beta_t}\; x_{t-1},\ \beta_t I\big), \qquad
# x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon_t, \quad \epsilon_t \sim \mathcal N(0, I).$$
#
# The factor $\sqrt{1 - \beta_t}$ keeps the variance: if $x_{t-1}$ has variance 1, then $x_t$ has variance
# $(1 - \beta_t) + \beta_t = 1$. The cell below takes two toy faces, which the package draws from a seed, through all thousand
# steps. (The package itself never does this, because part 3 has a short cut. So the loop is written out here.)

# %%
schedule = Schedule()  # the cosine schedule of 1000 steps, with which the shipped models were trained
faces = to_tensor(toy_faces(2, 64, seed=4)[0])  # (2, 3, 64, 64) in [-1, 1]

watched = [0, 99, 249, 499, 749, 999]
x, seen = faces, []
for t, beta in enumerate(schedule.beta.tolist()):
    x = (1 - beta) ** 0.5 * x + beta**0.5 * torch.randn(x.shape, generator=rng)
    if t in watched:
        seen.append(x)
grid(torch.stack(seen, dim=1).flatten(0, 1), columns=6, top=[f"t = {t}" for t in watched])

# %% [markdown]
# The code counts the steps from 0 to 999, the paper from 1 to 1000. So `t = 0` is the image after one step, which has hardly
# changed. In the formulas $x_0$ is always the clean image. (The display cuts off values outside $[-1, 1]$.)
#
# At the end nothing is left of the face: $x_{999}$ cannot be told from pure noise. That is the purpose. Pure noise is easy to
# draw. If we can walk *back* from noise, we can draw faces.

# %% [markdown]
# ## 2. The schedule
#
# The schedule says how much noise each step adds. The package's default is the squared cosine of Nichol & Dhariwal 2021
# (equation 17). It fixes $\bar\alpha$, the image's share of the variance, and derives $\beta_t$ from it. (Part 3 explains the
# name $\bar\alpha$.)
#
# $$\bar\alpha(u) = \frac{f(u)}{f(0)}, \qquad f(u) = \cos^2\!\Big(\frac{u + 0.008}{1.008} \cdot \frac{\pi}{2}\Big), \qquad
# \beta_t = \min\Big(1 - \frac{f(u_{t+1})}{f(u_t)},\ 0.999\Big), \qquad u_t = t / T.$$
#
# DDPM's own schedule is simpler: $\beta_t$ rises in a straight line from $10^{-4}$ to $0.02$. (The left plot has a logarithmic
# axis, on which a straight line looks bent.)

# %%
show(Schedule.beta)

# %%
linear = Schedule("linear")
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for s in (schedule, linear):
    left.plot(s.beta, label=s.kind)
    right.plot(s.alpha_bar, label=s.kind)
left.legend()
left.set(title=r"noise added by each step, $\beta_t$", xlabel="step t", yscale="log")
right.set(title=r"the image's share of the variance, $\bar\alpha_t$", xlabel="step t")
right.legend()
plt.show()

# %% [markdown]
# The linear schedule destroys the image early. After 700 steps less than one percent of the variance belongs to the image, and
# the remaining 300 steps teach a network little. The cosine schedule falls evenly. Here is one face under both:

# %%
steps = list(range(100, 1000, 150))
noise = torch.randn((1, 3, 64, 64), generator=rng)
rows = [add_noise(faces[:1].repeat(len(steps), 1, 1, 1), noise, torch.tensor(steps), s) for s in (linear, schedule)]
grid(torch.cat(rows), columns=len(steps), top=[f"t = {t}" for t in steps], left=["linear", "cosine"])

# %% [markdown]
# ## 3. The closed form
#
# Training needs many noisy images. A thousand steps for each would be slow. But a sum of Gaussians is a Gaussian. Write
# $\alpha_t = 1 - \beta_t$ and insert the step to $x_{t-1}$ into the step to $x_t$:
#
# $$x_t = \sqrt{\alpha_t \alpha_{t-1}}\; x_{t-2} + \underbrace{\sqrt{\alpha_t (1 - \alpha_{t-1})}\; \epsilon_{t-1} +
# \sqrt{1 - \alpha_t}\; \epsilon_t}_{\text{independent: the variances add to } 1 - \alpha_t \alpha_{t-1}} =
# \sqrt{\alpha_t \alpha_{t-1}}\; x_{t-2} + \sqrt{1 - \alpha_t \alpha_{t-1}}\; \epsilon.$$
#
# Continue down to $x_0$, and only the product of all alphas is left (DDPM, equation 4):
#
# $$\bar\alpha_t = \prod_{s \le t} \alpha_s, \qquad q(x_t \mid x_0) = \mathcal N\big(\sqrt{\bar\alpha_t}\; x_0,\ (1 - \bar\alpha_t) I\big), \qquad
# x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon.$$
#
# The package calls the two factors `alpha` $= \sqrt{\bar\alpha_t}$ and `sigma` $= \sqrt{1 - \bar\alpha_t}$.

# %%
show(Schedule.alpha_bar)
show(add_noise)

# %% [markdown]
# Is it true? Take one pixel of value 0.7 through $t$ single steps, many times over. Compare the mean and the standard deviation
# with the closed form.

# %%
pixel = torch.full((DRAWS,), 0.7)
print("   t    mean: simulated  closed form    deviation: simulated  closed form")
for t, beta in enumerate(schedule.beta[:601].tolist()):
    pixel = (1 - beta) ** 0.5 * pixel + beta**0.5 * torch.randn(pixel.shape, generator=rng)
    if t % 200 == 0:
        alpha_bar = float(schedule.alpha_bar[t])
        mean, deviation = alpha_bar**0.5 * 0.7, (1 - alpha_bar) ** 0.5
        print(f"{t:4}    {pixel.mean():15.4f}  {mean:11.4f}    {pixel.std():20.4f}  {deviation:11.4f}")

# %% [markdown]
# ## 4. Signal and noise
#
# Neither $t$ nor $\beta_t$ makes a step hard. The strength of the image beside the noise does. This is the signal-to-noise
# ratio:
#
# $$\mathrm{SNR}_t = \frac{\bar\alpha_t}{1 - \bar\alpha_t}, \qquad \lambda_t = \tfrac12 \log \mathrm{SNR}_t =
# \log \frac{\sqrt{\bar\alpha_t}}{\sqrt{1 - \bar\alpha_t}}.$$
#
# Where two schedules have the same SNR, a network sees the same kind of image. DPM-Solver++, one of the samplers of notebook 5,
# measures the width of its steps in $\lambda$:

# %%
from ddpm_faces.diffusion import samplers, sampling

show(samplers._log_snr)

# %%
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for s in (schedule, linear):
    axes.plot([samplers._log_snr(a) for a in s.alpha_bar.tolist()], label=s.kind)
axes.axhline(0, color="gray", linewidth=0.8)
axes.annotate("as much noise as image", (560, 0.2), color="gray")
axes.set(xlabel="step t", ylabel=r"$\lambda_t$, half the log of the SNR")
axes.legend()
plt.show()

# %% [markdown]
# The noise is equally strong at every spatial frequency. Images are not: coarse shapes are strong, and fine detail is weak. So
# detail drowns first and shapes drown last. The package measures the mean strength of a data set at every frequency of a cosine
# transform (`models/linear_denoiser.py`) and keeps it with the model. The plot shows that of the shipped face model. The dashed
# lines are the noise of three steps, $(1 - \bar\alpha_t) / \bar\alpha_t$ on a scale where the image counts as 1. Where the
# curve of the faces lies below a dashed line, the noise hides that detail.

# %%
model = ddpm_faces.load("celeba64", device="auto")
linear_denoiser = model.network.linear_denoiser
variance = linear_denoiser.variance[-1].cpu()  # (64, 64), of the brightness: the strongest colour axis comes last
frequency = (torch.arange(64)[:, None] ** 2 + torch.arange(64) ** 2).float().sqrt()
rings = range(1, 64)
strength = [float(variance[(frequency >= r - 0.5) & (frequency < r + 0.5)].mean()) for r in rings]

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.loglog(rings, strength, color="black", label="faces")
for t, colour in zip((50, 250, 700), ("tab:green", "tab:orange", "tab:red"), strict=True):
    alpha_bar = float(schedule.alpha_bar[t])
    axes.axhline((1 - alpha_bar) / alpha_bar, color=colour, linestyle="--", label=f"noise at t = {t}")
axes.set(xlabel="frequency (half waves across the image)", ylabel="variance", title="Detail drowns first")
axes.legend(loc="lower left")
plt.show()

# %% [markdown]
# Walking back from the noise therefore decides the coarse shapes first (light or dark, head and hair) and the detail later.
# Notebook 5 shows exactly that.

# %% [markdown]
# ## 5. Predicting the noise removes it
#
# The network $\epsilon_\theta(x_t, t)$ predicts the noise in $x_t$. The noise reveals the image: solve the closed form for
# $x_0$ (DDPM, equation 15).
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\; \epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}}$$

# %%
show(x0_from_eps)

# %% [markdown]
# The cell below adds five levels of noise to a generated face and gives each to the shipped model, without any condition.
# (Notebooks 2 to 4 explain conditions.) The row above the network's $\hat x_0$ comes from the *linear denoiser*, the best
# linear filter for the same $x_t$. It knows only the mean face and the strengths of part 4. If faces were Gaussian, it would be
# the best denoiser there is (Wiener's filter):
#
# $$\mathbb E[\epsilon \mid x_t] = \frac{\sqrt{1 - \bar\alpha_t}}{\bar\alpha_t s^2 + 1 - \bar\alpha_t}\,\big(x_t - \sqrt{\bar\alpha_t}\, m\big)
# \quad\text{for each frequency, of mean } m \text{ and variance } s^2.$$

# %%
show(type(linear_denoiser).forward)

# %%
levels = torch.tensor([100, 300, 500, 700, 900], device=model.device)
nothing = torch.zeros(1, len(model.names), device=model.device)  # the condition that says nothing
face = ddpm_faces.generate(model, "Smiling,-Male,Young", seed=3).to(model.device)


def predictions(x0, eps, t):
    """The noise in x_t by both denoisers, and x_t."""
    xt = add_noise(x0, eps, t, schedule)
    by_filter = linear_denoiser(xt, alpha_sigma(schedule, t, xt)).eps
    return {"linear denoiser": by_filter, "network": model.network(xt, t, nothing.expand(len(xt), -1))}, xt


one_noise = torch.randn((1, 3, 64, 64), generator=rng).to(model.device)
told, xt = predictions(face.expand(5, -1, -1, -1), one_noise.expand(5, -1, -1, -1), levels)
cleaned = [x0_from_eps(xt, eps, levels, schedule) for eps in told.values()]
grid(
    torch.cat((face.expand(5, -1, -1, -1), xt, *cleaned)),
    columns=5,
    top=[f"t = {t}" for t in levels.tolist()],
    left=["x0", "xt", *told],
)

# %% [markdown]
# The network keeps edges where the filter can only blur, because it knows what faces look like. And the noisier $x_t$ is, the
# smoother the network's answer. That is no weakness. The network was trained on the mean squared error, and the best answer to
# that is the *mean* of all images that may lie under this noise. (Part 6 proves it.) At $t = 900$ almost any face may, so the
# answer is close to the mean of all faces.
#
# ### The error of $\hat x_0$ explodes
#
# Suppose that the network is wrong by $\delta$, so that $\epsilon_\theta = \epsilon + \delta$. Insert this and
# $x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon$ into the equation for $\hat x_0$:
#
# $$\hat x_0 = \frac{\sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon - \sqrt{1 - \bar\alpha_t}\,(\epsilon + \delta)}{\sqrt{\bar\alpha_t}}
# = x_0 - \bar\sigma_t\, \delta, \qquad \bar\sigma_t = \frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}}.$$
#
# The factor $\bar\sigma_t$ is 1 in the middle of the schedule and 20,000 at its end. There an error of one percent in the noise
# is an error of 200 in the image, whose values lie between -1 and 1. Therefore samplers *clip*: they hold $\hat x_0$ to
# $[-1, 1]$ and then compute the noise that agrees with it.

# %%
show(sampling.predict, first="e = eps", last="return")

# %%
many = ddpm_faces.generate(model, "", n=FACES, seed=100, steps=10).to(model.device)
all_levels = [*range(20, 980, 120), 990, 999]
error_of_eps = {"linear denoiser": [], "network": []}
error_of_x0 = {"noise 1% wrong": [], "the same, clipped": [], "network": []}


def note_error(errors, name, prediction, truth):
    errors[name].append(float((prediction - truth).square().mean().sqrt()))


for level in all_levels:
    t = torch.full((FACES,), level, device=model.device)
    eps, other = (torch.randn(many.shape, generator=rng).to(model.device) for _ in range(2))
    told, xt = predictions(many, eps, t)
    for name, prediction in told.items():
        note_error(error_of_eps, name, prediction, eps)
    slightly_wrong = x0_from_eps(xt, eps + 0.01 * other, t, schedule)
    note_error(error_of_x0, "noise 1% wrong", slightly_wrong, many)
    note_error(error_of_x0, "the same, clipped", slightly_wrong.clamp(-1, 1), many)
    note_error(error_of_x0, "network", x0_from_eps(xt, told["network"], t, schedule), many)

figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
titles = ("error of the noise", r"error of $\hat x_0$")
for axes, errors, title in zip(panels, (error_of_eps, error_of_x0), titles, strict=True):
    for name, values in errors.items():
        axes.semilogy(all_levels, values, "o-", label=name)
    axes.set(xlabel="step t", ylabel="root mean square", title=title)
    axes.legend()
plt.show()

# %% [markdown]
# Left: the noise is hard to predict where there is little of it, and easy where there is nothing else. Right: a network that is
# always one percent wrong, before and after clipping, and the shipped network. That one escapes the explosion, because it
# predicts a correction to the linear denoiser, in a unit that shrinks as $\bar\sigma_t$ grows (notebook 2). Its $\hat x_0$ is
# clipped all the same, since guidance (notebook 3) exaggerates its errors. (The model itself drew these faces, which flatters
# it a little. The course contains no real ones.)
#
# Clipping is not always right. Do not clip
# - latents, which have no range of their own;
# - when a chain runs backwards, from an image to its noise: every step must be undone exactly, and a clipped value is lost;
# - when gradients flow through $\hat x_0$: a clipped pixel has gradient zero.

# %% [markdown]
# ## 6. Noise and score
#
# **The best prediction is the mean.** Fix $x_t$ and let the network answer $f$. Insert the conditional mean and expand; the
# mixed term vanishes, because $\epsilon - \mathbb E[\epsilon \mid x_t]$ has mean zero:
#
# $$\mathbb E\big[\lVert \epsilon - f \rVert^2 \,\big|\, x_t\big] = \mathbb E\big[\lVert \epsilon - \mathbb E[\epsilon \mid x_t] \rVert^2 \,\big|\, x_t\big]
# + \lVert \mathbb E[\epsilon \mid x_t] - f \rVert^2.$$
#
# Only the last term depends on the network. It is smallest at $f = \mathbb E[\epsilon \mid x_t]$.
#
# **That mean is a score.** The score is the gradient of the log density: the direction in which noisy images become more
# likely. Differentiate $q(x_t) = \int q(x_t \mid x_0)\, q(x_0)\, \mathrm d x_0$ under the integral:
#
# $$\begin{aligned}
# \nabla \log q(x_t) &= \frac{1}{q(x_t)} \int \nabla q(x_t \mid x_0)\; q(x_0)\, \mathrm d x_0
# = \int \nabla \log q(x_t \mid x_0)\; q(x_0 \mid x_t)\, \mathrm d x_0 \\
# &= \mathbb E\Big[ -\frac{x_t - \sqrt{\bar\alpha_t}\, x_0}{1 - \bar\alpha_t} \,\Big|\, x_t \Big]
# = -\frac{\mathbb E[\epsilon \mid x_t]}{\sqrt{1 - \bar\alpha_t}}.
# \end{aligned}$$
#
# (First $\nabla q = q\, \nabla \log q$ and Bayes' rule, then the gradient of the Gaussian, then the closed form.) So
# $\epsilon_\theta \approx -\sqrt{1 - \bar\alpha_t}\; \nabla \log q(x_t)$: the predicted noise points away from likely images.
# Notebook 3 builds on it.
#
# **Tweedie's formula** is the middle of that line, solved for the image:
#
# $$\sqrt{\bar\alpha_t}\; \mathbb E[x_0 \mid x_t] = x_t + (1 - \bar\alpha_t)\, \nabla \log q(x_t).$$
#
# **A check that needs no network:** one pixel that is black or white, $x_0 = \pm 1$, each half of the time. Simulate many pairs
# $(x_0, x_t)$, sort them by $x_t$, and average $x_0$ in each bin. The curve is Tweedie's formula, with the score taken from the
# density of $x_t$, a mixture of two Gaussians, by finite differences.


# %%
def normal(y, mean, variance):
    return np.exp(-((y - mean) ** 2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5


y = np.linspace(-3.5, 3.5, 1401)
figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for axes, t in zip(panels, (300, 600), strict=True):
    alpha_bar = float(schedule.alpha_bar[t])
    density = (normal(y, alpha_bar**0.5, 1 - alpha_bar) + normal(y, -(alpha_bar**0.5), 1 - alpha_bar)) / 2
    tweedie = (y + (1 - alpha_bar) * np.gradient(np.log(density), y)) / alpha_bar**0.5

    x0 = 2 * torch.randint(0, 2, (DRAWS,), generator=rng).double() - 1
    xt = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * torch.randn(DRAWS, generator=rng, dtype=torch.float64)
    edges = np.linspace(-2, 2, 21)
    count, _ = np.histogram(xt, edges)
    total, _ = np.histogram(xt, edges, weights=x0)
    axes.plot((edges[1:] + edges[:-1]) / 2, total / count, "o", color="tab:orange", label="simulated")
    axes.plot(y, tweedie, color="black", linewidth=1, label="Tweedie's formula")
    axes.fill_between(y, density, color="tab:blue", alpha=0.2, label="density of $x_t$")
    axes.set(title=f"t = {t}", xlabel="$x_t$", ylabel=r"mean of $x_0$", xlim=(-2.2, 2.2), ylim=(-1.15, 1.15))
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# The mean of $x_0$ is no possible value of $x_0$ where both are likely: a grey pixel between black and white. That is the blur
# of part 5.

# %% [markdown]
# ## 7. One step back: the posterior
#
# To draw an image we go back, from $x_t$ to $x_{t-1}$. Suppose for a moment that we know $x_0$. What is $x_{t-1}$? By Bayes'
# rule
#
# $$q(x_{t-1} \mid x_t, x_0) \;\propto\; q(x_t \mid x_{t-1})\; q(x_{t-1} \mid x_0),$$
#
# because $x_t$ depends on $x_0$ only through $x_{t-1}$. We know both factors, and both are Gaussians. Here are their exponents,
# with $y$ for $x_{t-1}$:
#
# $$-\frac12 \left[ \frac{(x_t - \sqrt{\alpha_t}\, y)^2}{1 - \alpha_t} + \frac{(y - \sqrt{\bar\alpha_{t-1}}\, x_0)^2}{1 - \bar\alpha_{t-1}} \right] =
# -\frac12 \Bigg[ \underbrace{\left( \frac{\alpha_t}{1 - \alpha_t} + \frac{1}{1 - \bar\alpha_{t-1}} \right)}_{1 / \tilde\beta_t} y^2 -
# 2 \underbrace{\left( \frac{\sqrt{\alpha_t}\, x_t}{1 - \alpha_t} + \frac{\sqrt{\bar\alpha_{t-1}}\, x_0}{1 - \bar\alpha_{t-1}} \right)}_{\tilde\mu_t / \tilde\beta_t} y +
# \dots \Bigg].$$
#
# The exponent is quadratic in $y$. So the product is a Gaussian again, and the braces mark its variance and mean. For the
# variance, take a common denominator and use $\alpha_t \bar\alpha_{t-1} = \bar\alpha_t$:
#
# $$\frac{1}{\tilde\beta_t} = \frac{\alpha_t (1 - \bar\alpha_{t-1}) + (1 - \alpha_t)}{(1 - \alpha_t)(1 - \bar\alpha_{t-1})} =
# \frac{1 - \bar\alpha_t}{(1 - \alpha_t)(1 - \bar\alpha_{t-1})},
# \qquad \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t.$$
#
# The mean is the second brace times $\tilde\beta_t$ (DDPM, equation 7):
#
# $$\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, x_0 +
# \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t.$$
#
# Nothing here requires neighbouring steps. The package computes the posterior for any earlier step $s$: read $\alpha_t$ as
# $\bar\alpha_t / \bar\alpha_s$, and $\beta_t$ as one minus that.

# %%
show(posterior)

# %% [markdown]
# **Check 1: against the formulas above**, for all neighbouring steps.

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
# **Check 2: against Bayes' rule itself.** For one pixel, multiply the two densities on a fine grid of $y$ and normalise the
# product. **Check 3: against a simulation.** Draw many pairs $(x_s, x_t)$ from one $x_0$, and keep those whose $x_t$ lies close
# to the given value. The histogram shows their $x_s$.

# %%
x0_value, xt_value, s, t = 0.6, -0.5, 350, 500
ab_s, ab_t = float(alpha_bar[s]), float(alpha_bar[t])
alpha = ab_t / ab_s
ours = posterior(torch.tensor(xt_value), torch.tensor(x0_value), ab_t, ab_s)

y = np.linspace(-4, 4, 8001)
before = normal(y, ab_s**0.5 * x0_value, 1 - ab_s)
product = normal(xt_value, alpha**0.5 * y, 1 - alpha) * before
product /= product.sum() * (y[1] - y[0])
gauss = normal(y, float(ours.mean), ours.variance)

xs = ab_s**0.5 * x0_value + (1 - ab_s) ** 0.5 * torch.randn(DRAWS, generator=rng)
xt = alpha**0.5 * xs + (1 - alpha) ** 0.5 * torch.randn(DRAWS, generator=rng)
kept = xs[(xt - xt_value).abs() < 0.02].numpy()

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.hist(kept, bins=60, density=True, color="lightgray", label=f"simulated: the {len(kept)} that fit")
axes.plot(y, before, color="tab:blue", linestyle=":", label=r"before $x_t$ is known: $q(x_s \mid x_0)$")
axes.plot(y, product, color="tab:orange", linewidth=4, alpha=0.6, label="Bayes' rule on a grid")
axes.plot(y, gauss, color="black", linewidth=1, label="the package's posterior")
axes.set(xlim=(-2.5, 3), xlabel="$x_s$", title=f"$x_0$ = {x0_value}, $x_{{{t}}}$ = {xt_value}: where was $x_{{{s}}}$?")
axes.legend(fontsize=8)
plt.show()
print(f"Bayes' rule on a grid differs from the package by at most {np.abs(product - gauss).max():.1e}")
print(f"mean:      simulated {kept.mean():.3f}, package {float(ours.mean):.3f}")
print(f"deviation: simulated {kept.std():.3f}, package {ours.variance**0.5:.3f}")

# %% [markdown]
# While sampling we do not know $x_0$. The network's $\hat x_0$ takes its place, a draw from this Gaussian becomes the next $x$,
# and so on. That is all of DDPM's algorithm 2:

# %%
show(samplers.ddpm, first="for step", last="yield")

# %% [markdown]
# ## 8. Where the loss comes from
#
# Until now the squared error of the noise was a plausible loss. It follows from maximum likelihood. The sampler above is a
# model of images: it draws $x_T$ from $p(x_T) = \mathcal N(0, I)$, and then each $x_{t-1}$ from $p_\theta(x_{t-1} \mid x_t)$.
# (Steps are counted as in the paper here, so that $x_0$ is the image.) **First** bound the likelihood of an image. The
# inequality is Jensen's, and Bayes' rule writes $q$ backwards,
# $q(x_{1:T} \mid x_0) = q(x_T \mid x_0) \prod_{t=2}^T q(x_{t-1} \mid x_t, x_0)$:
#
# $$-\log p_\theta(x_0) = -\log\, \mathbb E_q\!\left[ \frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)} \right] \;\le\;
# \mathbb E_q\!\left[ -\log \frac{p(x_T) \prod_{t=1}^T p_\theta(x_{t-1} \mid x_t)}{q(x_T \mid x_0) \prod_{t=2}^T q(x_{t-1} \mid x_t, x_0)} \right].$$
#
# **Second**, collect the factors of each step. The bound is a sum of Kullback-Leibler divergences between posteriors (DDPM,
# equation 5):
#
# $$\underbrace{\mathrm{KL}\big(q(x_T \mid x_0)\,\Vert\, p(x_T)\big)}_{\text{about } 0,\ \text{no } \theta} + \sum_{t=2}^T
# \mathbb E_q\, \mathrm{KL}\big(q(x_{t-1} \mid x_t, x_0)\,\Vert\, p_\theta(x_{t-1} \mid x_t)\big) - \mathbb E_q \log p_\theta(x_0 \mid x_1).$$
#
# **Third**, compare the two posteriors. The sampler's is part 7 with $\hat x_0$ in the place of $x_0$: the variances agree, and
# only the means differ. For equal variances the divergence is the squared distance of the means, divided by twice the variance.
# The means differ by $\frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t} (x_0 - \hat x_0)$, and by part 5
# $x_0 - \hat x_0 = \bar\sigma_t (\epsilon_\theta - \epsilon)$. So
#
# $$\mathrm{KL} = \frac{1}{2 \tilde\beta_t} \cdot \frac{\bar\alpha_{t-1}\, \beta_t^2}{(1 - \bar\alpha_t)^2} \cdot \frac{1 - \bar\alpha_t}{\bar\alpha_t}
# \,\lVert \epsilon - \epsilon_\theta \rVert^2 = \frac{\beta_t}{2\, \alpha_t\, (1 - \bar\alpha_{t-1})}\, \lVert \epsilon - \epsilon_\theta \rVert^2.$$
#
# The *simple loss* of DDPM (equation 14) drops the factor and keeps the squared error of the noise. The package's:

# %%
from ddpm_faces.diffusion.loss import loss

show(loss, first="xt =", last="return")

# %% [markdown]
# **Check:** the divergence of the package's two posteriors against the formula, for one pixel whose noise the network gets
# wrong by 0.1.

# %%
x0_value, eps_value, wrong = (torch.tensor(v, dtype=torch.float64) for v in (0.3, -1.1, 0.1))
factor = {s.kind: s.beta[1:] / (2 * (1 - s.beta[1:]) * (1 - s.alpha_bar[:-1])) for s in (schedule, linear)}
worst = 0.0
for t in range(1, schedule.steps):
    ab_t, ab_s = float(alpha_bar[t]), float(alpha_bar[t - 1])
    xt = ab_t**0.5 * x0_value + (1 - ab_t) ** 0.5 * eps_value
    x0_hat = (xt - (1 - ab_t) ** 0.5 * (eps_value + wrong)) / ab_t**0.5
    true, predicted = posterior(xt, x0_value, ab_t, ab_s), posterior(xt, x0_hat, ab_t, ab_s)
    divergence = (true.mean - predicted.mean) ** 2 / (2 * true.variance)
    worst = max(worst, abs(float(divergence / (factor["cosine"][t - 1] * wrong**2)) - 1))
print(f"largest relative difference: {worst:.1e}")

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for kind, values in factor.items():
    axes.semilogy(range(1, schedule.steps), values, label=kind)
axes.axhline(1, color="gray", linestyle="--", label="simple loss")
axes.set(xlabel="step t", ylabel="factor of the squared error", title="how much the bound counts each step")
axes.legend()
plt.show()

# %% [markdown]
# The bound counts the steps with little noise far more than the steps in the middle. Most bits of an image describe its finest
# detail, and the likelihood pays for every bit. The eye does not. By dropping the factor, the simple loss moves the effort to
# the middle, where shapes are decided. (At the very end of the cosine schedule the factor rises again, because the last steps
# are large.) Notebook 2 looks at the weights that the package uses.

# %% [markdown]
# ## Exercises
#
# Replace the dots by your answer and run the cell. Each solution is folded below its exercise.
#
# ### Exercise 1
# At which step of the cosine schedule does the noise become stronger than the image? In other words: which is the first $t$
# with $\mathrm{SNR}_t < 1$? (Find it by code rather than on the plot.)

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
# Add *more* noise to a noisy image: given $x_s$ and fresh noise, make $x_t$ for a later step $t$ in one go. (Part 3 does it for
# two steps. Which product of alphas leads from $s$ to $t$?)


# %%
def noise_further(xs, eps, s, t):
    """x_t from x_s, for steps s < t; eps is standard normal noise."""
    return ...


def is_right(result):
    ab_s, ab_t = schedule.alpha_bar[300], schedule.alpha_bar[600]
    of_image = noise_further(torch.ones(1), torch.zeros(1), 300, 600)  # the factor of x_s
    of_noise = noise_further(torch.zeros(1), torch.ones(1), 300, 600)  # the factor of eps
    variance = of_image**2 * (1 - ab_s) + of_noise**2  # of x_t, given x_0
    return bool((of_image * ab_s**0.5 - ab_t**0.5).abs() < 1e-6 and (variance - (1 - ab_t)).abs() < 1e-6)


check(noise_further(torch.ones(1), torch.ones(1), 300, 600), is_right, "in the end x_0 must have the factor sqrt(alpha_bar_t)")

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
# The posterior needs $x_0$; the network gives $\epsilon$. Insert $\hat x_0$ into $\tilde\mu_t$ and simplify: the mean of a DDPM
# step is $\frac{1}{\sqrt{\alpha_t}}\big(x_t - k_t\, \epsilon_\theta\big)$ (DDPM, equation 11). What is $k_t$? Fill in the
# function. The check compares it with the package's posterior.


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


check(lambda: k(640), agrees, "collect the factors of eps in the mean, and use alpha_t * alpha_bar_{t-1} = alpha_bar_t")

# %% [markdown]
# <details><summary>Solution</summary>
#
# With $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \epsilon) / \sqrt{\bar\alpha_t}$ the noise has the factor
# $-\frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t} \cdot \frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}} = -\frac{1}{\sqrt{\alpha_t}} \cdot \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}$.
#
# ```python
# def k(t):
#     return schedule.beta[t] / (1 - schedule.alpha_bar[t]) ** 0.5
# ```
# </details>
#
# **Next:** [2_digits](2_digits.ipynb) opens the network and trains one.
