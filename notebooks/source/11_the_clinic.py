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
# *You need* notebooks 01, 02 and 04, and LFW and MNIST (without them the page runs on drawn faces and small
# digits).
# *It takes* a few minutes: many small trainings.
# *You will be able to* find out why an autoencoder fails, from evidence, and repair it.
#
# Every patient here has one fault that was found in public code. The ward round is always the same:
# complaint, picture, `diagnose`, what the cause means, repair, and a second diagnosis.

# %% tags=["nbval-ignore-output"]
import math
from dataclasses import replace

from aelib import contexts, diagnose, explorers, fit, heads, latent, losses, models, nets
from aelib import plots, priors
import check  # the file beside this page
import course  # the same
import measuring  # the same
from aelib.datasets import Batch, Split, conditioned, noisy
from aelib.training import adam, cosine

import numpy as np
import torch
from torch import nn

faces = course.data("lfw", otherwise="drawn-faces", quick=400, size=32)
digits = course.data("mnist", otherwise="digits", quick=1600).head(8000)

# %% [markdown]
# Three helpers: a small network, a short training, and a look at reconstructions, one row a model.


# %%
def mlp(data, latent, **options):
    torch.manual_seed(0)
    return models.autoencoder(data.shape, latent, net="mlp", hidden=(128,), **options)


def train(model, data, objective, optimizers=None, epochs=None, lr=2e-3):
    return fit(
        model, data.train, objective, optimizers or adam(model, lr), valid=data.valid,
        epochs=epochs or course.pick(full=10, quick=60), batch_size=course.pick(full=128, quick=64),
        schedule={"lr": cosine()},
    )  # fmt: skip


def look(data, **patients):
    batch = data.valid[:12].batch()
    rows = {name: explorers.reconstructions_images(model, batch)[0] for name, model in patients.items()}
    return plots.show({"photo": batch.target, **rows})


# %% [markdown]
# ## Predict
#
# All outputs are the same face. Write down three faults that could cause it. How would you tell one from
# another, without looking at the code?
#
# ## 1 · The same face for everybody
#
# > "The loss falls and then stands still. Whatever I put in, the same blurred face comes out."
#
# The loss, as it is often written, with `mean` wherever a number has to come out:


# %%
def mean_and_mean(model, batch):
    q, _, p = model(batch.x)
    error = (p.mean - batch.target).square().flatten(1).mean(1)
    return {"loss": error + losses.kl_per_dimension(q, model.prior()).mean(1)}


broken = mlp(faces, 32, likelihood="gaussian-learnt")
history = train(broken, faces, mean_and_mean)

# %% tags=["figure-same-face"]
look(faces, broken=broken)

# %% tags=["nbval-ignore-output"]
diagnose(broken, faces, mean_and_mean, history=history)

# %% [markdown]
# The first cause is the one to treat. A mean over thousands of pixels makes the error thousands of times
# smaller, a mean over the code makes the KL only some tens of times smaller: the β that is trained is far
# from 1. At that price no code is worth sending, the posterior collapses, and the best picture without a code
# is the mean face. The second finding is a consequence.
#
# *Repair*: sum over an example, mean over the batch. `losses.elbo` does.

# %%
repaired = mlp(faces, 32, likelihood="gaussian-learnt")
history = train(repaired, faces, losses.elbo, epochs=course.pick(full=10, quick=100))
print("causes:", diagnose(repaired, faces, losses.elbo, history=history).names)
look(faces, broken=broken, repaired=repaired)

# %% [markdown]
# ### Explore

# %%
explorers.reconstructions({"broken": broken, "repaired": repaired}, faces.valid[:40])

# %% [markdown]
# ## 2 · Pixels from 0 to 255
#
# > "My cross-entropy is a huge negative number, and still falling. The pictures are black and white."


# %%
def mapped(split, f):
    return Split(split.train.map(f), split.valid.map(f), split.test.map(f))


bright = mapped(digits, lambda batch: Batch(255 * batch.x))  # the division was forgotten
broken = mlp(digits, 8)
history = train(broken, bright, losses.elbo)

# %%
look(digits, broken=broken)

# %% tags=["nbval-ignore-output"]
diagnose(broken, bright, losses.elbo, history=history)

# %% [markdown]
# A Bernoulli's −log p = −x log m − (1 − x) log(1 − m) is bounded from below only for x in [0, 1]. Outside,
# the loss falls without end as m goes to 1. A negative "cross-entropy" is the sign of it.

# %%
healthy = mlp(digits, 8)
history = train(healthy, digits, losses.elbo)
print("causes:", diagnose(healthy, digits, losses.elbo, history=history).names)
look(digits, broken=broken, repaired=healthy)

# %% [markdown]
# ## 3 · Noise times zero
#
# > "My denoiser has the smallest error of all in our table. On my own noisy photos it does nothing."


# %%
def corrupted(batch, factor=0.0):
    x = batch.x + factor * torch.randn_like(batch.x)  # "factor" was tuned on the error, and 0 won
    return replace(batch, x=x.clamp(0, 1), target=batch.target)


same = mapped(digits, corrupted)
broken = mlp(digits, 16, posterior="deterministic", likelihood="gaussian")
history = train(broken, same, losses.reconstruction)

# %% tags=["nbval-ignore-output"]
diagnose(broken, same, losses.reconstruction, history=history)

# %% [markdown]
# The number was right, and it was the number of another task. *Repair*: `noisy(0.5)`, which refuses a σ of 0.
# Both models, on noisy digits:

# %%
grainy = mapped(digits, noisy(0.5))
repaired = mlp(digits, 16, posterior="deterministic", likelihood="gaussian")
history = train(repaired, grainy, losses.reconstruction)
print("causes:", diagnose(repaired, grainy, losses.reconstruction, history=history).names)
with contexts.seeded(0):
    batch = grainy.valid[:12].batch()
rows = {
    k: explorers.reconstructions_images(m, batch)[0]
    for k, m in {"broken": broken, "repaired": repaired}.items()
}
plots.show({"input": batch.x, **rows, "truth": batch.target})

# %% [markdown]
# ## 4 · An encoder that never hears of the error
#
# > "I gave encoder and decoder each an optimizer and a loss of its own. The KL became perfect: zero."

# %%
broken = mlp(digits, 8)
optimizers = {"kl": adam(broken.encoder, 2e-3), "nll": adam(broken.decoder, 2e-3)}
history = train(broken, digits, losses.elbo, optimizers)
look(digits, broken=broken)

# %% tags=["nbval-ignore-output"]
diagnose(broken, digits, losses.elbo, history=history, optimizers=optimizers)

# %% [markdown]
# The encoder was asked for one thing, to be the prior, and became it. From the outside this looks like any
# collapsed posterior. What tells them apart is an experiment: put another decoder behind the encoder, and see
# whether the encoder's gradient changes. *Repair*: both descend the whole loss. Two optimizers are fine.

# %%
repaired = mlp(digits, 8)
optimizers = {"loss": [adam(repaired.encoder, 2e-3), adam(repaired.decoder, 2e-3)]}
history = train(repaired, digits, losses.elbo, optimizers)
report = diagnose(repaired, digits, losses.elbo, history=history, optimizers=optimizers)
print("causes:", report.names)

# %% [markdown]
# ## 5 · The label that the encoder never saw
#
# > "My conditional VAE works, more or less. I am not sure that it is one."

# %%
told = mapped(digits, conditioned(10))
numbers = math.prod(digits.shape)
broken = mlp(digits, 8, conditions=10)
broken.encoder = nn.Sequential(
    nets.Channels(digits.shape[0]),  # drops the label's channels
    nets.Centre(), nets.MLP(numbers, 128, 16), heads.Gaussian(),
)  # fmt: skip
history = train(broken, told, losses.elbo)

# %% tags=["nbval-ignore-output"]
diagnose(broken, told, losses.elbo, history=history)

# %% [markdown]
# A fault of the wiring: under other labels the encoder's output is the same to the last bit, whatever its
# weights. Did it do harm? Compare the validation loss of the two. A digit shows its label, so an encoder can
# read it from the picture; a condition that the picture does *not* show would be lost.

# %%
repaired = mlp(digits, 8, conditions=10)
after = train(repaired, told, losses.elbo)
print("causes:", diagnose(repaired, told, losses.elbo, history=after).names)

# %% tags=["nbval-ignore-output"]
print(f"validation, in nats: broken {history[-1]['valid/loss']:.1f}, repaired {after[-1]['valid/loss']:.1f}")

# %% [markdown]
# ## 6 · Sparsity of the wrong thing
#
# > "I added an L1 penalty. The codes are hardly sparser than before."


# %%
def sparse_weights(model, batch):
    penalty = sum(w.abs().sum() for w in model.encoder.parameters())
    return {"loss": losses.reconstruction(model, batch)["loss"] + 1e-3 * penalty}


def rectified():
    model = mlp(digits, 64, posterior="deterministic", likelihood="gaussian")
    model.encoder = nn.Sequential(model.encoder[:-1], nn.ReLU(), model.encoder[-1])
    return model


broken = rectified()
history = train(broken, digits, sparse_weights)

# %% tags=["nbval-ignore-output"]
diagnose(broken, digits, sparse_weights, history=history)

# %% [markdown]
# A penalty on weights is the same for every image. It makes *weights* zero; a code is sparse when
# *activations* are. *Repair*: `losses.sparse`.

# %%
repaired = rectified()
history = train(repaired, digits, losses.sparse)
print("causes:", diagnose(repaired, digits, losses.sparse, history=history).names)
plain = rectified()
history = train(plain, digits, losses.reconstruction)

# %% tags=["nbval-ignore-output"]
for name, model in {"no penalty": plain, "on weights": broken, "on activations": repaired}.items():
    share = measuring.sparsity(latent.encode(model, digits.valid))["zeros"]
    print(f"{name:15s} {share:.0%} of the codes' numbers are exactly zero")

# %% [markdown]
# ## 7 · Steps too large, and ReLUs that died of it
#
# > "In the first epoch something happened. Since then: nothing."


# %%
def with_relu():
    torch.manual_seed(0)
    encoder = nn.Sequential(nets.Centre(), nets.MLP(numbers, 128, 16, activation=nn.ReLU), heads.Gaussian())
    decoder = nn.Sequential(nets.MLP(8, 128, numbers, activation=nn.ReLU), nets.Reshape(*digits.shape))
    return models.Autoencoder(encoder, nn.Sequential(decoder, heads.Bernoulli()), priors.StandardNormal(8))


broken = with_relu()
history = train(broken, digits, losses.elbo, lr=1.0)
history.plot(log=True)

# %% tags=["nbval-ignore-output"]
diagnose(broken, digits, losses.elbo, history=history)

# %% [markdown]
# One step too far, and a ReLU is below zero for every image. Then its gradient is zero too, so no later step,
# however small, brings it back: start again. *Repair*: a smaller learning rate from new weights.

# %%
repaired = with_relu()
history = train(repaired, digits, losses.elbo, lr=5e-3)
print("causes:", diagnose(repaired, digits, losses.elbo, history=history).names)

# %% [markdown]
# ## 8 · Steps too small
#
# > "It trains. The loss falls. The picture is grey."

# %%
broken = mlp(digits, 8)
history = train(broken, digits, losses.elbo, lr=1e-6)
history.plot()

# %% tags=["nbval-ignore-output"]
diagnose(broken, digits, losses.elbo, history=history)

# %% [markdown]
# The same picture for every image again, and another cause: the weights stand where they started. The loss
# says it too, if you look at its axis.
#
# ## 9 · The validation that validates nothing
#
# > "Training and validation agree to the last digit. On the test set it falls apart."

# %%
few = Split(digits.train[:: len(digits.train) // 100], digits.valid, digits.test)
broken, history = mlp(digits, 32, posterior="deterministic", likelihood="gaussian"), []
optimizer = adam(broken, 2e-3)
for epoch in range(100):
    for batch in few.train.batches(32, seed=epoch):
        loss = losses.reconstruction(broken, batch)["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    valid_loss = losses.reconstruction(broken, batch)["loss"].mean()  # which batch is this?
    history.append({"epoch": epoch + 1, "train/loss": loss.item(), "valid/loss": valid_loss.item()})

# %% tags=["nbval-ignore-output"]
diagnose(broken, few, losses.reconstruction, history=history)

# %% [markdown]
# The name `batch` still holds the last *training* batch. A broken thermometer; and below it a fever, the
# second finding. Repair the thermometer first (`valid=` in `fit`), then read it. A measure that cannot come
# out badly measures nothing.

# %%
repaired = mlp(digits, 32, posterior="deterministic", likelihood="gaussian")
history = fit(
    repaired, few.train, losses.reconstruction, adam(repaired, 2e-3), epochs=100, batch_size=32,
    valid=few.valid,
)  # fmt: skip
print("with a validation:", diagnose(repaired, few, losses.reconstruction, history=history).names)
cured = mlp(digits, 32, posterior="deterministic", likelihood="gaussian")
history = train(cured, digits, losses.reconstruction)
print("with more images: ", diagnose(cured, digits, losses.reconstruction, history=history).names)

# %% [markdown]
# ## 10 · A posterior that collapsed without a bug
#
# > "No mistake in the code, I checked every line. A VAE with the squared error, β = 1."

# %%
broken = mlp(digits, 64, likelihood="gaussian")  # sigma = 1: the squared error
history = train(broken, digits, losses.elbo)
look(digits, broken=broken)

# %% tags=["nbval-ignore-output"]
diagnose(broken, digits, losses.elbo, history=history)

# %% [markdown]
# Nothing is miscounted. The squared error *is* a Gaussian with σ = 1, and pixels run from 0 to 1: under such
# a likelihood grey is nearly as good as right, so most dimensions are not worth their nats. *Repair*: let σ
# be learnt.

# %%
repaired = mlp(digits, 64, likelihood="gaussian-learnt")
history = train(repaired, digits, losses.elbo)
print("causes:", diagnose(repaired, digits, losses.elbo, history=history).names)
look(digits, broken=broken, repaired=repaired)

# %% [markdown]
# ## 11 · A smile without a sign
#
# > "I add the smile vector, and the face changes. It does not smile."
#
# The model is healthy, so `diagnose` has nothing to say: the fault is in what was done with the codes. Then
# the experiment is yours. The judge is a classifier of smiles on codes; what it judges are the *pictures*,
# encoded again.

# %%
from sklearn.linear_model import LogisticRegression

model = mlp(faces, 32, posterior="deterministic", likelihood="gaussian")
history = train(model, faces, losses.reconstruction)

# %%
codes, smiles = latent.encode(model, faces.train), faces.train.attribute("Smiling")
known = ~np.isnan(smiles)
judge = LogisticRegression(max_iter=1000).fit(codes[known], smiles[known])

v = latent.direction(codes, smiles)
z = latent.encode(model, faces.valid)
pictures = {
    name: latent.decode(model, z + step)
    for name, step in {"as is": 0 * v, "+ v": v, "+ |v|": v.abs()}.items()
}

# %% tags=["nbval-ignore-output"]
for name, images in pictures.items():
    with torch.no_grad():
        again = torch.cat([model.encode(x.to(model.device)).mean.cpu() for x in images.split(500)])
    print(f"{name:6s}: {judge.predict(again).mean():.0%} of the faces smile")

# %%
plots.show({name: images[:10] for name, images in pictures.items()})

# %% [markdown]
# Without its signs a direction points elsewhere: the pictures change as much, and smile far less often.
#
# ## 12 · Test edges in the graph
#
# > "My graph autoencoder finds nearly all hidden edges."
#
# No images, so no `diagnose`; but the cure for doubt is general: *run the whole thing where nothing can be
# found.* Here is a graph whose edges are pure chance. The "encoder" averages random features over
# neighbours, twice; an edge is predicted where codes agree. A tenth of the edges is hidden for the test.

# %%
from sklearn.metrics import roc_auc_score

n, g = 400, torch.Generator().manual_seed(0)
edges = torch.triu(torch.rand(n, n, generator=g) < 0.02, 1)
hidden = edges & (torch.rand(n, n, generator=g) < 0.1)
others = torch.triu(~edges, 1)
features = torch.randn(n, 64, generator=g)
for name, seen in {"all edges": edges, "training edges": edges & ~hidden}.items():
    a = (seen | seen.T).float() + torch.eye(n)
    a = a / a.sum(1, keepdim=True)
    codes = nn.functional.normalize(a @ (a @ features), dim=1)
    score = codes @ codes.T
    truth = torch.cat([torch.ones(int(hidden.sum())), torch.zeros(int(others.sum()))])
    area = roc_auc_score(truth, torch.cat([score[hidden], score[others]]))
    print(f"encoding {name}: better than chance: {area > 0.6}")

# %% [markdown]
# In a graph of chance nothing can be predicted, so whoever predicts has seen the answer: the hidden edges
# were in the graph that the encoder averaged over. Notebook 09 encodes the training edges only.
#
# ## Your turn
#
# A colleague sends you this one. "My digits are grey, and they have no black and no white." Diagnose it, then
# write the decoder that it should have.


# %%
def theirs(latent, shape):
    return nn.Sequential(
        nets.MLP(latent, 128, math.prod(shape)), nn.Sigmoid(), nets.Reshape(*shape), heads.Bernoulli()
    )


mystery = mlp(digits, 8)
mystery.decoder = theirs(8, digits.shape)
history = train(mystery, digits, losses.elbo)
look(digits, mystery=mystery)

# %%
# diagnose(mystery, digits, losses.elbo, history=history)


# %%
def yours(latent, shape):
    ### BEGIN SOLUTION
    # The first finding says that the outputs cannot reach the pixels: the head `Bernoulli` takes logits and
    # applies a sigmoid itself, so the decoder's own sigmoid squeezes them into a narrow band of grey.
    return nn.Sequential(nets.MLP(latent, 128, math.prod(shape)), nets.Reshape(*shape), heads.Bernoulli())
    ### END SOLUTION


# %%
yours = check.decoder(yours)

# %% [markdown]
# Then try:
#
# * Break a healthy model in a way that is not on this page. Does `diagnose` name it? What measurement would?
# * Before your next training, write down what `diagnose` would say if it failed.
#
# ## Take away
#
# * One symptom, the same picture for everything, has many causes: price, gradient, steps, wiring, data. Only
#   measurements tell them apart.
# * Ask what changes when you change something: another decoder, another label, other images, a graph of
#   chance. What should change and does not is the fault.
# * Sum over an example, mean over the batch; and a number that cannot come out badly measures nothing.
#
# You have seen the whole course. Next: your own data.
