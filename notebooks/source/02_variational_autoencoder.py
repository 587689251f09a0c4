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
# # 02 · The variational autoencoder
#
# **What does the KL buy, and what does it cost?**
#
# *You need* notebook 01, and MNIST and LFW (without them the page runs on small digits and drawn faces).
# *It takes* about 29 minutes of one core, most of it training and counting: read on while it runs.
# *You will be able to* write a VAE's loss by hand, choose a likelihood and know its β, see a collapsed
# posterior in numbers, and say how likely your model finds a picture, in nats.

# %% tags=["nbval-ignore-output"]
import math
from functools import partial

from aelib import contexts, explorers, fit, heads, latent, load, losses, metrics, models, plots
from aelib import pretrained, priors
import check  # the file beside this page
import course  # the same
from aelib import datasets, nets
from aelib.datasets import Batch, binarised
from aelib.training import adam, cosine, warm_up

import torch
from torch import nn

digits = course.data("mnist", otherwise="digits", quick=1600)

# %% [markdown]
# ## Predict
#
# In notebook 01 the codes of a plain autoencoder had a distribution of their own, and decoding N(0, 1)
# drew nothing. A VAE asks the codes to be N(0, 1). What will that cost in the quality of the
# reconstructions: nothing, a tenth, half? Write it down.
#
# ## 1 · By hand
#
# We want the model to find the pictures likely: a large log p(x), where p(x) = ∫ p(x|z) p(z) dz. The integral
# runs over all codes, and almost all of them explain nothing. So let an encoder propose: q(z|x). For *any* q,
#
# log p(x) = E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)) + KL(q(z|x) ‖ p(z|x)).
#
# The last term is unknown, but never negative. Leave it out and a lower bound remains, the ELBO: how well
# codes from q explain x, less what it costs to say which code. To climb it, two things are needed: a
# gradient through a random code, and the KL.
#
# **Reparameterisation.** A sample of N(m, s²) is m + s ε with ε from N(0, 1). Now m and s are ordinary
# numbers in a formula, and a gradient passes. Check: E[z²] = m² + s², so its derivatives are 2m and 2s.

# %%
torch.manual_seed(0)
m, s = torch.tensor(1.5, requires_grad=True), torch.tensor(0.5, requires_grad=True)
epsilon = torch.randn(1_000_000)
(m + s * epsilon).square().mean().backward()
print(f"by sampling {m.grad:.1f} and {s.grad:.1f}; exactly {2 * m.item():.1f} and {2 * s.item():.1f}")

# %% [markdown]
# **KL.** Between two normal distributions it has a closed form. Per dimension, in nats:
#
# KL(N(m, s²) ‖ N(0, 1)) = ½ (m² + s² − 1 − log s²).


# %%
def kl_by_hand(mean, log_var):
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)  # (B, K) -> (B,): sum over a code


mean, log_var = torch.tensor([[1.5, 0.0]]), torch.tensor([[-1.0, 0.0]])
q, p = torch.distributions.Normal(mean, (log_var / 2).exp()), torch.distributions.Normal(0.0, 1.0)
z = q.sample((1_000_000,))
sampled = (q.log_prob(z) - p.log_prob(z)).sum(-1).mean()  # E_q[log q - log p], the definition
print(f"closed form {kl_by_hand(mean, log_var).item():.2f}, by sampling {sampled:.2f}")

# %% [markdown]
# **ELBO.** All of it in six lines: encode, draw, decode, two terms, add.

# %%
torch.manual_seed(0)
numbers, size = math.prod(digits.shape), 16
encode, decode = nn.Linear(numbers, 2 * size), nn.Linear(size, numbers)
x = digits.train[:100].batch().x


def elbo_by_hand(x):
    mean, log_scale = encode(x.flatten(1)).chunk(2, dim=1)
    z = mean + log_scale.exp() * torch.randn_like(mean)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    nll = cross_entropy(decode(z), x.flatten(1), reduction="none").sum(1)  # -log p(x|z), Bernoulli
    return nll + kl_by_hand(mean, 2 * log_scale)


# %% [markdown]
# The library's: an encoder whose head is a `Gaussian`, a decoder whose head is a `Bernoulli`, a prior. The
# objective is `losses.elbo`. Same seed, same number, for every picture:

# %%
model = models.Autoencoder(
    encoder=nn.Sequential(nn.Flatten(), encode, heads.Gaussian()),
    decoder=nn.Sequential(decode, nets.Reshape(*digits.shape), heads.Bernoulli()),
    prior=priors.StandardNormal(size),
)
torch.manual_seed(1)
by_hand = elbo_by_hand(x)
torch.manual_seed(1)
print("the same loss:", torch.allclose(by_hand, losses.elbo(model, Batch(x))["loss"]))

# %% [markdown]
# ## 2 · Three networks
#
# Multilayer, convolutional, and *fully* convolutional: the last has no linear layer, so its code keeps
# places, and the same weights take a picture of any size. Everything in nats: −ELBO is the sum of
# *distortion*, E[−log p(x|z)], and *rate*, the KL.

# %%
epochs = course.pick(full=4, quick=2)
codes = {"mlp": 16, "conv": 16, "fcn": 4}  # numbers for "mlp" and "conv", channels at each place for "fcn"
vaes = {}
for net, code in codes.items():
    torch.manual_seed(0)
    vaes[net] = models.autoencoder(digits.shape, code, net=net, posterior="gaussian", likelihood="bernoulli")
    fit(vaes[net], digits.train, losses.elbo, adam(vaes[net], 2e-3), epochs=epochs, schedule={"lr": cosine()})

# %% tags=["nbval-ignore-output"]
for net, vae in vaes.items():
    rd = metrics.rate_distortion(vae, digits.test)
    code = math.prod(vae.prior().event_shape)
    text = f"distortion {rd['distortion']:6.1f} + rate {rd['rate']:5.1f} = {sum(rd.values()):6.1f} nats"
    print(f"{net:5s} code of {code:3d} numbers: {text}")

# %%
torch.manual_seed(0)
plots.show({f"{net}, drawn from N(0, 1)": vae.sample(12).cpu() for net, vae in vaes.items()})

# %% [markdown]
# Look at the last row. Its reconstructions are fine, its samples are not: each place draws its own piece of
# a stroke, and nobody tells the places to agree. A good ELBO does not promise good samples from a prior
# that knows of no agreement.
#
# ## 3 · The hidden β
#
# The ELBO is a sum over pixels plus a sum over the code. Write `mean` somewhere, as most public code does,
# and the two terms are weighed differently: you train with another β than you think. Which one can be
# *computed*: scale the distortion and the rate, and compare how the loss answers.

# %%
mistakes = {  # nll: (B, pixels), kl: (B, K), both in nats; every line stands in some public repository
    "sum + sum (the ELBO)": lambda nll, kl: nll.sum(1).mean() + kl.sum(1).mean(),
    "mean over pixels + mean over the code": lambda nll, kl: nll.mean() + kl.mean(),
    "mean over pixels + sum over the code": lambda nll, kl: nll.mean() + kl.sum(1).mean(),
    "sum over pixels + mean over the code": lambda nll, kl: nll.sum(1).mean() + kl.mean(),
    "sum over the batch + mean over it": lambda nll, kl: nll.sum() + kl.sum(1).mean(),
}


def effective_beta(loss, pixels=784, size=20, batch=128):
    a, b = torch.ones(2, requires_grad=True).unbind()
    nll, kl = torch.full((batch, pixels), 0.2), torch.full((batch, size), 1.0)
    per_nat = torch.autograd.grad(loss(a * nll, b * kl), (a, b))
    return (per_nat[1] / kl.sum()) / (per_nat[0] / nll.sum())


for name, loss in mistakes.items():
    print(f"{name:40s} trains with β = {effective_beta(loss).item():.4g}")

# %% [markdown]
# What do these do to digits? The same network, trained with three of these β.

# %%
drawn = {"digit": digits.test[:12].batch().x}
beta_vaes = {}
for beta in (1.0, 39.2, 784.0):
    torch.manual_seed(0)
    vae = models.autoencoder(digits.shape, 20, net="mlp")
    objective = partial(losses.elbo, beta=beta)
    fit(vae, digits.train, objective, adam(vae), epochs=course.pick(full=4, quick=1))
    beta_vaes[beta] = vae
    drawn[f"β = {beta:g}"] = vae.reconstruct(drawn["digit"].to(vae.device)).cpu()

# %% tags=["figure-hidden-beta"]
plots.show(drawn)

# %% tags=["nbval-ignore-output"]
for beta, vae in beta_vaes.items():
    rd, active = metrics.rate_distortion(vae, digits.test), int(metrics.active_units(vae, digits.test).sum())
    text = f"rate {rd['rate']:5.2f} nats, distortion {rd['distortion']:5.1f}"
    print(f"β = {beta:5g}: {text}, {active:2d} of 20 active")

# %% [markdown]
# There is the answer to *why does mine draw the same thing for every input*: with such a β the KL
# is all that counts, the code says nothing, and the best the decoder can do is the mean of all digits.
#
# ## 4 · Collapse: made, measured, cured
#
# *Posterior collapse*: q(z|x) = p(z) whatever x is. It happens to the whole code, as above, or to some of
# its dimensions. Two instruments: the **KL of each dimension**, and **active units**, the dimensions whose
# posterior mean varies over the images (variance above 0.01).
#
# Many dimensions, and a large learning rate: at the start the decoder does not listen yet, the KL is the
# only term that says anything about a dimension, and what it says is *switch it off*. Two cures.
# **Warm-up**: β rises from 0 to 1 during the first half of the training. **Free bits**: a dimension pays
# nothing for its first 0.2 nats.

# %%
cures = {
    "plain": (losses.elbo, {}),
    "warm-up": (losses.elbo, {"beta": warm_up(0.5)}),
    "free bits": (partial(losses.elbo, free_bits=0.2), {}),
    "both": (partial(losses.elbo, free_bits=0.2), {"beta": warm_up(0.5)}),
}
cured = {}
for name, (objective, schedule) in cures.items():
    torch.manual_seed(0)
    cured[name] = models.autoencoder(digits.shape, 50, net="mlp", hidden=(200, 200))
    fit(
        cured[name], digits.train, objective, adam(cured[name], 3e-3), epochs=course.pick(full=8, quick=2),
        schedule=schedule,
    )  # fmt: skip

# %% tags=["nbval-ignore-output"]
for name, vae in cured.items():
    rd, active = metrics.rate_distortion(vae, digits.test), int(metrics.active_units(vae, digits.test).sum())
    print(f"{name:9s} {active:2d} of 50 active, rate {rd['rate']:5.1f}, −ELBO {sum(rd.values()):6.2f} nats")

# %%
figure, ((ax,),) = plots.axes(size=(6, 3))
for name, vae in cured.items():
    ax.plot(metrics.kl_per_dimension(vae, digits.test).sort(descending=True).values, ".-", label=name)
ax.set(xlabel="dimension of the code, sorted", ylabel="KL in nats")
ax.legend()
figure

# %% [markdown]
# Read the numbers with care: *more active units are no aim in themselves*. A dimension that is kept alive
# by free bits, and that the decoder does not use, costs nats. Judge by the ELBO, or better by log p(x).
#
# ## 5 · Which likelihood? Faces
#
# A likelihood says what a deviation costs. A Gaussian with σ = 1 *is* the squared error, and σ is a β in
# disguise: Σ(x − m)² / 2σ² + KL is the same as Σ(x − m)² / 2 + σ² KL. Pixels run from 0 to 1; σ = 1 says that
# being wrong by the whole range is nothing special. Better: let σ be learnt, or take the best one for
# each picture (*optimal*).
#
# The same convolutional network and the same short budget for all, faces of strangers, code of 64. *SSIM*
# counts (1 − SSIM) / 2, *summed* over the pixels as the rule of reduction asks. (Averaged over the pixels,
# beside a KL that is summed, it would be another β of thousands; that is why it "does not train" elsewhere.)

# %% tags=["nbval-ignore-output"]
faces = course.data("lfw", otherwise="drawn-faces", quick=400)
shape = faces.shape

# %%
likelihoods = {
    "Bernoulli": ("bernoulli", losses.nll),
    "Gaussian, σ = 1": ("gaussian", losses.nll),
    "Gaussian, σ learnt": ("gaussian-learnt", losses.nll),
    "Gaussian, σ optimal": ("gaussian-optimal", losses.nll),
    "Laplace, b = 1": ("laplace", losses.nll),
    "Laplace, b learnt": ("laplace-learnt", losses.nll),
    "SSIM": ("gaussian", metrics.ssim_error),
}
settings = {"epochs": course.pick(full=6, quick=1), "batch_size": 32, "schedule": {"lr": cosine()}}
face_vaes = {}
for name, (likelihood, error) in likelihoods.items():
    torch.manual_seed(0)
    vae = face_vaes[name] = models.autoencoder(shape, 64, likelihood=likelihood)
    optimizer = adam(vae, 2e-3)
    fit(vae, faces.train.map(datasets.flipped), partial(losses.elbo, error=error), optimizer, **settings)

# %% [markdown]
# Beside them the plain autoencoder of the same network and code: what does the KL cost?

# %%
torch.manual_seed(0)
plain = models.autoencoder(shape, 64, posterior="deterministic", likelihood="gaussian")
squared = partial(losses.reconstruction, error=losses.squared_error)
history = fit(plain, faces.train.map(datasets.flipped), squared, adam(plain, 2e-3), **settings)

# %% [markdown]
# Samples are judged by a *Fréchet distance*: how far the distribution of drawn faces is from that of photos,
# in the features of a classifier. The classifier is ours, trained here on the photos' attributes. (A small
# set is always a little farther away: there are fewer other photos than samples, so theirs is no floor.)

# %%
torch.manual_seed(0)
attributes = [
    a for a in ("Smiling", "Male", "Eyeglasses", "Bangs", "Blond Hair") if a in faces.train.attributes
]
judge = models.classifier(shape, len(attributes), labels=False)
history = fit(
    judge, faces.train.map(datasets.flipped).only(*attributes), losses.prediction,
    adam(judge, 1e-3, weight_decay=0.1), epochs=course.pick(full=4, quick=1), schedule={"lr": cosine()},
)  # fmt: skip
photos = metrics.features(judge[0], faces.train)


# %%
def distance(images):
    return metrics.frechet_distance(photos, metrics.features(judge[0], images))


@torch.no_grad()
def drawn_from(model):
    torch.manual_seed(0)
    return torch.cat([model.sample(100).cpu() for _ in range(course.pick(full=50, quick=1))])


# %%
def with_prior(model, prior):
    return models.Autoencoder(model.encoder, model.decoder, prior).to(model.device)


@torch.no_grad()
def codes_drawn(model):  # from q(z|x), not its means: the prior is to cover their spread too
    return torch.cat(
        [model.encode(b.x).sample().cpu() for b in faces.train.batches(500, device=model.device)]
    )


learnt, others = (
    face_vaes["Gaussian, σ learnt"],
    {"plain, N(0, 1)": with_prior(plain, priors.StandardNormal(64))},
)
for name, model in (("plain", plain), ("σ learnt", learnt)):
    others[f"{name}, fitted"] = with_prior(model, priors.fit_prior(codes_drawn(model), "full"))

# %%
rows, reconstructed, sampled = [], {"photo": faces.test[:8].batch().x}, {}
for name, model in (face_vaes | others).items():
    images, judged = drawn_from(model), metrics.evaluate(model, faces.test)
    rate = float("nan") if "plain" in name else metrics.rate_distortion(model, faces.test)["rate"]
    rows.append((name, rate, judged["mse"], judged["ssim"], distance(images)))
    sampled[name] = images[:8]
for name, model in (face_vaes | {"plain": plain}).items():
    reconstructed[name] = model.reconstruct(reconstructed["photo"].to(model.device)).cpu()

# %% tags=["nbval-ignore-output"]
print(f"{'':20s} {'rate, nats':>10s} {'test MSE':>9s} {'SSIM':>6s} {'Fréchet distance of samples':>28s}")
for name, rate, mse, ssim, d in rows:
    print(f"{name:20s} {rate:10.1f} {mse:9.5f} {ssim:6.3f} {d:28.2f}")
print(f"{'other photos':20s} {'':10s} {'':9s} {'':6s} {distance(faces.test):28.2f}")

# %% tags=["figure-likelihoods"]
plots.show(reconstructed)

# %% [markdown]
# Now the samples. Compare each row with its rate: what happens to samples from N(0, 1) as the rate grows?

# %%
plots.show(sampled)

# %% [markdown]
# **When is MSE right?** It is a Gaussian. With σ = 1 it is one that shrugs at every error. With σ learnt it
# finds the σ that makes the data likeliest, and that σ is the β:

# %% tags=["nbval-ignore-output"]
sigma = face_vaes["Gaussian, σ learnt"].decoder[-1].log_scale.exp().item()
print(f"σ learnt: {sigma:.3f}, so against σ = 1 the KL weighs σ² = {sigma**2:.4f}")

# %% [markdown]
# **What the KL costs, and what it buys.** Read the table from the smallest rate to the largest. A small rate
# (a large σ) means a costly code: poor reconstructions, and codes that fill N(0, 1), so samples that are
# faces. A large rate means a cheap code: good reconstructions, and codes that fill N(0, 1) with holes, so
# samples that are half faces. The plain autoencoder is the end of that road.
#
# The rows named *fitted* say how to have both: keep the code, and *learn the prior*. Here it is one Gaussian
# with all correlations, fitted afterwards; section 6 trains a flow together with the model.
#
# ### N(0, 1) with σ learnt
#
# Can samples from N(0, 1) be good with σ learnt, without another prior? On average over the pictures, the KL
# is what a code says about its picture, plus KL(q(z) ‖ p(z)), where q(z) is the distribution of all codes
# together, the *aggregate posterior*. With a small σ the second part is a few dozen nats beside thousands of
# nats of error. Two remedies:
#
# * **β falls** from 100 to 1 in the first four fifths of the training. The codes begin as N(0, 1), and what
#   they say about the pictures grows slowly.
# * **InfoVAE** (Zhao, Song and Ermon, 2019) adds an MMD², a distance between the codes of a batch and as many
#   draws from N(0, 1). It looks at all codes together, where the KL looks at each posterior by itself.


# %%
def falling(t, start=100.0, until=0.8):  # t: the share of the training that is done
    return start ** max(0.0, 1 - t / until)


def info(model, batch, beta=1.0, weight=1000.0):
    bound = losses.elbo(model, batch, beta)
    apart = losses.mmd(model.encode(batch.x).rsample(), losses.from_prior(model, batch))
    return bound | {"loss": bound["loss"] + weight * apart}


# %%
remedies = {}
for name, objective in {"β falls": losses.elbo, "β falls, and MMD": info}.items():
    torch.manual_seed(0)
    vae = remedies[name] = models.autoencoder(shape, 64, likelihood="gaussian-learnt")
    schedules = {"schedule": {"lr": cosine(), "beta": falling}}
    fit(vae, faces.train.map(datasets.flipped), objective, adam(vae, 2e-3), **settings | schedules)

# %% tags=["nbval-ignore-output"]
drawn = {}
for name, model in remedies.items():
    images, mse = drawn_from(model), metrics.evaluate(model, faces.test)["mse"]
    rate = metrics.rate_distortion(model, faces.test)["rate"]
    print(f"{name}: rate {rate:.1f} nats, test MSE {mse:.5f}, Fréchet distance {distance(images):.2f}")
    print(f"  to sample from: {latent.sampler(model, faces.train)[1]}")
    drawn[name] = images[:8]

# %%
plots.show(drawn)

# %% [markdown]
# Compare with the table above. With β that falls, samples from N(0, 1) are six times nearer to the photos
# than those of "Gaussian, σ learnt"; with the MMD as well they are nearer than those of σ = 1, and the error
# is about half as large. It is not free: both remedies pay in error, and the prior that is fitted afterwards
# still gives the nearest samples. The last line of each is what `aelib sample` and the report go by: a prior
# is fitted to codes, others are held out, and it is counted how much likelier these are under it than under
# N(0, 1). (One seed each; the 100 and the weight were found in few attempts, most of them on smaller photos.)
#
# ### Explore
#
# The same faces, plain and variational. Where does the blur sit?

# %%
explorers.reconstructions({"plain": plain, "VAE, σ learnt": face_vaes["Gaussian, σ learnt"]}, faces.test[:60])

# %% [markdown]
# ## 6 · How likely is a picture? log p(x) in nats
#
# The ELBO is a bound; the truth is p(x) = E_q[p(x|z) p(z) / q(z|x)]. So draw S codes from q, and take the
# *mean of the weights*: log 1/S Σ p(x, zₛ) / q(zₛ|x). With S = 1 it is the ELBO again. More samples come
# nearer, from below. (In logarithms, with `logsumexp`: e⁻⁹⁰ is no number to add up in float32.)
#
# Numbers compare only if everybody measures the same: MNIST made black and white at random, each pixel by its
# grey level (*dynamic binarisation*); 784 pixels; nats.

# %%
binary = digits.test.map(binarised)
with contexts.seeded(0):  # one and the same draw for every point of the curve
    frozen = datasets.Images((binary[:100].batch().x * 255).byte().numpy())
counts = course.pick(full=(1, 3, 10, 30, 100, 300, 1000), quick=(1, 10, 100))
known = {"two hidden layers of 200": cured["warm-up"]}
if digits.shape == (1, 28, 28):  # trained for long, see below
    known = {name: load(f"pretrained/{name}") for name in ("vae-mnist", "iwae-mnist")}
known = {name: model.to(course.device()) for name, model in known.items()}
bounds = {
    name: [metrics.log_likelihood(m, frozen, samples=s).mean().item() for s in counts]
    for name, m in known.items()
}

# %% tags=["figure-importance-samples"]
figure, ((ax,),) = plots.axes(size=(6, 3))
for name, values in bounds.items():
    ax.plot(counts, values, "o-", label=name)
ax.set(xscale="log", xlabel="importance samples", ylabel="bound of log p(x), nats")
ax.legend()
figure

# %% [markdown]
# The network of the paper (Burda, Grosse and Salakhutdinov, 2016): two hidden layers of 200, one stochastic
# layer of 50. Its weights come with the course; the recipe is in `tests/benchmarks/recipes.py`, and
# `python tests/benchmarks/recipes.py vae-mnist` trains them again. **IWAE** trains on the importance-weighted
# bound itself, with five samples: `losses.iwae`. Published are 5,000 samples for each of the 10,000 test
# digits, and so the command has it, in many minutes. Here you see a thousand digits with 500 samples, and
# beside them what the command wrote down.

# %% tags=["nbval-ignore-output"]
samples, images = course.pick(full=(500, binary[:1000]), quick=(50, binary[:40]))
published = {"vae-mnist": -86.76, "iwae-mnist": -85.54}
likelihood = {name: metrics.log_likelihood(model, images, samples) for name, model in known.items()}


def told(name, each):
    print(f"{name}: log p(x) = {each.mean():.2f} ± {each.std() / len(each) ** 0.5:.2f} nats, measured here")
    test = pretrained.record(name)["test"] if name in pretrained.MODELS else None
    if test:
        print(
            f"  {test['images']:,} digits, {test['samples']:,} samples: {test['log_likelihood']:.2f}", end=""
        )
        print(f" ± {test['standard_error']:.2f}, published {published.get(name, 'nowhere')}")


for name, each in likelihood.items():
    told(name, each)
    print(f"  {int(metrics.active_units(known[name], images).sum())} of 50 active")

# %% [markdown]
# Which digits does it find unlikely? The instrument for that is the same number, picture by picture.

# %%
each = likelihood[next(iter(likelihood))]
order = each.argsort().numpy()
plots.show({"least likely": digits.test[order[:12]], "likeliest": digits.test[order[-12:]]})

# %% [markdown]
# ### As good as we can
#
# Convolutions, and a prior that learns: a normalising flow from the library `zuko` in the place of N(0, 1).
# Any module whose `forward(c)` returns a distribution is a prior; nothing else changes.

# %% tags=["nbval-ignore-output"]
if digits.shape == (1, 28, 28):
    best = load("pretrained/flow-vae-mnist").to(course.device())
    images, samples = course.pick(full=(binary[:500], 100), quick=(binary[:10], 10))
    told("flow-vae-mnist", metrics.log_likelihood(best, images, samples))
else:
    print("trained for 28×28: nothing to measure here")

# %%
torch.manual_seed(0)
shown = {name: model.sample(12).cpu() for name, model in known.items()}
if digits.shape == (1, 28, 28):
    shown["flow-vae-mnist"] = best.sample(12).cpu()
plots.show(shown)

# %% [markdown]
# ## Your turn
#
# The KL, from the mean and the logarithm of the variance, both (B, K), to (B,).


# %%
def kl(mean, log_var):
    ### BEGIN SOLUTION
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
    ### END SOLUTION


# %%
kl = check.kl(kl)

# %% [markdown]
# A loss takes the mean of the squared error over D pixels, and the sum of the KL over K dimensions. Its
# likelihood is a Gaussian of σ = 1, whose −log p is *half* the squared error. Which β does it train with?


# %%
def beta(pixels):
    ### BEGIN SOLUTION
    # mean squared error = 2 / D · (½ Σ (x − m)²), so multiply the loss by D / 2: the KL is weighed with that
    return pixels / 2
    ### END SOLUTION


# %%
beta = check.beta_of_mean_squared_error(beta)

# %% [markdown]
# Then try: train with `posterior="gaussian"` and `losses.reconstruction`. Where does the encoder's
# variance go, and why?
#
# ## Take away
#
# * ELBO = how well codes explain x, less what it costs to say which code. Sum over an example, mean over the
#   batch; everything else is a hidden β.
# * The likelihood's scale is a β too. Learn it.
# * The KL costs sharpness and buys samples, and a prior that learns buys them cheaper. Measure both, and the
#   collapse, before you believe a picture.
#
# Next: **03, the latent space.** What do the coordinates mean?
