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
# # 01b · Exact posteriors
#
# **What is a posterior, exactly?**
#
# *You need* notebook 01, and no data. *It takes* about two minutes of one core, and an hour of reading and
# writing. *You will be able to* say what the ELBO leaves out and measure it, tell the two reasons for a gap
# apart, and see when a code collapses.
#
# In a model of pictures log p(x) is an integral over, say, 64 numbers: no grid is large enough for it, and
# its posterior cannot be plotted. Here an example is two numbers and a code is one. Every integral is a sum
# over a grid, right to three digits and more. So what page 02 must estimate can be looked at first. New words
# (posterior, ELBO, gap, collapse, β) are in the [glossary](../materials/glossary.md).

# %% tags=["nbval-ignore-output"]
import math
from functools import partial

from aelib import fit, heads, losses, metrics, models, nets, plots, priors
import check  # the folder beside this page
import course  # the file beside it
from aelib.datasets import Batch, Examples
from aelib.training import adam, cosine

import torch
from torch import nn
from torch.distributions import Normal

SIGMA, STEP = 0.4, 0.02
z = torch.arange(-6, 6 + STEP / 2, STEP, dtype=torch.double)  # the grid of codes
print(f"profile {course.profile()} on {course.machine()}")

# %% [markdown]
# ## Predict
#
# Somebody draws a code z from N(0, 1), marks the place (z, z² − 1) on a sheet of paper, and misses it by
# noise of σ = 0.4 in both directions. You get the point x = (0, 1.2), high inside of the parabola. Which z
# was it? The posterior p(z|x) says how probable each z is. Sketch it. How many hills does it have?
#
# *Easy, 3 minutes; needs: a pencil.*

# %%
hills = ...  # a number from 1 to 5
### BEGIN SOLUTION
hills = 2
### END SOLUTION

# %% [markdown]
# ## 1 · A model that can be integrated
#
# The decoder is known: the mean of x is f(z) = (z, z² − 1). Of any x the *joint density* with every z of
# the grid is a formula. Its sum over the grid, times the distance of two codes of the grid, is p(x):
#
# $$p(x) = \int p(x|z)\,p(z)\,dz \approx \sum_g p(x|z_g)\,p(z_g)\,\Delta z,\qquad
#   p(x|z) = \prod_{d=1}^{D} \frac{1}{\sigma\sqrt{2\pi}}\,e^{-(x_d - f_d(z))^2 / 2\sigma^2}.$$
#
# Densities become too small for a float, so work with logarithms. Write the joint one.
#
# *Medium, 10 minutes; needs: broadcasting, the density of a Gaussian.*
#
# <details><summary>A hint</summary>
#
# `x[:, None]` is (B, 1, D), `means` is (G, D): their difference is (B, G, D). The density of x has D
# factors, so the constant counts D times; that of z has one.
# </details>


# %%
def log_joint(x, means, z, sigma):
    """x (B, D), means f(z) (G, D), codes z (G,), σ → (B, G), log p(x|z) + log p(z), in nats."""
    ### BEGIN SOLUTION
    squares = (x[:, None] - means).square().sum(-1)  # (B, G)
    constant = x.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))
    log_likelihood = -squares / (2 * sigma**2) - constant
    log_prior = -z.square() / 2 - math.log(2 * math.pi) / 2
    return log_likelihood + log_prior
    ### END SOLUTION


# %%
log_joint = check.log_joint(log_joint)


# %%
def parabola(z):
    return torch.stack([z, z.square() - 1], -1)


def evidence(x):  # (B, 2) -> (B,): log p(x), in nats
    return log_joint(x, parabola(z), z, SIGMA).logsumexp(1) + math.log(STEP)


across, up = torch.linspace(-4, 4, 161).double(), torch.linspace(-3, 15, 361).double()
plane = torch.cartesian_prod(across, up)
density = evidence(plane).exp().view(len(across), len(up))
print(f"p(x) sums to {density.sum() * (across[1] - across[0]) * (up[1] - up[0]):.3f} over the plane")

# %% [markdown]
# ## 2 · The posterior
#
# What z was it? By Bayes: p(z|x) = p(x|z) p(z) / p(x). All three are known here. Three points: one on the
# parabola, the one high inside of it, and one below. Look at how wide each posterior is, and where.


# %% tags=["figure-exact-posterior"]
def log_posterior(x):  # (B, 2) -> (B, G)
    return log_joint(x, parabola(z), z, SIGMA) - evidence(x)[:, None]


points = torch.tensor([[0.9, -0.2], [0.0, 1.2], [0.0, -2.0]], dtype=torch.double)
posteriors = log_posterior(points).exp()
named = {"on the curve": "C0", "inside": "C1", "below": "C2"}
figure, ((sheet, lines),) = plots.axes(1, 2, (4.2, 3.2))
sheet.contourf(across, up, density.T, 12, cmap="Greys")
sheet.plot(*parabola(z).T, color="C3", linewidth=1)
for point, posterior, (name, colour) in zip(points, posteriors, named.items(), strict=True):
    sheet.plot(*point, "o", color=colour)
    lines.plot(z, posterior, color=colour, label=name)
sheet.set(xlim=(-3, 3), ylim=(-2.6, 4), xlabel="x₁", ylabel="x₂", title="p(x), f(z) and three points")
lines.set(xlim=(-2.5, 2.5), xlabel="z", title="p(z|x)")
lines.legend()
figure.described(
    "A parabola with a point on it, one inside and one below; and their posteriors: one, two and one hill."
)

# %%
rises, falls = posteriors[1, 1:-1] > posteriors[1, :-2], posteriors[1, 1:-1] > posteriors[1, 2:]
check.hills(hills, int((rises & falls).sum()))

# %% [markdown]
# Two codes explain the point inside, one on the left and one on the right. An encoder of a VAE answers with
# *one* Gaussian. For the other two points that is nearly right. For this one it cannot be.
#
# ## 3 · The bound, and what it leaves out
#
# For any q(z), with ELBO = E_q[log p(x, z) − log q(z)]:
#
# $$\log p(x) = \mathrm{ELBO}(q) + \mathrm{KL}\big(q(z)\,\|\,p(z|x)\big).$$
#
# The last term is what the bound leaves out: its *gap*. It is zero where q is the posterior, and never
# negative. On a grid it is a sum. Write it.
#
# *Easy, 5 minutes; needs: the definition of KL, and that an integral is a sum times a step.*


# %%
def gap(log_q, log_p, step):
    """log q and log p(z|x), both (B, G), and the distance of codes → (B,), KL(q ‖ p), in nats."""
    ### BEGIN SOLUTION
    return (log_q.exp() * (log_q - log_p)).sum(1) * step
    ### END SOLUTION


# %%
gap = check.gap(gap)


# %%
def elbo(x, m, s):  # of q = N(m, s²): (B, 2), (B,), (B,) -> (B,)
    log_q = Normal(m[:, None], s[:, None]).log_prob(z)
    return (log_q.exp() * (log_joint(x, parabola(z), z, SIGMA) - log_q)).sum(1) * STEP


m, s = torch.tensor([0.5, 0.5, 0.5]).double(), torch.tensor([0.5, 0.5, 0.5]).double()
missing = gap(Normal(m[:, None], s[:, None]).log_prob(z), log_posterior(points), STEP)
for name, exact, bound, kl in zip(named, evidence(points), elbo(points, m, s), missing, strict=True):
    print(f"{name:13s} log p(x) {exact:7.3f} = ELBO {bound:8.3f} + gap {kl:6.3f}")

# %% [markdown]
# That was some q. The best Gaussian is the top of the map of the ELBO over (m, log s), marked with a cross.
# (A line is drawn 0.1, 0.3, 0.6 … 20 nats below the top. Of two tops that are equally high one is marked,
# and |m| is printed.)

# %%
middles, widths = torch.linspace(-2.2, 2.2, 89).double(), torch.logspace(-1.6, 0.2, 73).double()
pairs, below = torch.cartesian_prod(middles, widths), (20, 10, 5, 2.5, 1.2, 0.6, 0.3, 0.1)
best = []
figure, (row,) = plots.axes(1, 3, (3, 2.6), sharey=True)
for ax, x, (name, colour) in zip(row, points, named.items(), strict=True):
    values = elbo(x.expand(len(pairs), 2), *pairs.T)
    levels = [values.max().item() - nats for nats in below]
    best.append(pairs[values.argmax()])
    ax.contour(middles, widths, values.view(89, 73).T, levels, colors=colour, linestyles="solid")
    ax.plot(*best[-1], "k+")
    ax.set(title=name, xlabel="m", yscale="log")
    missing = evidence(x[None])[0] - values.max()
    print(f"{name:13s} best m {abs(best[-1][0]):.2f}, s {best[-1][1]:.2f}: gap {missing:.3f} nats")
row[0].set(ylabel="s")
figure.described(
    "Three maps of the ELBO over mean and width of a Gaussian, as contour lines, one map per point. "
    "For the point inside there are two equal tops, for the others one; a cross marks the top."
)

# %% [markdown]
# The best Gaussian for two equal hills is one of the hills. What it does not know of costs about log 2 =
# 0.693 nats: q is twice as high there as the posterior. (A q over both hills would also cover the valley
# between them, and the KL from q forbids that.) A training has two tops to climb, and its start decides.
#
# **Does the library say the same?** An encoder that answers with the best Gaussian whatever x is, and the
# parabola as decoder. `losses.elbo` draws codes; the grid does not.


# %%
class Parabola(nn.Module):
    def forward(self, z):  # (B, 1) -> (B, 2)
        return torch.cat([z, z.square() - 1], 1)


def model_of(encoder):
    q, p = nn.Sequential(encoder, heads.Gaussian()), nn.Sequential(Parabola(), heads.Gaussian(SIGMA))
    return models.Autoencoder(q, p, priors.StandardNormal(1))


# %%
torch.manual_seed(0)
for name, x, (m, s) in zip(named, points, best, strict=True):
    always = nn.Linear(2, 2)  # m and log s, whatever x is
    always.weight.data.zero_()
    always.bias.data.copy_(torch.stack([m, s.log()]))
    codes = Batch(x.expand(400_000, 2))
    by_codes = -losses.elbo(model_of(always).double(), codes)["loss"].mean()
    print(f"{name:13s} ELBO by the grid {elbo(x[None], m[None], s[None])[0]:.2f}, by codes {by_codes:.2f}")

# %% [markdown]
# ## 4 · What one encoder for all costs
#
# So far each x had a q of its own. An encoder has one set of weights for all x
# ([*amortisation*](../materials/glossary.md)). Its gap has two parts: what the best Gaussian misses, and what
# the encoder misses beyond that. Three encoders, the decoder known and fixed, 2,000 points of the model to
# train on. Which part will be larger?


# %%
def drawn(n, seed):
    g = torch.Generator().manual_seed(seed)
    codes, noise = (torch.randn(n, k, generator=g, dtype=torch.double) for k in (1, 2))
    return parabola(codes[:, 0]) + SIGMA * noise


train, valid, test = drawn(2000, 0), drawn(200, 2), drawn(200, 1)
rates = course.pick(full=(0.005, 0.01, 0.02, 0.04), quick=(0.01,))
seeds = range(course.pick(full=3, quick=1))


# %%
def trained(model, objective, rate):
    options = {"epochs": course.pick(full=100, quick=2), "schedule": {"lr": cosine()}}
    fit(model, Examples(train.float()), objective, adam(model, rate), **options)
    return model.cpu().double()


def encoder_of(hidden, rate, seed):
    torch.manual_seed(seed)
    return trained(model_of(nets.MLP(2, *hidden, 2)), losses.elbo, rate)


# %%
def best_gaussian(x):  # (B, 2) -> the largest ELBO, (B,): the top of each map, then gradient steps
    pairs = torch.cartesian_prod(torch.linspace(-3, 3, 61), torch.logspace(-1.3, 0.3, 9)).double()
    log_q = Normal(pairs[:, :1], pairs[:, 1:]).log_prob(z)
    values = log_joint(x, parabola(z), z, SIGMA) @ log_q.exp().T - (log_q.exp() * log_q).sum(1)
    top = pairs[values.argmax(1)]
    m, log_s = top[:, 0].clone().requires_grad_(), top[:, 1].log().requires_grad_()
    optimizer = torch.optim.Adam([m, log_s], 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        (-elbo(x, m, log_s.exp()).sum()).backward()
        optimizer.step()
    return elbo(x, m, log_s.exp()).detach()


@torch.no_grad()
def bound(model, x):  # of the encoder's q, on the grid
    q = model.encode(x)
    return elbo(x, q.mean[:, 0], q.stddev[:, 0])


# %% tags=["nbval-ignore-output"]
exact, gaussian, lost = evidence(test), best_gaussian(test), {}
print(f"log p(x) {exact.mean():.3f} nats per point; the best Gaussian misses {(exact - gaussian).mean():.3f}")
for name, hidden in {"linear": (), "8 units": (8,), "64 units": (64,)}.items():
    at = {rate: bound(encoder_of(hidden, rate, 0), valid).mean() for rate in rates}
    rate = max(at, key=at.get)
    lost[name] = [gaussian - bound(encoder_of(hidden, rate, seed), test) for seed in seeds]
    missed = ", ".join(f"{each.mean():.3f}" for each in lost[name])
    print(f"{name:9s} misses {missed} more, median {torch.cat(lost[name]).median():.3f} (rate {rate})")
print("test points, seeds", *seeds, "| rates: of", *rates, "the best on validation points, seed 0")
figure, (row,) = plots.axes(1, 3, (3, 3), sharey=True)
for ax, (name, each) in zip(row, lost.items(), strict=True):
    dots = ax.scatter(*test.T, c=each[0].clamp(0, 2), s=14, cmap="viridis_r", vmin=0, vmax=2)
    ax.set(title=name, xlabel="x₁", ylim=(-2.5, 6))
row[0].set(ylabel="x₂")
figure.colorbar(dots, ax=row[2], label="amortisation gap, nats")
figure.described(
    "The same points along the parabola for three encoders, coloured by what an encoder misses: in the full "
    "run many are dark for the linear encoder, few for larger ones, and those lie inside of the parabola."
)

# %% [markdown]
# The encoder's part is the larger one for all three, and a larger encoder makes it small (in the full
# profile: the quick one hardly trains). A linear one misses least at the bottom of the parabola; one of its
# three seeds ends far from the other two, which the mean shows and the median does not. What is left with 64
# units sits inside of the parabola, where the encoder has to jump from one hill to the other. So a poor bound
# need not mean a poor decoder. (0.04 was the largest rate that was tried. [Cremer and
# others](https://arxiv.org/abs/1801.03558), 2018, measure both parts in models of pictures.)
#
# ## 5 · Collapse that can be seen
#
# Now smaller still: x is one number from N(0, 1), the decoder is w z with noise σ, the encoder N(a x, s²).
# Averaged over all x the objective is a formula of three numbers, β included:
#
# $$J(w, a, s) = -\frac{(1 - wa)^2 + w^2 s^2}{2\sigma^2} - \log\big(\sigma\sqrt{2\pi}\big)
#   - \beta\,\frac{a^2 + s^2 - 1 - \log s^2}{2}.$$
#
# The best s is known: s² = 1 / (1 + w² / βσ²). So there is a map over (w, a). At the origin the decoder
# does not listen (w = 0), the encoder does not speak (a = 0), and q is the prior: that is *posterior
# collapse*.


# %%
def objective(w, a, sigma, beta=1.0):
    variance = 1 / (1 + w.square() / (beta * sigma**2))
    error = ((1 - w * a).square() + w.square() * variance) / (2 * sigma**2)
    kl = (a.square() + variance - 1 - variance.log()) / 2
    return -error - math.log(sigma * math.sqrt(2 * math.pi)) - beta * kl


def climb(sigma, beta=1.0, steps=400, start=0.05, rate=0.05):  # gradient ascent: the way, (steps, 2)
    at, way = torch.tensor([start, start], dtype=torch.double), []
    for _ in range(steps):
        at.requires_grad_()
        (slope,) = torch.autograd.grad(objective(*at, sigma, beta), at)
        at = at.detach() + rate * sigma**2 * slope
        way.append(at.clone())
    return torch.stack(way)


# %%
ws, listens = torch.linspace(-1.3, 1.3, 105).double(), torch.linspace(-1.3, 1.3, 105).double()
figure, (row,) = plots.axes(1, 3, (3, 2.8), sharey=True)
for ax, sigma in zip(row, (0.4, 0.8, 1.1), strict=True):
    values = objective(ws[:, None], listens, sigma)
    levels = values.max() - torch.logspace(1.2, -2.5, 14).double()
    ax.contour(ws, listens, values.T, levels.tolist(), cmap="viridis", linewidths=1)
    ax.plot(*climb(sigma).T, "C3.-", markersize=3)
    ax.set(title=f"σ = {sigma}", xlabel="w (decoder)")
row[0].set(ylabel="a (encoder)")
figure.described(
    "Three maps over decoder and encoder weight, as contour lines, with the way of a training in red. For "
    "the two smaller σ it climbs from the middle to one of two tops; for the largest the middle is the top."
)

# %% [markdown]
# Below σ = 1 there are two tops, which differ by the sign of the code, and a saddle between them. Red is
# the way of a training from near the saddle: one part learns nothing while the other is silent. At σ = 1.1
# the origin *is* the top. No optimiser is to blame: beside noise that large a code does not pay. And β does
# the same. With σ = 0.4, find the smallest β at which the best w is 0 (below 0.02); `best_w` looks for it
# on a fine grid.
#
# *Easy, 5 minutes; needs: a loop, or the formula for s above.*


# %%
def best_w(sigma, beta):
    w = torch.linspace(0, 1, 1001).double()
    a = w / (w.square() + beta * sigma**2)  # the best a for this w
    return w[objective(w, a, sigma, beta).argmax()].item()


smallest = ...  # a β, found by your experiment
### BEGIN SOLUTION
tried = [1 + k / 20 for k in range(200)]
smallest = next(beta for beta in tried if best_w(0.4, beta) < 0.02)
### END SOLUTION

# %%
check.beta_of_collapse(smallest, 6.1, 6.4)

# %% [markdown]
# **One knob.** Divide J by β: the error's weight is 1 / 2βσ², the KL's is 1. So only βσ² decides where the
# top is. Different pairs, one curve:

# %%
figure, ((ax,),) = plots.axes(size=(5, 3))
for sigma, mark in ((0.2, "o"), (0.4, "x"), (0.8, "+")):
    betas = torch.linspace(0.05, 1.2, 24) / sigma**2
    ax.plot(betas * sigma**2, [best_w(sigma, b.item()) for b in betas], mark, label=f"σ = {sigma}")
knob = torch.linspace(0, 1, 200)
ax.plot(knob, (1 - knob).sqrt(), "k-", linewidth=0.8, label="√(1 − βσ²)")
ax.set(xlabel="βσ²", ylabel="best w")
ax.legend()
figure.described(
    "The best decoder weight against β times σ squared: the marks of three σ lie on one curve, which falls "
    "from 1 and is 0 from βσ² = 1 on."
)

# %% [markdown]
# The curve ends at βσ² = 1, the variance of the data: there the code is gone. Linear models of larger data
# do this for every principal direction by itself: one whose variance is below βσ² has no place in the code
# ([Lucas and others](https://arxiv.org/abs/1911.02469), 2019). Page 02 counts what is left as
# [*active units*](../materials/glossary.md).
#
# ## 6 · More samples, a tighter bound
#
# The ELBO takes the mean of log w, w = p(x, z) / q(z), z from q. The logarithm of a *mean* of S weights
# lies nearer:
#
# $$\log p(x) \ge \mathrm{E}\Big[\log \frac{1}{S} \sum_{s=1}^{S} w_s\Big] \ge \mathrm{ELBO}.$$
#
# ([Burda, Grosse and Salakhutdinov](https://arxiv.org/abs/1509.00519), 2016.) Write it from log weights,
# without ever leaving the logarithm.
#
# *Medium, 5 minutes; needs: `logsumexp`.*


# %%
def bound_of_weights(log_w):
    """log weights (S, B), S codes for each of B examples → (B,), the logarithm of the mean weight."""
    ### BEGIN SOLUTION
    return log_w.logsumexp(0) - math.log(len(log_w))
    ### END SOLUTION


# %%
bound_of_weights = check.bound_of_weights(bound_of_weights)

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
counts = (1, 3, 10, 30, 100, 300, 1000)
figure, ((ax,),) = plots.axes(size=(5, 3))
for x, exact, (m, s), name in zip(points, evidence(points), best, named, strict=True):
    codes = Normal(m, s).sample((1000, 500))  # 500 repetitions
    joint = log_joint(x[None], parabola(codes).flatten(0, 1), codes.flatten(), SIGMA).view(1000, 500)
    bounds = [bound_of_weights((joint - Normal(m, s).log_prob(codes))[:n]) for n in counts]
    gaps = [(exact - bound.mean()).item() for bound in bounds]
    ax.plot(counts, gaps, "o-", color=named[name], label=name)
    print(f"{name:13s} 1,000 samples: {gaps[-1]:.3f} below, spread {bounds[-1].std():.3f} nats")
ax.set(xscale="log", xlabel="samples S", ylabel="log p(x) − bound, nats", ylim=(-0.05, 0.8))
ax.legend()
figure.described(
    "What the bound misses, against the number of samples, for three points: near 0 for the points on the "
    "curve and below it, and about 0.7 nats for the point inside at every number of samples."
)

# %% [markdown]
# Where q has the shape of the posterior, a few samples close the gap. For the point inside a thousand do
# not: q hardly ever samples from the other hill. The bound holds, but as an estimate of log p(x) it is
# wrong by log 2, and the spread between 500 repetitions does not show it. More samples do not repair a q
# that leaves something out.
#
# **And the model?** So far the decoder was known. Now it is learnt, with its σ, from the 2,000 points;
# encoder and decoder have 32 units. Then log p(x) of 200 other points is summed on the grid. The number of
# steps is the same for both objectives; IWAE has 50 codes per point in each of them.


# %%
def learn(objective, rate, seed):
    torch.manual_seed(seed)
    encoder = nn.Sequential(nets.MLP(2, 32, 2), heads.Gaussian())
    decoder = nn.Sequential(nets.MLP(1, 32, 2), heads.Gaussian(0.7, learn=True))
    return trained(models.Autoencoder(encoder, decoder, priors.StandardNormal(1)), objective, rate)


@torch.no_grad()
def exactly(model, x):  # log p(x), (B,)
    p = model.decode(z[:, None]).base_dist
    return log_joint(x, p.loc, z, p.scale[0, 0].item()).logsumexp(1) + math.log(STEP)


learnt, chosen = {}, {}
for name, objective in {"ELBO": losses.elbo, "IWAE": partial(losses.iwae, samples=50)}.items():
    at = {rate: exactly(learn(objective, rate, 0), valid).mean() for rate in rates}
    chosen[name] = max(at, key=at.get)
    learnt |= {(name, seed): learn(objective, chosen[name], seed) for seed in seeds}

# %% tags=["nbval-ignore-output"]
print(f"the true model: log p(x) {evidence(test).mean():.3f} nats per point, σ {SIGMA}")
figure, (row,) = plots.axes(1, len(learnt), (2.2, 2.6), sharey=True)
for ax, ((name, seed), model) in zip(row, learnt.items(), strict=True):
    scale, by_grid = model.decoder[-1].log_scale.exp().item(), exactly(model, test).mean()
    estimate = metrics.log_likelihood(model, Examples(test, dtype=torch.double), samples=1000).mean()
    print(f"{name}, seed {seed}: {by_grid:.3f}, by 1,000 samples {estimate:.3f}; σ {scale:.2f}")
    curve = model.decode(z[abs(z) < 2.7, None]).mean.detach()
    ax.plot(*parabola(z[abs(z) < 2.7]).T, "k", linewidth=1)
    ax.plot(*curve.T, color=course.COLOURS["VAE" if name == "ELBO" else name], linewidth=2)
    ax.set(title=f"{name}, seed {seed}", xlim=(-3.5, 3.5), ylim=(-2.5, 6), xlabel="x₁")
row[0].set(ylabel="x₂")
print("200 test points; rates", chosen, "of", *rates, "the best on 200 validation points, seed 0")
figure.described(
    "The true parabola in black and a learnt curve in colour, one panel per objective and seed. In the full "
    "run the ELBO's curves are nearly straight lines upwards, the IWAE's lie on the parabola."
)

# %% [markdown]
# Black is the true curve, in colour the learnt one. With the ELBO all three seeds end at a line that goes
# straight up: the code says how high a point is, and not on which side. The bound does not ask for that. The
# true model with the encoder of 64 units has a larger ELBO (its log p(x), less both gaps of section 4) than
# this model's log p(x), which its own ELBO cannot exceed. So the training got stuck, at the best of four
# rates. With 50 samples it did not, from the same seeds. And both numbers of a line agree: here q covers the
# posterior, so the estimate may be trusted.
#
# *Then try* 5 samples, a σ that starts at 0.2, or a β that rises during the training (`warm_up`). Which of
# them gets away from the line?
#
# <details><summary>An answer</summary>
#
# None, in a training of this length, from any of the three seeds, at a rate of 0.005. With 5 samples log p(x)
# is −3.19, and σ 0.95: the line, a little better. With a β that rises in the first 30 % of the training it is
# −3.25, and σ 0.96: the line. From σ = 0.2 it is −3.84, and σ 0.57: another place to be stuck, with a smaller
# σ and fewer nats than the line. Of all that was tried only the 50 samples helped.
# </details>
#
# ## 7 · Two numbers in a code
#
# x is one number, the sum of two codes and a little noise: x = z₁ + z₂ + σ ε. If z₁ is large, z₂ need not
# be: the two *explain each other away*. The posterior is a ridge across the axes, a Gaussian with
# correlation ρ. An encoder's q has no correlations. The gap of the best q without them is known: −½ log (1
# − ρ²). The same model turned by 45°, x = √2 u + σ ε, has a code with the same p(x), and a posterior along
# the axes.

# %%
grid = torch.linspace(-6, 6, 401).double()
one, two = torch.meshgrid(grid, grid, indexing="ij")
log_prior, step, x = -(one**2 + two**2) / 2 - math.log(2 * math.pi), (grid[1] - grid[0]).item() ** 2, 1.0


def of_two(mean):  # decoded (G, G) -> log p(x), log p(z|x) on the grid
    joint = Normal(mean, SIGMA).log_prob(torch.tensor(x)) + log_prior
    value = joint.flatten().logsumexp(0) + math.log(step)
    return value, joint - value


ridge, along = of_two(one + two), of_two(math.sqrt(2) * one)
print(f"log p(x) is {ridge[0]:.3f} and {along[0]:.3f}: for x alone it is one model")

# %%
noise = SIGMA**2
rho = 1 / (1 + noise)  # of the posterior, without its sign
q = Normal(x / (2 + noise), math.sqrt(noise / (1 + noise)))  # the best q of each number of the ridge
u, v = Normal(math.sqrt(2) * x / (2 + noise), math.sqrt(noise / (2 + noise))), Normal(0.0, 1.0)
answers = {"sum": (ridge[1], q.log_prob(one) + q.log_prob(two))}
answers["turned"] = (along[1], u.log_prob(one) + v.log_prob(two))
figure, (row,) = plots.axes(1, 2, (3.2, 3), sharey=True)
for ax, (name, (log_p, log_q)) in zip(row, answers.items(), strict=True):
    missed = gap(log_q.flatten()[None], log_p.flatten()[None], step).item()
    print(f"{name:7s} gap {abs(missed):.3f} nats")
    ax.contourf(grid, grid, log_p.exp().T, 10, cmap="Greys")
    ax.contour(grid, grid, log_q.exp().T, 4, colors="C1", linewidths=1)
    ax.set(title=name, xlabel="first number", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
row[0].set(ylabel="second number")
print(f"−½ log (1 − ρ²) = {-0.5 * math.log(1 - rho**2):.3f}")
figure.described(
    "Two posteriors of a code of two numbers, in grey. Left a ridge across the axes, with a smaller round q "
    "in its middle; right an upright ellipse that q covers."
)

# %% [markdown]
# For x alone the two models are one. For the ELBO they are not: it is larger by the gap where the axes of
# the code are those of the posterior. So the ELBO prefers codes whose numbers are independent given x, and
# that is one reason for what page 03 looks for: numbers of a code that mean one thing each.
#
# ## Take away
#
# * The ELBO leaves out KL(q ‖ p(z|x)): what a Gaussian cannot say, and what one encoder for all does not
#   say.
# * βσ² is one number. Where it passes the variance of a direction, the code of that direction is gone at
#   the optimum, however well you train.
# * More samples tighten the bound, unless q leaves a part of the posterior out. Then the estimate is wrong,
#   and does not show it.
# * A training can end far below what its own objective allows. In a model that can be integrated you see
#   whether the objective or the training is to blame.
#
# Next: **02, the variational autoencoder.** The same, where no grid can help.
