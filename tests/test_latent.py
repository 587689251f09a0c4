import numpy as np
import pytest
import torch

from aelib import contexts, datasets, heads, latent, metrics, models, priors

DIGITS = datasets.load("digits").test
MODEL = models.autoencoder(DIGITS.shape, 4, net="mlp", posterior="deterministic")


def test_codes_and_images_keep_their_order_whatever_the_batches():
    x = DIGITS.batch().x
    z = latent.encode(MODEL, DIGITS, batch_size=7)
    torch.testing.assert_close(z, MODEL.eval().encode(x).mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        latent.decode(MODEL, z, batch_size=11), MODEL.reconstruct(x), rtol=1e-4, atol=1e-5
    )


def test_a_direction_is_signed_and_leaves_out_what_is_not_known():
    z = torch.tensor([[1.0, 5.0], [3.0, 1.0], [0.0, 10.0], [100.0, 100.0]])
    v = latent.direction(z, np.array([1, 1, 0, np.nan]))
    assert v.tolist() == [2.0, -7.0]
    assert torch.equal(latent.direction(z, np.array([0, 0, 1, np.nan])), -v)
    for bad in (np.ones(4), np.zeros(4), np.full(4, np.nan)):
        with pytest.raises(ValueError, match="images with the attribute and images without"):
            latent.direction(z, bad)
    with pytest.raises(ValueError, match="need one per code"):
        latent.direction(z, np.ones(3))


def test_a_direction_in_deviations_moves_a_code_by_one_along_it():
    torch.manual_seed(0)
    codes, v = torch.randn(500, 3) * torch.tensor([1.0, 4.0, 9.0]) + 2, torch.tensor([0.0, 0.0, 0.2])
    u = latent.in_deviations(v, codes)
    assert u.norm().item() == pytest.approx(codes[:, 2].std().item()) and u[2] > 0
    torch.testing.assert_close(latent.in_deviations(-7 * v, codes), -u)
    first = latent.principal_directions(codes, 1)[0]
    torch.testing.assert_close(latent.in_deviations(5 * first, codes), first, rtol=1e-4, atol=1e-4)


def test_principal_directions_are_scikit_learns_components_one_standard_deviation_long():
    from sklearn.decomposition import PCA

    torch.manual_seed(0)
    codes = torch.randn(200, 6) * torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]) @ torch.randn(6, 6) + 7
    pca = PCA(4).fit(codes.double().numpy())
    v = latent.principal_directions(codes, 4)
    expected = torch.tensor(pca.components_ * pca.explained_variance_[:, None] ** 0.5).float()
    sign = (expected * v).sum(1, keepdim=True).sign()
    torch.testing.assert_close(v, sign * expected, rtol=1e-4, atol=1e-4)
    assert (v.gather(1, v.abs().argmax(1, keepdim=True)) > 0).all()
    deviations = ((codes - codes.mean(0)) @ v.T / v.square().sum(1)).std(0)
    torch.testing.assert_close(deviations, torch.ones(4), rtol=1e-4, atol=1e-4)
    assert latent.principal_directions(codes, 6)[5].norm() < 1e-2, "codes of rank 5 have no sixth direction"
    for n in (0, 7):
        with pytest.raises(ValueError, match="1 to 6 directions"):
            latent.principal_directions(codes, n)
    with pytest.raises(ValueError, match="at least two"):
        latent.principal_directions(codes[:1], 1)


def test_the_nearest_code_is_the_one_that_brute_force_finds():
    codes, z = torch.randn(50, 3), torch.randn(9, 3)
    brute = [min(range(50), key=lambda i: float(((codes[i] - one) ** 2).sum())) for one in z]
    assert latent.nearest(codes, z).tolist() == brute
    assert latent.nearest(codes, codes).tolist() == list(range(50))


T = torch.linspace(0, 1, 9)


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_a_way_begins_and_ends_exactly_at_its_codes(kind):
    torch.manual_seed(0)
    a, b = torch.randn(40, 16), torch.randn(40, 16)
    z = latent.interpolate(a, b, T, kind)
    assert z.shape == (40, 9, 16) and z.dtype == a.dtype
    assert torch.equal(z[:, 0], a) and torch.equal(z[:, -1], b)
    torch.testing.assert_close(latent.interpolate(b, a, T, kind).flip(1), z)
    torch.testing.assert_close(latent.interpolate(a[3], b[3], [0.25], kind)[0], z[3, 2])


def test_the_line_is_straight_and_the_arc_turns_evenly_with_an_even_norm():
    torch.manual_seed(0)
    a, b = torch.randn(20, 64), 2 * torch.randn(20, 64)
    line, arc = (latent.interpolate(a, b, T, kind) for kind in ("linear", "spherical"))
    torch.testing.assert_close(line, a[:, None] + T[:, None] * (b - a)[:, None])
    torch.testing.assert_close(arc.norm(dim=2), a.norm(dim=1)[:, None] * (1 - T) + b.norm(dim=1)[:, None] * T)
    whole = torch.cosine_similarity(a, b).acos()
    turned = torch.cosine_similarity(a[:, None], arc, dim=2).clamp(-1, 1).acos()
    torch.testing.assert_close(turned, whole[:, None] * T, rtol=1e-3, atol=1e-3)
    assert (line[:, 4].norm(dim=1) < 0.85 * arc[:, 4].norm(dim=1)).all(), "half way the line cuts the corner"
    # in a plane, in polar coordinates: from (radius 3, 0°) to (radius 1, 120°)
    corner = latent.interpolate(
        torch.tensor([3.0, 0.0]), torch.tensor([-0.5, 0.75**0.5]), T, "spherical"
    ).double()
    angle, radius = T.double() * 2 * np.pi / 3, 3 - 2 * T.double()
    torch.testing.assert_close(
        corner, torch.stack([radius * angle.cos(), radius * angle.sin()], 1), rtol=1e-5, atol=1e-5
    )


def test_parallel_opposite_and_zero_codes_divide_nothing_by_zero():
    torch.manual_seed(0)
    a = torch.randn(16)
    for b in (a, 2 * a, a + 1e-7 * torch.randn(16), a + 1e-4 * torch.randn(16), -a, 0 * a):
        z = latent.interpolate(a, b, T, "spherical")
        torch.testing.assert_close(z, latent.interpolate(a, b, T), rtol=1e-4, atol=1e-6)
    assert latent.interpolate(0 * a, 0 * a, T, "spherical").abs().max() == 0
    nearly = latent.interpolate(a, -a + 1e-3 * torch.randn(16), T, "spherical")
    torch.testing.assert_close(nearly.norm(dim=1), a.norm().expand(9), rtol=1e-2, atol=0)


@pytest.mark.parametrize("kind", list(priors.PRIORS))
def test_a_fitted_prior_has_the_moments_of_the_codes_and_a_density(kind):
    torch.manual_seed(0)
    codes = torch.randn(3000, 2) @ torch.tensor([[2.0, 0.5], [0.0, 0.5]]) + torch.tensor([3.0, -1.0])
    prior = priors.fit_prior(codes, kind, **({"epochs": 5} if kind == "flow" else {}))
    z = prior(None).sample((20_000,))
    assert z.shape == (20_000, 2) and prior().log_prob(codes).shape == (3000,)
    torch.testing.assert_close(z.mean(0), codes.mean(0), rtol=0.05, atol=0.1)
    torch.testing.assert_close(z.std(0), codes.std(0), rtol=0.1, atol=0.05)
    correlation = torch.corrcoef(z.T)[0, 1].item()
    assert correlation == pytest.approx(
        0 if kind == "diagonal" else torch.corrcoef(codes.T)[0, 1].item(), abs=0.06
    )


def test_richer_priors_fit_two_clusters_better():
    torch.manual_seed(0)
    codes = torch.randn(2000, 2) * 0.3 + torch.where(torch.rand(2000, 1) < 0.5, 2.0, -2.0)
    options = {"mixture": {"components": 2}, "flow": {"epochs": 15}}
    fitted = {k: priors.fit_prior(codes, k, **options.get(k, {})) for k in priors.PRIORS}
    nats = {k: p().log_prob(codes).mean().item() for k, p in fitted.items()}
    assert nats["diagonal"] < nats["full"] < nats["flow"] and nats["full"] < nats["mixture"] - 0.5


def test_a_plain_autoencoder_samples_with_a_fitted_prior():
    model = models.autoencoder(DIGITS.shape, 4, net="mlp", posterior="deterministic")
    model.prior = priors.fit_prior(latent.encode(model, DIGITS), "full")
    assert model.sample(5).shape == (5, 1, 8, 8)
    assert "prior.loc" in model.state_dict(), "a fitted prior must be saved with the model"


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="Did you mean 'mixture'"):
        priors.fit_prior(torch.randn(9, 2), "mixtur")
    with pytest.raises(ValueError, match=r"codes are \(N, K\)"):
        priors.fit_prior(torch.randn(9), "full")
    with pytest.raises(ValueError, match="not finite"):
        latent.matched(MODEL, torch.full((20, 4), torch.nan))
    with pytest.raises(ValueError, match="Did you mean 'spherical'"):
        latent.interpolate(torch.zeros(3), torch.zeros(3), [0.5], "sperical")
    with pytest.raises(ValueError, match=r"one shape; got \(3,\) and \(4,\)"):
        latent.interpolate(torch.zeros(3), torch.zeros(4), [0.5])


# ---- whether codes and prior match, and what is sampled from ---------------------------------------------


def judged(codes):
    """What `choose` says of codes (N, K) and N(0, 1)."""
    return priors.choose(codes, priors.StandardNormal(codes.shape[1])().log_prob(codes).double())


@pytest.mark.parametrize("n, k", [(60, 2), (300, 1), (300, 16), (40, 30)])
def test_codes_from_the_prior_are_not_called_far(n, k):
    torch.manual_seed(0)
    assert sum(judged(torch.randn(n, k))[3] for _ in range(60)) <= 1


def test_the_test_alone_keeps_its_level_and_sees_what_is_there():
    torch.manual_seed(0)
    nats = torch.tensor([judged(torch.randn(200, 25))[2] for _ in range(300)])
    assert (40 * nats > np.log(200)).float().mean() <= 0.02  # a fifth is held out; two kinds are compared
    shifted = [judged(torch.randn(200, 25) + 0.3)[3] for _ in range(50)]
    assert sum(shifted) >= 45


def test_the_distance_is_the_kl_of_the_codes_from_the_prior():
    torch.manual_seed(0)
    mean, scale = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([1.0, 0.3, 2.0])
    _, _, nats, far = judged(torch.randn(8000, 3) * scale + mean)
    kl = 0.5 * (mean.square() + scale.square() - 1 - 2 * scale.log()).sum().item()
    assert far and nats == pytest.approx(kl, abs=0.3)  # three standard errors


def test_the_kind_is_chosen_by_codes_that_were_held_out():
    torch.manual_seed(0)
    alone, clusters = torch.randn(1000, 3), 4 * torch.randn(5, 3)[torch.randint(5, (1000,))]
    mixed = torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 1.0]])
    assert priors.choose(alone[:30])[0] == "diagonal"
    assert priors.choose(alone @ mixed)[0] == "full"
    assert priors.choose(clusters + 0.3 * alone)[0] == "mixture"
    auto, full = (priors.fit_prior(clusters + 0.3 * alone, k)() for k in ("auto", "full"))
    fresh = clusters + 0.3 * torch.randn(1000, 3)
    assert auto.log_prob(fresh).mean() > full.log_prob(fresh).mean() + 1


@pytest.mark.parametrize("n, k", [(1, 3), (2, 3), (6, 40), (30, 40)])
def test_few_codes_or_constant_ones_still_have_a_prior(n, k):
    for codes in (torch.randn(n, k), torch.ones(n, k)):
        z = priors.fit_prior(codes)().sample((9,))
        assert z.shape == (9, k) and z.isfinite().all() and (z - codes.mean(0)).abs().max() < 6


def straight(prior, *shape):
    """Codes are the examples, pictures are the codes."""
    return models.Autoencoder(heads.Deterministic(), heads.Gaussian(1.0), prior and prior(*shape))


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)], ids=["numbers", "places"])
@pytest.mark.parametrize("prior", [None, priors.StandardNormal], ids=["without prior", "with prior"])
def test_samples_are_like_the_data_where_codes_are_far_from_the_prior(shape, prior):
    torch.manual_seed(0)
    k = int(np.prod(shape))
    z = (torch.randn(1500, k) @ torch.randn(k, k) + 3).view(-1, *shape)
    model, data = straight(prior, *shape), datasets.Examples(z.numpy())
    drawn, said = latent.sampler(model, data)
    assert drawn.encoder is model.encoder and drawn.prior is not model.prior
    assert ("since the model has no prior" if prior is None else "nats per code away") in said
    images = latent.sample(model, 1500, data)
    assert images.shape == z.shape and torch.equal(images, latent.sample(drawn, 1500))
    far = metrics.frechet_distance(images.flatten(1), z.flatten(1))
    assert far < 0.05 * metrics.frechet_distance(torch.randn(1500, k), z.flatten(1))


def test_a_prior_that_codes_match_is_kept():
    torch.manual_seed(0)
    data, model = datasets.Examples(torch.randn(900, 3).numpy()), straight(priors.StandardNormal, 3)
    drawn, said = latent.sampler(model, data)
    assert drawn is model and said == "the model's prior, which its codes match"
    with contexts.seeded(4):
        expected = model.sample(5)
    torch.testing.assert_close(latent.sample(model, 5, data, seed=4), expected)
