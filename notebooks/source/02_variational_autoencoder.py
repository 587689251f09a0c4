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
# *You need* notebook 01, and MNIST and LFW (without them the page runs on small digits and cartoon faces).
# *It takes* about 36 minutes of one core, most of it training and counting: read on while it runs. *You will
# be able to* derive the [ELBO](../materials/glossary.md), write a VAE and its training in plain PyTorch,
# choose a [likelihood](../materials/glossary.md) and know its [β](../materials/glossary.md), see a
# [collapsed posterior](../materials/glossary.md) in numbers, and say how likely your model finds a picture,
# in [nats](../materials/glossary.md).
#
# What the text says of pictures and numbers is about the full profile. The quick profile trains for seconds
# on few pictures: there the samples are smears and the tables have other orders.

# %% tags=["nbval-ignore-output"]
import math
from functools import partial

from aelib import contexts, explorers, fit, latent, load, losses, metrics, models, plots
from aelib import pretrained, priors, train
import check  # the folder beside this page
import course  # the file beside this page
import judges  # the same
from aelib import datasets
from aelib.datasets import binarised
from aelib.training import adam, cosine, warm_up

import torch
from torch import nn

digits = course.data("mnist", otherwise="digits", quick=1600)

# %% [markdown]
# ## Predict
#
# In notebook 01 the codes of a plain autoencoder had a distribution of their own, and codes from N(0, 1) were
# decoded to smears more than to faces. A VAE asks the codes to be N(0, 1). What will that cost in the error
# of the reconstructions: nothing, a tenth, twice as much? Write it down; section 6 measures it, three times.
#
# ## 1 · A VAE from scratch
#
# You write each piece; the cell below it says at once whether it is correct. If it is not yet, the page goes
# on with the course's version. All together is a VAE in plain PyTorch, and then you compare it with the
# library's.
#
# **What is trained?** The model should find the pictures likely: a large log p(x), where p(x) = ∫ p(x|z) p(z)
# dz. The integral runs over all [codes](../materials/glossary.md), and almost all of them explain nothing. So
# let an [encoder](../materials/glossary.md) propose codes: q(z|x). Three steps lead to a bound that can be
# calculated. First, log p(x) does not depend on z, so it is its own mean over codes from q. Second, Bayes:
# p(x) = p(x|z) p(z) / p(z|x). Third, multiply and divide by q(z|x):
#
# $$\begin{aligned}
# \log p(x) &= E_q\left[\log \frac{p(x|z)\,p(z)}{p(z|x)}\right]
#   = E_q\left[\log p(x|z) - \log\frac{q(z|x)}{p(z)} + \log\frac{q(z|x)}{p(z|x)}\right] \\
# &= \underbrace{E_q[\log p(x|z)] - \mathrm{KL}\big(q(z|x)\,\|\,p(z)\big)}_{\text{ELBO}}
#   + \underbrace{\mathrm{KL}\big(q(z|x)\,\|\,p(z|x)\big)}_{\text{gap}},
# \qquad \mathrm{KL}(q\,\|\,p) = E_q[\log q - \log p].
# \end{aligned}$$
#
# The gap is not known here, but it is never negative: a logarithm of a mean is at least the mean of the
# logarithms, so $-\mathrm{KL}(q\,\|\,p) = E_q[\log \frac{p}{q}] \le \log E_q[\frac{p}{q}] = \log 1 = 0$. So
# the ELBO is a lower bound of log p(x): how well codes from q explain x, less what it costs to say which
# code. (Page 01b calculates the gap, for a model that is small enough.) To climb the bound, two things are
# needed: a gradient through a random code, and the KL.
#
# ### Write: a sample with a gradient
#
# *Easy, 5 minutes; needs: a logarithm, and broadcasting.*
#
# A sample of N(m, s²) is m + s ε with ε from N(0, 1)
# ([reparameterisation](../materials/glossary.md)). Now m and s are ordinary
# numbers in a formula, and a gradient passes. Networks are free to return any number, but a variance is
# positive. So the argument is log s².


# %%
def reparameterised(mean, log_var):
    """mean and log variance, both (B, K) → z (B, K), a sample through which a gradient passes."""
    ### BEGIN SOLUTION
    deviation = (log_var / 2).exp()
    return mean + deviation * torch.randn_like(mean)
    ### END SOLUTION


# %%
reparameterised = check.reparameterised(reparameterised)

# %% [markdown]
# Is the gradient right? E[z²] = m² + s². So its derivative by m is 2m, and by log s² it is s².

# %%
m, log_s2 = torch.tensor(1.5, requires_grad=True), torch.tensor(-1.0, requires_grad=True)
with contexts.seeded(0):
    z = reparameterised(m.expand(1_000_000, 1), log_s2.expand(1_000_000, 1))
z.square().mean().backward()
print(f"by sampling {m.grad:.1f} and {log_s2.grad:.1f}; exactly {2 * m.item():.1f} and {math.exp(-1):.1f}")

# %% [markdown]
# ### Write: the KL
#
# *Middling, 10 minutes; needs: the mean and the variance of a normal distribution.*
#
# Two normal distributions have a [KL](../materials/glossary.md) in closed form. For one number of the code:
#
# $$\log q(z) = -\tfrac12 \log 2\pi s^2 - \frac{(z - m)^2}{2 s^2}, \qquad
#   \log p(z) = -\tfrac12 \log 2\pi - \frac{z^2}{2}.$$
#
# Under q, the mean of (z − m)² is s², and the mean of z² is m² + s². Put these into E_q[log q − log p]. The
# numbers of a code are independent, so their KLs add up.
#
# <details><summary>A hint</summary>
#
# The terms with 2π cancel. Of the first fraction ½ is left. Four terms remain, all with a factor ½; two of
# them are + and two are −.
# </details>


# %%
def kl(mean, log_var):
    """mean and log variance, both (B, K) → (B,), KL(N(mean, variance) ‖ N(0, 1)), in nats."""
    ### BEGIN SOLUTION
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
    ### END SOLUTION


# %%
kl = check.kl(kl)

# %%
mean, log_var = torch.tensor([[1.5, 0.0]]), torch.tensor([[-1.0, 0.0]])
q, p = torch.distributions.Normal(mean, (log_var / 2).exp()), torch.distributions.Normal(0.0, 1.0)
with contexts.seeded(0):
    z = q.sample((1_000_000,))
sampled = (q.log_prob(z) - p.log_prob(z)).sum(-1).mean()  # E_q[log q − log p], the definition
print(f"closed form {kl(mean, log_var).item():.2f}, by sampling {sampled:.2f}")

# %% [markdown]
# ### Write: the bound
#
# *Easy, 10 minutes; needs: the KL above, and sums over some axes only.*
#
# Pixels lie between 0 and 1. A Bernoulli likelihood says how probable white is at pixel i: $m_i$, the
# sigmoid of a *logit*. Its −log p(x|z) is the binary cross-entropy:
#
# $$-\log p(x|z) = -\sum_i \big( x_i \log m_i + (1 - x_i) \log (1 - m_i) \big).$$
#
# The mean over q is estimated with one code per picture. Return −ELBO, which is to fall, for each picture. A
# factor `beta` weighs the KL; with 1 it is the bound.
#
# <details><summary>A hint</summary>
#
# `nn.functional.binary_cross_entropy_with_logits(…, reduction="none")` has a number for each pixel.
# </details>


# %%
def negative_elbo(x, logits, mean, log_var, beta=1.0):
    """x and logits (B, C, H, W), mean and log_var (B, K) → (B,), −ELBO in nats; beta weighs the KL."""
    ### BEGIN SOLUTION
    error = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    nll = error.flatten(1).sum(1)
    return nll + beta * kl(mean, log_var)
    ### END SOLUTION


# %%
negative_elbo = check.negative_elbo(negative_elbo)

# %% [markdown]
# ### Write: the two networks, and what passes through them
#
# *Middling, 15 minutes; needs: `nn.Sequential` and `nn.Linear`.*
#
# *Encoder*: flatten, a linear layer to 256 units, GELU, a linear layer to 2K numbers. The first K are the
# mean, the last K are log s; `encode` takes them apart. *Decoder*: a linear layer to 256 units, GELU, a
# linear layer to the logits, and the picture's shape. `forward` decodes *one sample* of the code.


# %%
class VAE(nn.Module):
    def __init__(self, shape, latent):
        super().__init__()
        ### BEGIN SOLUTION
        there = nn.Linear(math.prod(shape), 256), nn.GELU(), nn.Linear(256, 2 * latent)
        back = nn.Linear(latent, 256), nn.GELU(), nn.Linear(256, math.prod(shape))
        self.encoder = nn.Sequential(nn.Flatten(), *there)
        self.decoder = nn.Sequential(*back, nn.Unflatten(1, shape))
        ### END SOLUTION

    def encode(self, x):  # (B, C, H, W) → mean and log variance, (B, K) each
        mean, log_s = self.encoder(4 * x - 2).chunk(2, dim=1)
        return mean, 2 * log_s

    def forward(self, x):  # (B, C, H, W) → logits (B, C, H, W), mean and log variance (B, K)
        ### BEGIN SOLUTION
        mean, log_var = self.encode(x)
        return self.decoder(reparameterised(mean, log_var)), mean, log_var
        ### END SOLUTION


# %%
VAE = check.vae(VAE)

# %% [markdown]
# ### Write: the training loop
#
# *Easy, 5 minutes; needs: zero the gradients, go backward, step.*
#
# For each batch: −ELBO of `batch.x`, averaged over the batch; then one step of the optimizer. Return the
# losses, a number for each batch.


# %%
def training(vae, batches, optimizer, beta=1.0):
    history = []
    for batch in batches:
        ### BEGIN SOLUTION
        each = negative_elbo(batch.x, *vae(batch.x), beta)
        loss = each.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
        ### END SOLUTION
    return history


# %%
training = check.vae_training(training)

# %% [markdown]
# ### Is it the library's?
#
# In the library a VAE is an encoder whose *head* makes a `Gaussian` of its numbers, a decoder with a
# `Bernoulli` head, and a [prior](../materials/glossary.md), `StandardNormal`. The objective is `losses.elbo`.
# Give both the same weights, the same digits, and the same ε in each step, and compare the losses of twenty
# steps.


# %%
def same_epsilon(batch):  # twenty times the same batch, with the same random numbers for whoever asks
    for step in range(20):
        torch.manual_seed(step)
        yield batch


with contexts.seeded(0):
    mine, batch = VAE(digits.shape, 16), digits.train[:100].batch()
    its = models.autoencoder(digits.shape, 16, net="mlp", hidden=(256,))
    for a, b in ((mine.encoder, its.encoder), (mine.decoder, its.decoder)):
        for w, v in zip(a.parameters(), b.parameters(), strict=True):
            w.data.copy_(v)
    curve = training(mine, same_epsilon(batch), torch.optim.Adam(mine.parameters()))

# %% [markdown]
# The library's `train` yields a record for each pass over its data; here a pass is one batch.


# %%
steps = same_epsilon(batch)


def bound(model, _):
    return losses.elbo(model, next(steps))


with contexts.seeded(0):
    optimizer = torch.optim.Adam(its.parameters())
    records = train(its, digits.train[:100], bound, optimizer, epochs=20, batch_size=100, device="cpu")
    theirs = [r["train/loss"] for r in records]
both = torch.tensor([curve, theirs])
print("the same losses:", both.shape == (2, 20) and torch.allclose(*both, rtol=1e-5))
print("they fell:", curve[-1] < curve[0])

# %% [markdown]
# ## 2 · Codes to sample from
#
# Train your VAE on some digits, twice: with the bound, and with a KL that weighs a tenth.


# %%
def trained(beta, some, epochs):
    with contexts.seeded(0):
        vae = VAE(digits.shape, 16)
        optimizer = torch.optim.Adam(vae.parameters(), lr=2e-3)
        for epoch in range(epochs):
            training(vae, some.batches(100, seed=epoch), optimizer, beta)
    return vae.requires_grad_(False)


some, eight = digits.train[:6000], digits.test[:8].batch().x
mine = {beta: trained(beta, some, epochs=course.pick(full=8, quick=2)) for beta in (1.0, 0.1)}
rows = {"digit": eight}
for beta, vae in mine.items():
    rows[f"β = {beta:g}"] = vae.decoder(vae.encode(eight)[0]).sigmoid()
plots.show(rows, width=12).described(
    "Eight test digits in columns; below, what your VAE makes of them with β = 1 and with β = 0.1."
)

# %% [markdown]
# ### Debug: sampling
#
# *Easy, 5 minutes; needs: what N(0, 1) is, and what the decoder returns.*
#
# A sample of the model: a code from the prior, N(0, 1), decoded. This function runs, and does not give
# digits. It has two faults.


# %%
def sample(vae, n, latent):
    """n pictures (n, C, H, W), pixels from 0 to 1, of codes from N(0, 1)."""
    z = torch.rand(n, latent)
    return vae.decoder(z)


with contexts.seeded(0):
    rows = {f"β = {beta:g}": sample(vae, 8, 16) for beta, vae in mine.items()}
plots.show(rows, width=12).described(
    "What the faulty function returns, eight pictures for each β: broken strokes that are alike, no digits."
)

# %% [markdown]
# Write it again, repaired.


# %%
### BEGIN SOLUTION
def sample(vae, n, latent):
    z = torch.randn(n, latent)
    return vae.decoder(z).sigmoid()


### END SOLUTION

# %%
sample = check.sample(sample)

# %% [markdown]
# ### Write: a prior that fits
#
# *Middling, 10 minutes; needs: a covariance, and a matrix product.*
#
# With a small β nothing holds the codes at N(0, 1). They have a distribution of their own, and N(0, 1) is
# the wrong one to sample from. The repair needs no training: measure the mean μ and the covariance C of
# training codes, sampled from q, and sample from N(μ, C). If $L L^\top = C$, then μ + L ε has the covariance
# C.
#
# <details><summary>A hint</summary>
#
# `torch.linalg.cholesky(C)` is such an L. Here each ε is a *row*.
# </details>


# %%
def like(codes, epsilon):
    """codes (N, K), ε (n, K) from N(0, 1) → (n, K), samples with the mean and the covariance of the codes."""
    ### BEGIN SOLUTION
    mean = codes.mean(0)
    centred = codes - mean
    covariance = centred.T @ centred / (len(codes) - 1)
    factor = torch.linalg.cholesky(covariance)
    return mean + epsilon @ factor.T
    ### END SOLUTION


# %%
like = check.like(like)

# %% [markdown]
# Look at each β: the same ε, as a code from N(0, 1), and as one from the fitted Gaussian. In numbers: the
# log-density of *test* codes under both, in nats per code.


# %% tags=["nbval-ignore-output"]
def density(z, mean, covariance):
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(z).mean().item()


rows = {}
with contexts.seeded(0):
    for beta, vae in mine.items():
        codes, new = (reparameterised(*vae.encode(part.batch().x)) for part in (some, digits.test[:1000]))
        torch.manual_seed(1)
        rows[f"β = {beta:g}, N(0, 1)"] = sample(vae, 8, 16)
        torch.manual_seed(1)  # the same ε again
        rows[f"β = {beta:g}, fitted"] = vae.decoder(like(codes, torch.randn(8, 16))).sigmoid()
        before = density(new, torch.zeros(16), torch.eye(16))
        after = density(new, codes.mean(0), codes.T.cov())
        print(f"β = {beta:g}: N(0, 1) {before:.1f}, fitted {after:.1f} nats (one seed)")
plots.show(rows, width=12).described(
    "Eight samples in columns. Rows: β = 1, then β = 0.1, each from N(0, 1) and from the fitted Gaussian."
)

# %% [markdown]
# With β = 1 the codes are nearly N(0, 1) already: the fitted Gaussian gains little and changes little. With β
# = 0.1 the codes are far from it. N(0, 1) gives grey smears, and the fitted Gaussian gives strokes, some of
# them digits. The two trainings differ in β alone (one seed each). Not all samples are digits, with either:
# digits are of ten kinds, and one Gaussian has one hill. (Page 01 also fits a mixture and a flow.)
#
# ## 3 · Three networks
#
# Multilayer, convolutional, and *fully* convolutional: the last has no linear layer, so its code keeps
# places, and the same weights take a picture of any size. Everything in nats: −ELBO is the sum of
# [distortion](../materials/glossary.md), E[−log p(x|z)], and [rate](../materials/glossary.md), the KL.

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
print("test digits; one seed each")

# %%
torch.manual_seed(0)
plots.show({net: vae.sample(8).cpu() for net, vae in vaes.items()}, width=12).described(
    "Eight samples from N(0, 1) in columns; rows: mlp, conv, fcn. In the full run fcn has loose strokes only."
)

# %% [markdown]
# Look at the last row. Its distortion is about that of the convolutional network, its samples are loose
# pieces of strokes. Under N(0, 1) the places of the code are independent. Is that why? Page 10 has a code of
# places, too, and exchanges only its prior, for one that knows which places go together: then digits are
# sampled. Good reconstructions do not promise good samples. Here the rate, and with it the ELBO, is the worst
# of the three. (Adam's rate of 0.002, here and in section 6, is that of other pages. It was not chosen on
# validation pictures, and a better one for each row would change the numbers.)
#
# ## 4 · The hidden β
#
# The ELBO is a sum over pixels plus a sum over the code. Write `mean` somewhere, as most public code does,
# and the two terms are weighed differently: you train with another β than you think. Which one can be
# *computed*: scale the distortion and the rate, and compare how the loss answers.
#
# Predict: the loss is the mean over 784 pixels plus the mean over a code of 20 numbers. With which β does it
# train?

# %%
hidden = ...  # a number; the ELBO has 1
### BEGIN SOLUTION
hidden = 20
### END SOLUTION

# %%
mistakes = {  # nll: (B, pixels), kl: (B, K), both in nats; public code has each of these lines
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

# %%
check.hidden_beta(hidden, effective_beta(mistakes["mean over pixels + mean over the code"]).item())

# %% [markdown]
# The mean over 784 pixels makes the error 784 times smaller, the mean over 20 numbers the KL 20 times: 784 /
# 20 = 39.2.
#
# ### Write: the β of a mean squared error
#
# *Hard, 10 minutes; needs: pencil and paper.*
#
# A loss takes the mean of the squared error over D pixels, and the sum of the KL over K dimensions. Its
# likelihood is a Gaussian of σ = 1, whose −log p is *half* the squared error. Which β does it train with?


# %%
def beta_of(pixels):
    """Number of pixels D → β."""
    ### BEGIN SOLUTION
    # mean squared error = 2 / D · (½ Σ (x − m)²), so multiply the loss by D / 2: the KL is weighed with that
    return pixels / 2
    ### END SOLUTION


# %%
beta_of = check.beta_of_mean_squared_error(beta_of)
print(f"64 × 64 pixels of three colours: β = {beta_of(3 * 64 * 64):,.0f}")

# %% [markdown]
# What do such β do to digits? The same network, trained with three of these β.

# %%
shown = {"digit": eight}
beta_vaes = {}
for beta in (1.0, 39.2, 784.0):
    torch.manual_seed(0)
    vae = models.autoencoder(digits.shape, 20, net="mlp")
    objective = partial(losses.elbo, beta=beta)
    fit(vae, digits.train, objective, adam(vae), epochs=course.pick(full=4, quick=1))
    beta_vaes[beta] = vae
    shown[f"β = {beta:g}"] = vae.reconstruct(eight.to(vae.device)).cpu()

# %% tags=["figure-hidden-beta"]
plots.show(shown, width=12).described(
    "Eight test digits; below, their reconstructions. In the full run they match with β = 1, and are all the "
    "same grey blur with the two larger β."
)

# %% tags=["nbval-ignore-output"]
for beta, vae in beta_vaes.items():
    rd, active = metrics.rate_distortion(vae, digits.test), int(metrics.active_units(vae, digits.test).sum())
    text = f"rate {rd['rate']:5.2f} nats, distortion {rd['distortion']:5.1f}"
    print(f"β = {beta:5g}: {text}, {active:2d} of 20 active (one seed)")

# %% [markdown]
# There is the answer to *why does mine return the same picture for every input*: with such a β the code says
# nothing, and the best the decoder can do is the mean of all digits.
#
# ## 5 · Collapse: made, measured, cured
#
# [Posterior collapse](../materials/glossary.md): q(z|x) = p(z) whatever x is. It happens to the whole code,
# as above, or to some of its dimensions. Two instruments: [active units](../materials/glossary.md), the
# dimensions whose posterior mean varies over the images (variance above 0.01), as papers count them; and the
# **KL of each dimension**. Where all codes together have variance 1, one of 0.01 is worth
# −½ log(1 − 0.01) = 0.005 nats, next to nothing. So the second column counts the dimensions that carry more
# than 0.05 nats.
#
# At the start the decoder does not use the code yet. Then only the KL has a gradient for a dimension, and it
# pushes the posterior to the prior: the dimension is switched off. If that is so, three changes should leave
# more of them on. A **smaller rate** of the optimizer. [Warm-up](../materials/glossary.md): β rises from 0 to
# 1 during the first half of the training. [Free bits](../materials/glossary.md): a dimension pays nothing for
# its first 0.2 nats. Each row below changes that alone; only *both* changes two.

# %%
cures = {  # objective, schedule, Adam's rate
    "plain": (losses.elbo, {}, 3e-3),
    "smaller rate": (losses.elbo, {}, 1e-3),
    "warm-up": (losses.elbo, {"beta": warm_up(0.5)}, 3e-3),
    "free bits": (partial(losses.elbo, free_bits=0.2), {}, 3e-3),
    "both": (partial(losses.elbo, free_bits=0.2), {"beta": warm_up(0.5)}, 3e-3),
}
seeds, cured = course.pick(full=3, quick=2), {}
for name, (objective, schedule, rate) in cures.items():
    for seed in range(seeds):
        torch.manual_seed(seed)
        vae = models.autoencoder(digits.shape, 50, net="mlp", hidden=(200, 200))
        settings = {"epochs": course.pick(full=6, quick=1), "schedule": schedule, "seed": seed}
        fit(vae, digits.train, objective, adam(vae, rate), **settings)
        cured.setdefault(name, []).append(vae)


# %% tags=["nbval-ignore-output"]
def counts(vae):
    rd, kl = metrics.rate_distortion(vae, digits.test), metrics.kl_per_dimension(vae, digits.test)
    active = metrics.active_units(vae, digits.test).sum().item()
    return active, (kl > 0.05).sum().item(), rd["rate"], sum(rd.values())


print(f"{'':12s}   active, of 50   > 0.05 nats   rate, nats     −ELBO, nats")
for name, vaes_ in cured.items():
    each = torch.tensor([counts(vae) for vae in vaes_])
    cells = zip((15, 13, 12, 15), (1, 1, 1, 2), each.mean(0).tolist(), each.std(0).tolist(), strict=True)
    print(f"{name:12s}" + "".join(f"{f'{m:.{d}f} ± {s:.{d}f}':>{w}s}" for w, d, m, s in cells))
print(f"mean ± standard deviation of {seeds} seeds; test digits; nothing was chosen on them")

# %%
figure, ((ax,),) = plots.axes(size=(6, 3))
for mark, (name, (vae, *_)) in zip("o^sD.", cured.items(), strict=True):
    nats = metrics.kl_per_dimension(vae, digits.test).sort(descending=True).values
    ax.plot(range(1, 51), nats, mark + "-", markersize=4, label=name)
ax.axhline(0.05, color="grey", linestyle=":", label="0.05 nats")
ax.set(xlabel="dimension of the code, sorted", ylabel="KL in nats")
ax.legend()
figure.described(
    "KL of each of 50 dimensions, sorted, a curve for each training. In the full run it falls to near 0 "
    "within fifteen dimensions; with free bits to about 0.2 nats."
)

# %% [markdown]
# Read the first column with care: from seed to seed it changes by ten. The second is steadier. Warm-up leaves
# four dimensions more on than *plain*, and its −ELBO is five nats better. The smaller rate points the same
# way, but its gains are of the size of the spread. Free bits keep all 50 dimensions on, at 0.2 nats, and
# their −ELBO is four nats worse than warm-up's: *more dimensions that carry something are no goal in
# themselves*. Some 37 of them cost about 0.2 nats each, and the ELBO shows no gain for it. Judge by the ELBO,
# or better by log p(x). (The trainings are short: six passes.)
#
# ## 6 · Which likelihood? Faces
#
# A likelihood says what a deviation costs. A Gaussian with σ = 1 *is* the squared error, and σ is a β in
# disguise:
#
# $$\frac{1}{2\sigma^2} \sum_i (x_i - m_i)^2 + \mathrm{KL}
#   \;=\; \frac{1}{\sigma^2} \Big( \tfrac12 \sum_i (x_i - m_i)^2 + \sigma^2\, \mathrm{KL} \Big).$$
#
# Pixels run from 0 to 1; σ = 1 says that being wrong by the whole range is nothing special. Two others: let σ
# be learnt, or take the best one for each picture (*optimal*).
#
# The same convolutional network and the same six passes for all, and a code of 64; the faces are of other
# people than the ones trained on. [SSIM](../materials/glossary.md) counts (1 − SSIM) / 2, *summed* over the
# pixels as the rule of [reduction](../materials/glossary.md) asks. (Averaged over the pixels, beside a KL
# that is summed, it would be another β of thousands.)

# %% tags=["nbval-ignore-output"]
faces = course.data("lfw", otherwise="drawn-faces", quick=400)
shape = faces.shape
likelihoods = {
    "Bernoulli": ("bernoulli", losses.nll),
    "Gaussian, σ = 1": ("gaussian", losses.nll),
    "Gaussian, σ learnt": ("gaussian-learnt", losses.nll),
    "Gaussian, σ optimal": ("gaussian-optimal", losses.nll),
    "Laplace, b = 1": ("laplace", losses.nll),
    "Laplace, b learnt": ("laplace-learnt", losses.nll),
    "SSIM": ("gaussian", metrics.ssim_error),
}

# %%
settings = {"epochs": course.pick(full=6, quick=1), "batch_size": 32, "schedule": {"lr": cosine()}}
photos = faces.train.map(datasets.flipped)


def face_vae(likelihood, error, seed=0, **options):
    torch.manual_seed(seed)
    vae = models.autoencoder(shape, 64, likelihood=likelihood, **options)
    elbo = losses.reconstruction if options else losses.elbo
    fit(vae, photos, partial(elbo, error=error), adam(vae, 2e-3), seed=seed, **settings)
    return vae


face_vaes = {name: face_vae(*each) for name, each in likelihoods.items()}

# %% [markdown]
# Beside them the plain autoencoder of the same network and code: what does the KL cost? The three rows that
# answer this are trained from three seeds.

# %%
plain_from = partial(face_vae, "gaussian", losses.squared_error, posterior="deterministic")
plain, others = plain_from(), range(1, course.pick(full=3, quick=2))
again = {
    name: [face_vaes[name], *(face_vae(*likelihoods[name], seed=seed) for seed in others)]
    for name in ("Gaussian, σ = 1", "Gaussian, σ learnt")
} | {"plain, N(0, 1)": [plain, *(plain_from(seed=seed) for seed in others)]}

# %% [markdown]
# Samples are judged by a [Fréchet distance](../materials/glossary.md): how far the distribution of sampled
# faces is from that of photos, in the features of a classifier. The classifier is ours, trained here on the
# photos' attributes. A small set is always a little farther away, so each model is asked for as many
# samples as there are test photos: their distance is what real faces of other people reach.

# %%
torch.manual_seed(0)
attributes = [
    a for a in ("Smiling", "Male", "Eyeglasses", "Bangs", "Blond Hair") if a in faces.train.attributes
]
judge = judges.classifier(shape, len(attributes), labels=False)
history = fit(
    judge, photos.only(*attributes), losses.prediction,
    adam(judge, 1e-3, weight_decay=0.1), epochs=course.pick(full=4, quick=1), schedule={"lr": cosine()},
)  # fmt: skip
real = metrics.features(judge[0], faces.train)


# %%
def distance(images):
    return metrics.frechet_distance(real, metrics.features(judge[0], images))


@torch.no_grad()
def sampled_by(model):  # as many as there are test photos
    torch.manual_seed(0)
    return torch.cat([model.sample(min(100, n)).cpu() for n in range(len(faces.test), 0, -100)])


def with_prior(model, prior):
    return models.Autoencoder(model.encoder, model.decoder, prior).to(model.device)


@torch.no_grad()
def codes_of(model):  # sampled from q(z|x), not its means: the prior is to cover their spread too
    return torch.cat(
        [model.encode(b.x).sample().cpu() for b in faces.train.batches(500, device=model.device)]
    )


# %%
learnt = face_vaes["Gaussian, σ learnt"]
fitted = {"plain, N(0, 1)": with_prior(plain, priors.StandardNormal(64))}
for name, model in (("plain", plain), ("σ learnt", learnt)):
    fitted[f"{name}, fitted"] = with_prior(model, priors.fit_prior(codes_of(model), "full"))
sampled = {}


def judged(name, model):
    images, scores = sampled_by(model), metrics.evaluate(model, faces.test)
    sampled.setdefault(name, images[:6])
    rate = float("nan") if "plain" in name else metrics.rate_distortion(model, faces.test)["rate"]
    return rate, scores["mse"], scores["ssim"], distance(images)


rows = {name: judged(name, model) for name, model in (face_vaes | fitted).items()}
several = {
    name: torch.tensor([judged(name, with_prior(m, priors.StandardNormal(64))) for m in models_])
    for name, models_ in again.items()
}

# %% tags=["nbval-ignore-output"]
print(f"{'':20s} {'rate, nats':>10s} {'test MSE':>9s} {'SSIM':>6s} {'Fréchet distance of samples':>28s}")
for name, (rate, mse, ssim, d) in rows.items():
    print(f"{name:20s} {rate:10.1f} {mse:9.5f} {ssim:6.3f} {d:28.2f}".replace("nan", "  –"))
print(f"{'other photos':20s} {'':10s} {'':9s} {'':6s} {distance(faces.test):28.2f}")

# %% tags=["nbval-ignore-output"]
print(f"one seed each. MSE and distance again, mean ± standard deviation of {1 + len(others)} seeds")
for name, each in several.items():
    (_, mse, _, d), (_, mse_sd, _, d_sd) = each.mean(0).tolist(), each.std(0).tolist()
    print(f"{name:20s} {mse:.5f} ± {mse_sd:.5f} {d:10.2f} ± {d_sd:.2f}")

# %% tags=["figure-likelihoods"]
people = faces.test[:: len(faces.test) // 6][:6].batch().x
shown = {name: m.reconstruct(people.to(m.device)).cpu() for name, m in (face_vaes | {"plain": plain}).items()}
plots.show({"photo": people} | shown).described(
    "Photos of six test people; below, their reconstructions, a row for each likelihood and one for the "
    "plain autoencoder. In the full run those of σ = 1 are the smoothest."
)

# %% [markdown]
# Now the samples. Compare each row with its rate: what happens to samples from N(0, 1) as the rate grows?

# %%
plots.show(sampled).described(
    "Six sampled faces in each row. In the full run: smooth faces with σ = 1 and Bernoulli, patches of faces "
    "with σ or b learnt or no KL, and faces again where a prior was fitted."
)

# %% [markdown]
# **When is MSE right?** It is a Gaussian. With σ = 1 it is one for which every error is small. With σ learnt
# it finds the σ that makes the data likeliest, and that σ is the β:

# %% tags=["nbval-ignore-output"]
sigma = face_vaes["Gaussian, σ learnt"].decoder[-1].log_scale.exp().item()
print(f"σ learnt: {sigma:.3f}, so against σ = 1 the KL weighs σ² = {sigma**2:.4f}")

# %% [markdown]
# **What the KL costs, and what it buys.** Go through the table from the smallest rate to the largest. With a
# large σ the KL weighs much: a small rate, poor reconstructions, and samples from N(0, 1) that are smooth
# faces. With a small σ it weighs little: a large rate, good reconstructions, and samples of which parts are
# faces. (SSIM does not fit in, as it does not count squared errors. Of the three rates above 200 the order of
# the distances is another one.) The plain autoencoder has no KL, and its samples from N(0, 1) are the
# farthest away.
#
# What was your guess at the start? Compare the errors of "Gaussian, σ = 1" and of "plain", over three seeds:
# the KL doubles the error. But with σ learnt it costs nothing in the error, which is a little smaller
# than the plain one's, and it is the samples that are worse.
#
# The rows named *fitted* say how to have both: keep the code, and *fit the prior* to it afterwards. Here it
# is one Gaussian with all correlations, and its samples are about as near as other photos are. (Near in the
# features of a small classifier; the eye still tells them from photos.) Section 7 uses a flow that is trained
# together with the model.
#
# ### N(0, 1) with σ learnt
#
# Can samples from N(0, 1) be good with σ learnt, without another prior? On average over the pictures, the KL
# is what a code says about its picture, plus KL(q(z) ‖ p(z)), where q(z) is the distribution of all codes
# together, the [aggregate posterior](../materials/glossary.md). With a small σ the second part is a few dozen
# nats beside thousands of nats of error. Two remedies:
#
# * **β falls** from 100 to 1 in the first four fifths of the training. The codes begin as N(0, 1), and what
#   they say about the pictures grows slowly.
# * **InfoVAE** (Zhao, Song and Ermon, 2019) adds an [MMD²](../materials/glossary.md), a distance between the
#   codes of a batch and as many samples of N(0, 1). It looks at all codes together, where the KL looks at
#   each posterior by itself.


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
    fit(vae, photos, objective, adam(vae, 2e-3), **settings | schedules)

# %% tags=["nbval-ignore-output"]
shown = {}
for name, model in remedies.items():
    (rate, mse, _, d), shown[name] = judged(name, model), sampled[name]
    print(f"{name}: rate {rate:.1f} nats, test MSE {mse:.5f}, Fréchet distance {d:.2f}")
    print(f"  to sample from: {latent.sampler(model, faces.train)[1]}")
print("one seed each")

# %%
plots.show(shown).described(
    "Six faces in each row, sampled from N(0, 1) after β fell, and after β fell with the MMD added."
)

# %% [markdown]
# Compare with the table above. With β that falls, samples from N(0, 1) are six times nearer to the photos
# than those of "Gaussian, σ learnt"; with the MMD as well they are nearer than those of σ = 1, and the error
# is about half as large. It is not free: both remedies pay in error, and the prior that is fitted afterwards
# still gives the nearest samples. The last line of each is what `aelib sample` and the report go by: a prior
# is fitted to codes, others are held out, and it is counted how much likelier these are under it than under
# N(0, 1). (One seed each. The 100 and the weight of 1000 were found in few attempts, most of them on smaller
# photos, by the distance that is printed here. They were not chosen on validation photos, so take them as an
# example.)
#
# ### Explore
#
# The same faces, plain and variational. Where does the blur sit?

# %%
explorers.reconstructions({"plain": plain, "VAE, σ learnt": face_vaes["Gaussian, σ learnt"]}, faces.test[:60])

# %% [markdown]
# ## 7 · How likely is a picture? log p(x) in nats
#
# The ELBO is a bound; the truth is an integral. So sample S codes from q, and take the *mean of the weights*
# (the [importance-weighted bound](../materials/glossary.md)):
#
# $$\log p(x) = \log E_q\left[\frac{p(x|z)\,p(z)}{q(z|x)}\right]
#   \;\ge\; E\left[\log \frac1S \sum_{s=1}^S \frac{p(x, z_s)}{q(z_s|x)}\right].$$
#
# With S = 1 it is the ELBO again. More samples come nearer, from below. (In logarithms, with `logsumexp`:
# e⁻⁹⁰ is too small to add up in float32.)
#
# Numbers compare only if everybody measures the same: MNIST made black and white at random, each pixel by its
# grey level ([dynamic binarisation](../materials/glossary.md)); 784 pixels; nats.

# %%
binary = digits.test.map(binarised)
with contexts.seeded(0):  # one and the same draw for every point of the curve
    frozen = datasets.Images((binary[:100].batch().x * 255).byte().numpy())
numbers = course.pick(full=(1, 3, 10, 30, 100, 300, 1000), quick=(1, 10, 100))
known = {"two hidden layers of 200": cured["warm-up"][0]}
if digits.shape == (1, 28, 28):  # trained for long, see below
    known = {name: load(f"pretrained/{name}") for name in ("vae-mnist", "iwae-mnist")}
known = {name: model.to(course.device()) for name, model in known.items()}
bounds = {
    name: [metrics.log_likelihood(m, frozen, samples=s).mean().item() for s in numbers]
    for name, m in known.items()
}

# %% tags=["figure-importance-samples"]
figure, ((ax,),) = plots.axes(size=(6, 3))
for name, values in bounds.items():
    ax.plot(numbers, values, "o-", label=name, color=course.COLOURS["IWAE" if "iwae" in name else "VAE"])
ax.set(xscale="log", xlabel="importance samples", ylabel="bound of log p(x), nats")
ax.legend()
figure.described(
    "The bound of log p(x) of 100 test digits against the number of importance samples: each curve rises."
)

# %% [markdown]
# The network of the paper (Burda, Grosse and Salakhutdinov, 2016): two hidden layers of 200, one stochastic
# layer of 50. Its weights come with the course; the recipe is in `tests/benchmarks/recipes.py`, and
# `python tests/benchmarks/recipes.py vae-mnist` trains them again.
# [IWAE](../materials/glossary.md) trains on the importance-weighted bound itself, with five samples:
# `losses.iwae`. It went on from the VAE's weights, so
# its training is twice as long; page 10 compares the two after equal passes. Published are 5,000 samples for
# each of the 10,000 test digits, and so the command has it, in many minutes. Here you see a thousand digits
# with 500 samples, and beside them what the command wrote down. (One seed each. When these weights were made,
# optimizers were tried on test digits, and that was not repeated on validation digits: so the numbers may be
# a little too good.)

# %%
samples, images = course.pick(full=(500, binary[:1000]), quick=(50, binary[:40]))
published = {"vae-mnist": -86.76, "iwae-mnist": -85.54}
likelihood = {name: metrics.log_likelihood(model, images, samples) for name, model in known.items()}


def said(name, each):
    print(f"{name}: log p(x) = {each.mean():.2f} ± {each.std() / len(each) ** 0.5:.2f} nats, measured here")
    if name in pretrained.MODELS:
        test = pretrained.record(name)["test"]
        text = f"{test['images']:,} digits, {test['samples']:,} samples: {test['log_likelihood']:.2f}"
        print(f"  {text} ± {test['standard_error']:.2f}, published {published.get(name, 'nowhere')}")
        parts = ["vae-mnist"] * (name == "iwae-mnist") + [name]
        spent = " + ".join(f"{pretrained.record(part)['cpu_seconds'] / 60:.0f}" for part in parts)
        print(f"  trained for {spent} minutes of one core")


# %% tags=["nbval-ignore-output"]
for name, each in likelihood.items():
    said(name, each)
    active, kl = metrics.active_units(known[name], images), metrics.kl_per_dimension(known[name], images)
    print(f"  {active.sum()} of 50 active, {(kl > 0.05).sum()} carry more than 0.05 nats")

# %% [markdown]
# Which digits does it find unlikely? The instrument for that is the same number, picture by picture.

# %%
each = likelihood[next(iter(likelihood))]
order = each.argsort().numpy()
plots.show(
    {"least likely": digits.test[order[:8]], "likeliest": digits.test[order[-8:]]}, width=12
).described("Eight test digits that the model finds least likely, and eight that it finds likeliest.")

# %% [markdown]
# ### As good as we can
#
# Convolutions, and a prior that learns: a normalising flow from the library `zuko` in the place of N(0, 1).
# Any module whose `forward(c)` returns a distribution is a prior; nothing else changes.

# %% tags=["nbval-ignore-output"]
if digits.shape == (1, 28, 28):
    best = load("pretrained/flow-vae-mnist").to(course.device())
    images, samples = course.pick(full=(binary[:500], 100), quick=(binary[:10], 10))
    said("flow-vae-mnist", metrics.log_likelihood(best, images, samples))
else:
    print("trained for 28×28: nothing to measure here")

# %%
torch.manual_seed(0)
shown = {name: model.sample(8).cpu() for name, model in known.items()}
if digits.shape == (1, 28, 28):
    shown["flow-vae-mnist"] = best.sample(8).cpu()
plots.show(shown, width=12).described("Eight digits in each row, sampled from the prior of each model.")

# %% [markdown]
# ## Then try
#
# *Easy, 5 minutes; needs: section 2.* Train your VAE with `beta=0`. Where does the encoder's variance go, and
# why?
#
# <details><summary>An answer</summary>
#
# Towards zero, step by step: with 6,000 digits log s² is −21 on average after two passes and −29 after
# eight, and it goes on falling. Noise in the code only makes the reconstruction worse, and without the KL
# nothing pays for keeping it. What is left is a plain autoencoder.
# </details>
#
# ## Take away
#
# * ELBO = how well codes explain x, less what it costs to say which code. Sum over an example, mean over the
#   batch; everything else is a hidden β.
# * The likelihood's scale is a β too. Learn it.
# * A KL that weighs much costs sharpness and gives samples from N(0, 1). A prior that is fitted or learnt
#   gives samples without that cost. Measure both, and the collapse, before you believe a picture.
#
# Next: **03, the latent space.** What do the coordinates mean?
