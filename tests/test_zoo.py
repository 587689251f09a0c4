"""Sparse, contractive, top-k and vector-quantised autoencoders, and the table that compares them."""

import math

import course
import measuring
import numpy as np
import pytest
import scipy.stats
import torch
import zoo
from benchmarks import zoo as benchmark
from torch import nn

from aelib import contexts, datasets, fit, heads, latent, losses, materials, models, nets
from aelib import distributions as D
from aelib.datasets import Batch

X = torch.rand(6, 1, 5, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))


def plain(*code, latent=8, net="mlp"):
    """A small plain autoencoder in float64 with these layers at the end of its encoder."""
    torch.manual_seed(0)
    hidden = (12,) if net == "mlp" else (4, 6)
    model = models.autoencoder(
        (1, 5, 4), latent, net=net, posterior="deterministic", likelihood="gaussian", hidden=hidden
    )
    model.encoder = nn.Sequential(*list(model.encoder)[:-1], *(code or (heads.Deterministic(),)))
    return model.double()


def has_gradients(model, terms):
    terms["loss"].mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0, name


# sparse


def test_l1_is_the_sum_over_each_code():
    z = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 0.5]])
    assert losses.l1(z).tolist() == [3.0, 0.5]
    assert losses.l1(z.view(2, 3, 1, 1)).tolist() == [3.0, 0.5]


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 2, 3)])
def test_the_rates_kl_is_scipys_entropy_of_two_coins_and_its_mean_over_the_batch_the_formula(shape):
    z = torch.rand(*shape, dtype=torch.double)
    means = z.flatten(1).mean(0)
    expected = sum(scipy.stats.entropy([0.1, 0.9], [m, 1 - m]) for m in means.tolist())
    each = losses.to_rate(0.1)(z)
    assert each.shape == (7,) and each.mean().item() == pytest.approx(expected, rel=1e-4)
    at_rate = torch.tensor([[0.2] * 4, [0.0] * 4], dtype=torch.double)  # mean 0.1
    assert losses.to_rate(0.1)(at_rate).abs().max() < 1e-4


def test_a_unit_that_is_never_active_is_woken():
    z = torch.zeros(4, 3, requires_grad=True)
    losses.to_rate(0.05)(z).mean().backward()
    assert (z.grad < 0).all() and z.grad.isfinite().all()


@pytest.mark.parametrize("penalty, last", [(losses.l1, nn.ReLU()), (losses.to_rate(0.05), nn.Sigmoid())])
def test_the_penalty_is_of_activations_and_never_of_weights(penalty, last):
    model = plain(last, heads.Deterministic())
    before = losses.sparse(model, Batch(X), penalty=penalty)
    other = losses.sparse(model, Batch(1 - X), penalty=penalty)
    assert not torch.allclose(before["penalty"], other["penalty"]), "it does not see the input"
    # the decoder's weights and the first layer's are three times as large, the activations the same
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.mul_(3)
        first = next(m for m in model.encoder.modules() if isinstance(m, nn.Linear))
        first.weight.mul_(3)
        model.encoder[0].forward = lambda x: (x - 0.5) * 4 / 3
    after = losses.sparse(model, Batch(X), penalty=penalty)
    torch.testing.assert_close(after["penalty"], before["penalty"])
    assert not torch.allclose(after["nll"], before["nll"])


def test_sparse_adds_up_and_every_parameter_learns():
    model = plain(nn.Sigmoid(), heads.Deterministic())
    terms = losses.sparse(model, Batch(X), weight=0.3, penalty=losses.to_rate(0.1))
    torch.testing.assert_close(terms["loss"], terms["nll"] + 0.3 * terms["penalty"])
    torch.testing.assert_close(terms["nll"], losses.reconstruction(model, Batch(X))["loss"])
    has_gradients(model, terms)


def test_the_penalty_alone_makes_codes_sparse():
    """What an L1 on *weights* does not: the code's numbers become zero."""
    digits = datasets.load("digits").train
    zeros = {}
    for weight in (0.0, 0.5):
        torch.manual_seed(0)
        model = models.autoencoder((1, 8, 8), 16, net="mlp", posterior="deterministic", hidden=(32,))
        model.encoder = nn.Sequential(*list(model.encoder)[:-1], nn.ReLU(), heads.Deterministic())
        fit(model, digits, lambda m, b, w=weight: losses.sparse(m, b, weight=w), epochs=6)
        zeros[weight] = measuring.sparsity(latent.encode(model, digits))["zeros"]
    assert zeros[0.5] > zeros[0.0] + 0.1


# contractive


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_the_jacobians_norm_is_torchs(net):
    model = plain(net=net)
    terms = losses.contractive(model, Batch(X), weight=0.7)
    for i, x in enumerate(X):
        whole = torch.autograd.functional.jacobian(lambda x: model.encode(x[None]).mean[0], x)
        assert terms["penalty"][i].item() == pytest.approx(whole.square().sum().item(), rel=1e-9)
    torch.testing.assert_close(terms["loss"], terms["nll"] + 0.7 * terms["penalty"])


def test_a_linear_encoders_jacobian_is_its_matrix():
    encoder = nn.Sequential(nets.MLP(20, 3), heads.Deterministic()).double()
    model = models.Autoencoder(
        encoder, nn.Sequential(nets.MLP(3, 20), nets.Reshape(1, 5, 4), heads.Gaussian(1.0)).double()
    )
    terms = losses.contractive(model, Batch(X))
    weight = encoder[0][1].weight
    torch.testing.assert_close(terms["penalty"], weight.square().sum().expand(6))
    (gradient,) = torch.autograd.grad(terms["penalty"].mean(), weight)
    torch.testing.assert_close(gradient, 2 * weight)


def test_random_directions_are_right_on_average_and_a_large_code_takes_them_by_itself():
    x = X.clone().requires_grad_()
    model = plain(latent=20)
    z = model.encode(x).mean
    exact = losses.squared_jacobian(z, x, probes=0)
    torch.manual_seed(0)
    each = torch.stack([losses.squared_jacobian(z, x, probes=1, create_graph=False) for _ in range(400)])
    error = each.std(0) / len(each) ** 0.5
    assert ((each.mean(0) - exact).abs() < 4 * error).all() and (error < 0.1 * exact).all()
    torch.manual_seed(0)
    by_itself = losses.squared_jacobian(z, x)
    torch.testing.assert_close(by_itself, each[0])
    small = z[:, : losses.penalties.EXACT]
    exact = losses.squared_jacobian(small, x, probes=0)
    torch.testing.assert_close(losses.squared_jacobian(small, x), exact)


def test_the_contraction_is_learnt_and_measured_without_gradients_too():
    for size in (3, 20):
        model = plain(latent=size)
        terms = losses.contractive(model, Batch(X))
        penalty = terms["penalty"].mean()
        of_penalty = torch.autograd.grad(penalty, list(model.encoder.parameters()), allow_unused=True)
        assert sum(g is not None and bool(g.abs().sum() > 0) for g in of_penalty) >= 3
        has_gradients(model, losses.contractive(model, Batch(X)))
    with torch.no_grad():
        silent = losses.contractive(plain(latent=3), Batch(X))
    assert not silent["loss"].requires_grad
    torch.testing.assert_close(silent["penalty"], losses.contractive(plain(latent=3), Batch(X))["penalty"])


# top-k


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 2, 3)])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k_keeps_the_k_largest(shape, k):
    h = torch.randn(shape, requires_grad=True)
    z = zoo.TopK(k)(h)
    least = h.sort(dim=1, descending=True).values[:, k - 1 : k]
    torch.testing.assert_close(z, torch.where(h >= least, h, 0.0))
    z.sum().backward()
    torch.testing.assert_close(h.grad, (h >= least).float())


def test_equal_numbers_do_not_let_more_than_k_through():
    assert zoo.TopK(2)(torch.ones(3, 5)).sum(1).tolist() == [2.0] * 3


def test_every_parameter_of_a_k_sparse_autoencoder_learns():
    model = plain(zoo.TopK(3), heads.Deterministic())
    assert ((model.encode(X).mean != 0).sum(1) == 3).all()
    has_gradients(model, losses.reconstruction(model, Batch(X)))


# vector quantisation


def nearest(parts, codebook):
    """By brute force: one part, one vector at a time."""
    return [min(range(len(codebook)), key=lambda k: math.dist(p, codebook[k])) for p in parts]


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 2, 3)])
@pytest.mark.parametrize("size", [1, 2, 6])
def test_each_part_becomes_the_nearest_vector(shape, size):
    torch.manual_seed(0)
    head, h = heads.VectorQuantizer(9, size).eval(), torch.randn(shape)
    q = head(h)
    assert q.indices.shape == (5, 6 // size, *shape[2:]) and q.mean.shape == h.shape
    total = torch.zeros(5)
    for b in range(5):
        for place in torch.cartesian_prod(*(torch.arange(n) for n in shape[2:])) if shape[2:] else [()]:
            at = tuple(int(i) for i in place)
            parts = h[(b, slice(None), *at)].view(-1, size)
            best = nearest(parts.tolist(), head.codebook.tolist())
            assert q.indices[(b, slice(None), *at)].tolist() == best
            torch.testing.assert_close(q.mean[(b, slice(None), *at)], head.codebook[best].flatten())
            total[b] += (parts - head.codebook[best]).square().sum()
    torch.testing.assert_close(q.commitment, total)
    assert torch.equal(q.rsample(), q.mean) and isinstance(q, D.Delta)


def test_the_gradient_goes_straight_through_and_the_commitment_pulls_to_the_codebook():
    head, h = heads.VectorQuantizer(9, 2).eval(), torch.randn(5, 6, requires_grad=True)
    direction = torch.randn(5, 6)
    (q := head(h)).rsample().mul(direction).sum().backward()
    torch.testing.assert_close(h.grad, direction)
    (pull,) = torch.autograd.grad(head(h).commitment.sum(), h)
    torch.testing.assert_close(pull, 2 * (h - q.mean).detach())


@pytest.mark.parametrize("net", ["mlp", "fcn"])
def test_a_vector_quantised_autoencoder_learns_everywhere(net):
    model = plain(heads.VectorQuantizer(5, 2), net=net)
    terms = losses.vector_quantized(model, Batch(X), beta=0.5)
    torch.testing.assert_close(terms["loss"], terms["nll"] + 0.5 * terms["commitment"])
    has_gradients(model, terms)
    assert model.reconstruct(X).shape == X.shape
    with pytest.raises(TypeError, match="VectorQuantizer; its code is a Delta"):
        losses.vector_quantized(plain(), Batch(X))


@pytest.mark.parametrize("moved", [True, False])
def test_in_training_no_vector_stays_where_no_part_is(moved, monkeypatch):
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    head = heads.VectorQuantizer(16, 2, decay=0.9)
    head.codebook[8:] += 100  # far from everything: their means stay empty
    head.usage.fill_(8.0)
    if not moved:
        monkeypatch.setattr(heads.VectorQuantizer, "RARE", 0.0)
    for _ in range(100):
        parts = centres[torch.randint(4, (128,))] + 0.1 * torch.randn(128, 2)
        q = head(parts)
    away = torch.cdist(head.codebook, centres).min(1).values
    assert (away.max() < 0.5) == moved
    assert (measuring.perplexity(q.indices) > 10) == moved
    assert torch.cdist(head.codebook, centres).min(0).values.max() < 0.5


@pytest.mark.parametrize("decay, kept", [(None, True), (0.99, False)])
def test_a_codebook_follows_an_encoder_whose_codes_grow(decay, kept):
    """In the first steps of a training they do, tenfold."""
    torch.manual_seed(0)
    head = heads.VectorQuantizer(64, 2, decay)
    for step in range(100):
        q = head(torch.randn(64, 8) * 1.03**step)
    counts = torch.bincount(q.indices.flatten(), minlength=64)
    assert ((counts > 0).float().mean() > 0.9) == kept
    assert (measuring.perplexity(q.indices) > 40) == kept


def test_the_codebook_moves_in_training_only_and_is_saved_with_the_weights():
    head = heads.VectorQuantizer(5, 2)
    h, before = torch.randn(20, 4), head.codebook.clone()
    head.eval()(h)
    assert torch.equal(head.codebook, before)
    head.train()(h)
    assert not torch.equal(head.codebook, before)
    assert set(head.state_dict()) == {"codebook", "usage"} and not list(head.parameters())


def test_a_vectors_running_mean_is_of_the_parts_that_were_rounded_to_it():
    head, parts = heads.VectorQuantizer(2, 1, decay=0.75), torch.tensor([[1.0], [3.0], [11.0], [13.0]])
    head.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    head.usage.fill_(2.0)
    head(parts)
    torch.testing.assert_close(head.codebook, torch.tensor([[0.5], [10.5]]))  # ¾ · 0 + ¼ · 2, ¾ · 10 + ¼ · 12
    torch.testing.assert_close(head.usage, torch.full((2,), 2.0))


def test_perplexity_counts_the_vectors_in_use():
    assert measuring.perplexity(torch.zeros(7, 3, dtype=torch.long)).item() == pytest.approx(1)
    assert measuring.perplexity(torch.arange(12).view(3, 4)).item() == pytest.approx(12)
    shares = [0.5, 0.25, 0.25]
    counted = measuring.perplexity(torch.tensor([4, 4, 0, 9])).item()
    assert counted == pytest.approx(math.exp(scipy.stats.entropy(shares)))


# sparsity


def test_sparsity_in_closed_cases_and_at_every_scale():
    one, same = torch.eye(9), torch.ones(4, 9)
    assert measuring.sparsity(one) == pytest.approx({"hoyer": 1.0, "zeros": 8 / 9})
    assert measuring.sparsity(-same) == pytest.approx({"hoyer": 0.0, "zeros": 0.0})
    assert measuring.sparsity(torch.zeros(2, 9)) == pytest.approx({"hoyer": 1.0, "zeros": 1.0})
    half = torch.tensor([[1.0] * 4 + [0.0] * 5])  # (3 − 4/2) / (3 − 1)
    assert measuring.sparsity(half) == pytest.approx({"hoyer": 0.5, "zeros": 5 / 9})
    z = torch.randn(20, 9)
    assert measuring.sparsity(1e-3 * z) == pytest.approx(measuring.sparsity(z))


# the table


DIGITS = datasets.load("digits").head(300)


@pytest.mark.parametrize("name", zoo.MEMBERS)
def test_every_member_learns_everywhere_from_any_seed_alike(name):
    member = zoo.MEMBERS[name]
    torch.manual_seed(0)
    model = member.build((1, 5, 7), 8)
    x = torch.rand(40, 1, 5, 7)
    has_gradients(model, member.objective(model, Batch(x)))
    assert model.encode(x).mean.shape == (40, 8)
    assert model.reconstruct(x).min() >= 0 and model.reconstruct(x).max() <= 1
    trained = [member.train(DIGITS.train, 8, epochs=1, seed=s) for s in (3, 3, 4)]
    first, again, other = (m.reconstruct(DIGITS.test.batch().x) for m in trained)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_pca_in_the_zoo_is_scikit_learns():
    from sklearn.decomposition import PCA

    fitted, x = (p.pixels.reshape(len(p), -1) / 255.0 for p in (DIGITS.train, DIGITS.test))
    pca = PCA(5).fit(fitted)
    expected = np.square(pca.inverse_transform(pca.transform(x)) - x).mean()
    judged = benchmark.judge(zoo.pca(DIGITS.train, 5), DIGITS.train, DIGITS.test)
    assert judged["mse"] == pytest.approx(expected, rel=1e-4)
    assert judged["restored"] > judged["mse"] and judged["zeros"] == 0


def test_noise_moves_a_code_by_its_share_of_the_spread():
    """The code is the image itself: the noise's energy against the images' variance."""
    model = models.Autoencoder(
        nn.Sequential(nn.Flatten(), heads.Deterministic()),
        nn.Sequential(nets.Reshape(1, 8, 8), heads.Gaussian(0.1)),
    )
    model.register_parameter("somewhere", nn.Parameter(torch.zeros(())))
    judged = benchmark.judge(model, DIGITS.train, DIGITS.test)
    with contexts.seeded(0):
        noisy = DIGITS.test.map(zoo.NOISE).batch()
    energy = (noisy.x - noisy.target).square().sum() / (noisy.target - noisy.target.mean(0)).square().sum()
    assert judged["mse"] == 0 and judged["moved"] == pytest.approx(energy.item(), rel=1e-4)
    assert judged["restored"] == pytest.approx((noisy.x - noisy.target).square().mean().item(), rel=1e-4)


def test_the_command_keeps_every_run_and_its_mean_and_sd(monkeypatch, tmp_path):
    monkeypatch.setattr(materials, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(benchmark, "FILE", tmp_path / "results" / "zoo.json")
    with pytest.raises(FileNotFoundError, match=r"python tests/benchmarks/zoo\.py"):
        course.results("zoo")
    for name in ("PCA", "vanilla"):
        benchmark.make(name, DIGITS)
    known = course.results("zoo")["members"]
    assert set(known) == {"PCA", "vanilla"} and "sd" not in known["PCA"]
    entry = known["vanilla"]
    assert [run["seed"] for run in entry["runs"]] == list(benchmark.SEEDS)
    for column in ("mse", "one epoch", "hoyer", "probe"):
        each = [run[column] for run in entry["runs"]]
        assert entry["mean"][column] == pytest.approx(np.mean(each))
        assert entry["sd"][column] == pytest.approx(np.std(each, ddof=1))
    broken = zoo.Member(build=zoo.build, objective=lambda *a: 1 / 0)
    monkeypatch.setitem(zoo.MEMBERS, "broken", broken)
    with pytest.raises(ZeroDivisionError):
        benchmark.make("broken", DIGITS)
    assert course.results("zoo")["members"] == known
    with pytest.raises(ValueError, match="Did you mean 'vanilla'"):
        benchmark.make("vanila", DIGITS)


def test_the_stored_table_has_every_member_and_was_made_with_these_settings():
    known = course.results("zoo")
    assert list(known["members"]) == ["PCA", *zoo.MEMBERS]
    assert known["settings"] == {"code": zoo.CODE, "epochs": zoo.EPOCHS, "batch_size": zoo.BATCH_SIZE}
    for name, entry in known["members"].items():
        assert len(entry["runs"]) == (1 if name == "PCA" else len(benchmark.SEEDS))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: losses.to_rate(1.5), "between 0 and 1, as 0.05; got 1.5"),
        (lambda: losses.to_rate(0.1)(torch.tensor([[0.2, -0.1]])), r"-0\.1 to 0\.2\. Put nn\.Sigmoid"),
        (lambda: zoo.TopK(0), "at least one"),
        (lambda: zoo.TopK(5)(torch.zeros(2, 4)), "5 numbers are to be kept of a code that has 4"),
        (lambda: heads.VectorQuantizer(0, 2), "at least 1; got 0 and 2"),
        (lambda: heads.VectorQuantizer(8, 3)(torch.zeros(2, 4)), "cut into vectors of 3: take a multiple"),
        (lambda: measuring.sparsity(torch.zeros(4)), r"codes \(N, K\)"),
        (lambda: measuring.sparsity(torch.zeros(4, 1)), "K ≥ 2"),
    ],
)
def test_what_is_typed_wrong_gets_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
