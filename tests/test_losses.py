import gc
import math
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from truth import DIM, LATENT, linear_gaussian

from aelib import distributions as D
from aelib import heads, losses, metrics, models, nets, priors
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
    with pytest.raises(TypeError, match="take `reconstruction`"):
        losses.elbo(model, Batch(torch.rand(2, 1, 4, 4)))
    with pytest.raises(TypeError, match="take `reconstruction`"):
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


def gaps(shape, seed=0):
    """A batch with gaps, where the target is NaN; the first example has none, the last nothing else."""
    torch.manual_seed(seed)
    x, known = torch.rand(6, *shape), torch.rand(6, *shape) > 0.4
    known[0], known[-1] = True, False
    return Batch(x.where(known, torch.tensor(0.5)), x.where(known, torch.tensor(float("nan"))), known=known)


@pytest.mark.parametrize("missing", [False, True])
def test_the_profile_is_the_best_of_all_factors_of_the_scale(missing):
    torch.manual_seed(0)
    mean, scale, x = torch.randn(5, 3, 4), torch.rand(3, 4) + 0.1, torch.randn(5, 3, 4)
    known = torch.rand(5, 3, 4) < 0.7 if missing else None
    normal = lambda s: torch.distributions.Independent(torch.distributions.Normal(mean, s), 2)  # noqa: E731
    factors = torch.logspace(-2, 2, 4001)
    best = min(losses.nll(normal(f * scale), x, known).sum().item() for f in factors)
    for factor in (0.01, 1.0, 30.0):  # whatever was learnt
        found = losses.profile_nll(normal(factor * scale), x, known)
        assert found.shape == (5,) and found.sum().item() == pytest.approx(best, abs=1e-3)


PER_VARIABLE = [name for name in models.LIKELIHOODS if name != "gaussian-optimal"]


@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 4, 3)])
@pytest.mark.parametrize("likelihood", PER_VARIABLE)
def test_the_nll_of_what_is_known_is_its_sum_variable_by_variable(likelihood, shape):
    batch = gaps(shape)
    model = models.autoencoder(shape, 2, net="mlp", likelihood=likelihood, hidden=(8,))
    p = model(batch.x).p
    for i in range(6):
        expected = 0.0
        for place in batch.known[i].nonzero():
            j = (i, *place.tolist())
            one = type(p.base_dist)(
                **{k: getattr(p.base_dist, k)[j] for k in parameters(p)}, validate_args=False
            )
            expected = expected - one.log_prob(batch.target[j])
        torch.testing.assert_close(losses.nll(p, batch.target, batch.known)[i], torch.as_tensor(expected))
        difference = (p.mean - batch.target)[i][batch.known[i]]
        found = losses.squared_error(p, batch.target, batch.known)[i]
        torch.testing.assert_close(found, difference.square().sum())


def parameters(p):
    return ["logits"] if "logits" in vars(p.base_dist) else ["loc", "scale"]


@pytest.mark.parametrize("standardise", [False, True])
def test_the_best_scale_is_that_of_the_known_numbers_alone(standardise):
    batch = gaps((7,))
    options = {"net": "mlp", "likelihood": "gaussian-optimal", "hidden": (8,), "standardise": standardise}
    model = models.autoencoder((7,), 2, **options)
    if standardise:
        model.decoder[-1].scale.copy_(torch.rand(7) + 0.5)
    p = model(batch.x).p
    for i in range(5):
        rows = batch.known[i]
        unit = model.decoder[-1].scale[rows] if standardise else None
        alone = D.OptimalNormal(p.mean[i : i + 1, rows], unit).log_prob(batch.target[i : i + 1, rows])
        torch.testing.assert_close(p.log_prob(batch.target, batch.known)[i], alone[0])
    assert losses.nll(p, batch.target, batch.known)[-1] == 0


OBJECTIVES = {
    "reconstruction": losses.reconstruction,
    "elbo": losses.elbo,
    "iwae": losses.iwae,
    "wae": losses.wae,
    "sparse": losses.sparse,
    "contractive": losses.contractive,
    "adversarial": partial(losses.adversarial, critic=nets.MLP(2, 1)),
    "squared": partial(losses.elbo, error=losses.squared_error),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_objective_learns_from_what_is_not_known(name):
    """Whatever stands there, loss and gradient are the same; where all is known, those without a mask."""
    batch = gaps((1, 4, 3))
    model = models.autoencoder((1, 4, 3), 2, net="mlp", likelihood="gaussian-predicted", hidden=(8,))

    def gradient(batch):
        torch.manual_seed(0)
        loss = OBJECTIVES[name](model, batch)["loss"]
        return [loss, *torch.autograd.grad(loss.mean(), [*model.parameters()], allow_unused=True)]

    first = gradient(batch)
    assert all(v is None or v.isfinite().all() for v in first)
    for other in (0.0, 7.0, float("inf")):
        changed = replace(batch, target=batch.target.where(batch.known, torch.tensor(other)))
        assert all(a is b or torch.equal(a, b) for a, b in zip(first, gradient(changed), strict=True))
    whole = Batch(batch.x)
    masked = replace(whole, known=torch.ones_like(batch.known))
    for a, b in zip(gradient(whole), gradient(masked), strict=True):
        assert a is b or torch.equal(a, b) or torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_importance_weights_of_what_is_known_give_its_marginal():
    """log p of the known variables is that of the joint distribution with the others integrated out."""
    model, marginal = linear_gaussian()
    with torch.no_grad():
        model.encoder[0][1].bias[LATENT:] += 1.0  # what knows fewer numbers knows the code less well
    x = marginal.sample((1,))
    known = torch.tensor([True, False, True, True, False, False, True])
    batch = Batch(x.view(1, 1, 1, DIM), known=known.view(1, 1, 1, DIM))
    w = losses.log_weights(model, batch, 200_000)[:, 0]
    sigma = marginal.covariance_matrix[known][:, known]
    truth = torch.distributions.MultivariateNormal(marginal.mean[known], sigma).log_prob(x[0, known])
    error = (w - w.max()).exp().std() / (w - w.max()).exp().mean() / math.sqrt(len(w))
    assert abs(w.logsumexp(0) - math.log(len(w)) - truth) < 4 * error < 0.05


def test_an_error_that_compares_whole_examples_refuses_missing_values():
    model = models.autoencoder((1, 12, 12), 2, net="mlp", hidden=(8,))
    batch = gaps((1, 12, 12))
    judge = losses.perceptual(nn.Conv2d(1, 2, 3))
    for error in (metrics.ssim_error, judge, lambda p, x: losses.nll(p, x) + metrics.ssim_error(p, x)):
        with pytest.raises(TypeError, match=r"have missing values\. losses\.nll and losses\.squared_error"):
            losses.elbo(model, batch, error=error)
        assert losses.elbo(model, Batch(batch.x), error=error)["loss"].shape == (6,)
    full = torch.distributions.MultivariateNormal(torch.zeros(6, 2), torch.eye(2))
    with pytest.raises(TypeError, match="each variable by itself; got MultivariateNormal"):
        losses.nll(full, torch.zeros(6, 2), torch.ones(6, 2, dtype=torch.bool))
    weighted = partial(lambda w, p, x, known=None: w * losses.nll(p, x, known), 2.0)
    torch.manual_seed(0)
    twice = losses.elbo(model, batch, error=weighted)["nll"]
    torch.manual_seed(0)
    torch.testing.assert_close(twice, 2 * losses.elbo(model, batch)["nll"])


def hidden_sign(n=512):
    """Pictures (N, 1, 3, 3) of a style and a sign, each along a direction of its own, and a small noise."""
    y, style = torch.randint(0, 2, (n, 1)).float(), torch.randn(n, 1)
    a, b = (
        torch.tensor(v, dtype=torch.float) for v in ([1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0, 0])
    )
    x = 0.2 * style * a + (y - 0.5) * b + 0.5 + 0.01 * torch.randn(n, 9)
    return Batch(x.view(-1, 1, 3, 3), c=2 * y - 1, y=y)


def reader_of(latent, outputs=1):
    return nn.Sequential(nets.MLP(latent, 32, outputs), heads.Bernoulli())


@pytest.mark.parametrize("objective", [losses.elbo, losses.wae, losses.iwae, losses.sparse])
def test_hiding_asks_for_the_shares_of_the_batch_and_with_strength_0_is_its_objective(objective):
    torch.manual_seed(0)
    model, reader = models.autoencoder((1, 3, 3), 2, net="mlp", hidden=(8,), conditions=1), reader_of(2)
    batch = hidden_sign(16)
    batch.y[3] = torch.nan  # not known: nothing to read

    def gradients(loss):
        return torch.autograd.grad(loss, [*model.parameters(), *reader.parameters()], allow_unused=True)

    torch.manual_seed(1)
    plain = objective(model, batch)
    z = model.encode(batch.x, batch.c).rsample()  # after the objective's own noise, as in the library
    known, entropy = ~batch.y.isnan(), nn.functional.binary_cross_entropy_with_logits
    shares = batch.y[known].mean().expand(16, 1)  # a cross-entropy is linear in what was the case
    expected = gradients(plain["loss"].mean() + 7.0 * entropy(reader[0](z), shares))
    read = entropy(reader[0](z.detach())[known], batch.y[known], reduction="none").sum() / 16
    alone = torch.autograd.grad(read, list(reader.parameters()))
    torch.manual_seed(1)
    terms = losses.hiding(model, batch, reader, strength=7.0, objective=objective)
    ours = gradients(terms["loss"].mean())
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other)
    moved = gradients(terms["read"].mean())
    assert all(g is None for g in moved[: -len(alone)])  # it moves the reader alone
    for one, other in zip(moved[-len(alone) :], alone, strict=True):
        torch.testing.assert_close(one, other)
    torch.manual_seed(1)
    none = losses.hiding(model, batch, reader, strength=0.0, objective=objective)
    assert all(torch.equal(none[k], plain[k]) for k in plain) and set(none) == {*plain, "read"}
    assert not model.encoder._forward_hooks


def test_of_labels_the_surprise_is_least_where_the_reader_says_their_shares():
    torch.manual_seed(0)
    model = models.autoencoder((1, 3, 3), 2, net="mlp", hidden=(8,), posterior="deterministic")
    batch = Batch(torch.rand(12, 1, 3, 3), y=torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]))
    shares = torch.tensor([0.5, 0.25, 0.25])

    def surprise(logits):
        reader = nn.Sequential(nn.Linear(2, 3), heads.Categorical())
        with torch.no_grad():
            reader[0].weight.zero_()
            reader[0].bias.copy_(logits)
        of = partial(losses.hiding, model, batch, reader, objective=losses.reconstruction)
        return (of(strength=1.0)["loss"] - of(strength=0.0)["loss"]).mean().item()

    for logits in (shares.log(), torch.zeros(3), torch.tensor([9.0, 0.0, -9.0])):
        assert surprise(logits) == pytest.approx(-(shares * logits.log_softmax(0)).sum().item(), abs=1e-4)
        assert surprise(logits) >= surprise(shares.log()) - 1e-4


@pytest.mark.parametrize("strength, obeys", [(0.0, False), (100.0, True)])
def test_what_is_hidden_from_the_code_is_taken_from_the_condition(strength, obeys):
    torch.manual_seed(1)
    batch = hidden_sign(256)
    batch = replace(batch, c=0.1 * batch.c)  # faint: a code says it more easily, and a VAE does not look here
    model, reader = models.autoencoder((1, 3, 3), 2, net="mlp", conditions=1, hidden=(32,)), reader_of(2)
    model.decoder[-1] = heads.Gaussian(0.05)
    optimizers = [torch.optim.Adam(part.parameters(), lr=5e-3) for part in (model, reader)]
    for _ in range(400):
        terms = losses.hiding(model, batch, reader, strength=strength)
        for optimizer, name in zip(optimizers, ("loss", "read"), strict=True):
            optimizer.zero_grad()
            terms[name].mean().backward(retain_graph=True, inputs=optimizer.param_groups[0]["params"])
        for optimizer in optimizers:
            optimizer.step()
    with torch.no_grad():
        z = model.encode(batch.x, batch.c).mean
        own, other = (model.decode(z, c).mean.flatten(1) for c in (batch.c, -batch.c))
    assert (own - batch.x.flatten(1)).square().mean() < 0.002  # the style, whose variance is 0.04, is kept
    turned = ((own - other)[:, 4] * batch.c.sign().flatten()).mean().item()  # the sign's two ends are 1 apart
    assert (turned > 0.7) if obeys else (turned < 0.3)
    assert (own - other)[:, 0].abs().mean() < 0.1


def test_a_reader_needs_something_to_read():
    model = models.autoencoder((1, 3, 3), 2, net="mlp", hidden=(8,))
    with pytest.raises(ValueError, match="needs labels or attributes"):
        losses.hiding(model, Batch(torch.rand(4, 1, 3, 3)), reader_of(2))
    with pytest.raises(TypeError, match=r"ends in a head, as heads\.Bernoulli\(\)"):
        losses.hiding(model, Batch(torch.rand(4, 1, 3, 3), y=torch.rand(4, 1)), nets.MLP(2, 1))
    assert not model.encoder._forward_hooks
