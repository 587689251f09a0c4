import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from aelib import distributions as D
from aelib import losses, models, nets
from aelib.datasets import Batch

torch.manual_seed(0)
DIM, LATENT, NOISE = 7, 3, 0.4


def linear_gaussian():
    """x = W z + b + noise, with the true posterior as encoder: N(S Wᵀ(x − b)/σ², S), where
    S = (I + WᵀW/σ²)⁻¹. Orthogonal columns make S diagonal, as the head's is."""
    w = (
        torch.linalg.qr(torch.randn(DIM, LATENT, dtype=torch.double))[0]
        * torch.tensor([1.5, 0.8, 0.3]).double()
    )
    b = torch.randn(DIM, dtype=torch.double)
    s = 1 / (1 + w.square().sum(0) / NOISE**2)
    encoder, decoder = nets.MLP(DIM, 2 * LATENT).double(), nets.MLP(LATENT, DIM).double()
    with torch.no_grad():
        decoder[1].weight.copy_(w), decoder[1].bias.copy_(b)
        encoder[1].weight.zero_()
        encoder[1].weight[:LATENT] = s[:, None] * w.T / NOISE**2
        encoder[1].bias[:LATENT] = -encoder[1].weight[:LATENT] @ b
        encoder[1].bias[LATENT:] = s.sqrt().log()
    model = models.Autoencoder(
        nn.Sequential(encoder, D.Gaussian()),
        nn.Sequential(decoder, nets.Reshape(1, 1, DIM), D.Gaussian(NOISE)),
        D.StandardNormal(LATENT),
    ).double()
    marginal = MultivariateNormal(b, w @ w.T + NOISE**2 * torch.eye(DIM, dtype=torch.double))
    return model, marginal


def test_with_the_true_posterior_every_sample_of_the_elbo_is_log_p_x():
    model, marginal = linear_gaussian()
    x = marginal.sample((20,)).view(20, 1, 1, DIM)
    q, z, p = model(x)
    sampled = p.log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(sampled, marginal.log_prob(x.flatten(1)), rtol=1e-10, atol=1e-10)


def test_the_mean_of_the_elbo_is_log_p_x():
    model, marginal = linear_gaussian()
    x = marginal.sample((1,)).view(1, 1, 1, DIM)
    terms = losses.elbo(model, Batch(x.expand(200_000, -1, -1, -1)))
    error = terms["loss"].std() / math.sqrt(200_000)
    assert abs(-terms["loss"].mean() - marginal.log_prob(x.flatten(1))) < 5 * error


def test_kl_is_the_closed_form_and_agrees_with_monte_carlo():
    mean, log_scale = torch.randn(5, 4).double(), torch.randn(5, 4).double() / 2
    q, p = D.Gaussian()(torch.cat([mean, log_scale], 1)), D.StandardNormal(4).double()()
    expected = 0.5 * (mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale)
    torch.testing.assert_close(losses.kl_per_dimension(q, p), expected)
    torch.testing.assert_close(losses.kl_term(q, p, q.sample()), expected.sum(1))
    z = q.sample((100_000,))
    torch.testing.assert_close((q.log_prob(z) - p.log_prob(z)).mean(0), expected.sum(1), rtol=0.02, atol=0.02)


def test_beta_and_free_bits_change_the_loss_only():
    model = models.autoencoder((1, 4, 4), 3, net="mlp")
    batch = Batch(torch.rand(6, 1, 4, 4))

    def terms(**keywords):
        torch.manual_seed(0)
        return losses.elbo(model, batch, **keywords)

    plain, strong, free = terms(), terms(beta=4.0), terms(free_bits=50.0)
    for name in ("nll", "kl"):
        assert torch.equal(plain[name], strong[name]) and torch.equal(plain[name], free[name])
    torch.testing.assert_close(plain["loss"], plain["nll"] + plain["kl"])
    torch.testing.assert_close(strong["loss"], plain["nll"] + 4 * plain["kl"])
    torch.testing.assert_close(free["loss"], plain["nll"] + 150.0)


def test_a_gaussian_of_fixed_scale_is_the_squared_error():
    model = models.autoencoder((1, 4, 4), 3, net="mlp", posterior="deterministic", likelihood="gaussian")
    batch = Batch(torch.rand(6, 1, 4, 4))
    nll = losses.reconstruction(model, batch)["loss"]
    squared = losses.reconstruction(model, batch, error=losses.squared_error)["loss"]
    torch.testing.assert_close(nll, squared / 2 + 16 / 2 * math.log(2 * math.pi))
    x_hat = model.reconstruct(batch.x)
    torch.testing.assert_close(squared, ((x_hat - batch.x) ** 2).sum((1, 2, 3)))


def test_the_target_is_what_is_compared():
    model = models.autoencoder((1, 4, 4), 3, net="mlp", posterior="deterministic")
    x, target = torch.rand(6, 1, 4, 4), torch.rand(6, 1, 4, 4)
    expected = -model(x).p.log_prob(target)
    torch.testing.assert_close(losses.reconstruction(model, Batch(x, target))["loss"], expected)


def test_a_point_posterior_has_no_elbo():
    model = models.autoencoder((1, 4, 4), 3, posterior="deterministic")
    with pytest.raises(TypeError, match="objective `reconstruction`"):
        losses.elbo(model, Batch(torch.rand(2, 1, 4, 4)))


def test_free_bits_need_a_factorised_prior():
    from aelib import latent

    model = models.autoencoder((1, 4, 4), 3)
    model.prior = latent.fit_prior(torch.randn(50, 3), "full")
    with pytest.raises(TypeError, match="factorised"):
        losses.elbo(model, Batch(torch.rand(2, 1, 4, 4)), free_bits=0.1)


def test_prediction_leaves_out_what_is_not_known():
    net = nn.Sequential(nets.MLP(4, 2), D.Bernoulli())
    x = torch.rand(3, 1, 2, 2)
    y = torch.tensor([[1.0, 0.0], [float("nan"), 1.0], [float("nan")] * 2])
    p = net(x).mean
    loss = losses.prediction(net, Batch(x, y=y))["loss"]
    expected = [-(p[0, 0].log() + (1 - p[0, 1]).log()).item(), -p[1, 1].log().item(), 0.0]
    assert loss.tolist() == pytest.approx(expected, rel=1e-5)
    loss.mean().backward()
    assert all(q.grad.isfinite().all() for q in net.parameters())
    with pytest.raises(ValueError, match="these images have none"):
        losses.prediction(net, Batch(x))
