"""Discs whose factors are known, total correlation and DCI, against cases that have a closed form."""

import math

import disentangling
import numpy as np
import pytest
import torch
from disentangling import dci, discs, log_total, rotated, total_correlation

from aelib import datasets, losses, models
from aelib.contexts import seeded


def test_discs_are_what_their_factors_say():
    data = discs(300, size=32, seed=1)
    x, level = data.batch().x[:, 0], torch.tensor(data.attributes.to_numpy())
    at = (torch.arange(32) + 0.5) / 32
    mass = x.sum((1, 2))
    across, down = (x.sum(1) @ at) / mass, (x.sum(2) @ at) / mass
    torch.testing.assert_close(across, (0.2 + 0.6 * level[:, 0] / 7).float(), atol=2e-3, rtol=0)
    torch.testing.assert_close(down, (0.35 + 0.3 * level[:, 1] / 7).float(), atol=2e-3, rtol=0)
    shade, radius = 0.4 + 0.6 * level[:, 3] / 4, 0.1 + 0.1 * level[:, 2] / 4
    torch.testing.assert_close(x.amax((1, 2)), shade.float(), atol=2e-3, rtol=0)
    torch.testing.assert_close(mass / 32**2, (shade * math.pi * radius**2).float(), atol=0, rtol=0.02)


def test_factors_of_discs_are_independent_and_come_from_the_seed():
    data = discs(4000, size=8)
    for name, levels in disentangling.FACTORS.items():
        assert sorted(data.attributes[name].unique()) == list(range(levels))
    others = np.corrcoef(data.attributes.to_numpy().T) - np.eye(4)
    assert abs(others).max() < 4 / 4000**0.5
    assert (discs(50, 8).pixels == discs(50, 8).pixels).all()
    assert (discs(50, 8).pixels != discs(50, 8, seed=1).pixels).any()


def test_all_codes_together_are_the_mixture_where_the_batch_is_the_whole_set():
    mean, deviation, z = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0)).double()
    deviation = deviation.exp()
    parts = torch.distributions.Categorical(torch.ones(40))
    each = torch.distributions.Normal(mean, deviation)
    whole = torch.distributions.MixtureSameFamily(parts, torch.distributions.Independent(each, 1))
    alone = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(5, 40)), torch.distributions.Normal(mean.T, deviation.T)
    )
    together, apart = log_total(mean, deviation, z, 40)
    torch.testing.assert_close(together, whole.log_prob(z), check_dtype=False)
    torch.testing.assert_close(apart, alone.log_prob(z).sum(1), check_dtype=False)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_total_correlation_of_a_gaussian_is_the_closed_form(rho):
    g, s = torch.Generator().manual_seed(0), 0.3
    rest = torch.tensor([[1.0, rho], [rho, 1.0]]) - s**2 * torch.eye(2)
    mean = torch.randn(3000, 2, generator=g) @ torch.linalg.cholesky(rest).T
    z = mean + s * torch.randn(3000, 2, generator=g)
    together, apart = log_total(mean, torch.full_like(mean, s), z, 3000)
    assert (together - apart).mean().item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)


def test_of_a_batch_the_own_posterior_counts_once_in_n():
    mean = torch.tensor([[0.0], [50.0]])  # far apart: of each code only its own posterior is left
    together, apart = log_total(mean, torch.ones(2, 1), mean, n=1000)
    own = torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)) - math.log(1000)
    torch.testing.assert_close(together, own.expand(2))
    torch.testing.assert_close(apart, together)  # one coordinate: no correlation


def test_the_objective_is_the_elbo_and_beta_less_one_of_the_total_correlation():
    data = discs(24, size=8)
    model = models.autoencoder(data.shape, 3, net="mlp", hidden=(16,))
    batch = data.batch()
    terms = {}
    for beta in (1.0, 6.0):
        with seeded(0):
            terms[beta] = total_correlation(model, batch, n=24, beta=beta)
    with seeded(0):
        elbo = losses.elbo(model, batch)
    torch.testing.assert_close(terms[1.0]["loss"], elbo["loss"])
    torch.testing.assert_close(terms[6.0]["loss"], elbo["loss"] + 5 * terms[6.0]["tc"])
    assert all(term.shape == (24,) for term in terms[6.0].values())
    terms[6.0]["tc"].mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.encoder.parameters())


def factors(n=2000, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 6, (n, 3))).float()


def judged(codes, v):
    half = len(v) // 2
    return dci(codes[:half], v[:half], codes[half:], v[half:])


def test_dci_of_a_coordinate_per_factor_is_one_and_of_a_rotation_low():
    v, g = factors(), torch.Generator().manual_seed(1)
    own = torch.cat(
        [v[:, [2, 0, 1]] * torch.tensor([-3.0, 1.0, 0.2]), 0.1 * torch.randn(2000, 2, generator=g)], 1
    )
    good = judged(own, v)
    assert min(good.values()) > 0.97
    turned = judged(rotated(v - v.mean(0), seed=3), v)
    assert turned["disentanglement"] < 0.5 and turned["completeness"] < 0.5
    assert turned["informativeness"] > 0.8


def test_dci_tells_a_shared_coordinate_from_a_factor_in_two():
    v, g = factors(), torch.Generator().manual_seed(1)
    a, b = v[:, 0], v[:, 1]
    doubled = judged(torch.stack([a, a + 0.01 * torch.randn(2000, generator=g), b], 1), v[:, :2])
    assert doubled["disentanglement"] > 0.95 and doubled["completeness"] < 0.8
    shared = judged(torch.stack([a + 6 * b, torch.randn(2000, generator=g)], 1), v[:, :2])
    assert shared["disentanglement"] < 0.6 and shared["completeness"] > 0.8
    noise = judged(torch.randn(2000, 3, generator=g), v)
    assert noise["disentanglement"] < 0.1 and noise["informativeness"] < 0.1


def test_a_rotation_keeps_lengths_and_angles_and_comes_from_its_seed():
    z = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    turned = rotated(z, seed=2)
    torch.testing.assert_close(turned @ turned.T, z @ z.T, atol=1e-4, rtol=1e-4)
    assert (turned - z).abs().max() > 0.5 and torch.equal(turned, rotated(z, seed=2))
    assert torch.linalg.det(rotated(torch.eye(7), seed=5)).item() == pytest.approx(1, abs=1e-5)
    assert rotated(z.double()).dtype == torch.double


def test_discs_train_like_any_pictures():
    assert datasets.Split(*(discs(20, 8, seed) for seed in range(3))).shape == (1, 8, 8)
