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
# *You need* nothing but this page: no downloads, no graphics card. *It takes* about a minute.
# *You will be able to* move a slider that puts a smile on a face, train an autoencoder of your own, and look
# at what it keeps and what it loses.
#
# Run each cell with **Shift + Enter**.

# %% tags=["nbval-ignore-output"]
from functools import partial

from aelib import explorers, fit, latent, load, losses, metrics, models, plots, pretrained
import check  # the file beside this page
import course  # the same
from aelib import training

import torch

print(course.machine())

# %% [markdown]
# ## At once
#
# This autoencoder comes with the course. It has learnt from 11,001 photos of faces, and draws a face from 64
# numbers. Draw the numbers at random, and it is a face that nobody has. Choose one and an attribute; then
# slide the strength, or put the keyboard on it with Tab and use the arrows. Offered are those attributes that
# the model draws: at the ends of the slider a judge, trained on photos of other people, sees nine of ten
# change. The check box adds the others, with the share that do.

# %%
artist = load("pretrained/vae-lfw", device="cpu")
torch.manual_seed(2)
invented = artist.prior().sample((40,))
vectors = pretrained.directions("vae-lfw")
drawn = pretrained.drawn("vae-lfw")
vectors = {name: vectors[name] for name in sorted(drawn, key=drawn.get, reverse=True)}
explorers.attributes(artist, invented, latent.decode(artist, invented), vectors, drawn)

# %% [markdown]
# The same without a slider: two faces, strengths from −3 to 3, in standard deviations of the codes.

# %%
strengths = [-3.0, -1.5, 0.0, 1.5, 3.0]
titles = [f"{s:+.1f}".replace("-", "−") for s in strengths]
strip = explorers.attributes_strip(artist, invented[:2], vectors["Smiling"], strengths)
plots.show(strip, columns=len(strengths), titles=titles, width=6)

# %% [markdown]
# How can a number mean a smile, when nobody told the model what a smile is? Train one yourself, in a minute.
# You need faces, and these were drawn a second ago, from random numbers, so we know exactly which of them
# smile. Each is 64 × 64 pixels in three colours.

# %% tags=["nbval-ignore-output"]
faces = course.data("drawn-faces", otherwise="drawn-faces", quick=600)

# %%
plots.show(faces.test[:36], columns=12)

# %% [markdown]
# ## What is an autoencoder?
#
# Two networks. The *encoder* turns a face into a few numbers, the *code*. The *decoder* draws the face
# again from the code alone. Nobody says what the numbers should mean: the only goal is that the drawing
# resembles the face.

# %%
code_size = 64
model = models.autoencoder(
    faces.shape, code_size, net="conv", posterior="deterministic", likelihood="gaussian", hidden=(32, 64, 128)
)
pixels = faces.shape[0] * faces.shape[1] * faces.shape[2]
print(f"{pixels:,} numbers in, {code_size} numbers in the middle: {pixels // code_size} times fewer")

# %% [markdown]
# ## Predict
#
# What will be lost first: the hat, the smile, or where the eyes look? Write your guess down before you
# run the next cell.
#
# ## Run
#
# The objective is the squared error of the drawing, summed over the pixels of a face.

# %%
objective = partial(losses.reconstruction, error=losses.squared_error)
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
# The loss falls on the faces it learns from (dashed) and on faces it has never seen (solid).

# %%
history.plot(log=True)

# %% [markdown]
# Faces it has never seen, of people it has never seen: photo above, drawn from 64 numbers below. Was your
# guess right?

# %% tags=["figure-start-here"]
some = faces.test[:12].batch()
plots.show({"face": some.x, "decoded": model.cpu().reconstruct(some.x)})

# %% tags=["nbval-ignore-output"]
scores = metrics.evaluate(model, faces.test)
print({name: round(value, 4) for name, value in scores.items()})

# %% [markdown]
# ## Explain
#
# Each step makes the squared error a little smaller: the sum over the pixels of
# (decoded − face)². A hat is many wrong pixels, a gaze is a few. So the hat is learnt first, and the eyes
# last. That one sentence explains most pictures of this course.
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
explorers.attributes(model, test_codes[:40], faces.test[:40].batch().x, directions)

# %% [markdown]
# Three faces that it has never seen, strengths from −3 to 3:

# %%
strip = explorers.attributes_strip(model, test_codes[[0, 7, 14]], directions["Smiling"], strengths)
plots.show(strip, columns=len(strengths), titles=titles, width=6)

# %% [markdown]
# ## Your turn
#
# Write the loss by hand: for images `x_hat` and `x` of shape (B, C, H, W), one number for each image, the
# *sum* of the squared differences. Replace the dots, run the cell, and it answers at once.


# %%
def squared_error(x_hat, x): ...


check.squared_error(squared_error)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def squared_error(x_hat, x):
#     return (x_hat - x).square().flatten(1).sum(1)
# ```
# </details>
#
# Then try: a code of 4 numbers instead of 64. Which attribute still has a direction that works?
#
# ## Take away
#
# * An autoencoder is an encoder, a decoder and a narrow place between them; the code is what passes.
# * It keeps what many pixels depend on, and loses what few do.
# * Directions in the space of codes can mean something, though nobody told the model what a smile is.
#
# Next: **01a, a network from scratch**, and then **01, the vanilla autoencoder.** What can a bottleneck
# keep of a *real* face?
