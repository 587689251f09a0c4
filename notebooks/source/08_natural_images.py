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
# # 08 · Natural images
#
# **Why are VAEs blurry, and what helps?**
#
# *You need* notebooks 01 and 02, and Food-101 (15,150 photos to learn from, 5,050 to be tested on; without
# them the page runs on cartoon faces). *It takes* about 45 minutes of one core, nearly all of it training:
# read on while it runs. *You will be able to* say how much of a blur comes from the code, how much from the
# KL and how much from the error, read a rate–distortion curve, and train with an error that a network sees.

# %% tags=["nbval-ignore-output"]
import copy
import math
from functools import partial

from aelib import contexts, explorers, fit, heads, latent, losses, metrics, models, nets, plots, priors, train
import check  # the file beside this page
import course  # the same
import measuring  # the same
import projecting  # the same
from aelib.datasets import flipped
from aelib.training import adam, cosine

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import nn

food = course.data("food-101", otherwise="drawn-faces", quick=320, size=64)

# %%
shape, size = food.shape, 128
# they come sorted by dish
photos, test = (part[np.random.default_rng(0).permutation(len(part))] for part in (food.train, food.test))
plots.show(photos[:12], columns=6).described(
    "Twelve training photos in two rows: no two have the same composition."
)

# %% [markdown]
# Faces were centred and all alike. Here nothing is: plates, bowls, hands, table cloths, in any light and from
# any side. Photos are cut to a square and made 64 × 64; half of them are flipped whenever they are used,
# since food has no left and right.
#
# ## Predict
#
# Three ways to keep 128 numbers of a photo: [PCA](../materials/glossary.md), an autoencoder, a VAE. Which is
# the most blurred? And if *one* change could sharpen the VAE, which would it be: a larger network, another
# weight of the KL, another optimizer, another error? Write it down. And enter a number: which share of the
# variance of all pixels do 128 principal components keep?

# %%
variance_kept = ...  # from 0 to 1
### BEGIN SOLUTION
variance_kept = 0.7
### END SOLUTION

# %% [markdown]
# ## 1 · The line to beat
#
# The best linear code of 128 numbers, judged in three ways: the squared error;
# [SSIM](../materials/glossary.md), which compares structure window by window; *Pearson's correlation* over
# the pixels of a photo, which forgives a wrong brightness and contrast.
#
# ### Write: SSIM of one window
#
# *Easy, 10 minutes; needs: mean, variance, covariance over an axis.*
#
# Of two windows a and b with n pixels each, from their means μ, their variances σ² and their covariance σ_ab,
# all of them means over the n pixels:
#
# $$\mathrm{SSIM} = \frac{(2\,\mu_a \mu_b + C_1)\,(2\,\sigma_{ab} + C_2)}
#   {(\mu_a^2 + \mu_b^2 + C_1)\,(\sigma_a^2 + \sigma_b^2 + C_2)}.$$
#
# The constants keep dark and flat windows from a division by zero.

# %%
C1, C2 = 0.01**2, 0.03**2


def similarity(a, b):
    """Windows a and b, both (…, n) → (…), their SSIM."""
    ### BEGIN SOLUTION
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    a, b = a - mean_a[..., None], b - mean_b[..., None]
    light = (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1)
    structure = (2 * (a * b).mean(-1) + C2) / (a.square().mean(-1) + b.square().mean(-1) + C2)
    return light * structure
    ### END SOLUTION


# %%
from skimage.metrics import structural_similarity

similarity = check.similarity(similarity)


def ssim(a, b):  # over all windows of 7 × 7
    cut = [x.unfold(2, 7, 1).unfold(3, 7, 1).flatten(-2) for x in (a, b)]
    return similarity(*cut).flatten(1).mean(1)


one, other = (part.batch().x for part in (test[:1], test[1:2]))
keywords = {"win_size": 7, "use_sample_covariance": False, "data_range": 1, "channel_axis": 0}
theirs = structural_similarity(one[0].numpy(), other[0].numpy(), **keywords)
print("yours = scikit-image's:", math.isclose(ssim(one, other).item(), theirs, abs_tol=1e-3))

# %% [markdown]
# What does it see that the squared error does not? Below, one photo, spoiled in four ways by exactly as much
# squared error. Which one would you call the best, and which one does SSIM?

# %%
from scipy.ndimage import gaussian_filter

photo = test[3:4].batch().x
noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
blurred = torch.from_numpy(gaussian_filter(photo.numpy(), (0, 0, 1.5, 1.5)))
moves = {
    "brighter": torch.ones_like(photo), "less contrast": photo.mean() - photo,
    "noise": noise, "blurred": blurred - photo,
}  # fmt: skip
size_of = moves["blurred"].square().mean().sqrt()
spoiled = {name: photo + size_of * move / move.square().mean().sqrt() for name, move in moves.items()}
plots.show(torch.cat([photo, *spoiled.values()]), titles=["photo", *spoiled]).described(
    "A photo and four spoiled ones beside it: brighter, with less contrast, with coloured noise, blurred."
)

# %% tags=["nbval-ignore-output"]
for name, x in spoiled.items():
    print(f"{name:14s} MSE {(x - photo).square().mean():.5f}   SSIM {ssim(x, photo).item():.3f}")

# %% [markdown]
# Light and contrast it forgives where the structure stays; noise and blur it does not.


# %%
def flat(images):
    return images.pixels.reshape(len(images), -1) / np.float32(255)


pca = PCA(size, svd_solver="randomized", random_state=0).fit(flat(photos))
there, back = projecting.pca_layers(pca, size, shape)
linear = models.Autoencoder(
    nn.Sequential(there, heads.Deterministic()),
    nn.Sequential(back, heads.Gaussian(0.1)),
    priors.StandardNormal(size),
)
judged = {"PCA": metrics.evaluate(linear, test)}

# %% tags=["nbval-ignore-output"]
check.variance_kept(variance_kept, float(pca.explained_variance_ratio_.sum()))

# %% [markdown]
# So most of the *variance* is in few numbers. It is in what is large and coarse. What one looks for in a
# photo may have little variance: section 4.
#
# ## 2 · An autoencoder and a VAE, watched
#
# The same convolutional network for both, 128 numbers for both. The autoencoder minimises the squared error;
# the VAE maximises the ELBO of a Gaussian whose σ is *learnt*, since notebook 02 showed that a σ fixed at 1
# is a β of hundreds in disguise. Encoder and decoder have an optimizer each.

# %%
hidden = course.pick(full=(64, 128, 256), quick=(8, 16, 32))


def build(posterior):
    torch.manual_seed(0)
    likelihood = "gaussian" if posterior == "deterministic" else "gaussian-learnt"
    return models.autoencoder(shape, size, posterior=posterior, likelihood=likelihood, hidden=hidden)


def two(model, lr=2e-3):
    return {"loss": [adam(part, lr, weight_decay=0.05) for part in (model.encoder, model.decoder)]}


# %% [markdown]
# After 3, 10 and 20 epochs the loop's body looks at the test photos, and changes nothing.

# %%
marks = course.pick(full=(3, 10, 20), quick=(1, 2, 3))
squared = partial(losses.reconstruction, error=losses.squared_error)
trained, eight, watched = {"PCA": linear}, test[:8].batch().x, {}
for name, posterior, objective in (("AE", "deterministic", squared), ("VAE", "gaussian", losses.elbo)):
    model = trained[name] = build(posterior)
    for r in train(
        model, photos.map(flipped), objective, two(model), epochs=marks[-1], batch_size=32,
        schedule={"lr": cosine()},
    ):  # fmt: skip
        if r["epoch"] in marks:
            judged[name, r["epoch"]] = metrics.evaluate(model, test)
            watched[f"{name}, epoch {r['epoch']}"] = model.reconstruct(eight.to(model.device)).cpu()

# %% tags=["nbval-ignore-output"]
print(f"{'test photos':14s}     MSE   SSIM  Pearson")
for name, m in judged.items():
    text = name if isinstance(name, str) else f"{name[0]}, epoch {name[1]}"
    print(f"{text:14s} {m['mse']:.5f}  {m['ssim']:.3f}    {m['pearson']:.3f}")
for name in ("AE", "VAE"):
    end = judged[name, marks[-1]]
    better = [key for key in ("ssim", "pearson") if end[key] > judged["PCA"][key]]
    print(f"{name} better than PCA in:", ", ".join(better) or "nothing")
print("one seed; widths, rate, weight decay and epochs were chosen on validation photos")

# %% tags=["figure-food"]
plots.show({"photo": eight, "PCA": linear.reconstruct(eight), **watched}, columns=6).described(
    "Six test photos; below them PCA, then autoencoder and VAE after each of three epochs: all are blurred."
)

# %% [markdown]
# At the same size of code, is the convolutional network above PCA in all three? And the VAE: how far is it
# behind the autoencoder? Less than its reputation says. All of them are blurred, PCA included. So a blur is
# no mark of a VAE. (In the quick profile the networks have hardly begun, and PCA is ahead.)
#
# ## 3 · Two optimizers, and a weight that does nothing
#
# With an optimizer each, encoder and decoder may follow *different* losses: the encoder the ELBO, the
# decoder λ times its error (the [KL](../materials/glossary.md) does not depend on it). `train` takes a dict
# *term → optimizer*, and every optimizer's parameters get the gradient of their own term. A large λ is said
# to sharpen. Does it?


# %%
def two_terms(model, batch, weight=1.0):
    terms = losses.elbo(model, batch)
    return {"encoder": terms["loss"], "decoder": weight * terms["nll"]}


def short(weight, optimizer, seed):
    torch.manual_seed(seed)
    model = models.autoencoder(shape, size, likelihood="gaussian", hidden=(16, 32, 64))
    return fit(
        model, photos[:2000], partial(two_terms, weight=weight),
        {"encoder": optimizer(model.encoder.parameters()), "decoder": optimizer(model.decoder.parameters())},
        epochs=course.pick(full=4, quick=2), batch_size=32, valid=food.valid[:500], seed=seed,
    )  # fmt: skip


# %%
optimizers = {"Adam": partial(torch.optim.Adam, lr=1e-3), "SGD": partial(torch.optim.SGD, lr=2e-6)}
lambdas, seeds = (0.1, 1.0, 10.0), course.pick(full=(0, 1, 2), quick=(0,))
runs = {
    (name, w, seed): short(w, optimizer, seed)
    for name, optimizer in optimizers.items() for w in lambdas for seed in seeds
}  # fmt: skip

# %%
figure, panels = plots.axes(1, 2, (3.6, 2.8), sharey=True)
for ax, name in zip(panels[0], optimizers, strict=True):
    for w, line in zip(lambdas, ("-", "--", ":"), strict=True):
        points = [r["valid/encoder"] for r in runs[name, w, 0]]
        ax.plot(range(1, len(points) + 1), points, line, linewidth=2, label=f"λ = {w:g}")
    ax.set(title=name, xlabel="epoch", ylabel="−ELBO of validation photos, nats")
panels[0][1].legend()
figure.described(
    "Validation curves of three weights λ: under Adam they lie on one another; under SGD they are apart."
)


# %%
def spread(name, seed):
    """The largest difference that λ makes, as a share of what the training gains."""
    curves = np.array([[r["valid/encoder"] for r in runs[name, w, seed]] for w in lambdas])
    return (curves.max(0) - curves.min(0)).max() / (curves[:, 0].max() - curves.min())


each = [spread("Adam", seed) < 0.1 * spread("SGD", seed) for seed in seeds]
print("Adam: less than a tenth of what λ does under SGD, in every seed:", all(each))

# %% tags=["nbval-ignore-output"]
for name in optimizers:
    shares = ", ".join(f"{spread(name, seed):.3f}" for seed in seeds)
    print(f"{name:4s} what λ changes, as a share of what the training gains: {shares} (seeds {seeds})")

# %% [markdown]
# (The curves are those of the first seed; the steps' sizes are usual ones, and were not searched.) Adam
# divides every gradient by its own running size, m / √v. Multiply a loss by λ, and both m and √v grow by λ:
# the step is the same, up to the tiny ε in the denominator. Under plain SGD λ is a learning rate. Where a
# weight *does* matter is between two terms of *one* loss: λ · error + KL is the same as β = 1 / λ. That knob
# is turned in section 6.
#
# ## 4 · What is missing?
#
# A blur has a measure, the [power spectrum](../materials/glossary.md). Take a picture apart into waves, and
# see how much power each frequency has; then how much of the photos' power the reconstructions keep.
#
# ### Write: a power spectrum with a window
#
# *Hard, 25 minutes; needs: the Fourier transform of a picture (`torch.fft.fft2`), broadcasting.*
#
# The Fourier transform takes a picture as one tile of an endless wall. Where the right border does not
# continue at the left one, there is a jump, and a jump is made of *all* frequencies. So first let the picture
# fade out towards its borders:
#
# * subtract each channel's mean, and multiply by a window, `torch.hann_window(H)` along the rows times
#   `torch.hann_window(W)` along the columns;
# * divide by the root of the mean of the window's square, so that white noise keeps its power;
# * the power of each wave is |FFT|² / (H·W), `torch.fft.fft2`, averaged over pictures and channels;
# * the waves of one length are in all directions: average over all with the same number in `wave_numbers`.
#
# <details><summary>A hint</summary>
#
# `torch.bincount(number, power)` adds up the powers of each number; `torch.bincount(number)` counts them.
# Both want flat tensors.
# </details>


# %%
def wave_numbers(h, w):
    """(H, W), how many waves per picture each number of `torch.fft.fft2` stands for."""
    y, x = torch.fft.fftfreq(h), torch.fft.fftfreq(w)
    return ((y[:, None].square() + x.square()).sqrt() * min(h, w)).round().long()


def spectrum(images):
    """Pictures (N, C, H, W) → (F,), the mean power at 0, 1, 2, … waves per picture."""
    ### BEGIN SOLUTION
    h, w = images.shape[-2:]
    window = torch.outer(torch.hann_window(h), torch.hann_window(w))
    faded = (images - images.mean((2, 3), keepdim=True)) * window / window.square().mean().sqrt()
    power = torch.fft.fft2(faded).abs().square().mean((0, 1)) / (h * w)
    number = wave_numbers(h, w).flatten()
    return torch.bincount(number, power.flatten()) / torch.bincount(number)
    ### END SOLUTION


# %%
spectrum = check.spectrum(spectrum)

# %% [markdown]
# On pictures of which the spectrum is known: noise whose power falls with the fourth power of the frequency,
# 1 / f⁴, cut out of pictures that are four times as large on each side. Then on photos, and on what PCA makes
# of them.

# %%
generator = torch.Generator().manual_seed(0)
f = torch.fft.fftfreq(256)
f = (f[:, None].square() + f.square()).sqrt().clamp_min(1 / 256)
noise = torch.fft.ifft2(torch.fft.fft2(torch.randn(100, 1, 256, 256, generator=generator)) / f**2).real
cases = {"1 / f⁴ noise": noise[:, :, :64, :64], "photos": test[:1000].batch().x}
cases["photos, by PCA"] = linear.reconstruct(cases["photos"])
ways = {"no window": measuring.power_spectrum, "window": spectrum}
lines = {name: {way: power(x) for way, power in ways.items()} for name, x in cases.items()}
exact = 1 / (torch.arange(1, 33) / 64) ** 4

# %%
figure, panels = plots.axes(1, 3, (2.8, 2.6))
for ax, (name, both) in zip(panels[0], lines.items(), strict=True):
    for way, line in both.items():
        line = line[1 : 1 + cases[name].shape[2] // 2]
        ax.plot(range(1, 1 + len(line)), line, label=way)
    ax.set(title=name, xlabel="waves per picture", xscale="log", yscale="log")
panels[0][0].plot(range(1, 33), exact, "k:", label="1 / f⁴")
panels[0][0].set_ylabel("power"), panels[0][0].legend()
figure.described(
    "Power against frequency with and without a window: the lines agree on photos; on smooth noise, and "
    "in the full run on PCA's pictures, the one without a window lies far above."
)

# %%
times = {way: line[8:33] / exact[7:] for way, line in lines["1 / f⁴ noise"].items()}
for way, each in times.items():
    print(f"{way}: from 8 waves on within an eighth of the truth: {bool((each - 1).abs().max() < 1 / 8)}")

# %% tags=["nbval-ignore-output"]
print("1 / f⁴ noise, at 32 waves:", ", ".join(f"{way} {v[-1]:.1f} × the truth" for way, v in times.items()))
kept_fine = {way: lines["photos, by PCA"][way][8:].sum() / lines["photos"][way][8:].sum() for way in ways}
print("of the photos' fine power PCA keeps:", ", ".join(f"{way} {v:.1%}" for way, v in kept_fine.items()))

# %% [markdown]
# The jumps at the borders have a power of about 1 / f². Where a picture is rougher than that they hardly
# matter; where it is smoother, they are nearly all that is measured. So the error is largest for blurred
# pictures: nearly all of the fine power that PCA seemed to keep is the jumps of its reconstructions.

# %%
test_x = test[:1000].batch().x
power = spectrum(test_x)


def kept(images):
    return spectrum(images) / power


redrawn = {name: latent.decode(m, latent.encode(m, test[:1000])) for name, m in trained.items()}

# %% tags=["figure-power"]
half = shape[1] // 2
figure, ((ax,),) = plots.axes(size=(6, 3.2))
for name, images in redrawn.items():
    dash = "--" if name == "VAE" else "-"
    ax.plot(range(1, half + 1), kept(images)[1 : half + 1], dash, color=course.COLOURS[name], label=name)
ax.set(xlabel="waves per picture", ylabel="share of the photos' power", ylim=(0, 1.05), xscale="log")
ax.set(xticks=(1, 2, 4, 8, 16, 32), xticklabels=(1, 2, 4, 8, 16, 32))
ax.legend()
figure.described(
    "Share of the photos' power that PCA, AE and VAE keep, against waves per picture; in the full run nearly "
    "all at four waves, little from sixteen on."
)

# %% tags=["nbval-ignore-output"]
columns = [k for k in (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32) if k <= half]
print("waves  " + "".join(f"{k:7d}" for k in columns))
for name, images in redrawn.items():
    print(f"{name:5s}  " + "".join(f"{kept(images)[k]:7.1%}" for k in columns))
print("with the window; one seed each, the first 1,000 test photos")

# %% [markdown]
# The coarse waves are there almost in full, the fine ones are nearly gone. Read the table from left to right:
# where does each row fall below a half? 128 numbers are about 6 × 7 places in three colours: what is much
# finer, a code of this size cannot say. (In the quick profile the networks have learnt too little for this
# table.)
#
# ## 5 · Why not guess?
#
# Where the code says nothing, the decoder could still make up *some* texture. Why does it make up none? Take
# a photo of which everything is known but where it is, by two pixels in each direction. 25 pictures are
# possible. What should be shown?
#
# ### Write: the best answer
#
# *Easy, 10 minutes; needs: a derivative.*
#
# Pictures x₁ … x_N are possible, with probabilities w. Which picture has the smallest expected squared error?
#
# <details><summary>A hint</summary>
#
# Write the expected squared error of an answer a as Σ wᵢ |xᵢ − a|², and set its derivative with respect to a
# to 0.
# </details>


# %%
def best_answer(pictures, weights):
    """Pictures (N, D) and weights (N,) that sum to 1 → the best answer (D,)."""
    ### BEGIN SOLUTION
    return weights @ pictures  # the derivative of Σ wᵢ |xᵢ − a|² is 2 (a − Σ wᵢ xᵢ)
    ### END SOLUTION


# %%
best_answer = check.best_answer(best_answer)
photo, offsets = test[:1].batch().x, range(-2, 3)
possible = torch.cat([photo.roll((dy, dx), dims=(2, 3)) for dy in offsets for dx in offsets])
mean = best_answer(possible.flatten(1), torch.full((len(possible),), 1 / len(possible))).view_as(photo)
of_mean = metrics.mse(mean.expand_as(possible), possible).mean()
of_guess = torch.stack([metrics.mse(one.expand_as(possible), possible).mean() for one in possible]).mean()
print(f"a sharp guess has {of_guess / of_mean:.2f} times the squared error of the mean")

# %%
plots.show(
    torch.cat([possible[[0, 4, 12, 20, 24]], mean]), columns=6, titles=["possible"] * 5 + ["mean"]
).described(
    "Five copies of one photo, each moved by two pixels another way, and the blurred mean of all 25 copies."
)

# %% [markdown]
# It is no accident. For two independent samples x, x' of what the code z leaves open,
#
# $$\mathbb{E}\,|x - x'|^2 = 2\,\mathrm{Var}(x|z), \qquad
#   \mathbb{E}\,\big|x - \mathbb{E}[x|z]\big|^2 = \mathrm{Var}(x|z).$$
#
# The squared error *asks* for the mean E[x|z]. A blurred picture is its right answer, a sharp guess costs
# double. Then a smaller blur has only two sources: **a code that says more**, so that less is left open, or
# **an error that asks for something else**.
#
# ## 6 · A code that says more: rate and distortion
#
# How much a code says is measured: the [rate](../materials/glossary.md), KL(q(z|x) ‖ p(z)) in nats. A VAE
# trades it against [distortion](../materials/glossary.md) at the price β. So: the same VAE, trained on for
# two epochs at other prices. (For σ fixed at 1 the price that a learnt σ sets is β = σ²: notebook 02.)

# %%
vae = trained["VAE"]
sigma = vae.decoder[-1].log_scale.exp().item()
betas = {f"β = {b:g}": b for b in course.pick(full=(1.0, 0.3, 0.1, 0.03, 0.003), quick=(1.0, 0.1))}
priced = {}
for name, beta in betas.items():
    model = copy.deepcopy(vae)
    model.decoder[-1] = heads.Gaussian(1.0)
    fit(
        model, photos.map(flipped), partial(losses.elbo, beta=beta), two(model, 1e-3),
        epochs=course.pick(full=2, quick=1), batch_size=32, schedule={"lr": cosine()},
    )  # fmt: skip
    priced[name] = model

# %% [markdown]
# And PCA? As it stands its code has no rate, or an endless one: real numbers, as exact as you like. But a
# linear VAE *has* one, and its best encoder and decoder are known in closed form, for every σ: probabilistic
# PCA (Tipping, Bishop, 1999). A component of variance λ above σ² is kept, with the posterior's variance σ²/λ;
# one below costs more than it explains, and is left out.
#
# ### Write: rate and error of a linear code
#
# *Easy, 10 minutes; needs: masks, the logarithm to base 2.*
#
# A kept component has a rate of ½ log₂(λ/σ²) bits, and leaves the squared error σ². One that is left out has
# no rate, and leaves its whole variance λ. This is *reverse water-filling*: σ² is the level of the water.


# %%
def water_filling(variances, sigma):
    """The components' variances λ (K,) and σ → (rate in bits, squared error), sums over the components."""
    ### BEGIN SOLUTION
    kept = variances[variances > sigma**2]
    bits = (kept / sigma**2).log2().sum() / 2
    error = variances.clamp_max(sigma**2).sum()
    return bits, error
    ### END SOLUTION


# %%
water_filling = check.water_filling(water_filling)
variances = torch.tensor(pca.explained_variance_).float()
rest = pca.explained_variance_[0] / pca.explained_variance_ratio_[0] - variances.sum()  # not in the code
curve = [water_filling(variances, s) for s in np.geomspace(0.03, 3, 50)]
figure, ((ax,),) = plots.axes(size=(5, 3))
mse = [(error + rest) / math.prod(shape) for _, error in curve]
ax.plot([bits for bits, _ in curve], mse, color=course.COLOURS["PCA"])
ax.set(xlabel="bits per photo", ylabel="MSE, expected", yscale="log")
figure.described("The expected error of a linear code against its bits: steep at first, then flat.")

# %% [markdown]
# Each halving of σ costs one more bit for each component that is kept. At the right end the error is that of
# the components which PCA has not, and bits buy nothing more. The same as a model, so that it can be tried on
# test photos like the others:


# %%
def linear_vae(sigma):
    (flatten, encode), (decode, unflatten) = projecting.pca_layers(pca, size, shape)
    left = (sigma**2 / torch.tensor(pca.explained_variance_).float()).clamp_max(1)  # (K,) of a variance of 1
    kept, w = (1 - left).sqrt(), encode.weight
    both = nn.Linear(w.shape[1], 2 * size).requires_grad_(False)
    both.weight.data = torch.cat([kept[:, None] * w, 0 * w])  # the mean, and log σ, the same for all photos
    both.bias.data = torch.cat([kept * encode.bias, left.log() / 2])
    decode.weight.data = decode.weight * kept
    encoder = nn.Sequential(flatten, both, heads.Gaussian())
    return models.Autoencoder(
        encoder, nn.Sequential(decode, unflatten, heads.Gaussian(1.0)), priors.StandardNormal(size)
    )


# %%
def rate_and_mse(model, scale=1.0):
    """(rate in nats, MSE at a sampled code) on the test photos, from −log p = n (MSE / 2σ² + log σ + …)."""
    rd, n = metrics.rate_distortion(model, test), math.prod(shape)
    constant = math.log(scale) + math.log(2 * math.pi) / 2
    return rd["rate"], 2 * scale**2 * (rd["distortion"] / n - constant)


points = {name: rate_and_mse(model) for name, model in priced.items()}
points[f"σ learnt, {sigma:.3f}"] = rate_and_mse(vae, sigma)
line = [rate_and_mse(linear_vae(s)) for s in np.geomspace(0.03, 3, course.pick(full=15, quick=4))]

# %% tags=["figure-rate-distortion"]
figure, ((ax,),) = plots.axes(size=(6.4, 3.8))
ax.plot(*zip(*line, strict=True), "-", color=course.COLOURS["PCA"], label="linear VAE, in closed form")
for name, mse in {"PCA": judged["PCA"]["mse"], "AE": judged["AE", marks[-1]]["mse"]}.items():
    ax.axhline(mse, linestyle="--", color=course.COLOURS[name], label=f"{name}: no limit of rate")
for (name, (rate, mse)), mark in zip(points.items(), "ov^sDP" if len(points) > 3 else "ovP", strict=True):
    ax.plot(rate, mse, mark, color=course.COLOURS["VAE"], label=f"VAE, {name}")
ax.set(xlabel="rate, nats per photo", ylabel="MSE of test photos, at a sampled code", yscale="log")
ax.legend(fontsize=8)
figure.described(
    "Test error against rate: a point for each VAE, from few nats and a large error to many and a small "
    "one; the curve of the linear VAE beside them, and the errors of PCA and AE as dashed lines."
)

# %% tags=["nbval-ignore-output"]
for name, (rate, mse) in points.items():
    print(f"{name:18s} rate {rate:6.1f} nats = {rate / math.log(2):4.0f} bits, MSE {mse:.5f}")
print("test photos; one seed; the prices cover a range, none was chosen")

# %% [markdown]
# Read the curve. At β = 1 with σ = 1, which is what "squared error + KL" means, little of the photo is
# bought: *that* is a blur which VAEs are known for, and it is a price, set by nobody on purpose. At the
# right end the curve is flat: 128 numbers are full, and more rate buys next to nothing. The learnt σ finds
# the place by itself: where the error it makes is the error it expects. (A point above the solid line is a
# network that a linear code of the same rate would beat. In the quick profile all may be.)

# %% tags=["figure-price"]
torch.manual_seed(0)
at, blank = eight[:4].to(vae.device), torch.ones(4, *shape)
shown = priced | {"σ learnt": vae}
rows = {name: torch.cat([m.reconstruct(at), m.sample(4)]).cpu() for name, m in shown.items()}
rows = {"photo": torch.cat([eight[:4], blank])} | rows
plots.show(rows, titles=["decoded"] * 4 + ["sampled"] * 4, width=10).described(
    "A row for each price: four test photos decoded, and four sampled pictures: blobs of colour, no dish."
)

# %% [markdown]
# On the left photos decoded, on the right codes sampled from N(0, 1). Follow a column from the largest β
# down: the photos gain detail, and so do the sampled pictures. Does one of them show a dish?
#
# ## 7 · An error that asks for something else
#
# Let a network judge. Trained to name the dish, it must see edges and textures, but not to the pixel where
# they are. A [perceptual error](../materials/glossary.md) compares its features φ in place of pixels,
# averaged over layers and places, n numbers per photo:
#
# $$\mathrm{error} = \frac{n}{4}\;\overline{\big|\hat\varphi(\hat x) - \hat\varphi(x)\big|^2},
#   \qquad \hat\varphi = \varphi / |\varphi|.$$
#
# ### Write: one layer's error
#
# *Medium, 10 minutes; needs: the norm along one axis.*


# %%
def feature_error(a, b):
    """Features of x̂ and of x, both (B, D, H, W) → (B,), the mean over places of |φ̂(x̂) − φ̂(x)|² / 4."""
    ### BEGIN SOLUTION
    a, b = (f / f.norm(dim=1, keepdim=True) for f in (a, b))
    return (a - b).square().sum(1).mean((1, 2)) / 4
    ### END SOLUTION


# %%
feature_error = check.feature_error(feature_error)
with contexts.seeded(0), torch.no_grad():
    layer = nn.Sequential(nets.Centre(), nn.Conv2d(shape[0], 8, 3, padding=1), nn.GELU())
    a, b = test[:8].batch().x.split(4)
    by_hand = math.prod(shape) * feature_error(layer(a), layer(b))
    theirs = losses.perceptual(layer)(torch.distributions.Normal(a, 1.0), b)
print("yours = the library's, for one layer:", torch.allclose(by_hand, theirs, rtol=1e-3))

# %% [markdown]
# We train two such networks: one to learn from, and another that has no part in it and judges afterwards.
# (Their first layer has stride 1. Where every layer strides, some patterns of single pixels pass unseen, and
# a decoder soon finds them.)


# %%
def taught(seed):
    kinds, labels = food.train.attributes, food.train.attributes is None
    head = heads.Categorical() if labels else heads.Bernoulli()
    torch.manual_seed(seed)
    body = nets.ConvEncoder(shape, 64, (8, 16, 32, 64), strides=(1, 2, 2, 2))
    outputs = len(food.train.classes) if labels else kinds.shape[1]
    net = nn.Sequential(nn.Sequential(nets.Centre(), body, nn.GELU()), nn.Linear(64, outputs), head)
    fit(
        net, photos.map(flipped), losses.prediction, adam(net, 2e-3, weight_decay=0.1),
        epochs=course.pick(full=5, quick=1), batch_size=64, schedule={"lr": cosine()}, seed=seed,
    )  # fmt: skip
    return net.cpu()


teacher, judge = taught(0), taught(1)
layers = teacher[0][1][0]  # four convolutions, each with its activation
stages = [nn.Sequential(nets.Centre(), *layers[:2]), layers[2:4], layers[4:6], layers[6:]]
seen = losses.perceptual(*stages)

# %% [markdown]
# Now the question of section 5 again: 25 possible pictures, their mean or one of them? Each error's answer is
# a ratio: its expected value for the mean, over that for a sharp guess. The squared error says ½. Above 1,
# an error would rather have a guess.


# %% tags=["nbval-ignore-output"]
def expected(error, shown):
    return error(torch.distributions.Normal(shown.expand_as(possible), 1.0), possible).mean().item()


asked = {"squared": losses.squared_error, "SSIM": metrics.ssim_error}
asked |= {f"layer {k}": losses.perceptual(nn.Sequential(*stages[:k])) for k in (1, 2, 3, 4)}
asked["the whole network"] = losses.perceptual(teacher[0])
for name, error in asked.items():
    guess = np.mean([expected(error, one[None]) for one in possible])
    print(f"{name:18s} {expected(error, mean) / guess:.2f}")
print("one test photo; one network")

# %% [markdown]
# The deeper a layer, the less it minds where exactly a thing is, and the less it is content with a blur. (A
# network of the quick profile has hardly learnt, and may answer otherwise.)
#
# Train on from the VAE for one more epoch, with three errors: its own (so that all have had the same
# training); SSIM added; the perceptual error added.

# %%
errors = {
    "VAE": losses.nll,
    "VAE + SSIM": lambda p, x: losses.nll(p, x) + metrics.ssim_error(p, x),
    "VAE + perceptual": lambda p, x: losses.nll(p, x) + 5 * seen(p, x),
}
helped = {"PCA": linear, "AE": trained["AE"]}
for name, error in errors.items():
    model = helped[name] = copy.deepcopy(vae)
    fit(
        model, photos.map(flipped), partial(losses.elbo, error=error), two(model, 1e-3),
        epochs=1, batch_size=32, schedule={"lr": cosine()},
    )  # fmt: skip

# %% [markdown]
# Judged by five measures. *Fine* is the share of the photos' power that is there at 8 waves per picture and
# more, by your `spectrum`. The [Fréchet distance](../materials/glossary.md) is one between all
# reconstructions and all photos, in the features of the judge that nobody learnt from: how unlike photos
# they are as a crowd. (Of other photos: the training photos.)

# %%
of_photos, table = metrics.features(judge[0], test), {}
for name, model in helped.items():
    images = latent.decode(model, latent.encode(model, test))
    table[name] = metrics.evaluate(model, test)
    table[name]["fine"] = (spectrum(images[:1000])[8:].sum() / power[8:].sum()).item()
    table[name]["Fréchet"] = metrics.frechet_distance(of_photos, metrics.features(judge[0], images))
    redrawn[name] = images[:1000]

# %% tags=["nbval-ignore-output"]
print(f"{'test photos':18s}     MSE   SSIM  Pearson    fine   Fréchet")
for name, m in table.items():
    text = f"{m['mse']:.5f}  {m['ssim']:.3f}    {m['pearson']:.3f} {m['fine']:7.1%} {m['Fréchet']:9.2f}"
    print(f"{name:18s} {text}")
other = metrics.frechet_distance(of_photos, metrics.features(judge[0], photos[: len(test)]))
print(f"{'other photos':18s} {'':32s} {other:9.2f}")
print("one seed; the weight 5 and the rate of training were chosen on validation photos")

# %% tags=["figure-errors"]
plots.show({"photo": test_x[8:14]} | {name: redrawn[name][8:14] for name in table}, columns=6).described(
    "Six test photos and their reconstructions, a row per method: all are blurred."
)

# %%
crop = {"photo": test_x} | redrawn
middles = torch.cat([x[10:11, :, 16:48, 16:48] for x in crop.values()])
plots.show(middles, titles=list(crop), width=10).described(
    "The middle of the third photo, enlarged, and as each method decodes it: in the full run without edges."
)

# %% [markdown]
# Each added error gets what it asks for, and pays in the squared error: compare each row with the VAE's own,
# column by column. Look closely at the last crop, too: not all of the fine power is texture, some of it is a
# faint grid. (In the quick profile all of them are blurs.) What is decoded where the code says nothing is
# *invented*, and a small network, taught by a few thousand photos, is easily pleased. A better judge (hand a
# large pretrained network to `losses.perceptual`, or let an adversary learn along) may invent better. It
# does not know more: whether that helps depends on whether the picture is to be looked at or to be measured.
#
# ### Explore
#
# Leaf through test photos. Which dishes does the perceptual error help? Tick *difference*: where is it wrong?
# (Without a kernel: the pictures above.)

# %%
explorers.reconstructions(helped, test[:120])

# %% [markdown]
# ## 8 · Where do the dishes lie?
#
# The codes of ten kinds, on a map (t-SNE). Colour and light are what a code of pixels is about. Is that what
# makes a dish?

# %%
names = np.unique(test.names)
ten = names[:: max(1, len(names) // 10)][:10]
some = test[np.isin(test.names, ten)]
spaces = {"VAE": latent.encode(vae, some), "judge": metrics.features(judge[0], some)}
maps = {
    name: TSNE(random_state=0, perplexity=min(30, len(z) - 1)).fit_transform(z) for name, z in spaces.items()
}

# %% tags=["figure-food-map"]
figure, panels = plots.axes(1, 2, (4, 3.6))
for ax, (name, xy) in zip(panels[0], maps.items(), strict=True):
    for k, (kind, mark) in enumerate(zip(ten, "ov^<>sDP*X", strict=False)):
        ax.plot(*xy[some.names == kind].T, mark, markersize=4, color=f"C{k}", label=kind)
    ax.set(title=f"codes of the {name}", xticks=[], yticks=[])
panels[0][1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure.described(
    "Two maps of photos of ten dishes, a mark for each dish: by the VAE's codes they are mixed, by the "
    "judge's nearly so."
)

# %% [markdown]
# And a number for it: of how many of these photos is the nearest other one, by its code, of the same dish?

# %% tags=["nbval-ignore-output"]
same = torch.tensor(some.labels)[:, None] == torch.tensor(some.labels)
for name, z in spaces.items():
    nearest = torch.cdist(z, z).fill_diagonal_(torch.inf).argmin(1)
    print(f"{name:6s} {same[torch.arange(len(z)), nearest].float().mean():.0%} of the same dish")
print(f"chance {(same.float().mean(1)).mean():.0%}")
print("test photos; one seed; the ten dishes are every so many in the alphabet")

# %% [markdown]
# ## 9 · Photos of another kind
#
# Streets, animals, rooms: COCO. No model here was trained on one; PCA's components are of food only, too. Who
# is hurt more by photos of another kind: the network or PCA?

# %% tags=["nbval-ignore-output"]
coco = course.data("coco", otherwise="drawn-faces", quick=320, size=shape[1])
scenes = coco.test
for name, model in helped.items():
    there, here = metrics.evaluate(model, scenes), table[name]
    worse = there["mse"] / here["mse"] - 1
    text = f"MSE {there['mse']:.5f} ({worse:+.0%} against food)  SSIM {there['ssim']:.3f}"
    print(f"{name:18s} {text}  Pearson {there['pearson']:.3f}")

# %% tags=["figure-scenes"]
five = scenes[:5].batch().x
rows = {name: m.reconstruct(five.to(m.device)).cpu() for name, m in helped.items()}
plots.show({"photo": five} | rows).described(
    "Five photos of rooms, animals and streets, and their reconstructions, a row per method: all are blurred."
)

# %% [markdown]
# Is it what the networks learnt from? Train on scenes, as far as the photos go: the table says how many there
# are. PCA of them; the same autoencoder from random weights; the autoencoder of food, trained on. The best
# epoch by the validation scenes is kept; twenty epochs without a better one end the training.


# %%
def on_scenes(start, seed):
    """A model trained on scenes: its best epoch by the validation scenes, and which one that was."""
    torch.manual_seed(seed)
    model = copy.deepcopy(start) if start else models.autoencoder(
        shape, size, posterior="deterministic", likelihood="gaussian", hidden=hidden
    )  # fmt: skip
    least, best, at = math.inf, model, 0
    for r in train(
        model, coco.train.map(flipped), squared, two(model, 1e-3 if start else 2e-3), batch_size=32,
        epochs=course.pick(full=300, quick=2), valid=coco.valid, seed=seed,
    ):  # fmt: skip
        if r["valid/loss"] < least:
            least, best, at = r["valid/loss"], copy.deepcopy(model), r["epoch"]
        elif r["epoch"] == at + 20:
            break
    return best, at


# %%
few = PCA(min(size, len(coco.train)), random_state=0).fit(flat(coco.train))
there, back = projecting.pca_layers(few, few.n_components_, shape)
of_scenes = models.Autoencoder(
    nn.Sequential(there, heads.Deterministic()), nn.Sequential(back, heads.Gaussian(0.1)),
    priors.StandardNormal(few.n_components_),
)  # fmt: skip
starts = {"AE, scenes": None, "AE, both": trained["AE"]}
learnt = {name: [on_scenes(start, seed) for seed in seeds] for name, start in starts.items()}

# %% tags=["nbval-ignore-output"]
once = {"PCA, food": linear, "PCA, scenes": of_scenes, "AE, food": trained["AE"]}
print(f"{len(coco.train)} scenes to learn from, {len(coco.valid)} to choose the epoch, {len(scenes)} to test")
print(f"{'test scenes':14s} {'MSE':>8s}  {'±':>7s}  {'SSIM':>5s}  best epochs")
for name, several in ({name: [(m, 0)] for name, m in once.items()} | learnt).items():
    m = [metrics.evaluate(model, scenes) for model, _ in several]
    mse, alike = np.array([e["mse"] for e in m]), np.mean([e["ssim"] for e in m])
    at = ", ".join(str(epoch) for _, epoch in several if epoch) or "–"
    spread_of = f"{mse.std(ddof=1):.5f}" if len(m) > 1 else "–"
    print(f"{name:14s} {mse.mean():8.5f}  {spread_of:>7s}  {alike:5.3f}  {at}")
print(f"trained on scenes: seeds {seeds}; of food: one seed")

# %% [markdown]
# No. Of 187 scenes the autoencoder from random weights has more than twice the error of the one of food, and
# PCA of scenes half as much again as PCA of food. Trained on from food, the error rises a little. Here a few
# photos of the right kind are worth less than thousands of another. What thousands of scenes would do, this
# page does not say.

# %% [markdown]
# ## Your turn
#
# Then try:
#
# * The same for the absolute error, with N = 3 and equal weights. Is the answer still blurred?
# * PCA with 256 components. By your `spectrum`, where does its curve of section 4 move to?
# * Draw from p(x|z), not its mean: is *that* sharp? What is missing in a Gaussian of independent pixels?
#
# <details><summary>Answers</summary>
#
# * The best answer is the median of each pixel by itself: `X.median(0)`, with the first test photo, moved by
#   −2, 0 and 2 pixels along both axes, as X. Its absolute error is 0.073, that of the mean 0.086, of a guess
#   0.097. It keeps half of the photo's fine power (8 waves and more), the mean three tenths. So it is less
#   blurred, and still none of the three pictures: each pixel chooses for itself, and neighbours choose
#   differently.
# * With 128 components more than half of the power is kept up to 5 waves, with 256 up to 8. At 12 waves it
#   is 1 % and 4 %. The test MSE falls from 0.0111 to 0.0075. Twice as many numbers are √2 times as many
#   places along each side, and the cut moves by about that.
# * No: it has noise of σ in every pixel, which adds σ² to the squared error. With the learnt σ that about
#   doubles it, as for the sharp guess of section 5. Noise of independent pixels is equally strong at all
#   frequencies; what a reconstruction lacks is not. A texture is pixels that *depend* on their neighbours.
# </details>
#
# ## Take away
#
# * A blur is the mean of what the code leaves open. The squared error asks for it; PCA and plain autoencoders
#   are blurred too.
# * What VAEs are famous for is a price: "squared error + KL" is σ = 1, and buys little rate. Learn σ, and
#   what blur is left is that of 128 numbers.
# * Another error asks for another picture: the deeper the features it sees with, the less it wants a blur.
#   What it adds is invented. Say so, and measure both.
#
# Next: **09, graph autoencoders.** What if the data are not images?
