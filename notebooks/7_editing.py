# %% [markdown]
# # 7. Editing a photo
#
# A sampler leads from noise to an image. Inversion goes the other way: which noise lies behind *this* image? With it, a photo
# can be drawn again, but smiling. This notebook shows why the obvious inversion misses, derives one that is exact, and then
# finds that an edit needs neither: only the difference of two predictions.
#
# Equations are from Song et al. 2021 (DDIM), Wang et al. 2024 (O-BELM) and Kulikov et al. 2025 (FlowEdit).

# %%
# Small settings: about a minute on one CPU core.
FACES = 3  # drawn faces that stand for photos
STEPS = (5, 10, 20, 40)  # of the inversions compared

# %%
import torch

import ddpm_faces
from ddpm_faces.diffusion import editing, inversion
from ddpm_faces.diffusion.inversion import CHAINS, ddim_step, evaluate, invert_ddim, ladder, sample_ddim
from ddpm_faces.generation import edit as edits
from ddpm_faces.generation.regions import region
from ddpm_faces.models.classifier_checkpoint import load_classifier
from ddpm_faces.utils.course import check, show
from ddpm_faces.utils.images import grid

torch.set_grad_enabled(False)
model = ddpm_faces.load("celeba64", device="auto")
schedule = model.schedule
photos = ddpm_faces.generate(
    model, ["Male,-Smiling,Young", "-Male,-Smiling,Young", "-Male,-Smiling,Blond_Hair"], seed=[2, 21, 11]
)
photos = photos[:FACES].to(model.device)
grid(photos, columns=FACES, title="faces that the model has drawn, in place of photos")

# %% [markdown]
# No photo of a real person comes with this course. At the end there is a place for your own.
#
# ## 1. The obvious inversion
#
# One step of DDIM without new noise goes from $t$ to an earlier $s$ along the predicted noise (notebook 5):
#
# $$x_s = a\, x_t + b\, \epsilon(x_t, t), \qquad a = \sqrt{\bar\alpha_s / \bar\alpha_t}, \quad
# b = \sqrt{1 - \bar\alpha_s} - a \sqrt{1 - \bar\alpha_t}.$$
#
# Solved for $x_t$ it would be exact: $x_t = (x_s - b\, \epsilon(x_t, t)) / a$. But $\epsilon$ is needed in $x_t$, which we do
# not have yet. So textbook inversion takes the noise of the state that it has.

# %%
show(inversion.ddim_step)
show(inversion.invert_ddim, first="for here, there")

# %% [markdown]
# Go up to a depth of 0.95, and back down by DDIM. How far is the result from the photo? (RMS over all pixels, of a range of 2.)

# %%
smiling = model.names.index("Smiling")
condition = torch.zeros(FACES, len(model.names), device=model.device)
condition[:, smiling] = -1
eps = model.eps(condition)


def rms(x):
    """Root mean square over all pixels."""
    return float(x.square().mean().sqrt())


def there_and_back(steps):
    """The photos after textbook inversion and DDIM."""
    rungs = ladder(schedule, steps, 0.95)
    return sample_ddim(eps, invert_ddim(eps, photos, rungs).x[-1], rungs)


returned = {steps: there_and_back(steps) for steps in STEPS}
missed = {steps: rms(x - photos) for steps, x in returned.items()}
print({steps: round(error, 3) for steps, error in missed.items()})
grid(
    torch.cat([photos, *returned.values()]),
    columns=FACES,
    left=["photo", *(f"{steps} steps" for steps in STEPS)],
)

# %% [markdown]
# With few steps a pale, blurred copy comes back. Twice the steps leave about half of the error: this is Euler's method, and it
# is of first order. Forty steps cost eighty network calls, and the result is still not the photo.
#
# ## 2. An exact one
#
# Use **two** states. Let $y = x / \sqrt{\bar\alpha}$, $\sigma$ the noise beside the image, and $h_i = \sigma_i - \sigma_{i-1}$.
# Then $\epsilon$ is the slope of $y$ over $\sigma$ (notebook 5). Put a parabola through $y_{i+1}$ and $y_i$ that has this slope
# in $\sigma_i$, and read it at $\sigma_{i-1}$:
#
# $$y_{i-1} = r\, y_{i+1} + (1 - r)\, y_i - \frac{h_i (h_i + h_{i+1})}{h_{i+1}}\, \epsilon(x_i, i), \qquad r = (h_i / h_{i+1})^2.$$
#
# This is O-BELM. The network is asked in $x_i$, the state in the *middle*, which both directions have. So the equation can be
# solved for $y_{i+1}$, and the chain runs backwards without any error but rounding.

# %%
show(inversion._obelm_down)
show(inversion._obelm_up)

# %%
rungs = ladder(schedule, 10, 0.95)
chain = CHAINS["o-belm"]
state = chain.invert(eps, photos, rungs)
print(f"float32: largest error of a pixel {float((chain.sample(eps, state, rungs) - photos).abs().max()):.1e}")

precise = ddpm_faces.load("celeba64")
precise.network.double()
inverted = ddpm_faces.invert(precise, photos[:1].cpu(), "-Smiling", steps=10)
back = inverted.sample()
print(f"float64: {float((back - photos[:1].cpu()).abs().max()):.1e}")

# %% [markdown]
# Ten steps, where forty of DDIM were not enough. Now walk back down under another condition, and the photo should smile:

# %%
asked = condition.clone()
asked[:, smiling] = 1
rows = [chain.sample(model.eps(asked, w, away_from=condition), state, rungs) for w in (1.0, 3.0)]
grid(torch.cat([photos, *rows]), columns=FACES, left=["photo", "smiling", "smiling, guidance 3"])

# %% [markdown]
# Hardly a smile. The noise holds the photo's details so exactly that the wish does not get through, and what does change is not
# the mouth alone. Nothing here says what should change and what should stay.
#
# ## 3. Only the difference
#
# Keep the path of the photo, $x_i$, with the noise $e_i$ that the network saw there. Let an edited path be $x_i + d_i$. One step
# of DDIM on either:
#
# $$x_{i-1} = a_i x_i + b_i e_i, \qquad x_{i-1} + d_{i-1} = a_i (x_i + d_i) + b_i\, \epsilon'(x_i + d_i).$$
#
# Subtract. What is left does not care whether the path was exact, or where it came from:
#
# $$d_{i-1} = a_i d_i + b_i \big[\epsilon'(x_i + d_i) - e_i\big], \qquad d_n = 0, \qquad \text{edit} = \text{photo} + d_0.$$
#
# $\epsilon'$ is guided from the photo's condition $c$ towards the wish $c'$ (notebook 3, with $c$ as the null):
# $\epsilon' = \epsilon(\cdot, c) + w\, [\epsilon(\cdot, c') - \epsilon(\cdot, c)]$. If $c' = c$, then $d_0 = 0$: the photo comes
# back to the last bit.

# %%
show(editing.difference, first="d = torch.zeros_like", last="return d")

# %%
path = invert_ddim(eps, photos, rungs)
same = editing.difference(model.eps(condition, 4.0, away_from=condition), path, rungs)
print(f"the same condition: largest difference {float(same.abs().max()):.1e}")
d = editing.difference(model.eps(asked, 4.0, away_from=condition), path, rungs)
grid(torch.cat([photos, (photos + d).clamp(-1, 1), d.clamp(-1, 1)]), columns=FACES, left=["photo", "photo + d", "d (grey: 0)"])

# %% [markdown]
# Now they smile. The difference is mostly where a smile is, though not only there. It begins as a soft shape and finds its
# details at the end. Here it is on its way, from the noisiest rung down:

# %%
way, states = [], torch.zeros_like(photos)
guided_eps = model.eps(asked, 4.0, away_from=condition)
for i in range(len(rungs) - 1, 0, -1):
    e = evaluate(guided_eps, path.x[i] + states, rungs[i]) - path.e[i]
    states = ddim_step(states, e, rungs[i], rungs[i - 1])
    way.append(states[0] / rungs[i - 1].alpha)  # at the strength of the image
grid(torch.stack(way).clamp(-1, 1), columns=len(way), zoom=1, top=[f"t={rung.t}" for rung in rungs[-2::-1]])

# %% [markdown]
# ## 4. The rest of a good edit
#
# **What is the photo's condition?** A classifier estimates all 40 attributes, as $2p - 1$. The edited one is set to the opposite
# of the wish.
#
# **Where may it change?** A region for each attribute, drawn by hand. Outside of it the photo is left alone.
#
# **How strongly?** The weakest of four strengths at which the classifier sees the wish.

# %%
classifier = load_classifier("celeba64", model.device)
estimated = edits.estimate(classifier, photos)
for row in estimated:
    sure = [name for name, value in zip(model.names, row, strict=True) if value > 0.8]
    print("surely:", ", ".join(sure))

wishes = ["Smiling", "Eyeglasses", "Male", "-Male", "Blond_Hair", "Bangs"]
results = {wish: ddpm_faces.edit(model, photos, wish) for wish in wishes}
for wish, result in results.items():
    print(f"{wish:12} strengths {result.strength.tolist()}, seen {result.met.tolist()}")
grid(torch.cat([photos.cpu(), *(r.image for r in results.values())]), columns=FACES, left=["photo", *wishes])

# %% [markdown]
# A strength of 0 means that the classifier saw the attribute already: then nothing is changed.
#
# ## 5. Your own photo
#
# The command does the same to a photo of any size: it finds the face, turns it upright, edits it at 64 pixels, and adds the
# enlarged change to the photo, whose other pixels stay.
#
# ```
# python -m ddpm_faces.edit photo.jpg --set Smiling --compare --strip
# ```
#
# On Colab, this cell asks for a photo. Use one of yourself, or of somebody who agrees. Elsewhere it edits a drawn face.

# %%
WISH = "Smiling"
if ON_COLAB:
    import subprocess
    import sys
    from pathlib import Path

    from google.colab import files

    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "dlib-bin", "face_recognition_models"])
    (name,) = files.upload()
    from ddpm_faces.data import faces, photo
    from ddpm_faces.generation.edit_photo import close_up, crop_of

    pixels = photo.open_photo(Path(name)).pixels
    places = [face.similarity for face in faces.find_faces(pixels)[:1]]
    after, result = ddpm_faces.edit_photo(model, pixels, places, WISH)
    shown = close_up(after, places[0], crop_of(model), 256)
else:
    shown = grid(ddpm_faces.edit(model, photos, WISH).image, columns=FACES)
shown

# %% [markdown]
# An edit shows what the data's annotators called a word, not how a person would look. It is not for passing off as a photo.
#
# ## Exercises
#
# ### Exercise 1
# Undo a step of DDIM *exactly*, given the noise that it used: from $x_s = a x_t + b e$ back to $x_t$.


# %%
def undo(x_s, e, a, b):
    """x_t, of which a step of DDIM made x_s."""
    return ...


def undone(x_t):
    return float((x_t - photos).abs().max()) < 1e-4


here, there = rungs[4], rungs[3]
a = there.alpha / here.alpha
b = there.sigma - a * here.sigma
e = evaluate(eps, photos, here)
check(lambda: undo(ddim_step(photos, e, here, there), e, a, b), undone, "solve the equation for x_t")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def undo(x_s, e, a, b):
#     return (x_s - b * e) / a
# ```
# </details>

# %% [markdown]
# ### Exercise 2
# Why not do this for inversion? Try a fixed-point iteration: begin with $x = $ `photos` on the rung `here`, and repeat
# $x \leftarrow (\text{photos} - b\, \epsilon(x, \text{here})) / a$ ten times. How far does DDIM's step from the last $x$ land
# from the photos (`rms`)?

# %%
distance = ...

check(distance, lambda value: 0 <= value < 0.01, "evaluate(eps, x, here) gives the noise; land with ddim_step")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# x = photos
# for _ in range(10):
#     x = (photos - b * evaluate(eps, x, here)) / a
# distance = rms(ddim_step(x, evaluate(eps, x, here), here, there) - photos)
# ```
# It works for a small step of this network, but nothing promises that it converges, and each step costs ten calls.
# </details>

# %% [markdown]
# ### Exercise 3
# Which share of the pixels may an edit of `Eyeglasses` change at all? Use `region(["Eyeglasses"], model.image_shape, "center140")`
# and count the pixels where it is above 0.

# %%
share = ...

check(
    share,
    lambda value: abs(value - float((region(["Eyeglasses"], model.image_shape, "center140") > 0).float().mean())) < 1e-6,
    "a mean of booleans is a share",
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# share = float((region(["Eyeglasses"], model.image_shape, "center140") > 0).float().mean())
# ```
# </details>
#
# This is the end of the course. The package's documentation shows how to train on images of your own and how to add data sets,
# networks and samplers ("Add your own"). And `ddpm_faces/diffusion/` is short enough to read whole.
