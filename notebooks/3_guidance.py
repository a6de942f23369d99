# %% [markdown]
# # 3. Guidance
#
# Ask a conditional model for something, and it draws what is likely under that condition, not what shows it most clearly.
# Classifier-free guidance (Ho & Salimans 2022) makes it obey more, without any training: the
# network is asked twice, with and without the condition, and the difference is exaggerated. This notebook shows where that
# comes from and what it costs.

# %%
# Small settings, about a minute on two CPU cores. On a GPU: EACH, FACES = 40, 8
EACH = 5  # digits of each class, at each scale, in the measurement of part 4
FACES = 4  # faces in a row

# %%
import matplotlib.pyplot as plt
import torch

import ddpm_faces
from ddpm_faces.attributes import CELEBA, one_hot, to_spec
from ddpm_faces.course import check, show
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.process import add_noise, x0_from_eps
from ddpm_faces.generation import generate
from ddpm_faces.images import grid

torch.set_grad_enabled(False)
digits, faces = ddpm_faces.load("mnist32", device="auto"), ddpm_faces.load("celeba64", device="auto")
schedule = digits.schedule

# %% [markdown]
# ## 1. Two scores
#
# The predicted noise is, up to a factor, the *score*: the direction in which pictures become more likely (notebook 1, part 5),
#
# $$\nabla_{x_t} \log p(x_t \mid c) = -\frac{\epsilon_\theta(x_t, t, c)}{\sqrt{1 - \bar\alpha_t}}.$$
#
# In a tenth of the training the condition was hidden, all zeros, so the same network also gives the score without a condition,
# $\nabla \log p(x_t)$, from $\epsilon_\varnothing = \epsilon_\theta(x_t, t, 0)$. Bayes' rule joins the two:
#
# $$p(x_t \mid c) \propto p(x_t)\, p(c \mid x_t) \quad\Longrightarrow\quad
# \underbrace{\nabla \log p(c \mid x_t)}_{\text{more like a } c} = \nabla \log p(x_t \mid c) - \nabla \log p(x_t) =
# -\frac{\epsilon_c - \epsilon_\varnothing}{\sqrt{1 - \bar\alpha_t}}.$$
#
# The difference of the two predictions is the direction in which the picture looks more like a $c$: what a classifier of noisy
# pictures would give, although none was trained. Both predictions come from one network, in one batch:

# %%
show(guided, first="null =", last="null =")
show(guided, first="eps_null, eps_cond")

# %% [markdown]
# To see it, take a drawn 3, noise it to three levels, and show the clean picture $\hat x_0$ that each condition makes the
# network see in the same noise. At the right: the difference that "5" makes, where red means brighter and blue darker.

# %%
levels = torch.tensor([300, 600, 850], device=digits.device)
asked = [None, 3, 5, 8]
three = generate(digits, "3", seed=2).to(digits.device)
noise = torch.randn(three.shape, generator=torch.Generator().manual_seed(0)).to(digits.device)
xt = add_noise(three.repeat(3, 1, 1, 1), noise, levels, schedule)

seen = {}
for c in asked:
    vector = torch.zeros(1, 10) if c is None else one_hot([c])
    eps = digits.network(xt, levels, vector.expand(3, -1).to(digits.device))
    seen[c] = x0_from_eps(xt, eps, levels, schedule).cpu()

figure, axes = plt.subplots(3, 6, figsize=(10, 5.2), layout="constrained")
for i, line in enumerate(axes):
    for panel, picture in zip(line, (xt.cpu(), *seen.values()), strict=False):
        panel.imshow(picture[i, 0], cmap="gray", vmin=-1, vmax=1)
    line[5].imshow((seen[5] - seen[None])[i, 0], cmap="RdBu_r", vmin=-1, vmax=1)
    line[0].set_ylabel(f"t = {int(levels[i])}")
    for panel in line:
        panel.set(xticks=[], yticks=[])
titles = ("$x_t$", "no condition", "asked: 3", "asked: 5", "asked: 8", '"5" minus none')
for panel, title in zip(axes[0], titles, strict=True):
    panel.set_title(title)
plt.show()

# %% [markdown]
# With little noise the condition hardly matters: one sees what it is. With much noise the network draws what it is told into
# the noise. Classes, and attributes, are decided early on the way from noise to picture.
#
# ## 2. The equation
#
# If the difference points to "more like a $c$", go further that way. Ho & Salimans (their equation 6, with $s = 1 + w$):
#
# $$\hat\epsilon = \epsilon_\varnothing + s\, (\epsilon_c - \epsilon_\varnothing).$$
#
# In terms of probabilities this is the score of $p(x_t)\, p(c \mid x_t)^s$: the classifier's opinion counts $s$ times. At $s =
# 0$ the condition is ignored, $s = 1$ is the plain conditional model, above 1 it is exaggerated. The package has this one
# convention, everywhere:

# %%
show(guided)

# %%
t, condition = levels[1:2], one_hot([5]).to(digits.device)
at = {s: guided(digits.network, condition, s)(xt[1:2], t) for s in (0.0, 1.0, 2.5)}
by_hand = at[0.0] + 2.5 * (at[1.0] - at[0.0])
print(f"scale 2.5, by the package and by hand: largest difference {float((at[2.5] - by_hand).abs().max()):.1e}")

# %% [markdown]
# ## 3. A sweep of scales
#
# The same noise in a column, the scale grows downwards. First digits:

# %%
scales = [0, 0.5, 1, 2, 4, 8]
rows = [generate(digits, "0-9", seed=40, guidance=s) for s in scales]
grid(
    torch.cat(rows),
    columns=10,
    zoom=2,
    top=[f"asked: {d}" if d == 0 else str(d) for d in range(10)],
    left=[f"s = {s}" for s in scales],
)

# %% [markdown]
# And faces. "Eyeglasses" are worn by one person in fifteen in the training data, so the null model seldom draws them:

# %%
face_scales, spec = [0, 1, 2, 4, 7], "Eyeglasses,Male"
rows = [generate(faces, spec, n=FACES, seed=60, guidance=s) for s in face_scales]
grid(torch.cat(rows), columns=FACES, left=[f"s = {s}" for s in face_scales], title=f"asked: {spec}")

# %% [markdown]
# In the first row nothing was asked: these are the faces of the seeds. Then the attributes come, and from some scale on also
# the price: hard contrasts, loud colours, and faces that look more and more alike.
#
# ## 4. Obedience against diversity
#
# Both can be measured on digits. **Diversity**: how different are two pictures of one class? One minus the correlation of
# their pixels: 0 for the same picture, however strong its ink. **Obedience**: in how many does one see the digit that was
# asked for? Who sees? By part 1 the model is a classifier itself (Li et al. 2023): the class under which it predicts the noise
# best is what it sees in the picture,
#
# $$\hat c(x_0) = \arg\min_c \sum_t w_t\, \lVert \epsilon - \epsilon_\theta(x_t, t, c) \rVert^2.$$
#
# It judges its own work, though, and by the very scores that guidance exaggerates: do not take it for an impartial judge.
# Where the package ships a classifier that was trained on real digits, that one is asked too.

# %%
from ddpm_faces import judge
from ddpm_faces.diffusion.weighting import weights as step_weights


def self_judged(pictures):
    """The class (N,) under which the model predicts the noise best, at three levels; the same noise for every class."""
    n, generator = len(pictures), torch.Generator().manual_seed(0)
    error = torch.zeros(n, 10)
    for level in (450, 650, 800):
        t = torch.full((n,), level, device=digits.device)
        eps = torch.randn(pictures.shape, generator=generator).to(digits.device)
        x = add_noise(pictures.to(digits.device), eps, t, schedule)
        weight = step_weights("unit", t, schedule, digits.network.gaussian.rest)
        for c in range(10):
            told = digits.network(x, t, one_hot([c]).expand(n, -1).to(digits.device))
            error[:, c] += (weight * (told - eps).square().mean(dim=(1, 2, 3))).cpu()
    return error.argmin(dim=1)


referee = judge.load("mnist32", device="auto") if "mnist32" in judge.shipped() else None
wanted = torch.arange(10).repeat(EACH)
diversity, obedience, by_referee = {}, {}, {}
for s in scales:
    pictures = generate(digits, one_hot(wanted), seed=1000, guidance=s, steps=10)
    by_class = pictures.view(EACH, 10, -1).transpose(0, 1)  # (10 classes, EACH, pixels)
    different = torch.stack([1 - torch.corrcoef(of_one_class) for of_one_class in by_class])  # (10, EACH, EACH)
    diversity[s] = float(different.sum() / (10 * EACH * (EACH - 1)))  # a picture is 0 from itself
    obedience[s] = float((self_judged(pictures) == wanted).float().mean())
    if referee is not None:
        by_referee[s] = float((referee.extract(pictures).logits.argmax(dim=1) == wanted).float().mean())

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
left.plot(scales, list(obedience.values()), "o-", label="obedience, in the model's own eyes")
if by_referee:
    left.plot(scales, list(by_referee.values()), "s--", label="obedience, by the shipped classifier")
left.plot(scales, list(diversity.values()), "^-", color="tab:green", label="diversity within a class")
left.set(xlabel="guidance scale s", ylim=(0, 1.05))
left.legend(fontsize=8)
right.plot(list(diversity.values()), list(obedience.values()), "o-", color="gray")
for s in scales:
    right.annotate(
        f"s = {s}",
        (diversity[s], obedience[s]),
        textcoords="offset points",
        xytext=(-34, 3) if s == 8 else (-6, -14),
        fontsize=8,
    )
right.set(
    xlabel="diversity within a class", ylabel="obedience", xlim=(0.2, 0.8), ylim=(-0.1, 1.1), title="what is paid for what"
)
plt.show()

# %% [markdown]
# At $s = 0$ the class is a matter of luck: one in ten. Most of the obedience is there at $s = 1$ or 2 already; what comes
# after costs diversity and buys little. (With so few digits the numbers jump by a few percent. The settings for a GPU draw eight
# times as many.) Each checkpoint says which scale suits it. All forty attributes of a face push it much further than one alone
# does, so that `celeba64` has a scale for either, and takes one between them by how many are named:

# %%
print(f"mnist32: {digits.guidance:g}; celeba64: {faces.guidance_alone:g} for one attribute, {faces.guidance:g} for all 40")

# %% [markdown]
# ## 5. What is not said
#
# A face has 40 attributes, and nobody wants to name them all. In a condition vector, +1 means "has it", -1 "has it not", and 0
# says nothing. The package trains for this: in most pictures single attributes are hidden, in some a few, in others all but one
# or two, so that vectors of all degrees of silence are familiar.

# %%
from ddpm_faces.attributes import to_vector
from ddpm_faces.diffusion.process import draw

show(to_vector)
show(draw, first="chance =", last="return")

# %%
from ddpm_faces.data.persons import sample_person

whole = sample_person(2, {"Smiling": 1, "Male": -1, "Blond_Hair": 1})  # a plausible person, all 40 said
specs = {"nothing said": "", "1 said": "Smiling", "3 said": "Smiling,-Male,Blond_Hair", "40 said": to_spec(whole)}
rows = [generate(faces, spec, n=FACES + 1, seed=80, guidance=2) for spec in specs.values()]
for name, row in zip(specs, rows, strict=True):
    print(f"{name:12}: spread of the pixels over the seeds {float(row.std(dim=0).mean()):.2f}")
grid(
    torch.cat(rows), columns=FACES + 1, left=list(specs), title="Smiling; not Male; Blond_Hair; then all the rest of one person"
)

# %% [markdown]
# What is said, a row has in common, and the spread of the pixels falls. What is not said is left to the noise: it differs from
# seed to seed, and stays down a column. Silence is not denial: 0 leaves it to chance whether there are glasses, -1 forbids
# them. With the null vector there is no difference to exaggerate at all, whatever the scale:

# %%
null = torch.zeros(1, len(CELEBA), device=faces.device)
x = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(1)).to(faces.device)
t = torch.tensor([700], device=faces.device)
print(float((guided(faces.network, null, 5.0)(x, t) - guided(faces.network, null, 1.0)(x, t)).abs().max()))

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
# Ho & Salimans write $\hat\epsilon = (1 + w)\, \epsilon_c - w\, \epsilon_\varnothing$. Which $w$ belongs to the package's
# scale $s$?


# %%
def w(s):
    return ...


check(lambda: w(3.0), lambda value: value == 2 and w(1.0) == 0 and w(0.0) == -1, "compare the factors of eps_c")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def w(s):
#     return s - 1
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# The place of the null condition can be taken by another one: *away* from that instead of away from the mean of all. Write
# `steered(x, t)`: the noise for "9, and not 4", at scale 3, with `digits.network` called for both. What would it draw if the
# two changed places?

# %%
nine, four = one_hot([9]).to(digits.device), one_hot([4]).to(digits.device)


def steered(x, t):
    return ...


def agrees(eps):
    toward, away = (digits.network(xt[:1], levels[:1], c) for c in (nine, four))
    return bool((eps - (3 * toward - 2 * away)).abs().max() < 1e-4)


check(lambda: steered(xt[:1], levels[:1]), agrees, "the equation of part 2, with eps of the 4 for eps_null")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def steered(x, t):
#     away = digits.network(x, t, four.expand(len(x), -1))
#     toward = digits.network(x, t, nine.expand(len(x), -1))
#     return away + 3 * (toward - away)
# ```
#
# To draw with it, take `dpm` from `ddpm_faces.diffusion.samplers`, `start = torch.randn(4, 1, 32, 32, device=digits.device)`
# and `*_, state = dpm(steered, start, schedule, 15, None, True)`; the pictures are `state.x`. With the two exchanged it draws a 4
# that is no 9.
# </details>

# %% [markdown]
# ### Exercise 3
# What share of the diversity at $s = 1$ is left at $s = 8$ in your measurement? (`diversity` is a dictionary whose keys are the
# scales.)

# %%
share_left = ...

check(share_left, lambda f: abs(f - diversity[8] / diversity[1]) < 1e-6, "diversity at 8, divided by that at 1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# share_left = diversity[8] / diversity[1]
# ```
# </details>
#
# **Next:** `4_faces.ipynb`: 40 attributes, and changing one of them.
