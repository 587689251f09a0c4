import itertools

import pytest
import torch
import zuko
from torch import nn

from aelib import datasets, heads, losses, models, nets, pretrained, priors
from aelib.datasets import Batch

SHAPES = [(1, 1, 1), (3, 2, 5), (1, 8, 8), (2, 13, 7), (3, 50, 49)]
KINDS = list(itertools.product(models.NETS, models.POSTERIORS, models.LIKELIHOODS))


def build(shape, net, posterior, likelihood, conditions):
    hidden = {"linear": None, "mlp": (16, 16)}.get(net, (4, 5, 6))
    return models.autoencoder(
        shape, 3, net=net, posterior=posterior, likelihood=likelihood, conditions=conditions, hidden=hidden
    )


@pytest.mark.parametrize("net, posterior, likelihood", KINDS)
def test_the_whole_product_has_right_shapes_and_a_gradient_at_every_parameter(net, posterior, likelihood):
    objective = losses.reconstruction if posterior == "deterministic" else losses.elbo
    for shape, conditions in itertools.product(SHAPES, (0, 2)):
        torch.manual_seed(0)
        model = build(shape, net, posterior, likelihood, conditions)
        x, c = torch.rand(5, *shape), torch.randn(5, 2) if conditions else None
        out = model(x, c)
        assert out.x_hat.shape == x.shape == model.reconstruct(x, c).shape
        if model.prior is not None:
            assert model.sample(5, c).shape == x.shape
        terms = objective(model, Batch(x, c=c))
        assert all(t.shape == (5,) for t in terms.values())
        terms["loss"].mean().backward()
        for name, p in model.named_parameters():
            where = f"{name} of {net} {posterior} {likelihood} {shape}, {conditions} conditions"
            assert p.grad is not None and p.grad.isfinite().all(), f"no finite gradient at {where}"
            assert p.grad.abs().sum() > 0, f"the gradient is zero at {where}"


@pytest.mark.parametrize("net, posterior, likelihood", KINDS)
def test_the_loss_of_an_example_does_not_change_with_its_neighbours(net, posterior, likelihood):
    model = build((1, 6, 5), net, posterior, likelihood, 0).double()
    objective = losses.reconstruction if posterior == "deterministic" else losses.elbo
    x = torch.rand(6, 1, 6, 5, dtype=torch.double)
    model.encoder[-1].forward = without_noise(model.encoder[-1].forward)
    alone = [objective(model, Batch(x[i : i + 1]))["loss"].item() for i in range(6)]
    together = objective(model, Batch(x))["loss"].tolist()
    assert together == pytest.approx(alone, rel=1e-9)


def without_noise(forward):
    def f(h):
        q = forward(h)
        q.rsample = lambda shape=(): q.mean
        return q

    return f


@pytest.mark.parametrize("net", models.NETS)
def test_nothing_reaches_the_decoder_but_z_and_c(net):
    """With z held, other images decode to the same; with z free, they do not."""
    model = build((1, 9, 7), net, "gaussian", "gaussian", 2)
    a, b, c = torch.rand(3, 1, 9, 7), torch.rand(3, 1, 9, 7), torch.randn(3, 2)
    z = model.encode(a, c).mean
    model(b, c)
    once = model.decode(z, c).mean
    model(a, c)
    assert torch.equal(once, model.decode(z, c).mean)
    x = a.clone().requires_grad_()
    p = model.decode(model.encode(x, c).mean.detach(), c).mean
    assert not p.requires_grad or torch.autograd.grad(p.sum(), x, allow_unused=True)[0] is None


@pytest.mark.parametrize("net", models.NETS)
def test_conditions_matter_to_encoder_and_decoder(net):
    torch.manual_seed(0)
    model = build((1, 9, 7), net, "gaussian", "gaussian", 2)
    x, one, two = torch.rand(3, 1, 9, 7), torch.zeros(3, 2), torch.ones(3, 2)
    z = model.encode(x, one).mean
    assert not torch.allclose(z, model.encode(x, two).mean)
    assert not torch.allclose(model.decode(z, one).mean, model.decode(z, two).mean)


def test_a_fully_convolutional_models_weights_fit_every_size():
    small, large = (build((3, *s), "fcn", "gaussian", "gaussian", 0) for s in ((17, 20), (64, 50)))
    large.load_state_dict(small.state_dict())
    assert large.reconstruct(torch.rand(1, 3, 64, 50)).shape == (1, 3, 64, 50)


def test_a_zuko_flow_is_a_prior_as_it_is():
    model = build((1, 6, 6), "mlp", "gaussian", "bernoulli", 2)
    model.prior = zuko.flows.MAF(3, context=2, transforms=1, hidden_features=(8,))
    x, c = torch.rand(5, 1, 6, 6), torch.randn(5, 2)
    terms = losses.elbo(model, Batch(x, c=c))
    assert terms["kl"].shape == (5,) and model.sample(5, c).shape == x.shape
    terms["loss"].mean().backward()
    assert all(p.grad is not None for p in model.prior.parameters())
    model = build((1, 6, 6), "mlp", "gaussian", "bernoulli", 0)
    model.prior = zuko.flows.MAF(3, transforms=1, hidden_features=(8,))
    assert losses.elbo(model, Batch(x))["kl"].shape == (5,) and model.sample(4).shape == (4, 1, 6, 6)


def test_a_model_is_written_like_the_paper():
    vae = models.Autoencoder(
        encoder=nn.Sequential(nets.MLP(784, 32, 2 * 4), heads.Gaussian()),
        decoder=nn.Sequential(nets.MLP(4, 32, 784), nets.Reshape(1, 28, 28), heads.Bernoulli()),
        prior=priors.StandardNormal(4),
    )
    q, z, p = vae(torch.rand(2, 1, 28, 28))
    assert z.shape == (2, 4) and q.mean.shape == (2, 4) and p.mean.shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.autoencoder((1, 8, 8), 2, net="cnov"), "Did you mean 'conv'"),
        (lambda: models.autoencoder((1, 8, 8), 2, posterior="gausian"), "Did you mean 'gaussian'"),
        (lambda: models.autoencoder((1, 8, 8), 2, likelihood="bernouli"), "Did you mean 'bernoulli'"),
        (lambda: models.autoencoder((8, 8), 2), r"shape is \(C, H, W\)"),
        (lambda: models.autoencoder((1, 8, 8), 0), "latent is at least 1"),
        (lambda: models.autoencoder((1, 8, 8), 2, net="linear", hidden=(3,)), "no hidden layers"),
        (lambda: models.autoencoder((1, 8, 8), 2)(torch.rand(8, 8)), r"One image is x\[None\]"),
        (lambda: models.autoencoder((1, 8, 8), 2)(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)), "by 255"),
        (lambda: models.autoencoder((1, 8, 8), 2, posterior="deterministic").sample(3), "fit_prior"),
        (lambda: models.autoencoder((1, 8, 8), 2, conditions=2).sample(3, torch.zeros(2, 2)), "3 conditions"),
        (lambda: models.join(torch.zeros(3, 4), torch.zeros(2, 1)), "one condition an example"),
    ],
)  # fmt: skip
def test_what_is_typed_wrong_gets_a_clear_error(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_shapes_that_do_not_fit_are_said_beside_torchs_message():
    for net in ("mlp", "conv"):
        model = models.autoencoder((1, 8, 8), 2, net=net, conditions=2)
        with pytest.raises(RuntimeError) as e:
            model(torch.rand(3, 1, 8, 8))
        assert "encoder was given shape (1, 8, 8) an example on cpu, and no condition" in e.value.__notes__[0]
        with pytest.raises(RuntimeError) as e:
            model.decode(torch.rand(3, 5), torch.rand(3, 2))
        assert (
            "decoder was given shape (5,) an example on cpu, and a condition of size 2"
            in e.value.__notes__[0]
        )
    with pytest.raises(TypeError, match=r"data\[:8\]\.batch\(\)\.x; got Images"):
        model.reconstruct(datasets.load("digits").test)


def test_names_of_the_package_are_where_they_say():
    import aelib

    for name in aelib.__all__:
        assert getattr(aelib, name) is not None
    assert aelib.load is pretrained.load and aelib.elbo is losses.elbo
    with pytest.raises(AttributeError, match="aelib has no 'Autoencodr'"):
        _ = aelib.Autoencodr


def test_a_condition_costs_a_multilayer_network_one_weight_a_unit():
    plain = models.autoencoder((1, 28, 28), 4, net="mlp", hidden=(32,))
    told = models.autoencoder((1, 28, 28), 4, net="mlp", hidden=(32,), conditions=10)
    count = [sum(p.numel() for p in m.parameters()) for m in (plain, told)]
    assert count[1] - count[0] == 10 * 32 * 2  # in the encoder's first layer, and in the decoder's
    x, c = torch.rand(3, 2, 5, 4), torch.rand(3, 6)
    expected = torch.cat([x.flatten(1), c], 1)
    torch.testing.assert_close(nets.Features(2)(models.join(x, c)), expected)


@pytest.mark.parametrize("labels", [True, False])
def test_a_classifier_has_features_and_a_gradient_everywhere(labels):
    net = models.classifier((3, 17, 13), 4, labels=labels, features=9, hidden=(4, 8))
    x, y = torch.rand(5, 3, 17, 13), torch.tensor([0, 1, 2, 3, 1])
    assert net[0](x).shape == (5, 9)
    if labels:
        expected = nn.functional.cross_entropy(net[1](net[0](x)), y, reduction="none")
        torch.testing.assert_close(losses.prediction(net, Batch(x, y=y))["loss"], expected)
    losses.prediction(net, Batch(x, y=y if labels else torch.ones(5, 4)))["loss"].mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
