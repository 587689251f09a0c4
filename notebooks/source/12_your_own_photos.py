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
# # 12 · Your own photos
#
# **Can I do this with my own pictures?**
#
# *You need* a folder of photos, a hundred or more; to use it, set `AELIB_PHOTOS` to it before you start
# Jupyter. Without one the page takes COCO's validation photos, and without these a hundred small faces that
# come with the course.
# *It takes* about a minute on one core for a few hundred photos.
# *You will be able to* train on any folder, stop and go on, move through the codes of your own pictures,
# and find the ones that are alike.

# %%
import contextlib
import os
import signal
import sys
import tempfile
from itertools import count
from pathlib import Path

from aelib import datasets, explorers, fit, latent, losses, metrics, models, plots, runs
import check  # the file beside this page
import course  # the same
from aelib.datasets import download, flipped
from aelib.retrieval import Coder, Index, codes, photo
from aelib.training import cosine, muon

import torch
from PIL import Image
from torch import nn

# %% tags=["nbval-ignore-output"]
work = Path(tempfile.mkdtemp())
folder = os.environ.get("AELIB_PHOTOS") or download.find("coco/val2017")
if folder is None:  # a folder as you might have it
    folder = work / "faces"
    folder.mkdir()
    for i, face in enumerate(datasets.load("faces-sample").train.pixels):
        Image.fromarray(face[0]).save(folder / f"face-{i:02d}.png")
photos = datasets.load("folder", path=folder, size=course.pick(full=64, quick=32))
print(f"profile {course.profile()} on {course.machine()}\n{photos}")

# %% [markdown]
# That was all: `datasets.load("folder", path=…)`. Every photo in the folder and below it was turned
# upright, cut to the square in its middle and made small, once; next time it is read from the cache. Files
# that cannot be read are listed in `photos.unreadable`. A tenth is kept for validation and a tenth for the
# test.

# %% tags=["figure-own-photos"]
plots.show(photos.test[:16], columns=8)

# %% [markdown]
# ## Predict
#
# A code of 64 numbers a photo, learnt from what you have. What will be left of a photo that the model has
# not seen: its light, its colours, its outlines, what is on it? And if you ask for the photos that are most
# like it, alike in what?
#
# ## 1 · Train, stop, go on
#
# With `run=` a training lives in a folder: settings, weights, history, and what TensorBoard shows. You may
# stop it at any time, by the stop button or Ctrl-C; the step is finished, everything is saved. Here the
# page presses the button itself, after some batches.

# %%
goal, epochs = losses.elbo, course.pick(full=max(5, 12_000 // len(photos.train)), quick=4)
settings = {"epochs": epochs, "batch_size": 16, "schedule": {"lr": cosine()}}
pressed, seen = course.pick(full=20, quick=9), count(1)


def press_stop(batch):
    if next(seen) == pressed:
        signal.raise_signal(signal.SIGINT)
    return batch


def train(images):
    torch.manual_seed(0)
    model = models.autoencoder(photos.shape, 64, likelihood="gaussian-learnt")
    run = work / "run"
    return model, fit(model, images, goal, muon(model), valid=photos.valid, run=run, **settings)


# %% tags=["nbval-ignore-output"]
try:
    with contextlib.redirect_stderr(sys.stdout):
        train(photos.train.map(flipped).map(press_stop))
except KeyboardInterrupt as stopped:
    print(str(stopped).split(";")[0])

# %% [markdown]
# Now the same call again. It finds the run, and goes on in the middle of the epoch, with the optimizer's
# memory and the random numbers of that moment: on a CPU it ends with the same weights, bit for bit, as if
# nobody had stopped it.

# %% tags=["nbval-ignore-output"]
model, history = train(photos.train.map(flipped))
print(f"{len(history)} epochs of {epochs}")
history.plot()

# %% [markdown]
# ## 2 · Look
#
# First the photos the model has never seen, then what it makes of them. `runs.load` gives the model of the
# epoch with the lowest validation loss, also tomorrow, also elsewhere.

# %% tags=["figure-own-reconstructions"]
model = runs.load(work / "run", device="cpu")
test = photos.test[:8].batch().x
plots.show({"photo": test, "decoded": model.reconstruct(test)})

# %% tags=["nbval-ignore-output"]
share = metrics.fraction_of_variance(model, photos.test)
used = metrics.active_units(model, photos.test).sum()
print(f"{share:.0%} of the variance of unseen pixels is kept, by {used} of 64 numbers in use")
fitted = metrics.fraction_of_variance(model, photos.train)
print(f"of the photos that it was trained on: {fitted:.0%}")

# %% [markdown]
# The distance between the two shares is what more photos would buy: with a few hundred the model knows
# these hundreds too well.
#
# ## 3 · Explore
#
# Move a code along the directions in which the codes of your photos differ most. The mean code is a blur:
# nobody took that photo.

# %%
z = latent.encode(model, photos.train)
explorers.latent_space(model, z, photos.train)

# %% tags=["figure-own-directions"]
axes = latent.principal_directions(z, 4)
strip = explorers.latent_space_strip(model, z.mean(0), axes, [-3, -2, -1, 0, 1, 2, 3])
names = ["first", "second", "third", "fourth"]
plots.show(
    {name: strip[7 * i : 7 * i + 7] for i, name in enumerate(names)},
    titles=[f"{a:+d} sd" if a else "mean" for a in range(-3, 4)],
)

# %% [markdown]
# ## 4 · Search
#
# Index the photos that were trained on, then ask with ones that were not. The codes are centred and
# compared by their angle. `photo` reads any file as a query, so it need not be in the folder.

# %% tags=["figure-own-search"]
coder = Coder(model, nn.Flatten()).whitened(photos.train, 32, power=0)
index = Index(codes(coder, photos.train))
queries = [photo(Path(folder, name), photos.shape) for name in photos.test.files[:4]]
answers = index.ask(torch.cat([coder(x).detach() for x in queries]), k=7)
found = {f"query {i + 1}": torch.cat([x, photos.train[rows].batch().x])
         for i, (x, rows) in enumerate(zip(queries, answers.rows, strict=True))}  # fmt: skip
plots.show(found, titles=["asked", *["found"] * 7])

# %% [markdown]
# What is alike is light, colour and layout: what the code had to keep to redraw a photo. It was told
# nothing of what is *on* the photos. (Notebook 06 shows how far another form of the code goes.)
#
# ## 5 · The same without Python
#
# In a terminal. The second line writes a page that you can open and mail; `tensorboard --logdir runs` shows
# the training while it runs.
#
# ```bash
# aelib train my/photos --optimizer muon --batch-size 16 --epochs 50 --flip --out runs/mine
# aelib report runs/mine
# aelib index runs/mine
# aelib search runs/mine one.jpg --k 8 --out found.png
# ```
#
# ## Your turn
#
# An attribute of your own needs no labels if the computer can measure it: how bright a photo is, how green,
# how red. Write the direction from codes without it to codes with it.


# %%
def direction(codes, present): ...


check.direction(direction)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def direction(codes, present):
#     return codes[present == 1].mean(0) - codes[present == 0].mean(0)
# ```
# </details>
#
# Here with brightness: the brighter half of the photos, against the darker.

# %% tags=["figure-own-brightness"]
bright = torch.from_numpy(photos.train.pixels).float().mean((1, 2, 3))
v = latent.direction(z, (bright > bright.median()).float())
start = latent.encode(model, photos.test[:4])
plots.show(explorers.attributes_strip(model, start, v, [-2, -1, 0, 1, 2]), columns=5,
           titles=["darker", "", "as it is", "", "brighter"])  # fmt: skip

# %% [markdown]
# Then try:
#
# * Sort your photos into subfolders. They become classes (`photos.train.classes`), and the map in `aelib
#   report` has colours.
# * `posterior="deterministic"`, with `losses.reconstruction`. What gets better, and what can no longer be
#   done?
# * `size=96`, `latent=128`. Does the share of unseen variance rise?
#
# ## Take away
#
# * Any folder of photos is a dataset; a run is a folder too, which can be stopped, resumed, looked at and
#   mailed.
# * A few hundred photos teach light, colour and layout; what is on them needs far more.
# * Judge on photos that were not trained on: the share kept there, not on the others, is what you have.
#
# Next: **your own question.**
