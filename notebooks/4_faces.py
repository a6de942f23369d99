# %% [markdown]
# # 4. Faces
#
# Forty attributes, one face. This notebook looks at the attributes and at what goes with what, follows a condition vector into
# the network, draws faces with the shipped model, and changes one attribute while the person stays: strips, boards, an
# animation, and sliders.
#
# All faces here are generated; no real person is shown.

# %%
# Small settings, about a minute on two CPU cores. On a GPU: PERSONS, COLUMNS, BOARD = 6, 9, 7
PERSONS, COLUMNS, BOARD = 2, 6, 4  # rows and columns of a strip, sides of a board
DATA_ROOT = "data"  # a folder that may hold CelebA: only its table of attributes would be read

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import ddpm_faces
from ddpm_faces.attributes import CELEBA, parse_spec, to_vector
from ddpm_faces.course import check, show
from ddpm_faces.data import celeba
from ddpm_faces.generation import generate
from ddpm_faces.images import grid

torch.set_grad_enabled(False)
model = ddpm_faces.load("celeba64", device="auto")

# %% [markdown]
# ## 1. Forty attributes
#
# CelebA (Liu et al. 2015) is 202,599 pictures of celebrities, each with forty yes-or-no labels. How often each is yes in the
# pictures that the shipped model was trained on is kept in its checkpoint:

# %%
frequency = np.array(model.config.frequencies)
order = frequency.argsort()
figure, axes = plt.subplots(figsize=(7, 6.5), layout="constrained")
axes.barh(range(40), 100 * frequency[order], color="tab:blue")
axes.set_yticks(range(40), [CELEBA[i] for i in order], fontsize=7)
axes.axvline(50, color="gray", linewidth=0.8)
axes.set(xlabel="percent of the faces", ylim=(-0.6, 39.6))
plt.show()

# %% [markdown]
# Some are rare: of a hundred faces two or three are bald. Many are opinions ("Attractive"), and the labels of some are little
# better than guesses. And they are far from independent. Which goes with which, as correlations of the labels:

# %%
from scipy.cluster.hierarchy import leaves_list, linkage

from ddpm_faces.data.persons import sample_attributes

if celeba.present(Path(DATA_ROOT)):
    labels = np.array(list(celeba.read_attributes(celeba.find_files(Path(DATA_ROOT))[1]).values()))
    what = f"CelebA's labels, {len(labels):,} faces"
else:
    labels = sample_attributes(np.random.default_rng(0), 50_000)
    what = "50,000 persons drawn by the package's rules, not CelebA itself"
correlation = np.corrcoef(labels.T)
near = leaves_list(
    linkage(1 - np.abs(correlation[np.triu_indices(40, 1)]), "average")
)  # attributes that go together, side by side
figure, axes = plt.subplots(figsize=(8.5, 7.5), layout="constrained")
picture = axes.imshow(correlation[np.ix_(near, near)], cmap="RdBu_r", vmin=-1, vmax=1)
axes.set_xticks(range(40), [CELEBA[i] for i in near], rotation=90, fontsize=7)
axes.set_yticks(range(40), [CELEBA[i] for i in near], fontsize=7)
axes.set_title(what, fontsize=9)
figure.colorbar(picture, shrink=0.7, label="correlation")
plt.show()

# %% [markdown]
# Without CelebA in `DATA_ROOT` this picture shows the rules by which the package invents plausible persons
# (`data/persons.py`): the frequencies by sex and age, and the strongest dependencies and exclusions, were taken from CelebA.
# What is not in the rules is missing from the picture: its white areas are simpler than the truth. Red blocks are make-up and
# what comes with it, and beards; smiles pull up cheekbones and open mouths.
#
# A model learns these ties. It is not told what lipstick *is*, only what pictures with that label look like, and nearly all
# of them are of women. Part 4 shows what follows from that.
#
# ## 2. From forty numbers to channels
#
# A rare attribute as -1 and +1 would be -1 for nearly every face: a constant, which teaches little. So each entry is first
# scaled by its frequency $p$, such that over the data it has mean 0 and variance 1:
#
# $$\tilde c_k = \begin{cases} \sqrt{(1 - p_k) / p_k}\ c_k & \text{if } c_k > 0 \text{ (present)} \\
# \sqrt{p_k / (1 - p_k)}\ c_k & \text{if } c_k \le 0 \text{ (absent, or not said)} \end{cases}$$
#
# The presence of a rare attribute counts for much, its absence for little, and "not said" is still 0.

# %%
from ddpm_faces.models.conditioning import standard_scales

show(standard_scales)
present, absent = standard_scales(model.config.frequencies, 40)
for name in ("Bald", "Smiling", "No_Beard"):
    k = CELEBA.index(name)
    print(f"{name:9} p = {frequency[k]:.3f}: present {float(present[k]):+.2f}, absent {-float(absent[k]):+.2f}")

# %% [markdown]
# Then comes a linear map to 32 numbers, $e = W (g\, \tilde c) + b$, where $g$ is a constant, `GAIN`, that only helps the training.
# Each number becomes a plane of 64 x 64 equal pixels, and the planes are put beside the picture as further channels. A second
# linear map adds the condition to the time embedding.
#
# $$\text{input} = \big[\, \underbrace{x_t}_{3},\ \underbrace{\text{guess}}_{3},\ \underbrace{e}_{32}\, \big]
# \in \mathbb R^{38 \times 64 \times 64}$$

# %%
from ddpm_faces.models.conditioning import GAIN, ConditionalUNet

show(ConditionalUNet.forward, first="inputs, extra", last="extra = self.modulate")

# %% [markdown]
# We listen at the door of the U-Net, to see what really goes in, and compare with the formula.

# %%
spec = "Smiling,-Male,Blond_Hair"
condition = to_vector(parse_spec(spec))[None].to(model.device)
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
print("what goes in:", tuple(entered[0].shape[1:]))
print(f"every plane is constant: {bool((planes == planes[:, :1, :1]).all())}")
print(f"planes against the formula: largest difference {float((planes[:, 0, 0] - by_hand).abs().max()):.1e}")
print(f"nothing said, planes against the bias alone: {float((without[:, 0, 0] - bias).abs().max()):.1e}")

# %% [markdown]
# The last line is why "no condition" needs no special case: an all-zero vector leaves the bias, which is the learned null
# condition.
#
# ## 3. Ask for faces
#
# A spec names what you care about. `Smiling` has it, `-Male` has it not, `Young=0.5` is in between, and what is not named is
# left to chance.

# %%
show(parse_spec, first="for part", last="contradictory")

# %%
specs = ["Smiling,-Male,Blond_Hair", "Male,-Young,Gray_Hair", "Male,Black_Hair,No_Beard=-1"]
drawn = generate(model, [s for s in specs for _ in range(4)], seed=[*range(4)] * 3)
grid(drawn, columns=4, left=specs, top=[f"seed {i}" for i in range(4)])

# %% [markdown]
# Down a column the noise is the same, and often something of the person is too: the pose, the light, the background.
#
# ## 4. Change one attribute
#
# Keep the noise, keep the other 39 entries, change one from -1 to 1. That is the whole editing, in a model that has learned
# what the entry means:
#
# $$c(v) = (c_1, \dots, c_{k-1},\ v,\ c_{k+1}, \dots, c_{40}), \qquad v = -1 \dots 1, \qquad x_T \text{ fixed}.$$
#
# This needs one correction. The data hardly ever show a bald person with black hair, or someone labelled `No_Beard` with a goatee.
# So rivals give way: `settle` makes both ends of the strip, and `path` goes from one to the other, evenly in what the network is
# shown: in $\tilde c$, where a rare attribute's presence is far from 0 and its absence near. Who turns blond loses the black as the
# blond comes.

# %%
from ddpm_faces import interpolate
from ddpm_faces.data.persons import RIVALS, sample_person, settle

show(settle)
show(interpolate.path)
print("some rivals:", *(" and ".join(pair) for pair in RIVALS[::6]), sep="\n  ")

# %%
from ddpm_faces.interpolate import InterpolateConfig, lay_out_faces

strip = lay_out_faces(InterpolateConfig(attr=("Smiling",), n=PERSONS, columns=COLUMNS, seed=1), model.names, model.scales)
print("each row is one person, with attributes drawn at random:", tuple(strip.conditions.shape))
smiles = generate(model, strip.conditions, seed=strip.seeds)
grid(smiles, columns=COLUMNS, top=strip.top, left=strip.left, title="Smiling, from -1 to 1")

# %%
strip = lay_out_faces(
    InterpolateConfig(attr=("Blond_Hair",), set="-Male,Young", n=PERSONS, columns=COLUMNS, seed=5), model.names, model.scales
)
blond = generate(model, strip.conditions, seed=strip.seeds)
grid(blond, columns=COLUMNS, top=strip.top, left=strip.left, title="Blond_Hair, from -1 to 1; -Male, Young")

# %% [markdown]
# Values between -1 and 1 were never in the training, apart from 0, which means "not said". The network fills the gap smoothly,
# as networks do, although often the change happens within one or two columns. Watch what *else* changes: where labels go
# together in the data, the model cannot know which of the two was meant.
#
# ### A board of two attributes

# %%
board = lay_out_faces(InterpolateConfig(attr=("Smiling", "Male"), columns=BOARD, seed=1), model.names, model.scales)
both = generate(model, board.conditions, seed=board.seeds)
grid(both, columns=BOARD, top=board.top, left=board.left, title=board.title)

# %% [markdown]
# ### An animation
#
# The strip's columns, one after the other. It is a GIF, in memory and in a file that you can keep.

# %%
from IPython.display import Image, display

from ddpm_faces.images import save_gif

frames = [grid(smiles[i::COLUMNS], PERSONS, zoom=3) for i in range(COLUMNS)]
path = save_gif(frames, Path("out") / "smiling.gif")
print(f"{path}, {path.stat().st_size / 1000:.0f} kB")
display(Image(path.read_bytes(), format="gif"))

# %% [markdown]
# ## 5. Sliders
#
# Let go of a slider and the face is drawn anew, in a second or a few. 0 says nothing. (In a page without Python behind it, the
# sliders do nothing.)

# %%
NAMES = ("Smiling", "Male", "Young", "Blond_Hair", "Eyeglasses")


def face(seed=0, guidance=model.guidance_alone, **values):
    condition = torch.zeros(40)
    for name, value in values.items():
        condition[CELEBA.index(name)] = value
    display(grid(generate(model, condition, seed=seed, guidance=guidance), columns=1, zoom=4))


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
# Make the condition vector (40 numbers) of a young woman with eyeglasses and *no* smile, all else open, without `parse_spec`.

# %%
wanted = ...

check(
    wanted,
    lambda c: torch.equal(torch.as_tensor(c).float(), to_vector(parse_spec("Young,-Male,Eyeglasses,-Smiling"))),
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
# With which number does an attribute that one face in 26 has enter the network where it is present, and with which where it is
# absent? (Without `GAIN`.) Verify that mean and variance over the data are then 0 and 1.

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
# The mean is $\frac{1}{26} \cdot 5 - \frac{25}{26} \cdot 0.2 = 0$, the variance $\frac{1}{26} \cdot 25 + \frac{25}{26} \cdot
# 0.04 = 1$.
#
# ```python
# p = 1 / 26
# there, away = ((1 - p) / p) ** 0.5, -((p / (1 - p)) ** 0.5)
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# Walk from one *person* to another instead of along one attribute: five condition vectors, of shape (5, 40), in equal steps
# from `sample_person(1, {})` to `sample_person(2, {})`. The cell draws them from one noise. What changes first?

# %%
path_of_persons = ...


def is_straight(path):
    path = torch.as_tensor(path).float()
    ends = [torch.tensor(sample_person(seed, {}), dtype=torch.float32) for seed in (1, 2)]
    steps = path.diff(dim=0)
    return (
        path.shape == (5, 40)
        and torch.equal(path[0], ends[0])
        and torch.equal(path[-1], ends[1])
        and ((steps - steps[0]).abs().max() < 1e-5)
    )


check(path_of_persons, is_straight, "torch.lerp of the two ends, with weights 0, 0.25, 0.5, 0.75 and 1")
if path_of_persons is not ...:
    display(grid(generate(model, path_of_persons, seed=[4] * 5), columns=5))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# one, other = (torch.tensor(sample_person(seed, {}), dtype=torch.float32) for seed in (1, 2))
# path_of_persons = torch.stack([torch.lerp(one, other, weight) for weight in torch.linspace(0, 1, 5)])
# ```
# </details>
#
# **Next:** `5_samplers.ipynb`: how a picture comes out of noise, and how many steps it takes.
