import gc
import math
import weakref

import pytest
import torch
from torch import nn
from truth import DIM, linear_gaussian

from aelib import heads, losses, models, nets, priors
from aelib.datasets import Batch


def test_with_the_true_posterior_every_sample_of_the_elbo_is_log_p_x():
    model, marginal = linear_gaussian()
    x = marginal.sample((20,)).view(20, 1, 1, DIM)
    q, z, p = model(x)
    sampled = p.log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(sampled, marginal.log_prob(x.flatten(1)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_true_posterior_the_importance_weighted_bound_is_log_p_x(samples):
    model, marginal = linear_gaussian()
    x = marginal.sample((20,)).view(20, 1, 1, DIM)
    expected = -marginal.log_prob(x.flatten(1))
    terms = losses.iwae(model, Batch(x), samples=samples)
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(terms["elbo"], expected, rtol=1e-10, atol=1e-10)


def test_the_importance_weighted_bound_rises_with_the_samples_to_log_p_x():
    model, marginal = linear_gaussian()
    with torch.no_grad():
        model.encoder[0][1].bias += 0.4  # no longer the true posterior
    x = marginal.sample((1,)).view(1, 1, 1, DIM)
    batch = Batch(x.expand(4000, -1, -1, -1))
    bounds = [-losses.iwae(model, batch, samples=k)["loss"].mean() for k in (1, 4, 64)]
    truth = marginal.log_prob(x.flatten(1))
    assert bounds[0] < bounds[1] - 0.05 < bounds[2] - 0.1
    assert truth - 0.05 < bounds[2] < truth + 0.02
    one = losses.iwae(model, batch, samples=1)
    torch.testing.assert_close(one["loss"], one["elbo"])


def test_importance_weights_pair_every_code_with_its_own_image_and_condition():
    torch.manual_seed(0)
    model = models.autoencoder((1, 4, 4), 3, net="mlp", conditions=2)
    batch = Batch(torch.rand(6, 1, 4, 4), c=torch.rand(6, 2))
    torch.manual_seed(1)
    w = losses.log_weights(model, batch, 5)
    torch.manual_seed(1)
    z = model.encode(batch.x, batch.c).sample((5,))
    for s in range(5):
        for i in range(6):
            one = slice(i, i + 1)
            q, c = model.encode(batch.x[one], batch.c[one]), batch.c[one]
            expected = model.decode(z[s, one], c).log_prob(batch.x[one]) + model.prior().log_prob(z[s, i])
            torch.testing.assert_close(w[s, i], (expected - q.log_prob(z[s, one]))[0], rtol=1e-4, atol=1e-4)


def test_the_mean_of_the_elbo_is_log_p_x():
    model, marginal = linear_gaussian()
    x = marginal.sample((1,)).view(1, 1, 1, DIM)
    terms = losses.elbo(model, Batch(x.expand(200_000, -1, -1, -1)))
    error = terms["loss"].std() / math.sqrt(200_000)
    assert abs(-terms["loss"].mean() - marginal.log_prob(x.flatten(1))) < 5 * error


def test_the_gradient_of_iwae_is_unbiased_and_silent_at_the_true_posterior():
    model, marginal = linear_gaussian()
    x = marginal.sample((1,)).view(1, 1, 1, DIM)
    batch = Batch(x.expand(50_000, -1, -1, -1))
    encoder, decoder = ([*part.parameters()] for part in (model.encoder, model.decoder))

    def gradients(doubly):
        torch.manual_seed(0)
        w = losses.log_weights(model, batch, 3)
        torch.manual_seed(0)
        loss = losses.iwae(model, batch, 3)["loss"] if doubly else math.log(3) - w.logsumexp(0)
        return torch.autograd.grad(loss.mean(), encoder + decoder)

    for g in torch.autograd.grad(losses.iwae(model, batch, 3)["loss"].sum(), encoder):
        assert g.abs().max() < 1e-8  # the plain gradient is not zero but zero on average
    with torch.no_grad():
        encoder[-1].add_(0.3)  # now the posterior is wrong, in mean and in scale
    ours, plain = gradients(True), gradients(False)
    for k, (a, b) in enumerate(zip(ours, plain, strict=True)):
        if k < len(encoder):
            torch.testing.assert_close(a, b, atol=0.03, rtol=0.03)
        else:
            torch.testing.assert_close(a, b)  # the decoder's is the same, draw by draw


def test_iwae_keeps_no_code_alive():
    model = models.autoencoder((1, 4, 4), 3, net="mlp")
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(weakref.ref(given[0]._base)))
    gc.disable()  # a cycle through a tensor's hooks is not found for long, and a training fills the memory
    try:
        terms = losses.iwae(model, Batch(torch.rand(2, 1, 4, 4)), samples=3)
        assert seen[0]().shape == (3, 2, 3)
        terms["loss"].mean().backward()
        del terms
        assert seen[0]() is None
    finally:
        gc.enable()


def test_kl_is_the_closed_form_and_agrees_with_monte_carlo():
    mean, log_scale = torch.randn(5, 4).double(), torch.randn(5, 4).double() / 2
    q, p = heads.Gaussian()(torch.cat([mean, log_scale], 1)), priors.StandardNormal(4).double()()
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
    with pytest.raises(TypeError, match="objective `reconstruction`"):
        losses.iwae(model, Batch(torch.rand(2, 1, 4, 4)))


def test_free_bits_need_a_factorised_prior():

    model = models.autoencoder((1, 4, 4), 3)
    model.prior = priors.fit_prior(torch.randn(50, 3), "full")
    with pytest.raises(TypeError, match="factorised"):
        losses.elbo(model, Batch(torch.rand(2, 1, 4, 4)), free_bits=0.1)


def test_prediction_leaves_out_what_is_not_known():
    net = nn.Sequential(nets.MLP(4, 2), heads.Bernoulli())
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
