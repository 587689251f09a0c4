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
# # 00 · Start here
#
# **Is my machine ready, and what will I be able to do?**
#
# *You need* nothing but this page: no downloads, no graphics card. *It takes* about two minutes of computing.
# *You will be able to* move a slider that puts a smile on a face, train an autoencoder of your own, and say
# in one number what it keeps.
#
# Run each cell with **Shift + Enter**. Six times you write in place of the dots `...`: a guess, a few lines
# of Python, a number that you measured. The cell below says at once whether it is correct. If it is not yet,
# the page goes on with the course's version, so nothing can go wrong.

# %% tags=["nbval-ignore-output"]
from copy import deepcopy
from functools import partial

from aelib import explorers, fit, latent, load, losses, metrics, models, plots, pretrained
import check  # the folder beside this page
import course  # the file beside this page
from aelib import training

import torch

print(course.machine())

# %% [markdown]
# ## At once
#
# This [autoencoder](../materials/glossary.md) comes with the course. It has learnt from 11,001 photos of
# faces, and decodes a face from 64 numbers. If the numbers are sampled at random, it is a face that nobody
# has. Choose one and an attribute, then slide the strength. (With the keyboard: run the cell with Ctrl+Enter;
# then Tab leads to the controls, and arrows move them.) Offered are those attributes that the model shows: at
# the ends of the slider a judge, trained on photos of other people, sees nine of ten change. The check box
# adds the others, with the share that do.

# %%
artist = load("pretrained/vae-lfw", device="cpu")
torch.manual_seed(2)
invented = artist.prior().sample((40,))
vectors = pretrained.directions("vae-lfw")
drawn = pretrained.drawn("vae-lfw")
vectors = {name: vectors[name] for name in sorted(drawn, key=drawn.get, reverse=True)}
explorers.attributes(artist, invented, latent.decode(artist, invented), vectors, drawn).described(
    "An explorer at its start: an invented face, a little blurred, and the same beside it, as no attribute "
    "is moved yet."
)

# %% [markdown]
# The same without a slider: two faces, strengths from −3 to 3, in standard deviations of the codes.

# %%
strengths = [-3.0, -1.5, 0.0, 1.5, 3.0]
titles = [f"{s:+.1f}".replace("-", "−") for s in strengths]
strip = explorers.attributes_strip(artist, invented[:2], vectors["Smiling"], strengths)
plots.show({"face 1": strip[:5], "face 2": strip[5:]}, titles=titles, width=9).described(
    "Two sampled faces, a row each, at five strengths from −3 to 3: at the left they frown, at the right "
    "they smile with their teeth."
)

# %% [markdown]
# How can a number mean a smile, when nobody said to the model what a smile is? Train one yourself, in a
# minute. You need faces. These are *cartoon faces*, made a second ago from random numbers, so we know exactly
# which of them smile. Each is 64 × 64 pixels in three colours.

# %% tags=["nbval-ignore-output"]
faces = course.data("drawn-faces", otherwise="drawn-faces", quick=600)
plots.show(faces.test[:24], columns=8, width=12).described(
    "Three rows of cartoon faces that differ in skin, hair, hats, glasses, beards and expressions, before "
    "walls of several colours."
)

# %% [markdown]
# ## What is an autoencoder?
#
# Two networks. The *encoder* turns a face into a few numbers, the *code*. The *decoder* makes the face again
# from the code alone: its *reconstruction*. Nobody says what the numbers should mean: the only goal is that
# the reconstruction resembles the face.

# %%
code_size = 64
model = models.autoencoder(
    faces.shape,
    code_size,
    net="conv",
    posterior="deterministic",
    likelihood="gaussian",
    hidden=(32, 64, 128),
)
pixels = faces.shape[0] * faces.shape[1] * faces.shape[2]
print(f"{pixels:,} numbers in, {code_size} numbers in the middle: {pixels // code_size} times fewer")

# %% [markdown]
# ## Predict
#
# What will be lost first: the hat, the smile, or where the eyes look? And how much will be kept? 0 would be
# the same mean face for everybody, 1 would be every pixel of every face. Replace the dots by a number, before
# anything is trained. A guess may be wrong: that is what it is for. *(Easy, 2 minutes.)*

# %%
guess = ...  # a share, from 0 to 1
### BEGIN SOLUTION
guess = 0.8
### END SOLUTION

# %% [markdown]
# ## Write: what is to become small
#
# *Easy, 5 minutes; needs: sums over some dimensions of a tensor.*
#
# An autoencoder learns by making an error smaller. The error of a reconstruction is the *sum* over its pixels
# of the squared differences. `x_hat` and `x` are B reconstructions and B faces, of shape (B, C, H, W); the
# answer is one number for each, of shape (B,):
#
# $$e_b = \sum_{c,h,w} (\hat{x}_{bchw} - x_{bchw})^2.$$
#
# <details><summary>A hint</summary>
#
# `.square()` squares each number of a tensor, `.flatten(1)` makes a row of numbers of each face, and
# `.sum(1)` adds up each row.
# </details>


# %%
def squared_error(x_hat, x):
    """(B, C, H, W), twice → (B,)."""
    ### BEGIN SOLUTION
    return (x_hat - x).square().flatten(1).sum(1)
    ### END SOLUTION


# %%
squared_error = check.squared_error(squared_error)

# %% [markdown]
# ## Write: one step
#
# *Middle, 10 minutes; needs: a training loop of PyTorch.*
#
# All training in this course is this step, many times. Five sentences, a line for each:
#
# 1. The loss is the mean, over the faces, of your squared error between the reconstructions and `x`.
# 2. The optimizer forgets the gradients of the step before (`zero_grad`).
# 3. The loss goes back through the network, and leaves at each weight how the weight changes it (`backward`).
# 4. The optimizer moves each weight a little, so that the loss becomes smaller (`step`).
# 5. Return the loss as a plain number (`loss.item()`).


# %%
def step(model, x, optimizer):
    """One step on faces x (B, C, H, W): a number, the loss before the step."""
    x_hat = model(x).x_hat  # encode and decode: the drawings
    ### BEGIN SOLUTION
    loss = squared_error(x_hat, x).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %%
step = check.step(step)

# %% [markdown]
# Now your step at work: once through all faces, 64 at a time, on a copy of the network. A network that has
# learnt nothing decodes the same grey for everybody. What comes first, and what later?

# %%
mine, some = deepcopy(model), faces.test[:12].batch()
optimizer = torch.optim.Adam(mine.parameters(), lr=2e-3)
batches = list(faces.train.batches(64, seed=0))
rows, curve = {"face": some.x, "no step": mine.reconstruct(some.x)}, []
for n, batch in enumerate(batches, 1):
    curve.append(step(mine, batch.x, optimizer))
    if n in (5, 20, len(batches)):
        rows[f"step {n}"] = mine.reconstruct(some.x)
plots.show({name: images[5:12] for name, images in rows.items()}, width=12).described(
    "Seven cartoon faces, and below them their reconstructions before any step, after 5, after 20 and after "
    "all: first grey, then one blurred face for all, then hair, skin and walls of several colours."
)

# %% [markdown]
# ## Run
#
# The library's `fit` takes the same step, with your error, and does what is tiresome: it goes through the
# faces twenty times, in another order each time, with smaller and smaller steps, and looks now and then at
# faces that it does not learn from.


# %%
def error(p, target):  # p is what the decoder says of each pixel; its mean is the drawing
    return squared_error(p.mean, target)


objective = partial(losses.reconstruction, error=error)
history = fit(
    model,
    faces.train,
    objective,
    training.adam(model, 2e-3),
    epochs=course.pick(full=20, quick=2),
    batch_size=64,
    valid=faces.valid,
    schedule={"lr": training.cosine()},
)

# %% [markdown]
# ## Look
#
# The loss on the faces it learns from (dashed) and on faces it does not learn from (solid). In a quick run of
# two epochs the curves have two points each.

# %%
history.plot(log=True).described(
    "The loss per epoch, on a logarithmic scale, on training and on validation faces. In the full run both "
    "fall, fast at first, and end close together."
)

# %% [markdown]
# Faces that it does not learn from: face above, decoded from 64 numbers below. What was lost? (After two
# epochs, in a quick run, nearly everything: go by the stored page.)

# %% tags=["figure-start-here"]
plots.show({"face": some.x, "decoded": model.cpu().reconstruct(some.x)}, width=20).described(
    "Twelve cartoon faces, and below each its reconstruction. In the full run hair, hats, glasses and smiles "
    "are there, blurred; patterns of single pixels and the gaze are not."
)

# %% [markdown]
# ## Write: how much was kept
#
# *Easy, 5 minutes; needs: `squared_error`.*
#
# Is an error small or large? Compare it with the simplest reconstruction there is: the mean face, the same
# for everybody. With your `squared_error`, e, the share that is kept is
#
# $$1 - \frac{\sum_b e(\hat{x}_b, x_b)}{\sum_b e(\bar{x}, x_b)}.$$
#
# <details><summary>A hint</summary>
#
# `mean.expand_as(x)` is the mean face, once for each face of `x`.
# </details>


# %%
def share_kept(x_hat, x, mean):
    """Reconstructions and faces (B, C, H, W), the mean face (C, H, W) → a number, 1 at best."""
    ### BEGIN SOLUTION
    left = squared_error(x_hat, x).sum()
    at_first = squared_error(mean.expand_as(x), x).sum()
    return 1 - left / at_first
    ### END SOLUTION


# %%
share_kept = check.share_kept(share_kept)

# %% tags=["nbval-ignore-output"]
x, mean = faces.test.batch().x, faces.train.batch().x.mean(0)
kept = share_kept(model.reconstruct(x), x, mean).item()
check.share_in_64_numbers(guess, kept)
after_step = share_kept(mine.reconstruct(x), x, mean)
print(f"after your {len(curve)} steps, {after_step:.1%}; after fit, {kept:.1%}; the mean face 0 %; one seed")
print({name: round(value, 4) for name, value in metrics.evaluate(model, faces.test).items()})

# %% [markdown]
# The last line is what the library measures: the mean squared error of a pixel, and three numbers that the
# course comes to later.
#
# ## Explore: how many numbers does a face need?
#
# *Easy, 5 minutes; needs: nothing but patience, or a loop.*
#
# Does every one of the 64 numbers matter as much? An experiment with the first model of this page, and its
# 40 faces. Put one number of each code to 0, decode, and take the squared error against the face as it was:
# that is the number's effect. `kept_by(n)` keeps the n numbers with the largest effect and puts all others
# to 0. It returns which share of the differences between the 40 faces is left.


# %%
def only(numbers):
    """The 40 codes with these numbers alone, the others 0, decoded."""
    codes = torch.zeros_like(invented)
    codes[:, numbers] = invented[:, numbers]
    return latent.decode(artist, codes)


whole = only(range(64))
others = [[i for i in range(64) if i != k] for k in range(64)]
effect = torch.tensor([squared_error(only(numbers), whole).mean() for numbers in others])
order = effect.argsort(descending=True).tolist()


def kept_by(n):
    return share_kept(only(order[:n]), whole, whole.mean(0)).item()


print(f"one number keeps {kept_by(1):.0%}, all 64 keep {kept_by(64):.0%}")

# %% [markdown]
# What is the smallest n that keeps 90 %? Try numbers by hand, or let a loop do it, and enter what it keeps.

# %%
found = ...  # kept_by(n), for the smallest n for which that is 0.9 or more
### BEGIN SOLUTION
found = next(share for n in range(65) if (share := kept_by(n)) >= 0.9)
### END SOLUTION

# %%
check.numbers_of_a_face(found, low=0.9, high=0.906)
some_n = (1, 2, 4, 8, 16, 32, 64)
rows = torch.stack([only(order[:n])[:3] for n in some_n], 1).flatten(0, 1)
plots.show(
    {f"face {k + 1}": row for k, row in enumerate(rows.unflatten(0, (3, len(some_n))))},
    titles=[f"{n}" for n in some_n], width=12,
).described(
    "Three faces decoded from 1, 2, 4, 8, 16, 32 and all 64 of their numbers: light and hair come first, and "
    "with 16 or 32 it is one certain face."
)  # fmt: skip

# %% [markdown]
# Three of the 40 faces, from more and more of their numbers. What do the first numbers say, and what do the
# last ones add?
#
# ## Explain
#
# The steps make one sum smaller: (decoded − face)², over all pixels. A wall or a hat of the wrong colour is
# many wrong pixels, a gaze is a few; so the first is worth more to the sum. Whether it is also learnt earlier
# is to be seen in the rows above, from step 5 on. Keep the question: most pictures of this course are about
# it.
#
# ## Explore
#
# The mean code of smiling faces, minus the mean code of the others, is a direction in the space of codes.
# Make it as long as the codes' standard deviation along it, add it to the code of *any* face, and decode.

# %%
wanted = ["Smiling", "Eyeglasses", "Wearing Hat", "Long Hair"]
codes = latent.encode(model, faces.train)
directions = {name: latent.direction(codes, faces.train.attribute(name)) for name in wanted}
directions = {name: latent.in_deviations(v, codes) for name, v in directions.items()}
test_codes = latent.encode(model, faces.test)

# %% [markdown]
# The slider again, on your own model:

# %%
explorers.attributes(model, test_codes[:40], faces.test[:40].batch().x, directions).described(
    "An explorer at its start: a cartoon face with glasses, and beside it what the model decodes from its "
    "code, blurred."
)

# %% [markdown]
# ## Write: the slider by hand
#
# *Easy, 5 minutes; needs: nothing new.*
#
# A slider does two things: it adds its strength times the direction to the code, and the decoder decodes it.
# Write the first: a code z, a direction v, and S strengths s give S codes z + s v.
#
# <details><summary>A hint</summary>
#
# `torch.stack` makes one tensor (S, K) of a list of S tensors (K,).
# </details>


# %%
def moved(z, v, strengths):
    """A code z (K,), a direction v (K,), a list of S numbers → (S, K)."""
    ### BEGIN SOLUTION
    return torch.stack([z + strength * v for strength in strengths])
    ### END SOLUTION


# %%
moved = check.moved(moved)

# %% [markdown]
# Three faces that it did not learn from, strengths from −3 to 3:

# %%
way = torch.cat([moved(z, directions["Smiling"], strengths) for z in test_codes[[0, 7, 14]]])
three = latent.decode(model, way).unflatten(0, (3, len(strengths)))
plots.show({f"face {k + 1}": row for k, row in enumerate(three)}, titles=titles, width=9).described(
    "Three cartoon faces, a row each, at five strengths of the smile. In the full run the mouth goes from an "
    "open, dark one to a smile with teeth; hair, hat and glasses stay."
)

# %% [markdown]
# ## Your turn
#
# *Easy, 10 minutes, half of them computing.*
#
# * Try a code of 4 numbers instead of 64 (`code_size`), and run the page from there. How much is kept? Which
#   attribute still has a direction that works?
#
# <details><summary>An answer</summary>
#
# How much is kept stands in the line "after fit". Which directions still work is open: decode the three faces
# of the last picture along each of `wanted`, and compare them with the stored page's. The order may differ
# from seed to seed.
# </details>
#
# * Look at what you have solved so far in the whole course, with `check.progress()`. (It is a list of your
#   own answers: there is no solution.)
#
# ## Take away
#
# * An autoencoder is an encoder, a decoder and a narrow place between them; the code is what passes.
# * It keeps what many pixels depend on better than what few do.
# * Directions in the space of codes can mean something, though nobody said to the model what a smile is.
#
# Next: **01a, a network from scratch**, and then **01, the vanilla autoencoder.** What can a bottleneck
# keep of a *real* face?
