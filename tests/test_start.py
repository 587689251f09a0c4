"""A model that starts as principal component analysis, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from aelib import datasets, heads, losses, models, nets, runs
from aelib.datasets import Batch

GAUSSIAN = [name for name in models.LIKELIHOODS if name != "bernoulli"]


def pictures(n=200, shape=(3, 6, 5), seed=0):
    """Pictures of three hidden numbers and some noise, in [0, 1]."""
    rng = np.random.default_rng(seed)
    d = int(np.prod(shape))
    x = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + 0.2 * rng.normal(size=(n, d)) + rng.normal(size=d)
    return datasets.of(((x - x.min()) / (x.max() - x.min())).astype(np.float32).reshape(n, *shape))


def table(n=5000):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 9)) + 0.3 * rng.normal(size=(n, 9)) + 3
    return datasets.of(x.astype(np.float32))


def pca_error(x, n):
    x = x.flatten(1).double().numpy()
    pca = PCA(n).fit(x)
    return np.square(x - pca.inverse_transform(pca.transform(x))).mean()


@pytest.mark.parametrize("likelihood", GAUSSIAN)
@pytest.mark.parametrize("net", ["linear", "mlp", "conv"])
def test_a_plain_autoencoder_starts_at_the_error_of_pca(net, likelihood):
    data = pictures()
    options = {"net": net, "posterior": "deterministic", "likelihood": likelihood, "start": data}
    model = models.autoencoder(data.shape, 2, **options)
    x = data.batch().x
    error = (model.reconstruct(x) - x).square().mean().item()
    assert error == pytest.approx(pca_error(x, 2), rel=1e-4)
    codes = model.encode(x).mean
    torch.testing.assert_close(torch.cov(codes.T), torch.eye(2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("net", ["linear", "mlp"])
def test_a_variational_one_starts_at_the_likelihood_of_probabilistic_pca(net, standardise):
    data = table()
    x = data.batch().x
    model = models.autoencoder(
        data.shape, 3, net=net, likelihood="gaussian-learnt", start=data,
        standardise=data if standardise else False,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.no_grad():
        bound = -np.mean([losses.elbo(model, Batch(x))["loss"].mean().item() for _ in range(30)])
        q = model.encode(x)
        whole = torch.cov(q.mean.T) + torch.diag(q.variance.mean(0))
    scale = x.double().std(0, correction=0) if standardise else torch.ones(9).double()
    u = (x / scale).numpy()
    expected = PCA(3).fit(u).score(u) - scale.log().sum().item()
    assert bound == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(whole, torch.eye(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(q.mean.mean(0), torch.zeros(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("likelihood", [name for name in GAUSSIAN if name != "gaussian-optimal"])
def test_sigma_starts_at_what_pca_leaves_over(likelihood):
    data = table()
    x = data.batch().x
    model = models.autoencoder(data.shape, 3, net="mlp", likelihood=likelihood, start=data)
    left = PCA(3).fit(x.numpy()).noise_variance_ ** 0.5
    expected = {"gaussian": 1.0, "laplace": 2**0.5}.get(likelihood, left)
    assert model(x).p.stddev.mean().item() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (13, 9), (3, 30)])
def test_a_convolutional_one_of_any_size_starts_at_the_pca_of_its_patches(size):
    data = pictures(100, (2, *size))
    options = {"net": "fcn", "posterior": "deterministic", "likelihood": "gaussian", "hidden": (8, 8)}
    model = models.autoencoder(
        data.shape, 32, **options, start=data
    )  # all that a patch 4×4 in 2 channels has
    x = data.batch().x
    assert torch.allclose(model.reconstruct(x), x, atol=2e-3)
    model = models.autoencoder(data.shape, 8, **options, start=data)
    u = torch.nn.functional.pad(x - 0.5, (0, -size[1] % 4, 0, -size[0] % 4)).unfold(2, 4, 4).unfold(3, 4, 4)
    u = u.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)  # a convolution subtracts one mean a channel
    u = (u - u.mean((0, 2, 3), keepdim=True)).flatten(1).double()
    best = torch.linalg.svdvals(u)[8:].square().sum().item() / x.numel()
    assert (model.reconstruct(x) - x).square().mean().item() < 1.01 * best  # what is cut off costs nothing
    assert model.reconstruct(torch.rand(1, 2, 25, 31)).shape == (1, 2, 25, 31)


@pytest.mark.parametrize("net", models.NETS)
def test_training_moves_what_is_beside_the_layers_and_the_model_comes_back(net, tmp_path):
    data = datasets.of(pictures(40).values, labels=np.arange(40) % 3).map(datasets.conditioned(3))
    options = {"net": net, "likelihood": "gaussian-learnt", "conditions": 3}
    model = models.autoencoder(data.shape, 4, **options, start=data)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    runs.fit(model, data, losses.elbo, epochs=2, batch_size=10, run=tmp_path)
    kept = {k for k, v in model.state_dict().items() if torch.equal(v, before[k])}
    assert kept == {k for k in before if ".base." in k}  # the network beside it learns what is not linear
    again = runs.load(tmp_path, which="last", device="cpu")
    batch = data.batch()
    assert torch.equal(again.reconstruct(batch.x, batch.c), model.reconstruct(batch.x, batch.c))
    assert again.recipe == model.recipe and again.recipe["start"] is True


@pytest.mark.parametrize("n, latent", [(2, 4), (5, 8), (1, 3), (60, 90)])
@pytest.mark.parametrize("posterior", models.POSTERIORS)
def test_more_numbers_than_components_are_left_unused(n, latent, posterior):
    data = pictures(n)
    model = models.autoencoder(data.shape, latent, posterior=posterior, likelihood="gaussian", start=data)
    x = data.batch().x
    assert model.encode(x).mean.isfinite().all()
    if posterior == "deterministic":  # which has a component for each
        torch.testing.assert_close(model.reconstruct(x), x, atol=1e-3, rtol=0)


def test_pictures_that_are_all_the_same_start_as_this_picture():
    x = np.full((9, 1, 8, 8), 0.25, np.float32)
    for net in models.NETS:
        model = models.autoencoder((1, 8, 8), 2, net=net, likelihood="gaussian-learnt", start=datasets.of(x))
        torch.testing.assert_close(model.reconstruct(torch.tensor(x)), torch.tensor(x))
        assert losses.elbo(model, Batch(torch.tensor(x)))["loss"].isfinite().all()


def test_the_start_leaves_the_callers_randomness_alone_and_is_the_same_each_time():
    data = pictures().map(datasets.noisy(0.1))
    made, after = [], []
    for start in (data, data, True):
        torch.manual_seed(0)
        made.append(models.autoencoder(data.shape, 2, likelihood="gaussian", start=start))
        after.append(torch.rand(1).item())
    first, second, zero = (m.encoder[1].base[1].weight for m in made)
    assert torch.equal(first, second) and len(set(after)) == 1 and not zero.any()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.autoencoder((3, 6, 5), 2, start=pictures()), "bernoulli.*gaussian-learnt"),
        (lambda: begun((3, 6, 6)), r"\(3, 6, 6\), but those to learn from are \(3, 6, 5\)"),
        (lambda: begun((3, 6, 5), torch.rand(4, 3, 6, 5)), r"start= takes data .* got Tensor"),
        (lambda: begun((3, 6, 5), pictures()[:0]), "learn from are none"),
    ],
)
def test_what_it_cannot_start_from_is_said(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def begun(shape, data=None):
    return models.autoencoder(shape, 2, likelihood="gaussian", start=pictures() if data is None else data)


def test_one_can_be_built_by_hand():
    data, head = pictures(), heads.Gaussian(0.1, learn=True)
    there, back = nets.linear(data.shape, 4, 2, data.shape, data.shape)
    nets.principal(there, back, data, nets.Centre(), head, 2, data.shape)
    x = data.batch().x
    x_hat = back(there(nets.Centre()(x))[:, :2])
    left = (x_hat - x).square().mean().sqrt().item()
    assert head.log_scale.exp().item() == pytest.approx(left, rel=0.03)
