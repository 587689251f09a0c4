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
# # 10 · Beyond
#
# **VQ-VAE, IWAE, WAE, flow priors: what does each one repair?**
#
# *You need* notebook 02, and MNIST (without it the page runs on small digits). *It takes* about 20 minutes of
# one core, nearly all of it training: read on while it runs. *You will be able to* name four weak places of
# a VAE, exchange one part of it for each, and say in [nats](../materials/glossary.md), in
# [bits](../materials/glossary.md) or in a [distance](../materials/glossary.md) what that was worth.
#
# What the text says of pictures and numbers is about the full profile. The quick profile trains for seconds
# on few pictures: there no model samples digits, and the orders are others.

# %% tags=["nbval-ignore-output"]
import math
import time
from functools import partial

from aelib import contexts, heads, latent, losses, metrics, models, plots, pretrained
import check  # the file beside this page
import completing  # the same
import course  # the same
import judges  # the same
import measuring  # the same
from aelib import datasets, fit, nets, priors
from aelib.datasets import binarised
from aelib.training import adam, assess, cosine

import torch
import zuko
from torch import nn

digits = course.data("mnist", otherwise="digits", quick=1600)

# %% [markdown]
# ## Predict
#
# A VAE makes four choices that nobody forced on it:
#
# | the choice | what is wrong with it | who repairs it |
# |---|---|---|
# | the prior is N(0, 1) | all codes together are not | a prior that learns: two levels, a flow |
# | the posterior is one Gaussian | the true one is not | IWAE |
# | the KL pulls on *each* picture's code | codes of different pictures overlap | WAE, AAE |
# | codes are numbers, sampled each by itself | parts of a picture do not agree | VQ-VAE with a learnt prior |
#
# Write down before anything runs: which of them makes test digits *likeliest*? Which one's sampled digits
# look most like digits? Is it the same one? The table of section 6 answers.
#
# And enter a number. A code has 16 numbers, and the true posterior is N(0, 1) for each. An encoder says
# N(0, 2²) for each; 100 codes are sampled from that, and weighted by what they should have been. How many of
# the 100 count, in effect?

# %%
codes_that_count = ...  # from 1 to 100
### BEGIN SOLUTION
codes_that_count = 30
### END SOLUTION

# %% [markdown]
# ## 1 · One stem, one budget
#
# Black and white digits (each pixel by its grey level, as in notebook 02, so a Bernoulli is a proper
# likelihood), one convolutional network, one code size, one optimizer, the same passes over the data, one
# seed. Each model below changes one thing. The budget is small: six passes, a minute or two for most. Page
# 02's VAE, another network that was trained for 350 passes in 28 minutes, is nine nats ahead of this one. So
# what is repaired here is a VAE after a short training; what a repair is worth after a long one, this page
# does not say, but for one, in its last answers. (Settings were tried on validation digits.)

# %%
size, widths = 16, (16, 32, 64) if digits.shape[1] > 8 else (16, 32)
epochs = course.pick(full=6 if digits.shape[1] > 8 else 60, quick=2)
train = digits.train.map(binarised)
minutes = {}


def trained(name, model, objective=losses.elbo, optimizers=None):
    start = time.process_time()
    optimizers = optimizers or adam(model, 2e-3)
    fit(model, train, objective, optimizers, epochs=epochs, schedule={"lr": cosine()})
    minutes[name] = (time.process_time() - start) / 60
    return model


def build(net="conv", latent=size, **options):
    torch.manual_seed(0)
    return models.autoencoder(digits.shape, latent, net=net, hidden=widths, **options)


# %%
vae = trained("VAE", build())

# %% [markdown]
# Three judges. **log p(x)** of test digits, in nats, by
# [importance sampling](../materials/glossary.md); all models judge the same black
# and white test digits, sampled once. Its standard error says how much other digits would change it.

# %%
with contexts.seeded(0):
    once = digits.test[: course.pick(full=1000, quick=40)].map(binarised).batch().x
test = datasets.Images((once * 255).byte().numpy())
samples = course.pick(full=500, quick=20)
nats = {}


def judged(name, model):
    nats[name] = metrics.log_likelihood(model, test, samples)
    return f"{name:28s} log p(x) = {mean(nats[name])} nats"


def mean(each):
    return f"{each.mean().item():.2f} ± {each.std().item() / len(each) ** 0.5:.2f}"


# %% [markdown]
# The [Fréchet distance](../materials/glossary.md) of sampled digits from training digits, in the features of
# a classifier. And the **eye**.

# %%
torch.manual_seed(0)
judge = judges.classifier(digits.shape, 10, hidden=(16, 32, 64))
fit(judge, digits.train, losses.prediction, adam(judge, 2e-3), epochs=epochs, schedule={"lr": cosine()})
drawn, distance = {}, {}
real = metrics.features(judge[0], digits.train)


@torch.no_grad()
def drawn_by(name, model):
    torch.manual_seed(0)
    drawn[name] = torch.cat([model.sample(100).cpu() for _ in range(course.pick(full=50, quick=2))])
    distance[name] = metrics.frechet_distance(real, metrics.features(judge[0], drawn[name]))


# %% tags=["nbval-ignore-output"]
accuracy = (judge(digits.test.batch().x.to(course.device())).mode.cpu().numpy() == digits.test.labels).mean()
print(f"the classifier names {accuracy:.2%} of the test digits correctly")
drawn_by("VAE", vae)
print(judged("VAE", vae))

# %% [markdown]
# ## 2 · A prior that learns
#
# The [ELBO](../materials/glossary.md)'s [KL](../materials/glossary.md), averaged over the data, has two parts
# (Hoffman and Johnson, 2016):
#
# $$E_x\,\mathrm{KL}\big(q(z|x)\,\|\,p(z)\big) = I(x; z) + \mathrm{KL}\big(q(z)\,\|\,p(z)\big),$$
#
# where q(z) is the distribution of all codes together, the [aggregate posterior](../materials/glossary.md).
# The first is information, and worth its price. The second is waste: nats paid because the codes are not
# where the prior says. The second can go, if the *prior* moves. A prior is any module whose `forward(c)`
# returns a distribution, so the flows of `zuko` serve as they are. A flow says where a number may be given
# those before it, by a network.
#
# ### Write: one layer of a flow
#
# *Middling, 15 minutes; needs: a Jacobian, and `chunk` and `cat`.*
#
# A flow turns z into u by steps that can be undone. What it must know of each is log |det ∂u/∂z|, since
# p(z) = p(u) |det ∂u/∂z|. A *coupling* layer (Dinh et al., 2014) makes both easy: the first half of the
# numbers stays as it is, and a network of *that half* says how the second is scaled and shifted,
#
# $$u_1 = z_1, \qquad u_2 = z_2 \cdot \exp(s(z_1)) + t(z_1).$$
#
# The network is there, `self.s_and_t(z₁)`. Write the layer, and the way back.
#
# <details><summary>A hint</summary>
#
# Written out, the Jacobian of a coupling layer is a triangle. What stands on its diagonal?
# </details>


# %%
class ScaleAndShift(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.net = nets.MLP(k // 2, 64, 64, k)  # for an even k

    def s_and_t(self, first):
        s, t = self.net(first).chunk(2, 1)
        return s.tanh(), t  # a scale without limits can run away


# %%
class Coupling(ScaleAndShift):
    def forward(self, z):
        """z (B, K) → u (B, K) and log |det ∂u/∂z| (B,)."""
        ### BEGIN SOLUTION
        first, second = z.chunk(2, 1)
        s, t = self.s_and_t(first)
        return torch.cat([first, second * s.exp() + t], 1), s.sum(1)
        ### END SOLUTION

    def inverse(self, u):
        """u (B, K) → z (B, K)."""
        ### BEGIN SOLUTION
        first, second = u.chunk(2, 1)
        s, t = self.s_and_t(first)
        return torch.cat([first, (second - t) / s.exp()], 1)
        ### END SOLUTION


# %%
Coupling = check.coupling(Coupling)

# %% [markdown]
# Six of them, with the halves exchanged in between, are a *flow*. Here are codes that lie on a ring, as those
# of a plain autoencoder may. For N(0, 1) the empty middle is the likeliest place. (Of this ring the density
# is known, so the last line of the table is the best that can be reached.)


# %%
class Flow(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(k) for _ in range(6))

    def log_prob(self, z):
        total = torch.zeros(len(z))
        for layer in self.layers:
            z, log_det = layer(z)
            z, total = z.flip(1), total + log_det
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + total

    @torch.no_grad()
    def sample(self, n, k):
        z = torch.randn(n, k)
        for layer in reversed(self.layers):
            z = layer.inverse(z.flip(1))
        return z


# %%
def ring(n):
    radius, angle = 2 + 0.2 * torch.randn(n), 2 * math.pi * torch.rand(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


with contexts.seeded(0):
    flow, fresh = Flow(2), ring(5000)
    optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
    for _ in range(course.pick(full=1500, quick=200)):
        loss = -flow.log_prob(ring(256)).mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    shown = {"codes": fresh[:1000], "N(0, 1)": torch.randn(1000, 2), "your flow": flow.sample(1000, 2)}

# %%
figure, panels = plots.axes(1, 3, (2.2, 2.4))
for ax, (name, z) in zip(panels[0], shown.items(), strict=True):
    ax.plot(*z.T, ".", markersize=2)
    ax.set(title=name, xticks=[], yticks=[], aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
figure.described(
    "Three panels of points: codes on a ring; N(0, 1), densest in the middle; and samples of your flow, in "
    "the full run a ring with a thin bridge across it."
)

# %% tags=["nbval-ignore-output"]
r, normal = fresh.norm(dim=1), torch.distributions.Normal
fitted = torch.distributions.MultivariateNormal(fresh.mean(0), fresh.T.cov())
per_code = {
    "N(0, 1)": normal(0.0, 1.0).log_prob(fresh).sum(1),
    "a Gaussian, fitted": fitted.log_prob(fresh),
    "your flow": flow.log_prob(fresh),
    "the ring itself": normal(2.0, 0.2).log_prob(r) - (2 * math.pi * r).log(),
}
for name, each in per_code.items():
    print(f"{name:19s} −log p = {-each.mean():.2f} nats per code")

# %% [markdown]
# The flow comes near. (N(0, 1) is of one piece without a hole, and what a flow makes of it is too: look for
# the bridge.) Whatever a prior is wrong by, the ELBO pays in the KL.
#
# Now as a part of a VAE. The shortest flow has *two levels*: half of the code is z₂ ~ N(0, 1), the other z₁ ~
# N(m(z₂), s(z₂)). That is all that a hierarchy is in the language of this library: p(z) = p(z₂) p(z₁ | z₂),
# one distribution over z = (z₁, z₂). (A hierarchy whose *posterior* goes level by level too, as the ladder
# VAE's, would need an encoder that sees z₁: that bends the three parts, so it is not here.)

# %%
flows = {
    "two levels": partial(zuko.flows.MAF, transforms=1, passes=2, hidden_features=(64, 64)),
    "flow prior": partial(zuko.flows.MAF, transforms=3, hidden_features=(128, 128)),
}
with_flow = {}
for name, flow in flows.items():
    model = build()
    torch.manual_seed(0)
    model.prior = flow(size)
    with_flow[name] = trained(name, model)

# %% tags=["nbval-ignore-output"]
print(f"{'VAE':28s} log p(x) = {mean(nats['VAE'])} nats")
for name, model in with_flow.items():
    print(judged(name, model), f" gained, digit by digit: {mean(nats[name] - nats['VAE'])}")
    drawn_by(name, model)

# %% [markdown]
# Same encoder, same decoder, same budget, one seed. The gain is measured digit by digit, and its standard
# error is much smaller than that of each number: a hard digit is hard for both. (It says what other digits
# would change, not what another seed would.)
#
# Where are the codes? Below are two numbers of the codes of test digits, sampled from q(z|x), and as many
# samples of the prior. Compare the two panels of each pair.


# %%
@torch.no_grad()
def codes_of(model):
    torch.manual_seed(0)
    q = model.encode(digits.test[:2000].map(binarised).batch().x.to(model.device))
    return q.sample().flatten(1).cpu()


def against_prior(models_, pair):
    figure, panels = plots.axes(1, 2 * len(models_), (2.2, 2.2))
    for i, (name, model) in enumerate(models_.items()):
        z = codes_of(model)
        both = {f"{name}: codes": z, f"{name}: prior": model.prior().sample(z.shape[:1]).cpu()}
        end = 1.05 * max(z[:, pair].abs().max().item() for z in both.values())
        for ax, (title, z) in zip(panels[0][2 * i :], both.items(), strict=False):
            ax.plot(*z[:, pair].T, ".", markersize=1.5, alpha=0.5, color=course.COLOURS[name])
            ax.set(title=title, xlabel=f"z{pair[0] + 1}", xlim=(-end, end), ylim=(-end, end))
    panels[0][0].set_ylabel(f"z{pair[1] + 1}")
    return figure


# %% tags=["figure-where-codes-lie"]
wide = metrics.kl_per_dimension(vae, test).argsort(descending=True)[:2].tolist()
against_prior({"VAE": vae, "flow": with_flow["flow prior"]}, pair=sorted(wide)).described(
    "Two numbers of each code as points, in four panels: codes and prior of the VAE, then of the flow model."
)

# %% [markdown]
# ## 3 · A better posterior: IWAE
#
# q(z|x) is a Gaussian with independent dimensions, and the ELBO pays for every place where q is and the true
# posterior is not. So it prefers a *decoder whose true posterior is simple*. The
# [importance-weighted bound](../materials/glossary.md) (Burda, Grosse and Salakhutdinov, 2016) samples S
# codes and asks that *some* of them explain the picture:
#
# $$\log p(x) \;\ge\; E\left[\log \frac1S \sum_{s=1}^S \frac{p(x, z_s)}{q(z_s|x)}\right].$$
#
# (Page 01b has you write it.) How much of it are the S codes worth? If q were the true posterior all weights
# w = p(x, z) / q(z|x) would be equal, and all S codes count. The *effective* number is
#
# $$\Big(\sum_s w_s\Big)^2 \Big/ \sum_s w_s^2.$$
#
# ### Write: how many codes count
#
# *Middling, 10 minutes; needs: why `logsumexp` subtracts the largest.*
#
# The weights come as logarithms, of −95 nats or of −2,000: their exponentials are 0 for a computer. But the
# effective number does not change if all weights of a picture are multiplied by the same number.


# %%
def effective(log_w):
    """log weights (S, B), S codes for each of B pictures → (B,), the effective number of codes."""
    ### BEGIN SOLUTION
    w = (log_w - log_w.amax(0)).exp()  # the largest is 1
    return w.sum(0).square() / w.square().sum(0)
    ### END SOLUTION


# %%
effective = check.effective(effective)

# %% tags=["nbval-ignore-output"]
with contexts.seeded(0):
    z = 2 * torch.randn(100, 2000, 16)  # from a q that is twice as wide as the posterior
per_number = normal(0.0, 1.0).log_prob(z) - normal(0.0, 2.0).log_prob(z)
for k in (1, 2, 4, 8, 16):
    print(f"codes of {k:2d} numbers: {effective(per_number[:, :, :k].sum(2)).mean():.1f} of 100 count")
check.codes_that_count(codes_that_count, effective(per_number.sum(2)).mean().item())

# %% [markdown]
# In one dimension such a q is no great fault; in sixteen most of its codes are wasted. So where codes are
# large, only a good q makes the bound tight with few samples.
#
# ### Explore: how good?
#
# *Easy, 5 minutes; needs: a few tries, or a loop.*
#
# Twice as wide is too wide. With which standard deviation s > 1 do *half* of the codes of 16 numbers count?


# %%
def counted(s):
    """Of 100 codes of 16 numbers, sampled from N(0, s²) for N(0, 1): how many count."""
    with contexts.seeded(0):
        z = s * torch.randn(100, 1000, 16)
    p, q = (torch.distributions.Normal(0.0, width) for width in (1.0, s))
    return effective((p.log_prob(z) - q.log_prob(z)).sum(2)).mean().item()


found = ...  # counted(s), for an s > 1 with which it is about 50
### BEGIN SOLUTION
found = next(count for s in range(100, 300) if (count := counted(s / 100)) < 50)
### END SOLUTION

# %%
check.half_of_the_codes(found, low=45, high=55)

# %% [markdown]
# For many samples there is a formula: the share that counts is 1 / E[w²], with w = p / q and codes from q. It
# is √(2s² − 1) / s² for one number, and its 16th power for sixteen. An error of s that you would hardly see
# in one number is a factor of two in sixteen.
#
# Nothing about the model changes, only the objective. (The same passes over the data; but five codes a
# picture make them longer: three times as long, see the table. So it had the larger budget.)

# %%
iwae = trained("IWAE, 5 samples", build(), losses.iwae)

# %% tags=["nbval-ignore-output"]
print(judged("IWAE, 5 samples", iwae), f" gained: {mean(nats['IWAE, 5 samples'] - nats['VAE'])}")
drawn_by("IWAE, 5 samples", iwae)

# %% [markdown]
# What became of q? Draw a hundred codes for each digit, and weigh them: how many count? And the bound: with
# one sample it is the ELBO.

# %%
count = course.pick(full=300, quick=30)
with torch.no_grad(), contexts.seeded(0):
    batch = datasets.Batch(once[:count].to(vae.device))
    weights = {n: losses.log_weights(m, batch, 100).cpu() for n, m in (("VAE", vae), ("IWAE", iwae))}

# %%
figure, (panels,) = plots.axes(1, 2, (3.6, 2.6))
for name, w in weights.items():
    colour = {"color": course.COLOURS[name], "label": name}
    panels[0].hist(effective(w), bins=20, range=(1, 41), alpha=0.5, **colour)
    bounds = [
        (w[: 100 // s * s].unflatten(0, (-1, s)).logsumexp(1) - math.log(s)).mean()
        for s in (1, 2, 5, 10, 25, 100)
    ]
    panels[1].plot((1, 2, 5, 10, 25, 100), bounds, ".-", **colour)
panels[0].set(xlabel="effective number of 100 codes", ylabel="digits")
panels[1].set(xlabel="samples S", ylabel="bound of log p(x), nats", xscale="log")
panels[0].legend(), panels[1].legend()
figure.described(
    "Left: histograms of how many of 100 codes count, for VAE and IWAE. Right: the bound of log p(x) against "
    "the number of samples; both rise."
)

# %% [markdown]
# Look at the left end of the right panel. At S = 1, as an ELBO, which one is ahead? And at the right end?
#
# With the paper's own network and a long training the same comparison comes with the course
# (`tests/benchmarks/recipes.py`). There the IWAE went on from the VAE's weights, so its training is twice as
# long:

# %%
spent = {name: pretrained.record(name)["cpu_seconds"] / 60 for name in ("vae-mnist", "iwae-mnist")}
for name, published in (("vae-mnist", -86.76), ("iwae-mnist", -85.54)):
    t, total = pretrained.record(name)["test"], spent[name] + (name != "vae-mnist") * spent["vae-mnist"]
    text = f"{t['log_likelihood']:.2f} ± {t['standard_error']:.2f} nats, published {published}"
    print(f"{name:10s} {text}; {total:.0f} minutes of one core")

# %% [markdown]
# ## 4 · All codes together: Wasserstein and adversarial
#
# The KL pulls *each* picture's code to the whole of N(0, 1). To meet it, a picture must let its code spread
# until it overlaps with others', and where codes overlap the decoder can only answer with a mixture: blur. So
# the argument of the two papers goes; the table below measures what comes of it. To sample, only *all codes
# together* need look like N(0, 1), and then a point for each picture will do. So keep the plain autoencoder,
# and add a measure of how far its codes are from samples of the prior:
#
# * **WAE** (Tolstikhin et al., 2018): the [maximum mean discrepancy](../materials/glossary.md). A kernel k
#   says how near two codes are; MMD² = E k(z, z′) + E k(p, p′) − 2 E k(z, p). It is 0 only if codes z and
#   samples p are distributed alike.
# * **AAE** (Makhzani et al., 2016): a [critic](../materials/glossary.md) learns to tell codes from samples of
#   the prior; the encoder learns to fool it.
#
# ### Write: the distance of two sets of codes
#
# *Middling, 15 minutes; needs: a matrix of pairs and its diagonal.*
#
# Take the means over pairs of *different* members: a code is always near itself, and says nothing by that.


# %%
def mmd(a, b, k):
    """Sets a (N, K) and b (M, K), a kernel (N, K), (M, K) → (N, M); → a number, MMD²."""
    ### BEGIN SOLUTION
    total = -2 * k(a, b).mean()
    for z in (a, b):
        near, n = k(z, z), len(z)
        total = total + (near.sum() - near.diagonal().sum()) / (n * (n - 1))
    return total
    ### END SOLUTION


# %%
mmd = check.mmd(mmd)
with contexts.seeded(0):
    a, b = torch.randn(20, 3) + 1, torch.randn(30, 3)
    many = torch.randn(2, 2000, 3)
kernel = losses.inverse_multiquadric
print(f"yours {mmd(a, b, kernel).item():.3f}, the library's {losses.mmd(a, b).item():.3f}")
print(f"two sets from one distribution: {abs(losses.mmd(*many)).item():.2f}")

# %% [markdown]
# It has a gradient, so it can be followed. Below, 300 codes far from where N(0, 1) is, and nothing but your
# MMD² to move them; the samples it compares with are other ones in every step.

# %%
with contexts.seeded(0):
    before = torch.tensor([2.5, 1.0]) + 0.3 * torch.randn(300, 2)
    codes = before.clone().requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.05)
    for _ in range(300):
        loss = mmd(codes, torch.randn(300, 2), kernel)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    shown = {"before": before, "after": codes.detach(), "N(0, 1)": torch.randn(300, 2)}
figure, panels = plots.axes(1, 3, (2.2, 2.4))
for ax, (name, z) in zip(panels[0], shown.items(), strict=True):
    ax.plot(*z.T, ".", markersize=2)
    ax.set(title=name, xticks=[], yticks=[], aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
figure.described(
    "Three panels of points: a small cloud at the right before; the same codes after, spread about the "
    "middle; and samples of N(0, 1), which look much like them."
)

# %% [markdown]
# Three plain autoencoders with N(0, 1) as the prior to sample from. Only the objective differs.


# %%
def pointwise():
    model = build(posterior="deterministic")
    model.prior = priors.StandardNormal(size)
    return model


points = {}
points["plain"] = trained("plain", pointwise(), losses.reconstruction)
points["WAE"] = trained("WAE", pointwise(), partial(losses.wae, weight=300.0))

# %% [markdown]
# The adversarial one has two losses, so it needs two optimizers: `train` gives each optimizer's parameters
# the gradient of their own term alone. (Two players who answer each other swing; a small momentum calms
# them.)

# %%
adversary, model = nets.MLP(size, 256, 256, 1).to(course.device()), pointwise()
calm = partial(torch.optim.Adam, lr=2e-3, betas=(0.5, 0.9))
both = {"loss": calm(model.parameters()), "discriminator": calm(adversary.parameters())}
objective = partial(losses.adversarial, critic=adversary, weight=5.0)
points["AAE"] = trained("AAE", model, objective, both)

# %%
torch.manual_seed(0)
rows = []
for name, model in {"VAE": vae, **points}.items():
    if name not in drawn:
        drawn_by(name, model)
    z, nll = codes_of(model), assess(model, test, losses.reconstruction)["loss"]
    away = losses.mmd(z, torch.randn_like(z)).item()
    rows.append(f"{name:8s} {nll:14.1f} {away:16.4f} {distance[name]:17.2f}")

# %% tags=["nbval-ignore-output"]
z = torch.randn(2, len(z), size)
print("         −log p(x|z), nats  MMD² to N(0, 1)  Fréchet distance of samples")
print("\n".join(rows))
print(f"two sets of draws from N(0, 1): MMD² {losses.mmd(*z).item():.4f}")

# %% [markdown]
# The first column is what the pixels cost, given a code sampled from q(z|x): for a point, the point. Whose
# pixels are cheaper than the VAE's, at the same code size, and whose samples are nearer to digits? Look.

# %% tags=["figure-matched-codes"]
plots.show({name: drawn[name][:8] for name in ("plain", "VAE", "WAE", "AAE")}, width=12).described(
    "Sampled digits, a row each for plain, VAE, WAE and AAE. In the full run those of plain are grey planes."
)

# %% [markdown]
# One more thing is lost with the spread: a point has no density, so there is no ELBO, and no log p(x). WAE
# and AAE are judged by pictures alone.
#
# ## 5 · A code of indices: VQ-VAE, and a prior that is learnt
#
# In notebook 02 the *fully* convolutional VAE had good reconstructions and poor samples: under its prior the
# places of the code are independent. A [VQ-VAE](../materials/glossary.md) (van den Oord, Vinyals and
# Kavukcuoglu, 2017) rounds the code at each place to one of a codebook's vectors; a digit is a small grid of
# indices. Rounding has no gradient; the encoder is given the decoder's, as if nothing had been rounded
# (*straight through*).
#
# ### Write: straight through
#
# *Hard to see, one line, 5 minutes; needs: `detach`.*
#
# From h (B, K) and its rounded version e (B, K) to a tensor whose *value* is e, and whose *gradient* goes to
# h, as if nothing had happened.


# %%
def straight_through(h, e):
    ### BEGIN SOLUTION
    return h + (e - h).detach()
    ### END SOLUTION


# %%
straight_through = check.straight_through(straight_through)
h = torch.tensor([0.2, 0.9], requires_grad=True)
rounded = straight_through(h, h.round())
(rounded * torch.tensor([3.0, 5.0])).sum().backward()
print(rounded.detach().tolist(), "with the gradient", h.grad.tolist())

# %%
vq = build("fcn", 8, posterior="deterministic")
vq.encoder[-1] = heads.VectorQuantizer(codes := course.pick(full=64, quick=32), 8, decay=0.99)
trained("VQ", vq, partial(losses.vector_quantized, beta=1.0))
fcn = trained("VAE, fully convolutional", build("fcn", 4))

# %% [markdown]
# Then the second half: learn *which indices go together*. The prior is a small causal transformer. It reads
# the indices row by row and says how likely each is, given those before it:
#
# $$P(i_1 \dots i_N) = \prod_n P(i_n \mid i_1 \dots i_{n-1}).$$
#
# `priors.Autoregressive` is a module whose `forward(c)` returns that distribution, so it *is* the
# model's prior: `model.sample` samples from it.

# %%
with torch.no_grad():
    code = vq.encode(once[:1].to(vq.device))
n = code.indices.numel()
torch.manual_seed(0)
vq.prior = priors.Autoregressive(vq.encoder[-1], *code.event_shape).to(vq.device)
start = time.process_time()
fit(vq, train, losses.prior_likelihood, adam(vq.prior, 2e-3), epochs=epochs, schedule={"lr": cosine()})
minutes["VQ"] += (time.process_time() - start) / 60

# %% [markdown]
# **Bits.** To send a digit: send its indices, at −log₂ P(z) bits, then the pixels given the code, at
# −log₂ p(x|z). The sum is never less than −log₂ p(x): p(x) = Σ p(x|z) P(z) runs over *all* codes, and x's own
# is one term of it. So it is a proper bound, and in fact the ELBO: q is one code with probability 1, its
# entropy is 0, and KL(q ‖ P) = −log P(z). `losses.elbo` and `metrics.rate_distortion` take it as it is. (The
# pixels must be black or white for that: for grey ones a Bernoulli is no density.) Divided by the number of
# pixels: *bits per dimension*.
#
# ### Write: bits per dimension
#
# *Easy, 3 minutes; needs: a logarithm of another base.*


# %%
def bits_per_dimension(nats, shape):
    """A bound in nats of each picture (B,), and the shape (C, H, W) → bits per dimension (B,)."""
    ### BEGIN SOLUTION
    return nats / math.log(2) / math.prod(shape)
    ### END SOLUTION


# %%
bits_per_dimension = check.bits_per_dimension(bits_per_dimension)


def bits(total):
    return bits_per_dimension(total, digits.shape)


# %% [markdown]
# With a uniform prior each index costs log₂ of the codebook's size.

# %%
three = {"VAE": vae, "VAE, fcn": fcn, "VQ": vq}
rates = {name: metrics.rate_distortion(model, test) for name, model in three.items()}
rates["VQ, uniform prior"] = {"rate": n * math.log(codes), "distortion": rates["VQ"]["distortion"]}

# %% tags=["nbval-ignore-output"]
print(f"{'':20s} rate + distortion = −bound, nats   bits per dimension")
for name, rd in rates.items():
    total = sum(rd.values())
    print(f"{name:20s} {rd['rate']:5.1f} + {rd['distortion']:5.1f} = {total:6.1f} {bits(total):24.3f}")
with torch.no_grad():
    used = measuring.perplexity(vq.encode(once.to(vq.device)).indices).item()
print(f"a digit is {n} indices; vectors in use, in effect: {used:.0f} of {codes}")

# %% [markdown]
# Learning the prior shortened the indices by how many nats? Compare the sum with that of its twin, the fully
# convolutional VAE, whose N(0, 1) pays for each place by itself, and with that of the first VAE, whose code
# has no places. Two things count: a prior that knows which parts go together makes a code cheap (compare the
# two rows of VQ: only the prior differs); but a VQ-VAE must name one code exactly, where a VAE may be as
# vague as the picture allows and pays only for what it says. Now look at its samples.


# %% tags=["figure-learnt-prior"]
def uniform(n_digits):
    indices = torch.randint(codes, (n_digits, n), device=vq.device)
    return latent.decode(vq, vq.prior.vectors(indices))


drawn_by("VAE, fully convolutional", fcn), drawn_by("VQ", vq)
torch.manual_seed(0)
plots.show({
    "VAE, fully convolutional": drawn["VAE, fully convolutional"][:8],
    "VQ, uniform prior": uniform(8),
    "VQ, learnt prior": drawn["VQ"][:8],
    "real": digits.test[:8],
}, width=12).described(
    "Sampled digits, a row each for the fully convolutional VAE and the VQ-VAE with a uniform and a learnt "
    "prior; real digits below. In the full run only the learnt prior gives whole strokes."
)  # fmt: skip

# %% [markdown]
# ### Explore
#
# Keep the first indices of a real digit's code, and let the prior sample the rest, again and again. At *kept*
# 0 it samples a new digit; with all kept it is the reconstruction. In between: when is it settled which digit
# it is?

# %%
completing.completion(vq, digits.test[:60].map(binarised).batch().x)

# %% [markdown]
# The same without a kernel: each digit has four columns, and more is kept from row to row.

# %% tags=["figure-completed"]
some = once[[0, 1]]
shown = {}
for kept in sorted({0, n // 4, n // 2, 3 * n // 4, n}):
    shown[f"{kept:2d} of {n} kept"] = completing.completion_images(vq, some, kept, draws=4)
plots.show({"digit": some.repeat_interleave(4, 0)} | shown, width=12).described(
    "Digits in the first row, each four times. Below, what the prior makes of them when none, a quarter, "
    "half, three quarters and all of the indices are kept."
)

# %% [markdown]
# ## 6 · The table
#
# The same data, the same six passes over it, the same widths; one seed each, so a small difference says
# nothing. (Six passes more for the VQ-VAE's prior.) log p(x) is of the same test digits for all. Where there
# is no density there is no number; with ≥ it is a bound only. The settings of each were tried on validation
# digits.

# %%
repairs = {
    "VAE": "nothing: the stem",
    "two levels": "the prior: N(0, 1) → z₂, then z₁",
    "flow prior": "the prior: N(0, 1) → a flow",
    "IWAE, 5 samples": "the posterior's shape",
    "plain": "(no prior, for comparison)",
    "WAE": "the KL on each picture",
    "AAE": "the KL on each picture",
    "VAE, fully convolutional": "(the VQ-VAE's twin)",
    "VQ": "places that do not agree",
}
bounds = {"VQ": rates["VQ"], "VAE, fully convolutional": rates["VAE, fcn"]}
likelihoods = {name: each.mean().item() for name, each in nats.items()}
likelihoods |= {name: -sum(rd.values()) for name, rd in bounds.items()}

# %% tags=["nbval-ignore-output"]
print(f"{'':25s} {'what it repairs':33s} log p(x), nats  bits/dim  Fréchet  minutes")
for name, what in repairs.items():
    text = f"{'–':>14s} {'–':>9s}"
    if name in likelihoods:
        text = f"{'≥' if name in bounds else ' '} {likelihoods[name]:12.2f} {bits(-likelihoods[name]):9.3f}"
    print(f"{name:25s} {what:33s} {text} {distance[name]:8.2f} {minutes[name]:8.1f}")
others = metrics.frechet_distance(real, metrics.features(judge[0], digits.test[::2]))  # as many as samples
print(f"{'real test digits':83s} {others:8.2f}")
print("likeliest:", max(nats, key=likelihoods.get), end="; ")
print("samples nearest to digits:", min(distance, key=distance.get))
print("one seed each; test digits; settings were tried on validation digits")

# %% tags=["figure-beyond"]
plots.show({name: drawn[name][12:20] for name in repairs}, width=12).described(
    "Sampled digits in columns, a row for each model of the table, in its order. In the full run the rows of "
    "plain and of the fully convolutional VAE have no digits."
)

# %% [markdown]
# ## Your turn
#
# Then try:
#
# * Fit a flow to the codes of a VAE that is trained already: `vae = aelib.load("pretrained/vae-mnist")`. Set
#   `vae.prior` to a flow for its 50 numbers, as in section 2, and
#   `fit(vae, train, losses.prior_likelihood, adam(vae.prior, 2e-3), epochs=2)`. What does log p(x) say now?
# * Models are products: the same with `iwae-mnist`. Is a flow worth as much there?
#
# <details><summary>Answers</summary>
#
# * The first 300 test digits gain 0.39 ± 0.03 nats, digit by digit. In section 2 the flow gained more: there
#   it was part of the training, and encoder and decoder went along with it. (It is another network, too.)
# * It gains 0.23 ± 0.03. What it is worth depends on how far the codes of a model are from its prior.
# </details>
#
# ## Take away
#
# * A VAE's weak places are choices: prior, posterior, what the KL acts on, real numbers. Each can be
#   exchanged alone, since a model is three parts and an objective.
# * Nats and pictures are two judges who need not agree, and some models have no nats at all. Say which one
#   you mean by "better".
# * Whatever the code is, learn its prior: a flow for numbers, a sequence model for indices.
#
# Next: **11, the clinic.** What if it does not work?
