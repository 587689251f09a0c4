# ---
# jupyter:
#   jupytext:
#     formats: ipynb,source//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · The conditional VAE
#
# **Can I ask for what I want?**
#
# *You need* notebook 02, and MNIST and LFW (without them the page runs on small digits and drawn faces).
# *It takes* about ten minutes on two cores, most of it training.
# *You will be able to* ask a decoder for a class, judge whether you got it, say where the classes went in
# the codes, and edit a stranger's face with check boxes.

# %% tags=["nbval-ignore-output"]
import math

from aelib import explorers, fit, heads, latent, load, losses, metrics, models, plots, pretrained
import check  # the file beside this page
import course  # the same
import measuring  # the same
from aelib import training
from aelib.datasets import Batch, conditioned, flipped
from aelib.training import adam, cosine

import torch
from sklearn.manifold import TSNE

digits = course.data("mnist", otherwise="digits", quick=1600)
labels = torch.tensor(digits.test.labels)

# %% [markdown]
# ## Predict
#
# A VAE draws digits, but *which* digit is up to chance. Suppose we tell encoder and decoder the class. How
# many nats cheaper will a code be? And when you plot the codes, where will the ten classes be?
#
# ## 1 · A condition is a column
#
# p(x) becomes p(x|c), and everything in the ELBO gets a "given c": q(z|x, c), p(x|z, c). In code it is a
# concatenation: the condition c (B, K) is put beside x for the encoder and beside z for the decoder. For a
# class, c is a *one-hot* vector.

# %%
batch = conditioned(10)(Batch(digits.train[:3].batch().x, y=torch.tensor([5, 0, 4])))
print("labels   ", batch.y.tolist())
print("condition", batch.c.int().tolist())
print("the decoder sees", tuple(models.join(torch.zeros(3, 8), batch.c).shape), "from z (3, 8) and c (3, 10)")

# %% [markdown]
# Nothing else changes: what is known about an image is *data*, so it enters by `map`. The same network, the
# same budget, with and without the label.

# %%
told = {part: getattr(digits, part).map(conditioned(10)) for part in ("train", "valid", "test")}
size, wide = 8, {"net": "mlp", "hidden": (256, 256)}
settings = {"epochs": course.pick(full=12, quick=4), "batch_size": course.pick(full=256, quick=64)}
torch.manual_seed(0)
vae = models.autoencoder(digits.shape, size, **wide)
fit(vae, digits.train, losses.elbo, training.muon(vae), schedule={"lr": cosine()}, **settings)
torch.manual_seed(0)
cvae = models.autoencoder(digits.shape, size, **wide, conditions=10)
history = fit(cvae, told["train"], losses.elbo, training.muon(cvae), schedule={"lr": cosine()}, **settings)

# %% tags=["nbval-ignore-output"]
rates = {}
for name, model, data in (("VAE", vae, digits.test), ("CVAE", cvae, told["test"])):
    rd = metrics.rate_distortion(model, data)
    rates[name] = rd["rate"]
    text = f"distortion {rd['distortion']:.1f} + rate {rd['rate']:.1f} = {sum(rd.values()):.1f} nats"
    print(f"{name:4s} {text}")
print(f"the rate fell by {rates['VAE'] - rates['CVAE']:.1f} nats; a label of ten is worth {math.log(10):.1f}")

# %% [markdown]
# The label says in the condition what the code had to say before. A choice among ten is worth ln 10 nats,
# and the code is cheaper by about that much.
#
# ## 2 · One z under every class
#
# Each row below is *one* code, drawn from N(0, 1); each column asks for another class. Look at what stays
# in a row: slant, width, thickness. That is the *style*, and it is all that z has left to say.

# %% tags=["figure-one-z"]
torch.manual_seed(3)
z = cvae.prior().sample((6,)).cpu()
ten = torch.eye(10)
plots.show(explorers.conditional_strip(cvae, z, ten), columns=10, titles=list("0123456789"))

# %% [markdown]
# The style of a *given* digit: encode it with its own label, decode it under all.

# %%
six = digits.test[:6]
codes = latent.encode(cvae, six.map(conditioned(10)))
strip = explorers.conditional_strip(cvae, codes, ten).reshape(6, 10, *digits.shape)
plots.show(
    torch.cat([six.batch().x[:, None], strip], 1).flatten(0, 1), columns=11, titles=["digit", *"0123456789"]
)

# %% [markdown]
# ### Explore

# %%
sixty = told["test"][:60].batch()
explorers.conditional(cvae, latent.encode(cvae, told["test"][:60]), sixty.x, sixty.c, list("0123456789"))

# %% [markdown]
# ## 3 · Judged, not guessed
#
# A classifier, trained on real digits only, is the judge. It has to be good itself: at least 99 % of the
# test digits. Then 10,000 digits are drawn, a thousand of each class.

# %%
torch.manual_seed(0)
judge = models.classifier(digits.shape, 10)
history = fit(
    judge, digits.train, losses.prediction, adam(judge, 2e-3, weight_decay=0.1),
    epochs=course.pick(full=6, quick=6), schedule={"lr": cosine()},
)  # fmt: skip


@torch.no_grad()
def says(images):
    return torch.cat([judge.eval()(x.to(course.device())).mode.cpu() for x in images.split(500)])


# %%
each = course.pick(full=1000, quick=50)
asked = torch.arange(10).repeat_interleave(each)
torch.manual_seed(0)
drawn = latent.decode(cvae, torch.randn(len(asked), size), torch.eye(10)[asked])
answered = says(drawn)

# %% tags=["nbval-ignore-output"]
right = (says(digits.test.batch().x) == labels).float().mean()
print(f"the judge is right about {right:.2%} of the test digits")
print(f"of {len(asked)} digits drawn, {(answered == asked).float().mean():.2%} are the class asked for")
for digit in range(10):
    print(f"{digit}: {(answered == asked)[asked == digit].float().mean():.1%}", end="   ")

# %% [markdown]
# Which fail? Here are some that the judge calls something else, with what was asked above and what it saw.

# %%
wrong = (answered != asked).nonzero().flatten()
wrong = wrong[torch.randperm(len(wrong))[:12]].sort().values
titles = [f"{a}→{b}" for a, b in zip(asked[wrong].tolist(), answered[wrong].tolist(), strict=True)]
plots.show(drawn[wrong], columns=12, titles=titles)

# %% [markdown]
# ## 4 · Where did the classes go?
#
# The codes of the same test digits, from both models, flattened to two dimensions by t-SNE. It keeps
# neighbours together; distances between islands mean little.

# %%
n = course.pick(full=3000, quick=200)
spaces = {"VAE": latent.encode(vae, digits.test), "CVAE": latent.encode(cvae, told["test"])}
flat = {name: TSNE(random_state=0).fit_transform(z[:n].numpy()) for name, z in spaces.items()}

# %% tags=["figure-where-classes-went"]
figure, panels = plots.axes(1, 2, (4.2, 3.8))
for ax, (name, xy) in zip(panels[0], flat.items(), strict=True):
    for digit in range(10):
        mine = labels[:n].numpy() == digit
        ax.plot(*xy[mine].T, ".", markersize=2, color=f"C{digit}", label=digit)
    ax.set(title=name, xticks=[], yticks=[])
panels[0][1].legend(markerscale=5, loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# In a number: can a classifier read the class from the code? Half of the test codes to learn from, half to
# judge.

# %% tags=["nbval-ignore-output"]
half = len(labels) // 2
for name, z in spaces.items():
    quality = measuring.embedding_quality(z[:half], labels[:half], z[half:], labels[half:])
    print(f"{name:4s} nearest neighbours {quality['knn']:.1%}, linear probe {quality['linear']:.1%}")

# %% [markdown]
# The islands are gone, and so is the class: the decoder is told it, so every nat that z spends on it is
# wasted, and the KL makes waste costly. This is why one z works under every class.
#
# ## 5 · Faces: ask with check boxes
#
# LFW's attributes as conditions: +1 present, −1 absent, 0 not known. The model is a convolutional VAE.
#
# One thing goes wrong here if you let it: a face's code has room for a smile, so encoder and decoder agree on
# it and *ignore the condition*. (With σ learnt and β = 1 throughout, faces come as asked about as often as a
# coin would have it.) So let the condition speak first: β starts high, when a code costs too much to say
# anything and the decoder has only the condition to go by, and comes down to 1. The price is sharpness: the
# sooner β comes down, the more the code says, and the less is obeyed. σ is 0.25, which keeps codes short.
# (A KL so costly has steep places: `clip` bounds the gradient. The learning rate stays high until β is low.)

# %% tags=["nbval-ignore-output"]
faces = course.data("lfw", otherwise="drawn-faces", quick=600)
wanted = (
    "Smiling",
    "Male",
    "Eyeglasses",
    "Bangs",
    "Blond Hair",
    "Senior",
    "Wearing Hat",
    "Mustache",
    "Beard",
)
names = [a for a in wanted if a in faces.train.attributes]

# %%
train, test = (part.only(*names).map(conditioned()) for part in (faces.train, faces.test))
torch.manual_seed(0)
editor = models.autoencoder(faces.shape, 32, likelihood="gaussian", conditions=len(names))
editor.decoder[-1] = heads.Gaussian(0.25)
history = fit(
    editor, train.map(flipped), losses.elbo, adam(editor, 1e-3), epochs=course.pick(full=12, quick=2),
    clip=1.0,
    schedule={"beta": lambda t: max(1.0, 200 * (1 - t / 0.9)), "lr": lambda t: min(1.0, 50 * t, 4 * (1 - t))},
)  # fmt: skip

# %% [markdown]
# Two strangers. Their codes stay, one attribute at a time is put on.

# %% tags=["figure-edited-faces"]
two, codes = test[[10, 50]].batch(), latent.encode(editor, test)
own = two.c[:, None].repeat(1, len(names), 1)
own[:, range(len(names)), range(len(names))] = 1.0
rows = []
for k in range(2):
    edited = explorers.conditional_strip(editor, codes[[10, 50]][k : k + 1], own[k])
    rows.append(torch.cat([two.x[k : k + 1], edited]))
plots.show(
    torch.cat(rows), columns=len(names) + 1, titles=["photo", *(n.split()[-1] for n in names)], width=11
)

# %% [markdown]
# ### Explore

# %%
sixty = test[:60].batch()
explorers.conditional(editor, codes[:60], sixty.x, sixty.c, names)

# %% [markdown]
# Another editor comes with the course, trained. Its σ is 0.5: still shorter codes, so that random ones draw
# faces. Here it invents them: a code from N(0, 1), and what you ask for.

# %%
inventor, asked_for = load("pretrained/cvae-lfw"), pretrained.CONDITIONS
torch.manual_seed(1)
z = inventor.prior().sample((40,)).cpu()
plain = -torch.ones(40, len(asked_for))
plain[::2, asked_for.index("Male")] = 1.0  # every other one is a man
explorers.conditional(inventor, z, latent.decode(inventor, z, plain), plain, asked_for)

# %% [markdown]
# Four of them, a code a row, with one attribute put on:

# %%
rows = plain[:4, None].repeat(1, 1 + len(asked_for), 1)
for k in range(len(asked_for)):
    rows[:, 1 + k, k] = 1.0
strip = torch.stack([explorers.conditional_strip(inventor, z[k : k + 1], rows[k]) for k in range(4)])
plots.show(strip.flatten(0, 1), columns=1 + len(asked_for), titles=["plain", *asked_for], width=11)

# %% [markdown]
# ### Judged
#
# A classifier of attributes, trained on photos. Faces are drawn from N(0, 1), each under the attributes of
# some real face, with one attribute set: half of them with it, half without.

# %%
torch.manual_seed(0)
expert = models.classifier(faces.shape, len(names), labels=False)
history = fit(
    expert, faces.train.map(flipped).only(*names), losses.prediction, adam(expert, 1e-3, weight_decay=0.1),
    epochs=course.pick(full=6, quick=4), batch_size=64, schedule={"lr": cosine()},
)  # fmt: skip


@torch.no_grad()
def sees(images):
    return torch.cat([expert.eval()(x.to(course.device())).mean.cpu() > 0.5 for x in images.split(500)])


# %%
conditions = torch.cat([b.c for b in test.batches(500)])
seen, known = sees(faces.test.batch().x), conditions != 0
torch.manual_seed(0)
noise, agreed = torch.randn(len(conditions), 32), {}
for k, name in enumerate(names):
    c = conditions.clone()
    c[:, k] = torch.arange(len(c)) % 2 * 2.0 - 1  # every other face with, every other without
    from_noise = sees(latent.decode(editor, noise, c))[:, k] == (c[:, k] > 0)
    from_photo = sees(latent.decode(editor, codes, c))[:, k] == (c[:, k] > 0)
    right = (seen == (conditions > 0))[:, k][known[:, k]]
    agreed[name] = [v.float().mean().item() for v in (right, from_noise, from_photo)]

# %% tags=["nbval-ignore-output"]
print(f"{'':14s} judge on photos   drawn as asked   photos edited as asked")
for name, (right, from_noise, from_photo) in agreed.items():
    print(f"{name:14s} {right:15.1%} {from_noise:16.1%} {from_photo:24.1%}")

# %% [markdown]
# Compare the columns. What many faces show and much of the picture changes with (a smile, being a man) obeys;
# what is rare or small (a hat, glasses) hardly does: the decoder hears too little of it. An edited photo has
# a code besides, and what the encoder did not leave to the condition resists the check box.
#
# ## Your turn
#
# A one-hot condition, from labels (B,) and the number of classes K, to (B, K), float.


# %%
def one_hot(labels, classes): ...


check.one_hot(one_hot)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def one_hot(labels, classes):
#     return torch.eye(classes)[labels]
# ```
# </details>
#
# Then try:
#
# * A condition that is no class: c = (0.5, 0.5, 0, …) asks for half a zero and half a one. What comes?
# * Take the schedule of β away from the face editor. What do the check boxes do now?
#
# ## Take away
#
# * A condition is a column beside x and beside z. It is data; the model does not change.
# * What the condition says, the code stops saying: the rate falls, and the classes leave the code.
# * Whether you got what you asked for is for a judge to say, and the judge is to be judged first.
#
# Next: **05, denoising.**
