# %% [markdown]
# # 6. Measuring
#
# The images look good. Are they? This notebook measures: how close generated images are to real ones, how many samples an
# honest figure needs, what the average of the weights is worth, whether a model copies its training images, and what changes
# when only one attribute should. It shows how to add a sampler of your own, and it ends with the limits and risks of such
# models.
#
# Everything runs offline: on digits that the package draws, and with the two classifiers that it ships.

# %%
# Small settings: about a minute and a half on one CPU core. On a GPU: SAMPLES, STEPS, FACES = 1000, 3000, 64
SAMPLES = 100  # images of each model in parts 4 and 5
STEPS = 200  # of the training in part 4
FACES = 4  # for each question of part 6

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import ddpm_faces
from ddpm_faces.conditions import CELEBA, DIGITS
from ddpm_faces.data import open_dataset
from ddpm_faces.evaluation.metrics import frechet, kernel_distance, precision_recall, statistics
from ddpm_faces.evaluation.reference import blurred, noise
from ddpm_faces.generation.generate import generate
from ddpm_faces.models.classifier_checkpoint import load_classifier
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid, to_tensor, to_uint8

train_set, test_set = open_dataset("toydigits"), open_dataset("toydigits", split="test")
classifier = load_classifier("mnist32", device="auto")
features = classifier.extract(train_set.images).features  # (8000, 144)
real, more_real = features[:4000], features[4000:]  # the reference, and real digits to measure
print(f"{len(train_set):,} training and {len(test_set):,} test digits; a digit has {features.shape[1]} features")

# %% [markdown]
# ## 1. Two clouds of points
#
# No one can compare all images with all others by eye. So a network turns each image into a vector of *features*: the last
# layer of a classifier, which sees shapes and not single pixels. A set of images becomes a cloud of points. Now compare two
# clouds.
#
# **FID**, the Fréchet inception distance (Heusel et al. 2017), takes each cloud for a Gaussian. With means $\mu$ and
# covariances $\Sigma$ of the real (r) and the generated (g) features,
#
# $$\mathrm{FID} = \lVert \mu_r - \mu_g \rVert^2 + \mathrm{Tr}\big(\Sigma_r + \Sigma_g - 2\, (\Sigma_r \Sigma_g)^{1/2}\big).$$
#
# **KID**, the kernel inception distance (Binkowski et al. 2018), needs no Gaussian. With the kernel
# $k(a, b) = (a^\top b / F + 1)^3$ of two vectors of $F$ features,
#
# $$\mathrm{KID} = \mathbb E\, k(r, r') + \mathbb E\, k(g, g') - 2\, \mathbb E\, k(r, g) \qquad\text{(pairs of different images)}.$$
#
# Both are 0 for equal distributions. Published figures use the features of the Inception network. Here they are those of the
# shipped digit classifier, which are at hand offline. **Figures of different features cannot be compared.**

# %%
show(frechet)
show(kernel_distance)


# %%
def frechet_by_hand(a, b):
    a, b = a.double(), b.double()
    root = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.clamp(min=0).sqrt().sum()  # trace of the root, by eigenvalues
    return float((a.mean(0) - b.mean(0)).square().sum() + a.T.cov().trace() + b.T.cov().trace() - 2 * root)


by_package = frechet(statistics(more_real), statistics(real))
print(f"FID of real digits against other real ones: package {by_package:.4f}, by hand {frechet_by_hand(more_real, real):.4f}")

# %% [markdown]
# ## 2. What the figures see
#
# Four sets of 400 images against the reference: other real digits, the same digits blurred, noise, and real digits of which all
# are ones and sevens.
#
# **Precision and recall** (Kynkäänniemi et al. 2019) come with them. Draw a ball around each real point, up to its third
# nearest real neighbour. *Precision* is the share of generated images inside a real ball: are the images like real ones?
# Exchange the roles. *Recall* is the share of real images inside a generated ball: does the model reach all that is real?

# %%
held_out = test_set.images[:400]
narrow = train_set.images[np.flatnonzero(train_set.conditions[:, [1, 7]].any(axis=1))[:400]]
sets = {"real digits": held_out, "blurred": blurred(held_out), "noise": noise(held_out), "only 1 and 7": narrow}


def table(sets):
    """FID, KID with its spread, precision and recall of each set against the reference."""
    print(f"{'':14}     FID       KID            precision  recall")
    for name, images in sets.items():
        found = classifier.extract(images).features
        fid, (kid, spread) = frechet(statistics(found), statistics(real)), kernel_distance(found, real)
        precision, recall = precision_recall(found, real)
        print(f"{name:14} {fid:7.2f}   {kid:7.4f} ± {spread:.4f} {precision:9.2f} {recall:8.2f}")


table(sets)
grid(to_tensor(np.concatenate([images[:10] for images in sets.values()])), columns=10, zoom=2, left=list(sets))

# %% [markdown]
# The real digits are the *ruler*: no model can do better. Always measure such rulers together with a model.
#
# FID and KID see blur and missing digits alike, but do not tell one fault from the other. Precision and recall do: ones and
# sevens are perfectly real, and they leave most real digits unreached. And what weighs more? These features were trained to
# tell digits apart, so a missing digit weighs more than noise. Other features would weigh otherwise.
#
# ## 3. How many samples?
#
# The next cell compares real digits with real digits, for growing sets. The true distance is 0.

# %%
counts = (64, 100, 200, 400, 800)
fid, kid, shares = [], [], []
for n in counts:
    draws = [more_real[i * n : (i + 1) * n] for i in range(4)]
    fid.append(np.mean([frechet(statistics(draw), statistics(real)) for draw in draws]))
    kid.append(kernel_distance(draws[0], real))
    shares.append(precision_recall(draws[0], real))

slope, limit = np.polyfit(1 / np.array(counts[2:]), fid[2:], 1)  # FID = limit + slope / n
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
left.loglog(counts, fid, "o-")
left.set(title="FID of real digits (should be 0)")
middle.errorbar(counts, [mean for mean, _ in kid], [spread for _, spread in kid], fmt="o-", capsize=3)
middle.axhline(0, color="gray", linewidth=0.8)
middle.set(title="KID, and its spread", xscale="log")
right.semilogx(counts, shares, "o-", label=["precision", "recall"])
right.set(title="precision and recall", ylim=(0, 1.05))
right.legend()
for axes in (left, middle, right):
    axes.set_xlabel("images")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.set_xticks([], minor=True)
plt.show()
print(f"FID with 64 images {fid[0]:.2f}, with 800 {fid[-1]:.2f}; the line through the last three in 1/n ends at {limit:.2f}")

# %% [markdown]
# **FID is biased.** A covariance of 144 features needs many images. With few of them FID is too high, by about $1/n$, and by
# more where a network has more features (Inception has 2048). So a FID of 1,000 samples must never stand beside one of 50,000,
# and of two equal models the one measured with more samples looks better. The remedies: equal counts for all, or a line in
# $1/n$ that is extrapolated (Chong & Forsyth 2020).
#
# **KID is not biased**: it scatters around 0, by less and less. Precision and recall depend on the count too, because balls
# shrink as points become denser. A figure without its count, its features, its crop and its reference says nothing.
#
# ## 4. The average of the weights
#
# Training keeps two sets of weights: the raw ones, which Adam moves, and their running average (EMA). The next cell trains a
# small network and stops while the learning rate is high. On the way it asks both sets of weights for the same noise in the
# same 100 test digits.

# %%
from accelerate import Accelerator

from ddpm_faces.diffusion.loss import loss, loss_weights, sample_noise
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.models.model import Config, DiffusionModel
from ddpm_faces.training.config import Recipe
from ddpm_faces.training.loop import TrainState, train

schedule = Schedule()
torch.manual_seed(0)
sizes = {"channels": (16, 32, 64), "attention": (2,), "blocks": 1}
config = Config(labels=DIGITS, image=train_set.image_shape, embedding=32, unet=sizes)
network = config.network()
network.linear_denoiser.fit(train_set.image_batches())
state = TrainState.new(network, Recipe(batch_size=16, lr=3e-3, warmup=30, p_each=0.0), Accelerator(), 10 * STEPS)

images, classes = (t.to(state.accelerator.device) for t in test_set.batch(range(100)))
rng = torch.Generator(images.device).manual_seed(0)
sample = sample_noise(images.shape, len(DIGITS), schedule, p_null=0.0, p_each=0.0, rng=rng)


@torch.no_grad()
def held_out_loss(network):
    weights = loss_weights("unit", sample.t, schedule, network.residual_std)
    return float(loss(network, images.float() / 127.5 - 1, classes, sample, schedule, weights))


seen, raw, averaged = [], [], []
for record in train(state, train_set, schedule, 10 * STEPS):
    if record.step >= STEPS // 4 and record.step % (STEPS // 40) == 0:
        seen.append(record.step)
        raw.append(held_out_loss(state.network))
        averaged.append(held_out_loss(state.ema.module))
    if record.step == STEPS:
        break

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(seen, raw, "o-", markersize=3, label="raw weights")
axes.plot(seen, averaged, "o-", markersize=3, label="average (EMA)")
axes.set(xlabel="step", ylabel="loss on test digits")
axes.legend()
plt.show()

# %% [markdown]
# The raw weights jump from step to step. The average is smooth, and soon it is dozens of steps ahead. Now let both draw from
# the same noise.

# %%
weights = {"raw weights": state.network, "average (EMA)": state.ema.module}
with torch.no_grad():
    drawn = {name: generate(DiffusionModel(network.eval(), config), "0-9", n=SAMPLES) for name, network in weights.items()}
table({name: to_uint8(samples) for name, samples in drawn.items()})
grid(torch.cat([samples[:20] for samples in drawn.values()]), columns=10, zoom=2, left=["raw", "", "average", ""])

# %% [markdown]
# The samples do not tell the two apart: the difference is smaller than the spread of KID. Part 3 told us why. A hundred samples
# are far too few for a difference of a few percent. The losses above tell them apart with a hundred images, because both sets
# of weights got *the same* images and the same noise. Compare in pairs wherever you can.
#
# (The recall is high although the samples are poor. Poor samples scatter, a scattered cloud has large balls, and large balls
# reach much. Never read recall without precision.)
#
# At the end of a full training the learning rate is near 0, and the two sets of weights come close. Where it stays high, FID
# depends strongly on the average (Karras et al. 2024). The package's checkpoints hold the average, and its samples come from
# it.
#
# ## 5. Copies
#
# A model that has learned its training images by heart would have excellent figures so far. So look for the nearest training
# image of each sample. A small distance alone proves nothing: two ones are always alike. A *copy* is much closer to one
# training image than to all others: at most a third as far as the second nearest (Yoon et al. 2023).
#
# A test must be able to fail. So the cell also looks at planted copies, which are training digits with a little noise, and at
# test digits, which cannot be copies.

# %%
from ddpm_faces.evaluation.nearest import COPY, nearest, pixels

show(nearest)

grain = 0.1 * torch.randn((SAMPLES, 1, 32, 32), generator=torch.Generator().manual_seed(0))
noisy = to_tensor(train_set.images[:SAMPLES]) + grain
suspects = {
    "samples": to_uint8(drawn["average (EMA)"]),
    "test digits": test_set.images[:SAMPLES],
    "planted copies": to_uint8(noisy),
}
training_pixels = pixels(train_set.images)
rows = []
print(f"{'':16} median distance   median of nearest / second   copies")
for name, suspect in suspects.items():
    near = nearest(pixels(suspect), [training_pixels])
    ratio = near.distance / near.second
    copies = float((ratio <= COPY).float().mean())
    print(f"{name:16} {float(near.distance.median()):15.3f}   {float(ratio.median()):26.2f}   {copies:6.0%}")
    rows += [to_tensor(suspect[:10]), to_tensor(train_set.images[near.which[:10]])]
grid(torch.cat(rows), columns=10, zoom=2, left=[label for name in suspects for label in (name, "nearest in training")])

# %% [markdown]
# The planted copies are found, and no sample is one. (With the small settings it could hardly be: the model has seen each digit
# once at most.)
#
# **What was found for the shipped models.** Of 1,000 samples of `celeba64` none is a copy of one of its 8,000 training faces or
# of their mirror images. Of 1,000 real faces that the model never saw, the same rule calls two copies. Of the samples of
# `mnist32` none is. And `celeba64` predicts the noise in held-out faces as well as in training faces. A model that learns by
# heart would not. (The model card has the figures. `python -m ddpm_faces.evaluate --only memorisation` takes them.)
#
# ## 6. Entanglement
#
# Ask for one attribute, and others change with it. Most people with gray hair in CelebA are old men, and most people with blond
# hair are women. The model learns them together. The attribute classifier shows it: by how much does each logit move if an
# attribute goes from absent to present and the noise stays? We ask twice: about the attribute alone, and with the sex (and age)
# said at both ends.

# %%
faces, face_classifier = ddpm_faces.load("celeba64", device="auto"), load_classifier("celeba64", device="auto")
figure, panels = plt.subplots(1, 2, figsize=(12, 3.6), layout="constrained")
rows, left = [], []
for axes, attribute, said in zip(panels, ("Gray_Hair", "Blond_Hair"), (",Male,-Young", ",Male"), strict=True):
    for offset, extra in ((0.2, ""), (-0.2, said)):
        specs = [f"{sign}{attribute}{extra}" for sign in ("-", "")]
        ends = [generate(faces, spec, n=FACES, seed=5) for spec in specs]
        absent, present = (face_classifier.extract(end).logits.mean(dim=0) for end in ends)
        change = present - absent
        if not extra:
            shown = change.abs().argsort(descending=True)[:8].tolist()  # the eight that move most
        axes.barh([offset - i for i in range(8)], change[shown], height=0.4, label=f"{attribute}{extra}")
        rows, left = rows + ends, left + specs
    axes.set_yticks([-i for i in range(8)], [CELEBA.names[k] for k in shown])
    axes.axvline(0, color="gray", linewidth=0.8)
    axes.set(xlabel="mean change of the logit")
    axes.legend(fontsize=8)
plt.show()

# %%
grid(torch.cat(rows), columns=FACES, left=left, zoom=1)

# %% [markdown]
# Gray hair alone also makes faces male and old. With `Male,-Young` at both ends the sex stays: the model has seen old men with
# gray hair and without. Blond hair alone makes faces female. With `Male` at both ends the sex moves even *more*: two of a
# hundred men in CelebA are blond, so the model hardly knows any. (The classifier hardly knows any either.)
#
# What can one do?
# - **Say what must stay**, where the data show that combination. Strips say all 40 attributes, which a prior fills in (notebook
#   4).
# - **Use less guidance.** It exaggerates the companions too.
# - **Mind the data.** Where a data set hardly shows two things apart, no model can learn to part them. Balance the data, or say
#   what they lack.
#
# ## 7. A sampler of your own
#
# A sampler is one function. It takes `eps(x, t)`, the start noise, the schedule, the number of steps, a noise source, and
# whether to clip, and yields a `State` in each step. Pass it to `generate`. This one is Heun's method (Karras et al. 2022,
# algorithm 1): it takes DDIM's step, looks at the noise there, and repeats the step with the mean of both noises. By notebook
# 5, part 3, its first step must be DDIM's. So must the last, which lands where there is no noise.

# %%
from ddpm_faces.diffusion.sampling import State, jumps, predict


def heun(eps, x, schedule, steps, noise, clip=False, always=False):
    """Two network evaluations a step, but one in the first (unless `always`) and in the last."""
    ts = schedule.timesteps(steps, "karras")
    for i, (step, t, ab_t, ab_s) in enumerate(jumps(schedule, steps, x, "karras")):
        x0, e = predict(eps, x, t, schedule, clip)
        landed = ab_s**0.5 * x0 + (1 - ab_s) ** 0.5 * e  # DDIM (12)
        if i < steps - 1 and (i > 0 or always):
            _, e_there = predict(eps, landed, torch.full_like(t, ts[i + 1]), schedule, clip)
            width = ((1 - ab_s) / ab_s) ** 0.5 - ((1 - ab_t) / ab_t) ** 0.5
            landed = ab_s**0.5 * (x / ab_t**0.5 + width * (e + e_there) / 2)  # DDIM (13) with the mean of both noises
        x = landed
        yield State(step, x, x0)


def heun_always(*arguments):
    return heun(*arguments, always=True)


# %%
digits = ddpm_faces.load("mnist32", device="auto")
exact = generate(digits, "0-9", steps=80, guidance=1)
print("sampler        steps   evaluations   distance to the exact images (RMS)")
for sampler, steps, evaluations in ((heun, 8, 14), ("dpm", 14, 14), ("ddim", 14, 14), (heun_always, 8, 15)):
    images = generate(digits, "0-9", sampler=sampler, steps=steps, guidance=1)
    name = sampler if isinstance(sampler, str) else sampler.__name__
    print(f"{name:12} {steps:7} {evaluations:13}   {float((images - exact).square().mean().sqrt()):.3f}")

# %% [markdown]
# At equal evaluations Heun's method comes close to DPM-Solver++ and leaves DDIM behind. The last line takes Heun's step from
# the schedule's end, $\bar\sigma = 20{,}000$, and pays for it. To give your sampler a name for the commands, write
# `ddpm_faces.register_sampler("heun", heun, 8)` into a module and pass it as `--import MODULE --sampler heun`.
#
# ## 8. Limits and risks
#
# **What the figures do not say.** FID, KID, precision and recall compare sets in the eyes of one network. They see no single
# bad image. A classifier sees only what its labels taught it. Guidance and samplers that are tuned on a figure improve that
# figure. Look at many images, chosen by seed and not by taste.
#
# **What the models cannot do.** `celeba64` is small: 1.9 million weights, 64 x 64 pixels, 8,000 training faces. About one face
# in five has odd eyes or a smeared mouth. Hats, old people and rare combinations come out worst. Of several attributes little
# is seen, because their labels are close to noise ("Oval_Face", "Pointy_Nose").
#
# **Whom the data show.** CelebA shows celebrities: mostly young, light-skinned, made-up and smiling. Its labels are the
# opinions of a few annotators, and some ("Attractive", "Chubby") are no facts at all. The model repeats all of that, and joins
# what the data join. Never draw conclusions about people from it.
#
# **What not to do.** Do not use such a model to judge, identify or imitate anyone. Do not pass its images off as photographs. A
# generated face can resemble a real person by accident: never present one as a particular person. A model that was trained on
# photographs may store some of them: test for copies before you share it, and respect a wish to be removed.
#
# **What the licence says.** CelebA's agreement allows non-commercial research only. That holds for `celeba64`, for the face
# classifier and for what is made with them. MNIST is CC BY-SA 3.0. The toy faces and digits are drawings of this package (MIT).

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
# What is the Fréchet distance of two one-dimensional Gaussians? Simplify the formula of part 1 for means $m$ and standard
# deviations $s$: it becomes a sum of two squares.


# %%
def frechet_of_normals(m1, s1, m2, s2):
    return ...


check(
    lambda: frechet_of_normals(0, 1, 3, 2),
    lambda d: abs(d - 10) < 1e-9 and frechet_of_normals(1, 2, 1, 2) == 0 and frechet_of_normals(0, 0.5, 0, 3) == 6.25,
    "s1**2 + s2**2 - 2 * s1 * s2 is a square",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def frechet_of_normals(m1, s1, m2, s2):
#     return (m1 - m2) ** 2 + (s1 - s2) ** 2
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# A model draws the same perfect digit again and again: `collapsed` holds its features. What are its precision and recall? First
# think, then compute them against `real`.

# %%
collapsed = real[:1].expand(400, -1)
precision, recall = ..., ...

check(
    recall if precision is ... else precision,
    lambda _: (round(precision, 3), round(recall, 3)) == tuple(round(share, 3) for share in precision_recall(collapsed, real)),
    "precision_recall gives both",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Every image is perfectly real, and nearly no real digit is reached.
#
# ```python
# precision, recall = precision_recall(collapsed, real)
# ```
# </details>

# %% [markdown]
# ### Exercise 3
# Finish a sampler: DDIM on the spacing of Karras. With two steps it must draw what DPM-Solver++ draws, whose first step is
# DDIM's and whose last lands on $\hat x_0$.


# %%
def step(x0, e, ab_s):
    """The next x, from the clean image x0, the noise e and the alpha_bar where the step lands."""
    return ...


def ddim_karras(eps, x, schedule, steps, noise, clip=False):
    for number, t, _, ab_s in jumps(schedule, steps, x, "karras"):
        x0, e = predict(eps, x, t, schedule, clip)
        x = step(x0, e, ab_s)
        yield State(number, x, x0)


def draws_as_dpm(_):
    mine, dpm = (generate(digits, "3", sampler=sampler, steps=2) for sampler in (ddim_karras, "dpm"))
    return float((mine - dpm).abs().max()) < 1e-2


check(lambda: step(torch.ones(1), torch.ones(1), 0.5), draws_as_dpm, "DDIM (12) without new noise")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def step(x0, e, ab_s):
#     return ab_s**0.5 * x0 + (1 - ab_s) ** 0.5 * e
# ```
# </details>
#
# **Next:** [7_editing](7_editing.ipynb): from a photo back to its noise, and forward again with a smile.
