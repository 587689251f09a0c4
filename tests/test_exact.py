"""Bounds and estimators against integrals over a grid of codes, of one number and of two, by NumPy alone."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn

from aelib import contexts, heads, losses, metrics, models, nets, priors
from aelib.datasets import Batch, Examples

SIGMA, X = 0.4, (0.9, -0.2)  # of the noise; the example
Q = {1: ((0.8,), (0.25,)), 2: ((0.8, -0.4), (0.35, 0.45))}  # m and s of q: near the posterior, and not it
DIGITS = 5e-3  # three digits of numbers from 1 to 10


class Bent(nn.Module):
    """(B, K) → (B, 2): (z, z² − 1) of one number, (z₁, z₂ + z₁² / 2) of two."""

    def forward(self, z):
        a, b = z[:, 0], z[:, -1]
        return torch.stack([a, a.square() - 1 if z.shape[1] == 1 else b + a.square() / 2], 1)


def model(k):
    encoder = nn.Linear(2, 2 * k)
    with torch.no_grad():
        encoder.weight.zero_(), encoder.bias.copy_(torch.tensor([*Q[k][0], *np.log(Q[k][1])]))
    q, p = nn.Sequential(encoder, heads.Gaussian()), nn.Sequential(Bent(), heads.Gaussian(SIGMA))
    return models.Autoencoder(q, p, priors.StandardNormal(k)).double()


def grid(k):
    """(k, …) codes, and the volume of one of them. Of smooth densities such a sum is exact to many digits."""
    line, step = np.linspace(-8, 8, 801, retstep=True)
    return np.stack(np.meshgrid(*[line] * k, indexing="ij")), step**k


def log_joint(z):
    means = np.stack([z[0], z[0] ** 2 - 1 if len(z) == 1 else z[1] + z[0] ** 2 / 2])
    x = np.reshape(X, (2, *[1] * (z.ndim - 1)))
    return norm.logpdf(x, means, SIGMA).sum(0) + norm.logpdf(z).sum(0)


def log_q(z):
    m, s = (np.reshape(v, (len(z), *[1] * (z.ndim - 1))) for v in Q[len(z)])
    return norm.logpdf(z, m, s).sum(0)


def copies(k, n):
    return Batch(torch.tensor(X, dtype=torch.double).expand(n, 2))


def test_the_grid_is_as_good_as_quadrature():
    exact = quad(lambda z: math.exp(log_joint(np.array([z]))), -8, 8, epsabs=1e-12, limit=500)[0]
    z, step = grid(1)
    assert np.exp(log_joint(z)).sum() * step == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("k", [1, 2])
def test_log_likelihood_hits_the_integral_to_three_digits(k):
    z, step = grid(k)
    exact = math.log(np.exp(log_joint(z)).sum() * step)
    data = Examples(torch.tensor([X]), dtype=torch.double)
    found = metrics.log_likelihood(model(k), data, samples=300_000, rows=4096).item()
    assert found == pytest.approx(exact, abs=DIGITS) and 1 < abs(exact) < 10


@pytest.mark.parametrize("k", [1, 2])
def test_the_elbo_and_its_gap_hit_the_integrals_to_three_digits(k):
    """ELBO = E_q[log p(x, z) − log q], and log p(x) − ELBO = KL(q ‖ p(z|x))."""
    z, step = grid(k)
    joint, q = log_joint(z), log_q(z)
    bound, evidence = (np.exp(q) * (joint - q)).sum() * step, math.log(np.exp(joint).sum() * step)
    gap = (np.exp(q) * (q - (joint - evidence))).sum() * step
    assert evidence - bound == pytest.approx(gap, abs=1e-9) and gap > 0.01
    with contexts.seeded(0):
        terms = losses.elbo(model(k), copies(k, 1_000_000))
    assert -terms["loss"].mean().item() == pytest.approx(bound, abs=DIGITS)
    kl = (np.exp(q) * (q - norm.logpdf(z).sum(0))).sum() * step
    assert terms["kl"][0].item() == pytest.approx(kl, abs=1e-6)


def test_the_importance_weighted_bound_of_two_samples_hits_its_integral_to_three_digits():
    """E[log ½ (w₁ + w₂)] over two codes drawn from q; it lies between the ELBO and log p(x)."""
    line, step = np.linspace(0.8 - 7 * 0.25, 0.8 + 7 * 0.25, 801, retstep=True)
    q = log_q(line[None])
    w = log_joint(line[None]) - q
    exact = (np.exp(q[:, None] + q) * (np.logaddexp(w[:, None], w) - math.log(2))).sum() * step**2
    with contexts.seeded(0):
        found = losses.iwae(model(1), copies(1, 500_000), samples=2)
    assert -found["loss"].mean().item() == pytest.approx(exact, abs=DIGITS)
    assert (np.exp(q) * w).sum() * step < exact - DIGITS


@pytest.mark.parametrize("sigma, beta", [(0.4, 1.0), (0.4, 4.0), (0.8, 1.0), (0.8, 1.5), (1.1, 1.0)])
def test_sigma_and_beta_are_one_knob(sigma, beta):
    """x of N(0, 1), decoder w z, encoder N(a x, s²): the gradient of the library's loss vanishes at
    w = √(1 − βσ²), or at 0 where βσ² > 1, whichever way βσ² is made up."""
    knob = beta * sigma**2
    w = math.sqrt(max(0.0, 1 - knob))
    a = w / (w**2 + knob)
    encoder, decoder = nn.Linear(1, 2), nn.Linear(1, 1)
    x = torch.tensor(norm.ppf((np.arange(20_000) + 0.5) / 20_000))[:, None]
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[a], [0.0]])), decoder.weight.fill_(w), decoder.bias.zero_()
        encoder.bias.copy_(torch.tensor([0.0, 0.5 * math.log(knob / (w**2 + knob))]))
    made = models.Autoencoder(
        nn.Sequential(encoder, heads.Gaussian()), nn.Sequential(decoder, heads.Gaussian(sigma)),
        priors.StandardNormal(1),
    ).double()  # fmt: skip
    with contexts.seeded(0):
        losses.elbo(made, Batch(x.repeat(20, 1)), beta=beta)["loss"].mean().backward()
    slopes = [decoder.weight.grad.item(), *encoder.weight.grad.flatten().tolist()[:1]]
    slopes.append(encoder.bias.grad[1].item())
    assert np.abs(slopes).max() < 0.03 / sigma**2


def test_a_ridge_costs_what_its_correlation_says():
    """x = z₁ + z₂ + σ ε has a posterior of correlation ρ; the best q without any misses −½ log (1 − ρ²)."""
    noise = SIGMA**2
    precision = np.array([[1 + 1 / noise, 1 / noise], [1 / noise, 1 + 1 / noise]])
    rho = -precision[0, 1] / precision[0, 0]
    decoder = nets.MLP(2, 1)
    encoder = nets.MLP(1, 4)
    with torch.no_grad():
        decoder[1].weight.fill_(1.0), decoder[1].bias.zero_(), encoder[1].weight.zero_()
        encoder[1].weight[:2] = 1 / (2 + noise)
        encoder[1].bias[:] = torch.tensor([0.0, 0.0, *[-0.5 * math.log(precision[0, 0])] * 2])
    made = models.Autoencoder(
        nn.Sequential(encoder, heads.Gaussian()), nn.Sequential(decoder, heads.Gaussian(SIGMA)),
        priors.StandardNormal(2),
    ).double()  # fmt: skip
    x = torch.full((1_000_000, 1), 1.3, dtype=torch.double)
    with contexts.seeded(0):
        bound = -losses.elbo(made, Batch(x))["loss"]
    exact = norm.logpdf(1.3, 0, math.sqrt(2 + noise))
    assert exact - bound.mean().item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=5e-3)
