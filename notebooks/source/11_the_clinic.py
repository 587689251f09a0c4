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
# # 11 · The clinic
#
# **Why does mine draw the same face every time?**
#
# *You need* notebooks 01, 02 and 04, and LFW and MNIST (without them the page runs on cartoon faces and small
# digits). *It takes* a few minutes to run, many small trainings, and about an hour to solve. *You will be
# able to* find out why an autoencoder fails, from evidence, and repair it.
#
# This is an exam. Twelve patients have one fault each, of kinds that are easily made. You get what their
# owners say, pictures, losses, numbers, and `diagnose`. You name the cause and repair; the answer comes once
# yours is right, with a place in public code where the same was met (for A and J none was found). Then four
# more, without `diagnose`. Each is one training from one seed.

# %% tags=["nbval-ignore-output"]
import math

from aelib import contexts, explorers, heads, latent, losses, nets
from aelib.datasets import noisy
import check  # the folder beside this page
import clinic  # the file beside this page: reading it ends the exam
import course  # beside this page too
import examining  # the same

import torch
from torch import nn

faces = course.data("lfw", otherwise="drawn-faces", quick=400, size=32)
digits = course.data("mnist", otherwise="digits", quick=1600).head(8000)

# %% [markdown]
# ## Predict
#
# All outputs are the same face. Write down three faults that could cause it. How would you tell one from
# another, without looking at the code? And enter a number: of ten patients that decode pictures, each with
# another fault, how many decode nearly one picture for every image? (*Easy, 3 minutes; needs: page 02.*)

# %%
one_for_all = ...  # from 0 to 10
### BEGIN SOLUTION
one_for_all = 3
### END SOLUTION

# %% [markdown]
# ## 1 · What their owners say

# %%
examining.complaints(clinic.FIRST)

# %% [markdown]
# ## 2 · Symptoms
#
# A patient is what its owner has: `model`, `data`, `objective`, `history`, and `optimizers` if they are
# unusual. Patient C first: photos, and what it makes of them.

# %%
ward = clinic.Ward(faces, digits)
c = ward["C"]

# %% tags=["figure-same-face"]
clinic.look(faces, broken=c.model).described(
    "Twelve photos of different people, and below each what patient C decodes from it: one blurred face, the "
    "same for all."
)

# %% [markdown]
# The nine that were trained on digits: above what they get, below what they make of it. (B was to be a
# denoiser, L gets the digit as a [condition](../materials/glossary.md), G's pixels are cut to [0, 1] so that
# they can be shown.)

# %%
examining.pictures(ward, "ABEFGHIKL").described(
    "Eight digits for each of nine patients, and what each makes of them. A's outputs are grey, G's a white "
    "patch, those of E, H and I one blur for all. B, F, K and L decode digits, more or less blurred."
)

# %% [markdown]
# Their losses. Which fall, which stand, which jump, which are too good? Look at the axes.

# %%
examining.curves(ward, "ABCEFGHIKL").described(
    "Training and validation loss of ten patients over the epochs, each on its own axis. A's falls by a "
    "hundredth, G's falls far below zero, H's jumps in the first epoch and then stands."
)

# %% [markdown]
# Numbers. *Explained* is 1 − the squared error over that of the mean image, on validation images: at 0 no
# code is needed. [*KL*](../materials/glossary.md) is what a code costs, in nats per image.

# %% tags=["nbval-ignore-output"]
found = {name: examining.measures(ward[name]) for name in "ABCEFGHIKL"}
for name, numbers in found.items():
    print(name, "  ".join(f"{what} {value:.2f}" for what, value in numbers.items()))
check.alike(one_for_all, sum(numbers["explained"] < 0.1 for numbers in found.values()))

# %% [markdown]
# At 0.1 or below, nearly one picture comes out for every image. That symptom has several causes here.
#
# J has a model that reconstructs well; its owner sent the step that he adds to codes. The judge is a
# classifier of smiles on codes, and what it judges are the *pictures*, encoded again.

# %% tags=["nbval-ignore-output"]
j = ward["J"]
for name, step in {"as is": 0 * j.extra["step"], "with the step": j.extra["step"]}.items():
    print(f"{name:13s}: {examining.smiling(j, step):.0%} of the faces smile")
print("numbers of the step below 0:", int((j.extra["step"] < 0).sum()), "of", len(j.extra["step"]))

# %% [markdown]
# D has no images. Its graph is 400 nodes, and its edges are pure chance. The encoder averages random
# features over neighbours, twice; an edge is predicted where codes agree. A tenth of the edges is hidden,
# for the test.

# %%
d = ward["D"]
print("better than chance:", examining.found_by_chance(d, d.extra["seen"]) > 0.6)

# %% [markdown]
# The last instrument, for all with pictures: `ward["B"].diagnose()`. It measures, names causes, the
# likeliest first, and says by which evidence. It can be wrong, and it does not know what the owner wanted.
# Try it in cells of your own, and experiments too. What should change when you change something, and does
# not?

# %% tags=["nbval-ignore-output"]
ward["A"].diagnose()

# %% [markdown]
# ## 3 · Your diagnosis
#
# `print("\n".join(check.exam.CAUSES))` lists the causes to choose from. Some are nobody's. (*Hard, 30
# minutes; needs: pages 01 to 04, and for D the leak of page 09.*)

# %%
causes = dict.fromkeys(clinic.FIRST, ...)  # causes["A"] = "…"
### BEGIN SOLUTION
causes |= {
    "A": "hardly trained", "B": "corruption that changes nothing", "C": "hidden β",
    "D": "test data in what the encoder sees", "E": "posterior collapse", "F": "penalty that sees no image",
    "G": "pixels outside the likelihood's range", "H": "learning rate too large",
    "I": "encoder trained on the KL alone", "J": "direction without its signs",
    "K": "validation scored on other images", "L": "condition missing in the encoder",
}  # fmt: skip
### END SOLUTION

# %%
for name, cause in causes.items():
    check.patient(name, cause)

# %% [markdown]
# ## 4 · Repairs
#
# **C.** This is its objective, as it is often written, with `mean` wherever a number has to come out:
#
# ```python
# def mean_and_mean(model, batch):
#     q, _, p = model(batch.x)
#     error = (p.mean - batch.target).square().flatten(1).mean(1)
#     return {"loss": error + losses.kl_per_dimension(q, model.prior()).mean(1)}
# ```
#
# *Write* the one that it should have had: (model, batch) → {"loss": (B,)}. A head's distribution `p` knows
# its `log_prob`, one number per image. (*Easy, 5 minutes; needs: the rule of reduction, page 02.*)


# %%
def summed(model, batch):
    ### BEGIN SOLUTION
    q, _, p = model(batch.x)
    error = -p.log_prob(batch.target)
    kl = losses.kl_per_dimension(q, model.prior()).sum(1)
    return {"loss": error + kl}
    ### END SOLUTION


# %%
summed = check.summed(summed)

# %% [markdown]
# Train it again with that: `clinic.mlp(faces, 32, likelihood="gaussian-learnt")` is the model, and
# `clinic.train(model, faces, objective, epochs=…)` trains it. Ten epochs do, 100 in the quick profile.
# (*Easy, 3 minutes.*)

# %%
model = ...
### BEGIN SOLUTION
model = clinic.mlp(faces, 32, likelihood="gaussian-learnt")
history = clinic.train(model, faces, summed, epochs=course.pick(full=10, quick=100))
### END SOLUTION

# %%
check.repaired(ward, "C", model)

# %% [markdown]
# **J** and **D** need no training. Which step makes faces smile? Which edges may the encoder see, of
# `d.extra["edges"]`, if `d.extra["hidden"]` are for the test? (*Medium, 5 minutes; needs: attribute vectors,
# page 01; leaks, page 09.*)

# %%
step, seen = ..., ...
### BEGIN SOLUTION
step = latent.direction(latent.encode(j.model, faces.train), faces.train.attribute("Smiling"))
seen = d.extra["edges"] & ~d.extra["hidden"]
### END SOLUTION

# %%
check.repaired(ward, "J", step)
check.repaired(ward, "D", seen)

# %% [markdown]
# **K.** Its owner's loop, with the thermometer in its last line. *Repair* that: the mean loss of all images
# of `data.valid`, in evaluation mode, without gradients. The model goes on training afterwards. (*Medium, 5
# minutes; needs: a mean over batches of unequal size.*)
#
# ```python
# for epoch in range(100):
#     for batch in data.train.batches(32, seed=epoch):
#         loss = losses.reconstruction(model, batch)["loss"].mean()
#         ...
#     valid = losses.reconstruction(model, batch)["loss"].mean()
# ```


# %%
def valid_loss(model, data):
    ### BEGIN SOLUTION
    model.eval()
    total = 0.0
    with torch.no_grad():
        for batch in data.valid.batches(100):
            total += losses.reconstruction(model, batch)["loss"].sum().item()
    model.train()
    return total / len(data.valid)
    ### END SOLUTION


# %%
valid_loss = check.valid_loss(valid_loss)

# %% tags=["nbval-ignore-output"]
k = ward["K"]
print(f"validation as its owner has it: {k.history[-1]['valid/loss']:.1f} nats per image")
print(f"on data.valid: {valid_loss(k.model, k.data):.1f}")

# %% [markdown]
# The last batch of the training is one that the model has just learnt from. A measure that cannot come out
# badly measures nothing.
#
# ## 5 · Before and after
#
# The other repairs are one line each, and were made for you: `ward.repaired("A")`, and so on. What
# `diagnose` says of all that have pictures, before and after. After a repair, a second fault may show that
# the first one hid.

# %% tags=["nbval-ignore-output"]
for name in "ABCEFGHIKL":
    before, after = ward[name].diagnose().names, ward.repaired(name).diagnose().names
    print(f"{name}  {before[0] if before else 'nothing'}  →  {len(after)} causes {after or ''}")

# %%
clinic.look(faces, broken=c.model, repaired=ward.repaired("C").model).described(
    "Twelve photos of different people; what patient C decodes, one blurred face for all; and what it "
    "decodes after the repair: blurred faces that follow each photo's pose, light and glasses."
)

# %%
rows = {f"{name}: {what}": case.model for name in "AEHI" for what, case in ward.both(name).items()}
clinic.look(digits, **rows).described(
    "The ten digits, and what patients A, E, H and I make of them before and after the repair: before, grey "
    "or one blur for all; after, digits that can be read, some of them blurred."
)

# %% [markdown]
# And B. Its row above looked healthy, since its own data has no noise. Here are digits with the noise that it
# was to remove, σ = 0.5:

# %% tags=["nbval-ignore-output"]
with contexts.seeded(0):
    batch = digits.valid[:500].map(noisy(0.5)).batch(ward["B"].model.device)
shown = {name: case.model.reconstruct(batch.x) for name, case in ward.both("B").items()}
for name, x in {"noisy as it is": batch.x, **shown}.items():
    print(f"{name:14s} squared error per pixel {(x - batch.target).square().mean():.4f}")

# %% [markdown]
# It does remove noise: its code of 16 numbers has no room for it. But a model that met noise in its training
# leaves less.

# %% [markdown]
# ### Explore

# %%
explorers.reconstructions({"broken": c.model, "repaired": ward.repaired("C").model}, faces.valid[:40])

# %% [markdown]
# ## 6 · Without `diagnose`
#
# Four more. Build your own instruments this time.

# %%
examining.complaints(clinic.SECOND)
examining.pictures(ward, clinic.SECOND).described(
    "Eight digits for each of patients M, N, O and P, and what each makes of them. M and P decode one blur "
    "for all, N a grey field, O digits that are not always those it got. P's inputs are noisy."
)

# %% [markdown]
# An autoencoder learns by gradients. *Write* which parameters get none: (model, objective, batch) → a list
# of names. `model.named_parameters()` gives names and parameters, a parameter has a `.grad`, None or a
# tensor, after the backward pass of a number. (*Medium, 10 minutes; needs: `backward`, `named_parameters`.*)


# %%
def without_gradient(model, objective, batch):
    ### BEGIN SOLUTION
    model.zero_grad()
    objective(model, batch)["loss"].mean().backward()
    silent = []
    for name, parameter in model.named_parameters():
        if parameter.grad is None or not parameter.grad.any():
            silent.append(name)
    return silent
    ### END SOLUTION


# %%
without_gradient = check.without_gradient(without_gradient)

# %% [markdown]
# *Write* whether the codes of the first two images of x depend on the others: (model, x) → True or False.
# (*Easy, 5 minutes; needs: `torch.allclose`.*)


# %%
def others_matter(model, x):
    ### BEGIN SOLUTION
    alone, among = model.encode(x[:2]).mean, model.encode(x).mean[:2]
    return not torch.allclose(alone, among, atol=1e-5)
    ### END SOLUTION


# %%
others_matter = check.others_matter(others_matter)

# %%
for name in clinic.SECOND:
    case = ward[name]
    batch = case.data.valid[:50].batch(case.model.device)
    silent = without_gradient(case.model, case.objective, batch)
    with contexts.evaluating(case.model), torch.no_grad():
        together = others_matter(case.model, batch.x)
    print(f"{name}  a part gets no gradient: {bool(silent)}, others matter: {together}")

# %% [markdown]
# For the other two, look at x and at target side by side, and at how white and how black outputs become.
# (*Medium, 10 minutes.*)

# %%
causes = dict.fromkeys(clinic.SECOND, ...)
### BEGIN SOLUTION
causes = {
    "M": "parameters without gradient", "N": "outputs cannot reach the pixels",
    "O": "neighbours change the result", "P": "inputs and targets of different images",
}  # fmt: skip
### END SOLUTION

# %%
for name, cause in causes.items():
    check.patient(name, cause)

# %% [markdown]
# **N.** *Write* the decoder that it should have: (K, shape) → a module from codes (B, K) to the head
# `Bernoulli`. It has `nets.MLP(K, 128, numbers)`, `nn.Sigmoid()`, `nets.Reshape(*shape)`,
# `heads.Bernoulli()`, of which it needs three. (*Easy, 5 minutes.*)


# %%
def decoder(latent, shape):
    ### BEGIN SOLUTION
    return nn.Sequential(nets.MLP(latent, 128, math.prod(shape)), nets.Reshape(*shape), heads.Bernoulli())
    ### END SOLUTION


# %%
decoder = check.decoder(decoder)

# %%
model = clinic.mlp(digits, 8)
model.decoder = decoder(8, digits.shape)
history = clinic.train(model, digits)
clinic.look(digits, ill=ward["N"].model, well=model).described(
    "The ten digits; what patient N makes of them, a grey field with a small light spot; and what it makes "
    "of them with the new decoder: black and white digits, some blurred."
)

# %% [markdown]
# ## Your turn
#
# Then try:
#
# * Break a healthy model in a way that is not on this page. Does `diagnose` name it? What measurement would?
# * Repair the others yourself: `check.repaired(ward, "H", model)`.
# * Before your next training, write down what `diagnose` would say if it failed.
#
# <details><summary>Answers</summary>
#
# One seed each, on digits, with `clinic.mlp(digits, 8)`.
#
# * A frozen encoder is named ("parameters without gradient"), and so are a weight decay of 100 ("weight decay
#   too strong") and pixels of mean 0 and deviation 1 under a Bernoulli ("pixels outside the likelihood's
#   range"). With negatives as targets, 1 − x, it says "inputs and targets of different images", and in the
#   evidence that they are negatives. A decoder that gets a sample of the prior in place of the code is named
#   wrongly: "encoder trained on the KL alone". A measurement that would tell: exchange the codes of two
#   images; here the outputs do not follow.
# * Each answer of sections 3 and 6 ends with its repair, and `ward.repaired("H")` is the course's.
# * Open: it depends on your training.
# </details>
#
# ## Take away
#
# * One symptom, the same picture for everything, has many causes: price, gradient, steps, wiring, data. Only
#   measurements tell them apart.
# * Ask what changes when you change something: another decoder, another label, other images, a graph of
#   chance. What should change and does not is the fault.
# * Sum over an example, mean over the batch; and a number that cannot come out badly measures nothing.
#
# *To read on.* Posterior collapse and a learnt σ: [Lucas, Tucker, Grosse, Norouzi,
# 2019](https://arxiv.org/abs/1911.02469), [Rybkin, Daniilidis, Levine,
# 2021](https://arxiv.org/abs/2006.13202). Batches whose examples depend on each other: [Ioffe, Szegedy,
# 2015](https://arxiv.org/abs/1502.03167). Attribute vectors: [White, 2016](https://arxiv.org/abs/1609.04468).
# Leaks: [Kaufman, Rosset, Perlich, Stitelman, 2012](https://doi.org/10.1145/2382577.2382579).
#
# Next: **12, your own photos.** Can I do this with my own pictures?
