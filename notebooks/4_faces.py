# %% [markdown]
# # 4. Faces
#
# Forty attributes, one face. This notebook looks at the attributes and at what goes with what. It follows a condition vector
# into the network. Then it draws faces with the shipped model and changes one attribute while the face stays: strips, boards,
# an animation, and sliders.
#
# All faces here are generated. No real person is shown.

# %%
# Small settings: about a minute on one CPU core. On a GPU: ROWS, COLUMNS, BOARD = 6, 9, 7
ROWS, COLUMNS, BOARD = 2, 6, 4  # of a strip; the sides of a board
DATA_ROOT = "data"  # a folder that may hold CelebA: only its table of attributes would be read

# %%
import base64
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, display

import ddpm_faces
from ddpm_faces.conditions import CELEBA
from ddpm_faces.generation.generate import generate
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid, write_gif

torch.set_grad_enabled(False)
model = ddpm_faces.load("celeba64", device="auto")

# %% [markdown]
# ## 1. Forty attributes
#
# CelebA (Liu et al. 2015) holds 202,599 photographs of celebrities. Each has forty labels, yes or no. The checkpoint of the
# shipped model keeps how often each label was yes in its training images:

# %%
frequency = np.array(model.config.frequencies)
order = frequency.argsort()
figure, axes = plt.subplots(figsize=(7, 6.5), layout="constrained")
axes.barh(range(40), 100 * frequency[order], color="tab:blue")
axes.set_yticks(range(40), [CELEBA.names[i] for i in order], fontsize=7)
axes.axvline(50, color="gray", linewidth=0.8)
axes.set(xlabel="percent of the faces", ylim=(-0.6, 39.6))
plt.show()

# %% [markdown]
# Some are rare: of a hundred faces two or three are bald. Many are opinions ("Attractive"). The labels of some are little
# better than guesses. And they are far from independent. The next plot shows which go together, as correlations.
#
# **Mind what it shows.** Where the table of CelebA is in `DATA_ROOT`, the plot is of its labels. *Where it is not, the plot is
# of the package's own prior:* a set of rules of thumb (`conditions/celeba_prior.py`) that invents plausible vectors. Their
# frequencies and strongest ties follow CelebA. Ties without a rule are missing, and their cells are white. So such a plot must
# not be quoted as CelebA's.

# %%
from scipy.cluster.hierarchy import leaves_list, linkage

from ddpm_faces.conditions.celeba_prior import sample_attributes
from ddpm_faces.data.celeba.files import ATTRIBUTES, find_first
from ddpm_faces.data.celeba.tables import read_attributes

if table := find_first(Path(DATA_ROOT), ATTRIBUTES):
    labels = np.array(list(read_attributes(table).values()))
    title, colour = f"CelebA's labels, {len(labels):,} faces", "black"
else:
    labels = sample_attributes(np.random.default_rng(0), 50_000)
    title, colour = "NOT CelebA: 50,000 vectors drawn by the package's own rules", "tab:red"
correlation = np.corrcoef(labels.T)
near = leaves_list(linkage(1 - np.abs(correlation[np.triu_indices(40, 1)]), "average"))  # what goes together, side by side
figure, axes = plt.subplots(figsize=(8.5, 7.5), layout="constrained")
image = axes.imshow(correlation[np.ix_(near, near)], cmap="RdBu_r", vmin=-1, vmax=1)
axes.set_xticks(range(40), [CELEBA.names[i] for i in near], rotation=90, fontsize=7)
axes.set_yticks(range(40), [CELEBA.names[i] for i in near], fontsize=7)
axes.set_title(title, fontsize=11, color=colour)
figure.colorbar(image, shrink=0.7, label="correlation")
plt.show()

# %% [markdown]
# The red blocks are make-up and what comes with it, beards, and smiles, which lift cheekbones and open mouths.
#
# A model learns these ties. No one tells it what lipstick *is*. It only sees images with that label, and nearly all of them
# show women. Part 4 shows the consequence, and notebook 6 measures it.
#
# ## 2. From forty numbers to channels
#
# A rare attribute as -1 and +1 would be -1 for nearly every face. That is a constant, and a constant teaches little. So each
# entry is first scaled by its frequency $p$. Over the data it then has mean 0 and variance 1:
#
# $$\tilde c_k = \begin{cases} \sqrt{(1 - p_k) / p_k}\ c_k & \text{if } c_k > 0 \text{ (present)} \\
# \sqrt{p_k / (1 - p_k)}\ c_k & \text{if } c_k \le 0 \text{ (absent, or not said)} \end{cases}$$
#
# The presence of a rare attribute counts for much, its absence for little, and "not said" is still 0.

# %%
from ddpm_faces.models.denoiser import GAIN, Denoiser, standard_scales

show(standard_scales)
present, absent = standard_scales(model.config.frequencies, 40)
for name in ("Bald", "Smiling", "No_Beard"):
    k = CELEBA.index(name)
    print(f"{name:9} p = {frequency[k]:.3f}: present {float(present[k]):+.2f}, absent {-float(absent[k]):+.2f}")

# %% [markdown]
# A linear map turns them into 32 numbers, $e = W (g\, \tilde c) + b$. The constant $g$, `GAIN`, only helps the training. Each
# number becomes a plane of 64 x 64 equal pixels. The planes join the noisy image and the linear denoiser's estimate (notebook
# 2) as further channels. A second linear map adds the condition to the time embedding.
#
# $$\text{input} = \big[\, \underbrace{x_t}_{3},\ \underbrace{\hat\epsilon_{\text{lin}}}_{3},\ \underbrace{e}_{32}\, \big]
# \in \mathbb R^{38 \times 64 \times 64}$$

# %%
show(Denoiser.forward, first="estimate, residual_std", last="extra = self.modulate")

# %% [markdown]
# A hook at the door of the U-Net records what really enters. Compare it with the formula.

# %%
spec = "Smiling,-Male,Blond_Hair"
condition = CELEBA.vector(CELEBA.parse(spec))[None].to(model.device)
entered = []
hook = model.network.unet.enter.register_forward_hook(lambda module, inputs, output: entered.append(inputs[0].float().cpu()))
noise = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(model.device)
for c in (condition, torch.zeros_like(condition)):
    model.network(noise, torch.tensor([800], device=model.device), c)
hook.remove()

planes, without = entered[0][0, 6:], entered[1][0, 6:]
scaled = condition.cpu()[0] * torch.where(condition.cpu()[0] > 0, present, absent)
weight, bias = model.network.embed.weight.cpu(), model.network.embed.bias.cpu()
by_hand = GAIN * weight @ scaled + bias
print("what enters:", tuple(entered[0].shape[1:]))
print(f"every plane is constant: {bool((planes == planes[:, :1, :1]).all())}")
print(f"planes against the formula: largest difference {float((planes[:, 0, 0] - by_hand).abs().max()):.1e}")
print(f"nothing said, planes against the bias alone: {float((without[:, 0, 0] - bias).abs().max()):.1e}")

# %% [markdown]
# The last line shows why "no condition" needs no special case. A vector of zeros leaves the bias, and the bias is the learned
# null condition.
#
# ## 3. Ask for faces
#
# A spec names what you care about. `Smiling` is present, `-Male` is absent, `Young=0.5` lies between. What is not named is left
# open.

# %%
show(type(CELEBA).parse, first="for part", last="contradictory")

# %%
specs, seeds = ["Smiling,-Male,Blond_Hair", "Smiling,-Male,Black_Hair", "Male,Black_Hair,No_Beard=-1"], [0, 1, 2, 10]
drawn = generate(model, [spec for spec in specs for _ in seeds], seed=seeds * len(specs))
grid(drawn, columns=len(seeds), left=specs, top=[f"seed {i}" for i in seeds])

# %% [markdown]
# Down a column the noise is the same. Often the faces share something too: the pose, the light, the background. (The seeds are
# chosen: about one face in seven has odd eyes or a smeared mouth. Faces that are rare in the data, such as old men, come out
# worst.)
#
# ## 4. Change one attribute
#
# Keep the noise, keep the other 39 entries, and move one from -1 to 1. The model has learned what the entry means, so this is
# all that editing needs:
#
# $$c(v) = (c_1, \dots, c_{k-1},\ v,\ c_{k+1}, \dots, c_{40}), \qquad v = -1 \dots 1, \qquad x_T \text{ fixed}.$$
#
# Two details matter. **Mutually exclusive attributes give way.** The data hardly ever show a bald person with black hair, or a
# goatee with the label `No_Beard`. So black hair fades as blond hair comes. **The steps are even in what the network sees**,
# $\tilde c$, in which the presence of a rare attribute is far from 0 and its absence near.

# %%
from ddpm_faces.conditions import paths

show(type(CELEBA).set_attribute)
show(paths.path)
print("some exclusive pairs:", *(" and ".join(pair) for pair in CELEBA.exclusive[::6]), sep="\n  ")

# %% [markdown]
# `ddpm_faces.strip` does all of it. Each row is one seed. The prior of part 1 fills in the attributes that nobody asked for.

# %%
smiles = ddpm_faces.strip(model, "Smiling", rows=ROWS, columns=COLUMNS, seed=15)
print("conditions, one for each image:", tuple(smiles.layout.conditions.shape))
smiles.draw()

# %%
ddpm_faces.strip(model, "Blond_Hair", "-Male,Young", rows=ROWS, columns=COLUMNS, seed=5).draw()

# %% [markdown]
# Training showed the values -1, 1, and 0 for "not said". All others are new to the network. It fills the gap smoothly, as
# networks do, although the change often happens within one or two columns. Watch what *else* changes: where labels go together
# in the data, the model cannot know which of the two was meant.
#
# ### A board of two attributes

# %%
ddpm_faces.board(model, "Smiling", "Male", columns=BOARD, seed=10).draw()

# %% [markdown]
# ### An animation
#
# The columns of the first strip, one after the other, as a GIF that you can keep.

# %%
path = write_gif(smiles.frames(), "out/smiling.gif")
print(f"{path}, {path.stat().st_size / 1000:.0f} kB")
HTML(f'<img alt="smiling faces" src="data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}">')

# %% [markdown]
# ## 5. Sliders
#
# Let go of a slider, and the model draws the face anew. It takes a second or a few. 0 says nothing. (On a page without Python
# behind it, the sliders do nothing.)

# %%
NAMES = ("Smiling", "Male", "Young", "Blond_Hair", "Eyeglasses")


def face(seed=0, guidance=model.guidance_alone, **values):
    display(grid(generate(model, values, seed=seed, guidance=guidance), columns=1, zoom=4))


try:
    from ipywidgets import FloatSlider, IntSlider, interactive
except ImportError:
    print("the sliders need ipywidgets: pip install ipywidgets")
else:
    sliders = {name: FloatSlider(0, min=-1, max=1, step=0.25, continuous_update=False) for name in NAMES}
    sliders["seed"] = IntSlider(7, min=0, max=200, continuous_update=False)
    sliders["guidance"] = FloatSlider(model.guidance_alone, min=0, max=6, step=0.5, continuous_update=False)
    sliders["Smiling"].value = 1
    display(interactive(face, **sliders))

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
# Make the condition vector (40 numbers) of a young woman with eyeglasses and *no* smile, and leave all else open. Do not use
# `CELEBA.parse` or `CELEBA.vector`.

# %%
wanted = ...

check(
    wanted,
    lambda c: torch.equal(torch.as_tensor(c).float(), CELEBA.vector(CELEBA.parse("Young,-Male,Eyeglasses,-Smiling"))),
    "four entries differ from 0; CELEBA.index(name) is the place of a name",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# wanted = torch.zeros(40)
# for name, value in {"Young": 1, "Male": -1, "Eyeglasses": 1, "Smiling": -1}.items():
#     wanted[CELEBA.index(name)] = value
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# One face in 26 has some attribute. Which number enters the network where it is present, and which where it is absent? (Leave
# out `GAIN`.) Verify that the mean over the data is 0 and the variance 1.

# %%
there, away = ..., ...

check(
    away if there is ... else there,
    lambda _: abs(there - 5) < 1e-6 and abs(away + 0.2) < 1e-6,
    "p = 1/26, so (1 - p) / p = 25; absent is c = -1, so its number is negative",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The mean is $\frac{1}{26} \cdot 5 - \frac{25}{26} \cdot 0.2 = 0$, the variance
# $\frac{1}{26} \cdot 25 + \frac{25}{26} \cdot 0.04 = 1$.
#
# ```python
# p = 1 / 26
# there, away = ((1 - p) / p) ** 0.5, -((p / (1 - p)) ** 0.5)
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# Walk from one *face* to another instead of along one attribute. Make five condition vectors, of shape (5, 40), in equal steps
# from `ends[0]` to `ends[1]`. The cell draws them from one noise. What changes first?

# %%
from ddpm_faces.conditions.prior import sample_vector

ends = [torch.tensor(sample_vector(CELEBA, (), seed, {})).float() for seed in (1, 2)]
walk = ...


def is_straight(walk):
    steps = torch.as_tensor(walk).float().diff(dim=0)
    at_ends = torch.equal(walk[0], ends[0]) and torch.equal(walk[-1], ends[1])
    return walk.shape == (5, 40) and at_ends and bool((steps - steps[0]).abs().max() < 1e-5)


check(walk, is_straight, "torch.lerp of the two ends, with weights 0, 0.25, 0.5, 0.75 and 1")
if walk is not ...:
    display(grid(generate(model, walk, seed=[4] * 5), columns=5))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# walk = torch.stack([torch.lerp(*ends, weight) for weight in torch.linspace(0, 1, 5)])
# ```
# </details>
#
# **Next:** [5_samplers](5_samplers.ipynb): how an image comes out of noise, and how many steps it takes.
