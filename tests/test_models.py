import itertools

import judges
import numpy as np
import pytest
import torch
import zoo
import zuko
from torch import nn
from truth import Rows

from aelib import datasets, heads, losses, models, nets, pretrained, priors, runs
from aelib.datasets import Batch

SHAPES = [(1, 1, 1), (3, 2, 5), (1, 8, 8), (2, 13, 7), (3, 50, 49), (6,), (1,), (2, 11), (1, 1), (2, 5, 1, 6)]
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
        if len(shape) == 1 and net in ("conv", "fcn"):
            continue  # a table has no neighbours
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


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian-predicted", "gaussian-optimal"])
@pytest.mark.parametrize("built", [(20,), (25, 31), (9, 8, 10)])
def test_a_fully_convolutional_model_returns_the_size_it_is_given(built, likelihood):
    model = build((2, *built), "fcn", "gaussian", likelihood, 2)
    for n in [1, 2, *range(15, 34), 45]:
        size = (n, 37, 5)[: len(built)]
        x, c = torch.rand(2, 2, *size), torch.randn(2, 2)
        assert model(x, c).x_hat.shape == model.reconstruct(x, c).shape == x.shape
        same = build(
            (2, *size), "fcn", "gaussian", likelihood, 2
        )  # built for this size, with the same weights
        same.load_state_dict(model.state_dict())
        assert torch.equal(same.reconstruct(x, c), model.reconstruct(x, c))
    assert model.sample(3, torch.randn(3, 2)).shape == (3, 2, *built)


def test_every_objective_keeps_the_size_of_a_fully_convolutional_models_pictures():
    model = build((1, 16, 16), "fcn", "gaussian", "gaussian", 0)
    batch = Batch(torch.rand(3, 1, 13, 11))  # as many places as 16×16 has
    for objective in (losses.elbo, losses.iwae, losses.contractive, losses.sparse, losses.reconstruction):
        assert objective(model, batch)["loss"].shape == (3,)
    assert losses.log_weights(model, batch, 4).shape == (4, 3)
    with pytest.raises(ValueError, match=r"of codes \(3, 2, 2\), and these are \(3, 3, 2\)"):
        losses.elbo(model, Batch(torch.rand(3, 1, 17, 11)))


@pytest.mark.parametrize("net", ["linear", "mlp", "conv"])
def test_a_size_that_is_not_the_models_is_refused(net):
    model = models.autoencoder((1, 28, 28), 4, net=net, hidden=None)
    for size in [(n, n) for n in range(25, 34) if n != 28] + [(14, 56), (784, 1), (784,), (28,), (1, 28, 28)]:
        with pytest.raises(ValueError, match=r"the network was built for \(B, C, 28, 28\); got \(2, 1, "):
            model(torch.rand(2, 1, *size))
    series = models.autoencoder((2, 30), 4, net=net)
    with pytest.raises(ValueError, match=r"built for \(B, C, 30\); got \(2, 30\). One example is x\[None\]"):
        series.encode(torch.rand(2, 30))


DTYPES = [torch.float64, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("likelihood", models.LIKELIHOODS)
@pytest.mark.parametrize("net", models.NETS)
def test_a_model_works_in_its_own_precision(net, likelihood, dtype):
    """The networks in theirs; distributions in float32 at least. What is given in another is cast."""
    torch.manual_seed(0)
    shape = (2, 9, 7)
    model = build(shape, net, "gaussian", likelihood, 2)
    x, c = torch.rand(4, *shape), torch.randn(4, 2)
    expected = model.reconstruct(x, c)
    model.to(dtype)
    inside = []
    for part in (model.encoder, model.decoder):
        part[-2].register_forward_hook(lambda _, given, out: inside.append(out.dtype))
    wide = torch.promote_types(dtype, torch.float32)
    for given in (torch.float16, torch.float32, torch.float64):
        q, z, p = model(x.to(given), c.to(given))
        assert q.mean.dtype == z.dtype == p.mean.dtype == wide and set(inside) == {dtype}
        x_hat = model.reconstruct(x.to(given), c.to(given))
        torch.testing.assert_close(x_hat, expected.to(wide), atol=0.05, rtol=0.05)
    assert model.sample(3, c[:3]).dtype == wide
    terms = losses.elbo(model, Batch(x, c=c))
    assert all(t.dtype == wide and t.isfinite().all() for t in terms.values())
    terms["loss"].mean().backward()
    assert all(v.grad.dtype == dtype and v.grad.isfinite().all() for v in model.parameters())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_quantisers_and_fitted_priors_work_in_the_models_precision(dtype):
    model = models.autoencoder((1, 8, 8), 4, net="mlp", posterior="deterministic")
    model.encoder = nn.Sequential(*list(model.encoder)[:-1], heads.VectorQuantizer(8, 2))
    x = torch.rand(20, 1, 8, 8)
    losses.vector_quantized(model.to(dtype), Batch(x))["loss"].mean().backward()
    model.prior = priors.Autoregressive(model.encoder[-1], 4, width=8, heads=2).to(dtype)
    assert losses.elbo(model, Batch(x))["kl"].isfinite().all() and model.sample(3).isfinite().all()
    for kind in ("diagonal", "full", "mixture"):
        model = models.autoencoder((1, 8, 8), 4, net="mlp")
        options = {"components": 2} if kind == "mixture" else {}
        model.prior = priors.fit_prior(torch.randn(50, 4), kind, **options)
        model.to(dtype)
        assert losses.elbo(model, Batch(x))["kl"].isfinite().all() and model.sample(3).isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_model_comes_back_in_its_precision(dtype, tmp_path):
    model = models.autoencoder((1, 8, 8), 4, net="mlp").to(dtype).eval()
    runs.save(tmp_path, model)
    again, x = runs.load(tmp_path, device="cpu"), torch.rand(3, 1, 8, 8)
    assert torch.equal(again.reconstruct(x), model.reconstruct(x)) and again.prior.loc.dtype == dtype


def top_k(model):
    model.encoder = nn.Sequential(*list(model.encoder)[:-1], zoo.TopK(1), heads.Deterministic())


def normal(model):
    model.decoder = nn.Sequential(model.decoder[0], nn.Sigmoid(), heads.Gaussian(0.1))


def other_scale(model):
    model.decoder[-1].scale = 0.5


def fitted(model):
    model.prior = priors.fit_prior(torch.randn(50, 4), "diagonal")


def another_network(model):
    model.encoder[1] = nets.ConvEncoder((1, 7, 7), 4)  # the same shapes of all weights, for another size


@pytest.mark.parametrize("swap", [top_k, normal, other_scale, fitted, another_network])
def test_a_recipe_is_kept_only_while_it_makes_the_same_model(swap, tmp_path):
    options = {"posterior": "deterministic", "likelihood": "gaussian"}
    model = models.autoencoder((1, 8, 8), 4, **options)
    assert model.recipe["latent"] == 4
    swap(model)
    assert model.recipe is None
    runs.save(tmp_path, model)
    with pytest.raises(runs.RunError, match="into=model"):
        runs.load(tmp_path)
    twin = models.autoencoder((1, 8, 8), 4, **options)
    swap(twin)
    again, z = runs.load(tmp_path, into=twin), torch.randn(3, 4)
    assert torch.equal(again.decode(z).mean, model.eval().decode(z).mean)


@pytest.mark.parametrize("name", ["top-k", "VQ"])
def test_a_member_of_the_zoo_comes_back_as_what_it_was(name, tmp_path):
    """With the recipe of its first half a top-k code came back without zeros, a Gaussian as a Bernoulli."""
    model = zoo.MEMBERS[name].build((1, 8, 8), 8).eval()
    runs.save(tmp_path, model)
    with pytest.raises(runs.RunError, match="into=model"):
        runs.load(tmp_path)
    again, x = runs.load(tmp_path, into=zoo.MEMBERS[name].build((1, 8, 8), 8)), torch.rand(5, 1, 8, 8)
    if name == "top-k":
        assert (again.encode(x).mean == 0).float().mean() == 0.75
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    assert torch.equal(again(x).p.log_prob(x), model(x).p.log_prob(x))


def test_what_a_recipe_is_compared_by_is_the_structure_alone(tmp_path):
    model = models.autoencoder((1, 8, 8), 4, net="mlp", hidden=(6,), norm=nn.BatchNorm1d)
    state = torch.get_rng_state()
    for change in (
        lambda: model.requires_grad_(False),
        model.eval,
        model.double,
        lambda: model(torch.rand(2, 1, 8, 8)),
    ):
        change()
        assert model.recipe == model._recipe
    model.train().float()(torch.rand(5, 1, 8, 8))
    torch.set_rng_state(state)
    assert model.recipe["norm"] == "BatchNorm1d" and torch.equal(torch.get_rng_state(), state)
    assert models.autoencoder((1, 8, 8), 4, net="mlp", norm=nn.Identity).recipe is None


UNITS = (
    torch.tensor([1e-3, 1.0, 5e4]),
    torch.tensor([10.0, -2.0, 3e5]),
)  # of three variables: scales and means


def table(n=400, seed=0, missing=False):
    rng = np.random.default_rng(seed)
    u = torch.tensor(rng.normal(size=(n, 1)) @ np.ones((1, 3)) + 0.5 * rng.normal(size=(n, 3))).float()
    x = u * UNITS[0] + UNITS[1]
    known = torch.tensor(rng.random((n, 3)) > 0.3) if missing else None
    return x, known


class Table(Rows):
    """Rows of which some numbers are missing."""

    def __init__(self, x, known):
        super().__init__(x)
        self.known = known

    def batches(self, size, seed=None, device="cpu"):
        for x, known in zip(self.x.split(size), self.known.split(size), strict=True):
            yield Batch(
                x.where(known, torch.tensor(0.0)), x.where(known, torch.tensor(float("nan"))), known=known
            )


STANDARDISED = [name for name in models.LIKELIHOODS if name != "bernoulli"]


@pytest.mark.parametrize("likelihood", STANDARDISED)
def test_standardised_a_models_density_is_that_of_the_numbers_units(likelihood):
    x, _ = table()
    torch.manual_seed(0)
    model = models.autoencoder((3,), 2, net="mlp", likelihood=likelihood, standardise=Rows(x), hidden=(8,))
    plain = models.autoencoder((3,), 2, net="mlp", likelihood=likelihood, hidden=(8,))
    plain.encoder[0] = nn.Identity()
    mean, scale = (v.double() for v in nets.learnt(Rows(x), (3,)))
    model, plain, x = model.double(), plain.double(), x.double()
    weights = {k.replace("decoder.1.head", "decoder.1"): v for k, v in model.state_dict().items()}
    plain.load_state_dict(
        {k: v for k, v in weights.items() if not k.endswith(("mean", "scale")) or "log" in k}
    )
    z = model.encode(x).mean
    torch.testing.assert_close(z, plain.encode((x - mean) / scale).mean)
    p, u = model.decode(z), plain.decode(z)
    torch.testing.assert_close(p.mean, u.mean * scale + mean)
    if likelihood == "gaussian-optimal":  # the best σ, of the standardised numbers
        expected = u.log_prob((x - mean) / scale) - scale.log().sum()
    else:
        affine = torch.distributions.AffineTransform(mean, scale, event_dim=1)
        expected = torch.distributions.TransformedDistribution(u, affine).log_prob(x)
    torch.testing.assert_close(p.log_prob(x), expected)


def test_what_is_learnt_is_of_each_channel_of_the_known_numbers_and_leaves_the_condition_alone():
    x, known = table(missing=True)
    mean, scale = nets.learnt(Table(x, known), (3,))
    there = np.ma.array(x.double().numpy(), mask=~known.numpy())
    np.testing.assert_allclose(mean, there.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scale, there.std(0), rtol=1e-5)
    series = 3 + 2 * torch.randn(30, 2, 7)
    series[:, 1] = 5.3  # a channel that does not vary
    model = models.autoencoder(
        (2, 7), 3, net="conv", likelihood="gaussian", standardise=Rows(series), conditions=2
    )
    seen = model.encoder[0](models.join(series, c := torch.randn(30, 2)))
    assert seen[:, 0].mean().abs() < 1e-5 and abs(seen[:, 0].std() - 1) < 0.01
    assert seen[:, 1].abs().max() < 1e-5 and torch.equal(seen[:, 2:, 0], c)


def test_a_standardised_model_trains_on_a_table_and_comes_back_from_its_folder(tmp_path):
    x, _ = table()
    data = Rows(x)
    torch.manual_seed(0)
    options = {"net": "linear", "posterior": "deterministic", "likelihood": "gaussian"}
    model = models.autoencoder((3,), 1, standardise=data, **options)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        losses.reconstruction(model, Batch(x))["loss"].mean().backward()
        optimizer.step()
    u = (x - x.mean(0)) / x.std(0)
    left = (((model.reconstruct(x) - x) / x.std(0)) ** 2).sum(1).mean()
    best = torch.linalg.svdvals(u)[1:].square().sum() / len(u)  # PCA's error with one component
    assert left == pytest.approx(best.item(), rel=0.02)
    runs.save(tmp_path, model)
    again = runs.load(tmp_path, device="cpu")
    assert (
        torch.equal(again.reconstruct(x), model.eval().reconstruct(x)) and again.recipe["standardise"] is True
    )


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
        (lambda: models.autoencoder((1, 2, 3, 4, 5), 2), r"shape is \(D,\), \(C, T\), \(C, H, W\) or"),
        (lambda: models.autoencoder((), 2), r"got \(\)"),
        (lambda: models.autoencoder((8,), 2), r'a table has not; use net="mlp"'),
        (lambda: models.autoencoder((8,), 2, net="fcn"), r'a table has not; use net="mlp"'),
        (lambda: models.autoencoder((3,), 2, net="mlp", standardise=True), 'likelihood="gaussian-learnt"'),
        (lambda: standardised(Rows(torch.rand(5, 4))), r"\(3,\), but those to learn from are \(4,\)"),
        (lambda: standardised(Rows(torch.rand(0, 3))), "learn from are none"),
        (lambda: standardised(torch.rand(5, 3)), r"as split\.train; got Tensor"),
        (lambda: models.autoencoder((1, 8, 8), 0), "latent is at least 1"),
        (lambda: models.autoencoder((1, 8, 8), 2, net="linear", hidden=(3,)), "no hidden layers"),
        (lambda: models.autoencoder((1, 8, 8), 2)(torch.rand(1, 8, 8)), r"One example is x\[None\]"),
        (lambda: models.autoencoder((3,), 2, net="mlp")(torch.rand(3)), r"One example is x\[None\]"),
        (lambda: models.autoencoder((1, 8, 8), 2)(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)), "by 255"),
        (lambda: models.autoencoder((1, 8, 8), 2, posterior="deterministic").sample(3), "fit_prior"),
        (lambda: models.autoencoder((1, 8, 8), 2, conditions=2).sample(3, torch.zeros(2, 2)), "3 conditions"),
        (lambda: models.join(torch.zeros(3, 4), torch.zeros(2, 1)), "one condition an example"),
    ],
)  # fmt: skip
def test_what_is_typed_wrong_gets_a_clear_error(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def standardised(data):
    return models.autoencoder((3,), 2, net="mlp", likelihood="gaussian", standardise=data)


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
    torch.testing.assert_close(nets.Features(2, 5, 4)(models.join(x, c)), expected)
    torch.testing.assert_close(
        nets.Features(3)(models.join(x[:, 0, 0, :3], c)), models.join(x[:, 0, 0, :3], c)
    )


@pytest.mark.parametrize("labels", [True, False])
def test_a_classifier_has_features_and_a_gradient_everywhere(labels):
    net = judges.classifier((3, 17, 13), 4, labels=labels, features=9, hidden=(4, 8))
    x, y = torch.rand(5, 3, 17, 13), torch.tensor([0, 1, 2, 3, 1])
    assert net[0](x).shape == (5, 9)
    if labels:
        expected = nn.functional.cross_entropy(net[1](net[0](x)), y, reduction="none")
        torch.testing.assert_close(losses.prediction(net, Batch(x, y=y))["loss"], expected)
    losses.prediction(net, Batch(x, y=y if labels else torch.ones(5, 4)))["loss"].mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
