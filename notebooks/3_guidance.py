# %% [markdown]
# # 3. Guidance
#
# A conditional model draws what is likely under a condition. That is not always what shows the condition most clearly.
# Classifier-free guidance (Ho & Salimans 2022) makes it clearer, without any training. It asks the network twice, with and
# without the condition, and exaggerates the difference. This notebook derives guidance and measures its price.

# %%
# Small settings: about a minute on one CPU core. On a GPU: EACH, FACES = 40, 8
EACH = 3  # digits of each class, at each scale, in the measurement of part 4
FACES = 5  # faces in a row of part 5

# %%
import matplotlib.pyplot as plt
import torch

import ddpm_faces
from ddpm_faces.conditions import CELEBA, DIGITS
from ddpm_faces.diffusion.guidance import guided
from ddpm_faces.diffusion.process import add_noise, x0_from_eps
from ddpm_faces.generation.generate import generate
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid

torch.set_grad_enabled(False)
digits, faces = ddpm_faces.load("mnist32", device="auto"), ddpm_faces.load("celeba64", device="auto")
schedule = digits.schedule


def one_hot(classes):
    """Condition vectors (N, 10) of digits, where the model is."""
    return DIGITS.one_hot_vectors(classes).to(digits.device)


# %% [markdown]
# ## 1. Two scores
#
# The predicted noise is, up to a factor, the *score*: the direction in which images become more likely (notebook 1, part 6),
#
# $$\nabla_{x_t} \log p(x_t \mid c) = -\frac{\epsilon_\theta(x_t, t, c)}{\sqrt{1 - \bar\alpha_t}}.$$
#
# In a tenth of the training the condition was dropped: the network saw zeros. So the same network also gives the score without
# a condition, $\nabla \log p(x_t)$, from $\epsilon_\varnothing = \epsilon_\theta(x_t, t, 0)$. Bayes' rule joins the two:
#
# $$p(x_t \mid c) \propto p(x_t)\, p(c \mid x_t) \quad\Longrightarrow\quad
# \underbrace{\nabla \log p(c \mid x_t)}_{\text{more like a } c} = \nabla \log p(x_t \mid c) - \nabla \log p(x_t) =
# -\frac{\epsilon_c - \epsilon_\varnothing}{\sqrt{1 - \bar\alpha_t}}.$$
#
# The difference of the two predictions points where the image looks more like a $c$. A classifier of noisy images would give
# the same direction, but none was trained. One network makes both predictions, in one batch:

# %%
show(guided, first="both = torch.cat")
show(guided, first="eps_null, eps_cond")

# %% [markdown]
# To see it, take a generated 3 and add three levels of noise. Each column shows the clean image $\hat x_0$ that the network
# sees in the same noise under one condition. The last column is the difference that "5" makes: red is brighter, blue is darker.

# %%
levels = torch.tensor([300, 600, 850], device=digits.device)
three = generate(digits, "3", seed=2).to(digits.device)
noise = torch.randn(three.shape, generator=torch.Generator().manual_seed(0)).to(digits.device)
xt = add_noise(three.repeat(3, 1, 1, 1), noise, levels, schedule)

seen = {}
for c in (None, 3, 5, 8):
    vector = torch.zeros_like(one_hot([0])) if c is None else one_hot([c])
    eps = digits.network(xt, levels, vector.expand(3, -1))
    seen[c] = x0_from_eps(xt, eps, levels, schedule).cpu()

figure, axes = plt.subplots(3, 6, figsize=(10, 5.2), layout="constrained")
for i, line in enumerate(axes):
    for panel, images in zip(line, (xt.cpu(), *seen.values()), strict=False):
        panel.imshow(images[i, 0], cmap="gray", vmin=-1, vmax=1)
    line[5].imshow((seen[5] - seen[None])[i, 0], cmap="RdBu_r", vmin=-1, vmax=1)
    line[0].set_ylabel(f"t = {int(levels[i])}")
    for panel in line:
        panel.set(xticks=[], yticks=[])
titles = ("$x_t$", "no condition", "asked: 3", "asked: 5", "asked: 8", '"5" minus none')
for panel, title in zip(axes[0], titles, strict=True):
    panel.set_title(title)
plt.show()

# %% [markdown]
# With little noise the condition hardly matters, because the network sees the digit. With much noise the network draws what it
# is told. Classes and attributes are decided early on the way from noise to image.
#
# ## 2. The equation
#
# The difference points to "more like a $c$", so go further that way. Ho & Salimans (their equation 6, with $s = 1 + w$):
#
# $$\hat\epsilon = \epsilon_\varnothing + s\, (\epsilon_c - \epsilon_\varnothing).$$
#
# In terms of probabilities this is the score of $p(x_t)\, p(c \mid x_t)^s$: the classifier's opinion counts $s$ times. Scale 0
# ignores the condition. Scale 1 is the plain conditional model. Larger scales exaggerate. The package uses this one convention
# everywhere:

# %%
show(guided)

# %%
t, condition = levels[1:2], one_hot([5])
at = {s: guided(digits.network, condition, s)(xt[1:2], t) for s in (0.0, 1.0, 2.5)}
by_hand = at[0.0] + 2.5 * (at[1.0] - at[0.0])
print(f"scale 2.5, by the package and by hand: largest difference {float((at[2.5] - by_hand).abs().max()):.1e}")

# %% [markdown]
# ## 3. A sweep of scales
#
# Each column keeps its noise, and the scale grows downwards. First digits:

# %%
scales = [0, 0.5, 1, 2, 4, 8]
rows = [generate(digits, "0-9", seed=40, guidance=s) for s in scales]
top = [f"asked: {d}" if d == 0 else str(d) for d in range(10)]
grid(torch.cat(rows), columns=10, zoom=2, top=top, left=[f"s = {s}" for s in scales])

# %% [markdown]
# And faces. One person in fifteen wears eyeglasses in the training data, so they seldom appear without being asked for:

# %%
face_scales, spec, seeds = [0, 1, 2, 4, 7], "Eyeglasses,Male", [0, 1, 5, 6]
rows = [generate(faces, spec, n=len(seeds), seed=seeds, guidance=s) for s in face_scales]
grid(torch.cat(rows), columns=len(seeds), left=[f"s = {s}" for s in face_scales], title=f"asked: {spec}")

# %% [markdown]
# The first row ignores the condition: these are the faces of the seeds. Then the attributes appear. At large scales the price
# appears too: hard contrasts, loud colours, and faces that look more and more alike.
#
# ## 4. Conditional accuracy against diversity
#
# Digits let us measure both. **Diversity:** how different are two images of one class? We take one minus the correlation of
# their pixels, which is 0 for the same image, however strong its ink. **Conditional accuracy:** in how many images does a
# classifier see the digit that was asked for?
#
# Which classifier? The package ships one that was trained on real digits. And by part 1 the diffusion model is a classifier
# itself (Li et al. 2023). It sees the class under which it predicts the noise best:
#
# $$\hat c(x_0) = \arg\min_c \sum_t w_t\, \lVert \epsilon - \epsilon_\theta(x_t, t, c) \rVert^2.$$
#
# But there it grades its own work, by the very scores that guidance exaggerates. It is no impartial judge.

# %%
from ddpm_faces.diffusion.loss import loss_weights
from ddpm_faces.models.classifier_checkpoint import load_classifier

classifier = load_classifier("mnist32", device="auto")


def seen_by_the_model(images):
    """The class (N,) under which the diffusion model predicts the noise best, at two levels; the same noise for every class."""
    n, rng = len(images), torch.Generator().manual_seed(0)
    error = torch.zeros(n, 10)
    for level in (500, 750):
        t = torch.full((n,), level, device=digits.device)
        eps = torch.randn(images.shape, generator=rng).to(digits.device)
        x = add_noise(images.to(digits.device), eps, t, schedule)
        weight = loss_weights("unit", t, schedule, digits.network.residual_std)
        for c in range(10):
            told = digits.network(x, t, one_hot([c]).expand(n, -1))
            error[:, c] += (weight * (told - eps).square().mean(dim=(1, 2, 3))).cpu()
    return error.argmin(dim=1)


wanted = torch.arange(10).repeat(EACH)
diversity, by_itself, by_classifier = {}, {}, {}
for s in scales:
    images = generate(digits, wanted, seed=1000, guidance=s, steps=10)
    by_class = images.view(EACH, 10, -1).transpose(0, 1)  # (10 classes, EACH, pixels)
    different = torch.stack([1 - torch.corrcoef(of_one_class) for of_one_class in by_class])  # (10, EACH, EACH)
    diversity[s] = float(different.sum() / (10 * EACH * (EACH - 1)))  # an image differs from itself by 0
    by_itself[s] = float((seen_by_the_model(images) == wanted).float().mean())
    by_classifier[s] = float((classifier.extract(images).logits.argmax(dim=1) == wanted).float().mean())

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.plot(scales, list(by_classifier.values()), "o-", label="conditional accuracy, by the classifier")
left.plot(scales, list(by_itself.values()), "s--", label="conditional accuracy, by the model itself")
left.plot(scales, list(diversity.values()), "^-", color="tab:green", label="diversity within a class")
left.set(xlabel="guidance scale s", ylim=(0, 1.05))
left.legend(fontsize=8)
colours = plt.cm.viridis(torch.linspace(0, 0.9, len(scales)))
right.plot(list(diversity.values()), list(by_classifier.values()), color="lightgray", zorder=1)
for s, colour in zip(scales, colours, strict=True):
    right.scatter(diversity[s], by_classifier[s], color=colour, label=f"s = {s}", zorder=2)
right.set(xlabel="diversity within a class", ylabel="conditional accuracy", ylim=(0, 1.05), title="what is paid for what")
right.legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# At scale 0 the class is a matter of luck: one in ten. Most of the accuracy is there at scale 1 or 2. Larger scales cost
# diversity and buy little. (With so few digits the numbers jump by several percent. The settings for a GPU draw thirteen times
# as many.)
#
# Each checkpoint names the scale that suits it. All forty attributes together push a face much further than one alone. So
# `celeba64` names a scale for either, and takes one between them by the number of attributes that are said:

# %%
print(f"mnist32: {digits.guidance:g}; celeba64: {faces.guidance_alone:g} for one attribute, {faces.guidance:g} for all 40")

# %% [markdown]
# ## 5. What is not said
#
# A face has 40 attributes, and nobody wants to name them all. In a condition vector, +1 means "present", -1 means "absent", and
# 0 says nothing. The training prepares the model for that. It drops single attributes from most images: from some a few, from
# others all but one or two. So the model knows vectors that say much and vectors that say little.

# %%
from ddpm_faces.diffusion.loss import sample_noise

show(type(CELEBA).vector)
show(sample_noise, first="u = torch.rand", last="return")

# %%
from ddpm_faces.conditions.prior import sample_vector

whole = sample_vector(CELEBA, (), seed=2, wishes={"Smiling": 1, "Male": -1, "Blond_Hair": 1})  # a plausible vector of all 40
specs = {"nothing": "", "1 said": "Smiling", "3 said": "Smiling,-Male,Blond_Hair", "40 said": CELEBA.describe(whole)}
rows = [generate(faces, spec, n=FACES, seed=80, guidance=2) for spec in specs.values()]
for name, row in zip(specs, rows, strict=True):
    print(f"{name:8}: standard deviation of the pixels over the seeds {float(row.std(dim=0).mean()):.2f}")
title = "nothing said; Smiling; also not Male and Blond_Hair; then all 40 attributes"
grid(torch.cat(rows), columns=FACES, left=list(specs), title=title)

# %% [markdown]
# What is said, the faces of a row have in common, and the spread of the pixels falls. What is not said is left to the noise. It
# differs from seed to seed, and often stays the same down a column.
#
# Not saying is not denying. Entry 0 leaves it open whether there are glasses; entry -1 forbids them. And under the null vector
# there is no difference to exaggerate, whatever the scale:

# %%
null = torch.zeros(1, len(CELEBA), device=faces.device)
x = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(1)).to(faces.device)
t = torch.tensor([700], device=faces.device)
print(float((guided(faces.network, null, 5.0)(x, t) - guided(faces.network, null, 1.0)(x, t)).abs().max()))

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
# Ho & Salimans write $\hat\epsilon = (1 + w)\, \epsilon_c - w\, \epsilon_\varnothing$. Which $w$ belongs to the package's scale
# $s$?


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
# Another condition can take the place of the null condition. Then guidance leads *away from that condition*. Write
# `steered(x, t)`: the noise for "9, and not 4" at scale 3. Call `digits.network` for both. What would it draw if the two
# changed places?

# %%
nine, four = one_hot([9]), one_hot([4])


def steered(x, t):
    return ...


def agrees(eps):
    toward, away = (digits.network(xt[:1], levels[:1], c) for c in (nine, four))
    return bool((eps - (3 * toward - 2 * away)).abs().max() < 1e-4)


check(lambda: steered(xt[:1], levels[:1]), agrees, "the equation of part 2, with the eps of the 4 for eps_null")

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
# `guided` does the same: `guided(digits.network, nine, 3, null=four)`. To draw with either, take `dpm` from
# `ddpm_faces.diffusion.samplers` and `start = torch.randn(4, 1, 32, 32, device=digits.device)`. After
# `*_, state = dpm(steered, start, schedule, 15, None, True)` the images are `state.x`. If the two change places, it draws a 4
# that is no 9.
# </details>

# %% [markdown]
# ### Exercise 3
# Which share of the diversity at $s = 1$ is left at $s = 8$ in your measurement? (`diversity` is a dictionary whose keys are
# the scales.)

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
# **Next:** [4_faces](4_faces.ipynb): 40 attributes, and how to change one of them.
