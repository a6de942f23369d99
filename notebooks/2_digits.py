# %% [markdown]
# # 2. Digits
#
# Notebook 1 took the network for granted. This one opens it. We look at a small U-Net: the shapes that run through it, what its
# attention looks at, and the loss that trains it. Then we train one on digits and ask it for the digit that we want.
#
# If MNIST is in a folder (or on Colab, which fetches it), the digits are real handwriting. Otherwise the package draws digits
# that look like handwriting, so that everything works offline.

# %%
# Small settings: about a minute and a half on one CPU core. On a GPU: STEPS, BATCH, WIDTHS = 4000, 128, (16, 48, 96)
DATA_ROOT = "data"  # a folder that may hold MNIST
DOWNLOAD = ON_COLAB  # fetch MNIST into it (12 MB)
STEPS, BATCH, WIDTHS = 400, 16, (16, 32, 64)  # of the training in part 4

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from einops import rearrange
from IPython.display import display

import ddpm_faces
from ddpm_faces.conditions import DIGITS
from ddpm_faces.data import fetch, mnist, open_dataset
from ddpm_faces.diffusion.process import add_noise
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid

if DOWNLOAD:
    fetch("mnist", DATA_ROOT)
DATA = "mnist" if mnist.find_files(Path(DATA_ROOT), "train") else "toydigits"
dataset = open_dataset(DATA, DATA_ROOT)  # decoded, or drawn, once and kept in the cache
images, classes = dataset.batch(range(20))
x0 = images.float() / 127.5 - 1  # (20, 1, 32, 32) in [-1, 1]
schedule, rng = Schedule(), torch.Generator().manual_seed(1)
print(f"{DATA}: {len(dataset):,} images of {tuple(x0.shape[1:])}; the first are {classes.argmax(dim=1).tolist()}")
grid(x0, columns=10, zoom=3)

# %% [markdown]
# ## 1. A small U-Net, opened
#
# The network takes a noisy image and the step $t$, and returns an image of the same size: the predicted noise. It has the shape
# of a U. On the way down the image gets smaller and gains channels. On the way up it grows again. At every level the way up
# also receives what the way down had there: the *skips*. The bottom sees the coarse shape as a whole; the skips keep the fine
# detail.
#
# Here is a plain one with three levels. One channel enters, one leaves.

# %%
from ddpm_faces.models.unet import Attention, Block, GroupNorm, ResBlock, UNet, time_embedding

torch.manual_seed(0)
plain = UNet(in_channels=1, out_channels=1, channels=(16, 32, 64), attention=(2,), blocks=1)

show(UNet.forward)
show(UNet.encode, first="h = self.enter", last="return")
show(UNet.decode, first="remaining =", last="return")

# %% [markdown]
# Hooks record the shapes while one image runs through it. On the way up, `in` of a block has more channels than the `out` above
# it: the skip has joined.

# %%
rows = []


def note(name):
    def hook(module, inputs, output):
        attention = "attention" if isinstance(getattr(module, "attention", None), Attention) else ""
        count = sum(p.numel() for p in module.parameters())
        rows.append(f"{name:12} {tuple(inputs[0].shape[1:])!s:>14} {tuple(output.shape[1:])!s:>14} {count:10,}  {attention}")

    return hook


hooks = [
    module.register_forward_hook(note(name))
    for name, module in plain.named_modules()
    if isinstance(module, Block) or name in ("enter", "exit") or name.rsplit(".", 1)[0] in ("downsample", "upsample")
]
with torch.no_grad():
    plain(x0[:1], torch.tensor([500]))
for hook in hooks:
    hook.remove()
print(f"{'layer':12} {'in':>14} {'out':>14} {'parameters':>10}")
print("\n".join(rows))
print(f"in all {sum(p.numel() for p in plain.parameters()):,} parameters")

# %% [markdown]
# ### The step
# The network must know how much noise there is. The step $t$ becomes a vector of cosines and sines of many frequencies, so that
# neighbouring steps have similar vectors. A small network turns this vector into the *time embedding*:
#
# $$\mathrm{emb}(t) = \big(\cos(\omega_1 t), \dots, \cos(\omega_{32} t),\ \sin(\omega_1 t), \dots, \sin(\omega_{32} t)\big), \qquad
# \omega_i = 10000^{-(i-1)/32}.$$

# %%
show(time_embedding)

# %%
waves = time_embedding(torch.arange(0, 1000, 2), 64).T
figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
axes.imshow(waves, aspect="auto", extent=(0, 1000, 64, 0), cmap="RdBu", vmin=-1, vmax=1)
axes.set(xlabel="step t", ylabel="entry", title="the step as 32 cosines (above) and 32 sines (below)")
plt.show()

# %% [markdown]
# Every ResNet block scales and shifts its feature maps by the time embedding, after a norm has brought them to one size:
#
# $$h \leftarrow \mathrm{norm}(h) \cdot (1 + \mathrm{scale}(t)) + \mathrm{shift}(t).$$

# %%
show(ResBlock.forward)

# %% [markdown]
# ### Why a group norm, and not a batch norm?
# A norm subtracts a mean and divides by a standard deviation. A *batch* norm takes both over all images of the batch. But the
# images of a batch have different noise levels: an almost clean image beside one of pure noise. The answer for one image would
# depend on its neighbours, and while sampling all images of a batch have the same level, which never happens in training. A
# *group* norm takes mean and deviation over groups of 8 channels of one image. Its neighbours do not matter.
#
# The cell puts one noisy image into two batches, beside an almost clean image and beside pure noise.

# %%
show(GroupNorm)

# %%
noise = torch.randn((3, 1, 32, 32), generator=rng)
one, almost_clean, pure_noise = add_noise(x0[:3], noise, torch.tensor([300, 5, 999]), schedule).split(1)
with torch.no_grad():
    for norm in (torch.nn.BatchNorm2d(16), GroupNorm(16)):
        beside = [norm(plain.enter(torch.cat((one, neighbour))))[0] for neighbour in (almost_clean, pure_noise)]
        change = float((beside[0] - beside[1]).abs().mean() / beside[0].abs().mean())
        print(f"{type(norm).__name__:12} the neighbour changes the features of the same image by {change:.0%}")

# %% [markdown]
# ### Attention
# A convolution sees a neighbourhood. Distant places must agree too: both ends of a stroke, both eyes. For that the lowest level
# has self-attention. Each place asks a question $q$. Every place offers a key $k$ and a value $v$. The answer is the mean of
# the values, weighted by how well question and key fit:
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt d}\right) V.$$

# %%
show(Attention.forward)

# %% [markdown]
# **What it costs.** An image of side $S$ has $N = S^2$ places, and every place looks at every other: $N^2 = S^4$ weights.
# *Twice the side costs sixteen times as much*, where a convolution costs four times as much. The cell counts multiplications
# for 64 channels. ($QK^\top$ and the weighted mean take $2 N^2 C$, the four linear maps $4 N C^2$, a 3x3 convolution
# $9 N C^2$.)

# %%
C = 64
print("side   places   attention: millions   3x3 convolution: millions")
for side in (8, 16, 32, 64):
    N = side**2
    print(f"{side:4} {N:8,} {(2 * N**2 * C + 4 * N * C**2) / 1e6:21,.1f} {9 * N * C**2 / 1e6:27,.1f}")

# %% [markdown]
# So attention stands where the image is small: in the shipped models at side 8 only, on the lowest level and in the middle.
# DDPM has it at side 16.
#
# **What does it look at?** We listen to the layer in the middle of the shipped digit model, and compute the softmax from the
# questions and keys that it made itself. The digit is moderately noisy. Three places ask (red squares). Each of the four heads
# answers with a map of weights, bright where it looks.

# %%
digits = ddpm_faces.load("mnist32", device="auto")
eight = DIGITS.one_hot_vectors([8])
drawn = ddpm_faces.generate(digits, eight, seed=4)
step = torch.tensor([250])
noisy = add_noise(drawn, torch.randn(drawn.shape, generator=rng), step, schedule)

attention, heard = digits.network.unet.middle1.attention, []
hook = attention.qkv.register_forward_hook(lambda module, inputs, output: heard.append(output.cpu()))
digits.network(noisy.to(digits.device), step.to(digits.device), eight.to(digits.device))
hook.remove()

q, k, _ = rearrange(heard[0], "1 (three head c) h w -> three head (h w) c", three=3, head=attention.heads).float()
weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)  # (heads, 64 places that ask, 64 places looked at)

places = [(2, 5), (4, 3), (6, 4)]  # row and column in the 8 x 8 map
figure, axes = plt.subplots(len(places), 5, figsize=(9, 5.6), layout="constrained")
for line, (row, column) in zip(axes, places, strict=True):
    line[0].imshow(noisy[0, 0], cmap="gray", extent=(0, 8, 8, 0))
    line[0].set_ylabel(f"row {row}, column {column}")
    for head, panel in enumerate(line[1:]):
        panel.imshow(drawn[0, 0], cmap="gray", extent=(0, 8, 8, 0))
        panel.imshow(weights[head, 8 * row + column].view(8, 8), extent=(0, 8, 8, 0), cmap="inferno", alpha=0.75)
    for panel in line:
        panel.add_patch(plt.Rectangle((column, row), 1, 1, fill=False, edgecolor="red", linewidth=2))
        panel.set(xticks=[], yticks=[])
for panel, title in zip(axes[0], ("who asks", *(f"head {i}" for i in range(4))), strict=True):
    panel.set_title(title)
plt.show()

# %% [markdown]
# The heads differ. Some look along the stroke, some at its surroundings, and one at the same place whoever asks. No one told
# them to: it helped to predict the noise. Do not read too much into such maps. They show where values come from, and not what
# is done with them.

# %% [markdown]
# ## 2. The loss
#
# Take an image, a random step and random noise. Mix them, and ask for the noise (DDPM, equation 14; notebook 1 derives it):
#
# $$L = \mathbb E_{x_0, t, \epsilon}\ w_t\, \big\lVert \epsilon - \epsilon_\theta\big(\sqrt{\bar\alpha_t}\, x_0 +
# \sqrt{1 - \bar\alpha_t}\, \epsilon,\ t,\ c\big) \big\rVert^2.$$
#
# ($\lVert \cdot \rVert^2$ is the mean over the pixels here, so that a loss does not depend on the size of the image.) All
# random numbers are drawn first, apart from the loss. So a step can be repeated exactly:

# %%
from ddpm_faces.diffusion.loss import loss, loss_weights, sample_noise

show(sample_noise, first="t = torch.randint", last="return")
show(loss)

# %% [markdown]
# A plain training step is these lines of PyTorch. The plain U-Net knows no condition, so the model below ignores $c$. Ten steps
# on one batch are enough to see the loss fall:

# %%
adam = torch.optim.Adam(plain.parameters(), lr=2e-3)
for i in range(10):
    noise = sample_noise(x0.shape, 0, schedule, p_null=0.0, p_each=0.0, rng=rng)
    value = loss(lambda x, t, c: plain(x, t), x0, classes[:, :0], noise, schedule)
    adam.zero_grad()
    value.backward()
    adam.step()
    print(f"step {i + 1}: loss {value.item():.3f}")

# %% [markdown]
# ## 3. What the package adds
#
# The package's `Denoiser` is that U-Net with two additions. Both enter as further input channels.
#
# **The condition.** The class $c$ is a one-hot vector of ten entries. A linear map turns it into 32 numbers, and each number
# becomes a constant plane beside the image. A second linear map adds the class to the time embedding. (The code enlarges $c$ by
# a constant, `GAIN`; notebook 4 comes back to it.)
#
# **The linear denoiser** of notebook 1. Its estimate is one more channel, and the U-Net $F$ need not predict the noise itself:
# it corrects the estimate. The unit of the correction is the standard deviation $r_t$ of the true noise around the estimate,
# averaged over the $D$ frequencies $k$ of variance $s_k^2$:
#
# $$\epsilon_\theta(x_t, t, c) = \hat\epsilon_{\text{lin}} + r_t\, F\big([\,x_t,\ \hat\epsilon_{\text{lin}},\ W c + b\,],\ t,\ c\big), \qquad
# r_t^2 = \frac1D \sum_k \frac{\bar\alpha_t s_k^2}{\bar\alpha_t s_k^2 + 1 - \bar\alpha_t}.$$
#
# So a digit enters with $1 + 1 + 32 = 34$ channels: the noisy image, the estimate, and the planes of the class.

# %%
from ddpm_faces.models.denoiser import Denoiser

show(Denoiser.forward)
show(type(digits.network.linear_denoiser).residual_std)
print("channels that enter the U-Net of mnist32:", digits.network.unet.enter.in_channels)

# %% [markdown]
# **Dropped conditions.** In a tenth of all cases the class is dropped: `keep` in the loss is 0, and the network sees a vector
# of zeros. So it also learns to work without a class. This is the *null condition*, for which $W c + b$ is just $b$.
#
# **Weights.** The DDPM paper takes $w_t = 1$. In notebook 1 the squared error was thousands of times smaller at the noisiest
# steps than at the least noisy ones. With $w_t = 1$ the noisiest steps would hardly count, although they decide the coarse
# shape and the class. The package takes $w_t = 1 / r_t^2$: it measures the error of every step in units of what the linear
# denoiser leaves open there. An untrained network then begins with a loss of about 1. Below 1 is what it has learned beyond the
# linear denoiser.

# %%
show(loss_weights, first="at = alpha_sigma", last="return residual_std")

# %% [markdown]
# ## 4. Train
#
# `train` is a generator. Iterate it, and do what you like between the steps. This cell notes the loss, and draws the ten digits
# from the same noise four times. The samples come from the *average of the weights* (EMA), which follows the jittery weights
# slowly. Notebook 6 compares the two.

# %%
from accelerate import Accelerator

from ddpm_faces.models.model import Config, DiffusionModel, Facts
from ddpm_faces.training.config import Recipe
from ddpm_faces.training.loop import TrainState, train

sizes = {"channels": WIDTHS, "attention": (2,), "blocks": 1}
torch.manual_seed(0)
config = Config(labels=DIGITS, image=dataset.image_shape, embedding=32, unet=sizes, facts=Facts(guidance=4.0))
network = config.network()
network.linear_denoiser.fit(dataset.image_batches())  # the mean and the spectrum of the digits

state = TrainState.new(network, Recipe(batch_size=BATCH, lr=3e-3, warmup=30, p_each=0.0), Accelerator(), STEPS)
mine = DiffusionModel(state.ema.module.eval(), config)
losses, stages = [], {0: ddpm_faces.generate(mine, "0-9", seed=40)}
for record in train(state, dataset, schedule, STEPS):
    losses.append(float(record.loss))
    if record.step in (STEPS // 10, STEPS // 3, STEPS):
        stages[record.step] = ddpm_faces.generate(mine, "0-9", seed=40)
        print(f"step {record.step}: loss {sum(losses[-20:]) / 20:.3f}")

path = ddpm_faces.save("runs/course-digits.safetensors", mine)  # ddpm_faces.load reads it

# %% [markdown]
# These lines of the loop do the work:

# %%
from ddpm_faces.training.ema import EMA

show(train, first="x0 = images", last="state.ema.update")
show(EMA.update)

# %%
means = torch.tensor(losses)[: STEPS // 20 * 20].view(-1, 20).mean(dim=1)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(range(1, STEPS + 1), losses, color="lightgray", label="each step")
axes.plot(range(20, 20 * len(means) + 1, 20), means, "o-", markersize=3, label="mean of 20 steps")
axes.set(xlabel="step", ylabel="loss", ylim=(0, 1.3))
axes.legend()
plt.show()

# %%
grid(torch.cat(list(stages.values())), columns=10, zoom=2, top=[*"0123456789"], left=[f"step {step}" for step in stages])

# %% [markdown]
# The curve falls fast and then slowly. It jumps, because each step has other images, other noise and other $t$. Look at the
# samples instead. Before the first step the network adds next to nothing, and we see the linear denoiser's idea of a digit:
# clouds of the right size and spectrum. Strokes come soon, then some digits. The class comes last: what a class looks like is
# harder to learn than what a stroke looks like.
#
# A minute is too short for good digits. Raise `STEPS`, or let the command do it; it saves its state and can resume:
#
# ```
# python -m ddpm_faces.train --data toydigits
# ```

# %% [markdown]
# ## 5. What the class does
#
# Your model draws each class from the same noise, and in the last column what it draws when no class is said. Down a column the
# class is the same, along a row the noise. (Guidance exaggerates what the class changes. Notebook 3 explains it.)

# %%
top = [*"0123456789", "none"]
vectors = torch.cat((DIGITS.one_hot_vectors(range(10)), torch.zeros(1, 10)))


def board(model, seeds, title):
    """A row for each seed, a column for each class, and one for no class."""
    drawn = ddpm_faces.generate(model, vectors.repeat(len(seeds), 1), seed=[seed for seed in seeds for _ in top])
    return grid(drawn, columns=11, zoom=2, top=top, left=[f"seed {seed}" for seed in seeds], title=title)


board(mine, (3, 4, 5), f"the model trained just now, guidance {mine.guidance:g}")

# %% [markdown]
# Your model has seen little, so it obeys in part. Which classes does it know already? And now the shipped model, which is
# larger and has seen 900,000 digits. Its rows share a handwriting: the slant, the width of the stroke, the place.

# %%
board(digits, (11, 12, 13), f"the shipped model, mnist32, guidance {digits.guidance:g}")

# %% [markdown]
# What lies between two classes? No training image had a vector that is partly 3 and partly 8. The model answers all the same,
# and mostly changes its mind at one point of the way. (The numbers above the columns are the share of the 8.
# `python -m ddpm_faces.interpolate --from-digit 3 --to-digit 8` does the same.)

# %%
from ddpm_faces.generation.strips import class_strip

strip = class_strip(digits, 3, 8, columns=9, rows=2, seed=20)
grid(strip.images, columns=9, zoom=2, top=strip.layout.top, left=strip.layout.left)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
# How many parameters does an `Attention` of $C$ channels have? Read its constructor and write the formula. A group norm has a
# scale and a shift for each channel. A 1x1 convolution from $A$ to $B$ channels has $AB$ weights and $B$ biases.

# %%
show(Attention.__init__)


# %%
def attention_parameters(channels):
    return ...


def count(channels):
    return sum(p.numel() for p in Attention(channels).parameters())


check(
    lambda: attention_parameters(96),
    lambda answer: answer == count(96) and attention_parameters(64) == count(64),
    f"for 96 channels it is {count(96):,}",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The norm has $2C$, `qkv` has $3C^2 + 3C$, and `out` has $C^2 + C$.
#
# ```python
# def attention_parameters(channels):
#     return 4 * channels**2 + 6 * channels
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# Let all weights be $w_t = 1$. What is the loss of the laziest network, which always answers 0? And of one that returns $x_t$
# itself as the noise? First think, then measure both with the package's `loss`, on `x0` and the `noise` below. A network is any
# function of `(x, t, c)`.

# %%
noise = sample_noise(x0.shape, 10, schedule, p_null=0.1, p_each=0.0, rng=torch.Generator().manual_seed(0))
loss_of_zero = ...
loss_of_x = ...

check(loss_of_zero, lambda value: abs(float(value) - 1) < 0.05, "the noise has variance 1")
check(
    loss_of_x,
    lambda value: abs(float(value) - float(loss(lambda x, t, c: x, x0, classes, noise, schedule))) < 1e-6,
    "the function is lambda x, t, c: x",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The noise has mean square 1. $x_t$ is a bad answer where there is little noise, and a good one where there is little else.
#
# ```python
# loss_of_zero = loss(lambda x, t, c: torch.zeros_like(x), x0, classes, noise, schedule)
# loss_of_x = loss(lambda x, t, c: x, x0, classes, noise, schedule)
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# Write a condition vector for "one quarter 4, three quarters 9". The cell draws four digits from it with the shipped model.
# Which of the two wins?

# %%
mixture = ...  # a tensor of shape (10,)

check(mixture, lambda c: c.shape == (10,) and c[4] == 0.25 and c[9] == 0.75 and c.sum() == 1, "the other entries are 0")
if mixture is not ...:
    display(grid(ddpm_faces.generate(digits, mixture, n=4), columns=4, zoom=2))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# mixture = 0.25 * DIGITS.one_hot_vectors([4])[0] + 0.75 * DIGITS.one_hot_vectors([9])[0]
# ```
# </details>
#
# **Next:** [3_guidance](3_guidance.ipynb): how the model comes to show more clearly what it was asked for.
