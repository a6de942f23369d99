# %% [markdown]
# # 2. Digits
#
# Notebook 1 took a network that predicts the noise in a picture as given. Here it is opened: what shapes run through it, what its
# attention looks at, what it is trained on. Then one is trained, now, on digits, and asked for the digit we want.
#
# With MNIST in a folder (or on Colab, which fetches it) the digits are real handwriting. Without it they are drawn by the
# package, to look like handwriting, so that everything works offline.

# %%
# Small settings: the training takes about two minutes on two CPU cores. On a GPU: STEPS, BATCH, PRESET = 4000, 128, "mnist32"
DATA_ROOT = "data"  # a folder that may hold MNIST
DOWNLOAD = ON_COLAB  # fetch MNIST into it (12 MB)
STEPS, BATCH, PRESET = 800, 16, "toy32"

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from einops import rearrange
from IPython.display import display
from PIL import Image

import ddpm_faces
from ddpm_faces.course import check, show
from ddpm_faces.data import fetch, mnist, open_data
from ddpm_faces.images import grid

if DOWNLOAD:
    fetch("mnist", Path(DATA_ROOT))
DATA = "mnist" if mnist.find_files(Path(DATA_ROOT), "train") else "toydigits"
store = open_data(DATA, DATA_ROOT)  # decoded, or drawn, once and kept in the cache
pictures, conditions = store.batch(range(20))
x0 = pictures.float() / 127.5 - 1  # (20, 1, 32, 32) in [-1, 1]
labels = conditions.argmax(dim=1).tolist()
print(f"{DATA}: {len(store):,} pictures of {tuple(x0.shape[1:])}; the first ones are {labels}")
grid(x0, columns=10, zoom=3)

# %% [markdown]
# ## 1. The U-Net, opened
#
# The network gets a noisy picture and must give a picture of the same size, the noise. It is a U: on the way down the picture
# gets smaller and gains channels, on the way up it grows again, and at every level the way up gets, beside what comes from
# below, what the way down had there (the *skips*). At the bottom the coarse shape is seen as a whole; across the skips, the fine
# detail is kept.

# %%
from ddpm_faces.models.unet import Attention, Block, ResBlock, UNet, time_embedding

show(UNet.forward)

# %% [markdown]
# The shapes along the way, noted by hooks while one picture runs through the shipped digit model. `in` of a block on the way
# up is larger than the `out` before it: that is the skip, put beside it.

# %%
digits = ddpm_faces.load("mnist32", device="auto")
unet = digits.network.unet
rows = []


def note(name):
    def hook(module, inputs, output):
        attention = "attention" if isinstance(getattr(module, "attention", None), Attention) else ""
        count = sum(p.numel() for p in module.parameters())
        rows.append(f"{name:12} {tuple(inputs[0].shape[1:])!s:>14} {tuple(output.shape[1:])!s:>14} {count:10,}  {attention}")

    return hook


hooks = [
    module.register_forward_hook(note(name))
    for name, module in unet.named_modules()
    if isinstance(module, Block) or name in ("enter", "exit") or name.rsplit(".", 1)[0] in ("downsample", "upsample")
]
with torch.no_grad():
    one = torch.zeros((1, 1, 32, 32), device=digits.device)
    digits.network(one, torch.tensor([500], device=digits.device), torch.zeros((1, 10), device=digits.device))
for hook in hooks:
    hook.remove()
print(f"{'layer':12} {'in':>14} {'out':>14} {'parameters':>10}")
print("\n".join(rows))
print(f"in all {sum(p.numel() for p in digits.network.parameters()):,} parameters")

# %% [markdown]
# (Why 34 channels enter although a digit has one: the noisy picture, the linear guess of notebook 1, and 32 planes for the
# condition, see part 4.)
#
# What the U-Net $F$ gives is not the noise itself but a correction to that guess, in units of how wrong the guess is on average
# over the $D$ frequencies $k$, of variance $s_k^2$:
#
# $$\epsilon_\theta(x_t, t, c) = \text{guess} + \mathrm{rest}_t\, F(x_t, \text{guess}, t, c), \qquad
# \mathrm{rest}_t^2 = \frac1D \sum_k \frac{\bar\alpha_t s_k^2}{\bar\alpha_t s_k^2 + 1 - \bar\alpha_t}.$$

# %%
from ddpm_faces.models.conditioning import ConditionalUNet

show(ConditionalUNet.forward, first="return")
show(type(digits.network.gaussian).variance_of_xt, first="return")
show(type(digits.network.gaussian).rest)

# %% [markdown]
# **The step.** How much noise there is must be known to the network. The step $t$ becomes a vector of cosines and sines of
# many frequencies, so that close steps have close vectors, and a small network turns it into the *time embedding*:
#
# $$\mathrm{emb}(t) = \big(\cos(\omega_1 t), \dots, \cos(\omega_{32} t),\ \sin(\omega_1 t), \dots, \sin(\omega_{32} t)\big), \qquad
# \omega_i = 10000^{-(i-1)/32}.$$

# %%
show(time_embedding)

# %%
figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
axes.imshow(
    time_embedding(torch.arange(0, 1000, 2), 64).T, aspect="auto", extent=(0, 1000, 64, 0), cmap="RdBu", vmin=-1, vmax=1
)
axes.set(xlabel="step t", ylabel="entry", title="the step as 32 cosines (above) and 32 sines (below)")
plt.show()

# %% [markdown]
# In every ResNet block it scales and shifts the feature maps, after the norm has brought them to one size:
#
# $$h \leftarrow \mathrm{norm}(h) \cdot (1 + \mathrm{scale}(t)) + \mathrm{shift}(t).$$

# %%
show(ResBlock.forward)

# %% [markdown]
# **Attention.** A convolution sees the neighbourhood. For what is far apart to agree (both ends of a stroke, both eyes) the
# lowest levels have self-attention: each place asks a question $q$, every place offers a key $k$ and a value $v$, and the
# answer is the mean of the values, weighted by how well question and key fit:
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt d}\right) V.$$

# %%
show(Attention.forward)

# %% [markdown]
# What does it look at? We listen to the layer in the middle of the shipped model, where the picture is 8 x 8, and compute the
# softmax from the questions and keys that it made itself. One digit, moderately noisy; three places ask (red); each of the
# four heads answers with a map of weights, bright where it looks.

# %%
from ddpm_faces.attributes import one_hot
from ddpm_faces.diffusion.process import add_noise
from ddpm_faces.diffusion.schedule import Schedule

schedule, generator = Schedule(), torch.Generator().manual_seed(1)
attention = unet.middle1.attention
heard = []
hook = attention.qkv.register_forward_hook(lambda module, inputs, output: heard.append(output.cpu()))
drawn = ddpm_faces.generate(digits, "8", seed=4)
heard.clear()  # what it said while drawing
step = torch.tensor([250])
noisy = add_noise(drawn, torch.randn(drawn.shape, generator=generator), step, schedule)
with torch.no_grad():
    digits.network(noisy.to(digits.device), step.to(digits.device), one_hot([8]).to(digits.device))
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
# The heads differ: some look along the stroke, some at the surroundings, some everywhere. Nobody told them; it is what helped
# to predict the noise. Do not read too much into such maps: they say where values come from, not what is done with them.

# %% [markdown]
# ## 2. The loss
#
# Training is quickly described. Take a picture, a random step and random noise, mix them, and ask for the noise (DDPM, equation
# 14):
#
# $$L = \mathbb E_{x_0, t, \epsilon}\ w_t\, \big\lVert \epsilon - \epsilon_\theta\big(\sqrt{\bar\alpha_t}\, x_0 +
# \sqrt{1 - \bar\alpha_t}\, \epsilon,\ t,\ c\big) \big\rVert^2.$$
#
# ($\lVert \cdot \rVert^2$ is here the mean over the pixels, so that a loss does not depend on the size of the picture.)
# Everything random is drawn first, separately from the loss, so that a step can be repeated exactly:

# %%
from ddpm_faces.diffusion.process import draw, loss

show(draw, first="t = torch.randint", last="return")
show(loss)

# %% [markdown]
# The weight $w_t$ of a step is 1 in the DDPM paper. In notebook 1 the error was a thousand times smaller at the noisiest steps
# than at the least noisy ones; with $w_t = 1$ those steps, in which the coarse is decided and a class has its say, would
# hardly count. The package counts every step in units of what the linear guess leaves open there, $w_t = 1 /
# \mathrm{rest}_t^2$. Then an untrained network starts with a loss of about 1, and everything below 1 is what it has learned
# beyond the linear guess.

# %%
from ddpm_faces.diffusion.weighting import weights as step_weights

show(step_weights, first="share =", last="return")

# %% [markdown]
# ## 3. Train
#
# The loop is a generator: you iterate it, and between steps do what you like. Here: note the loss, and every so often save the
# state and draw the same sixteen digits from the same noise. All of it goes to the run's folder. If the training is
# interrupted, run the cell again: it goes on where it was (on Colab too, if the folder is on Drive).

# %%
from ddpm_faces import runs
from ddpm_faces.checkpoint import DiffusionModel
from ddpm_faces.journal import Journal
from ddpm_faces.processes import make_accelerator
from ddpm_faces.train import BY_DATA, TrainConfig, start, write_samples
from ddpm_faces.training import train

RUN = Path("runs") / f"course-{DATA}-{PRESET}-{STEPS}x{BATCH}"
settings = TrainConfig(
    **{**BY_DATA[DATA], "preset": PRESET, "epochs": STEPS * BATCH / len(store)},
    data=DATA,
    batch_size=BATCH,
    lr=3e-3,
    warmup=30,
    guidance=4.0,
    out=RUN,
    resume=RUN if runs.states(RUN) else None,
)
accelerator = make_accelerator(settings.device, settings.precision, RUN)
state, config, progress = start(settings, accelerator, store, STEPS)

with Journal(RUN, state, config, store, STEPS, progress) as journal:
    if state.step == 0:
        write_samples(settings, DiffusionModel(state.ema.module, config), store, 0)
    for record in train(state, store, schedule, STEPS):
        journal.note(record, every=20)
        if record.step % 50 == 0 or record.step == STEPS:
            journal.save()
        if record.step % (STEPS // 4) == 0:
            write_samples(settings, DiffusionModel(state.ema.module, config), store, record.step)

# %% [markdown]
# The heart of the loop is `loss`, backward, a step of Adam, and a step of the *average of the weights* (EMA), which follows
# the jittery weights slowly and from which all samples are drawn:

# %%
from ddpm_faces.ema import EMA

show(train, first="value = loss", last="state.ema.update")
show(EMA.update)

# %%
history = runs.read_losses(RUN)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot([row["step"] for row in history], [row["loss"] for row in history], "o-")
axes.set(xlabel="step", ylabel="loss, mean of 20 steps", ylim=(0, 1.1))
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# The curve falls fast and then slowly, and it jumps: each step has other pictures, other noise, other $t$. Judge by samples
# instead. The same noise each time; asked for are 0 to 7 in the first row and 8, 9, 0 to 5 in the second:

# %%
for path in sorted((RUN / "samples").glob("step-*.png")):
    picture = Image.open(path)
    display(picture.resize((picture.width * 3 // 4, picture.height * 3 // 4)))

# %% [markdown]
# Before the first step the network adds next to nothing, and what is drawn is the linear guess's idea of a digit: clouds of the right
# size and spectrum. Soon there are strokes, then some digits, and late the class begins to have a say: what a class looks like
# is learned more slowly than what a stroke looks like. Two minutes are too few for good digits. The shipped model in part 5, a
# larger one, has seen several times as many pictures.

# %% [markdown]
# ## 4. What the class does
#
# The class $c$ is a one-hot vector of ten entries, a linear map makes 32 numbers of it, and each number becomes a constant
# plane beside the picture; a second linear map adds it to the time embedding:
#
# $$\text{input} = \big[\, x_t,\ \text{guess},\ W c + b \,\big], \qquad \mathrm{temb} = \mathrm{MLP}(\mathrm{emb}(t)) + W' c + b'.$$
#
# (The code enlarges $c$ by a constant, `GAIN`; notebook 4 comes back to it.)

# %%
show(ConditionalUNet.forward)

# %% [markdown]
# In a tenth of all cases the class is hidden in training: `keep` in the loss is 0, and the vector all zeros. So the network
# also learns to work without: the *null condition*, for which $W c + b$ is just $b$. Below, your model draws each class from
# one and the same noise, and at the right what it draws from that noise when no class is said. (Drawn with guidance: what the
# class changes is exaggerated, fourfold for your model and twofold for the shipped one. Notebook 3 explains it.)

# %%
mine = ddpm_faces.load(RUN, device="auto")  # a run's folder is a model: its averaged weights
seeds = (3, 4, 5)
vectors = torch.cat((one_hot(range(10)), torch.zeros(1, 10))).repeat(len(seeds), 1)
board = ddpm_faces.generate(mine, vectors, seed=[s for s in seeds for _ in range(11)])
top = [*map(str, range(10)), "none"]
grid(board, columns=11, top=top, left=[f"seed {s}" for s in seeds], zoom=2, title="the model trained just now")

# %% [markdown]
# Down a column the class is the same, along a row the noise. Your model has seen little, so it will obey in part: find the
# classes that it knows already.
#
# ## 5. The digit board
#
# The same with the shipped model. What a row shares is the handwriting: the slant, the width of the stroke, the place.

# %%
seeds = (11, 12, 13, 14)
board = ddpm_faces.generate(digits, vectors[:11].repeat(len(seeds), 1), seed=[s for s in seeds for _ in range(11)])
grid(board, columns=11, top=top, left=[f"seed {s}" for s in seeds], zoom=2, title="the shipped model, mnist32")

# %% [markdown]
# And between two classes? A vector that is partly 3 and partly 8 was never shown in training. The network was not asked to,
# but it answers, and mostly changes its mind somewhere on the way (above the columns: the share of the 8; `python -m
# ddpm_faces.interpolate --from-digit 3 --to-digit 8` does this for you):

# %%
from ddpm_faces.interpolate import InterpolateConfig, lay_out_digits

layout = lay_out_digits(InterpolateConfig(from_digit=3, to_digit=8, n=3, columns=9, seed=20))
strip = ddpm_faces.generate(digits, layout.conditions, seed=layout.seeds)
grid(strip, columns=9, top=layout.top, left=layout.left, zoom=2)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
# How many parameters does an `Attention` of $C$ channels have? Read its constructor (below) and write the formula. A group norm has
# a scale and a shift for each channel; a 1x1 convolution from $A$ to $B$ channels has $AB$ weights and $B$ biases.

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
# The norm has $2C$, `qkv` $3C^2 + 3C$, and `out` $C^2 + C$.
#
# ```python
# def attention_parameters(channels):
#     return 4 * channels**2 + 6 * channels
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# With all weights $w_t = 1$: what is the loss of the laziest network, which always answers 0? And what of one that gives $x_t$
# itself for the noise? First think, then measure both with the package's `loss`, on `x0` and the `draws` below. A network is
# any function of `(x, t, c)`.

# %%
draws = draw(torch.Size((20, 1, 32, 32)), 10, schedule, 0.1, 0.0, torch.Generator().manual_seed(0))
loss_of_zero = ...
loss_of_x = ...

check(loss_of_zero, lambda value: abs(float(value) - 1) < 0.05, "the noise has variance 1")
check(
    loss_of_x,
    lambda value: abs(float(value) - float(loss(lambda x, t, c: x, x0, conditions, draws, schedule))) < 1e-6,
    "the function is lambda x, t, c: x",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The noise has mean square 1. $x_t$ is a bad answer where there is little noise and a good one where there is little else.
#
# ```python
# loss_of_zero = loss(lambda x, t, c: torch.zeros_like(x), x0, conditions, draws, schedule)
# loss_of_x = loss(lambda x, t, c: x, x0, conditions, draws, schedule)
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# Write a condition vector for "one quarter 4, three quarters 9", draw four digits from it with `ddpm_faces.generate` and the
# shipped model, and look. Which of the two wins?

# %%
mixture = ...  # a tensor of shape (10,)

check(mixture, lambda c: c.shape == (10,) and c[4] == 0.25 and c[9] == 0.75 and c.sum() == 1, "the rest is 0")
if mixture is not ...:
    display(grid(ddpm_faces.generate(digits, mixture, n=4), columns=4, zoom=2))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# mixture = 0.25 * one_hot([4])[0] + 0.75 * one_hot([9])[0]
# ```
# </details>
#
# **Next:** `3_guidance.ipynb`: how to make the model obey more than it would.
