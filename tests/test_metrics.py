import math
from dataclasses import replace
from functools import partial

import judges
import measuring
import numpy as np
import pytest
import scipy.linalg
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from truth import DIM, LATENT, NOISE, Rows, linear_gaussian

from aelib import datasets, heads, losses, metrics, models, training
from aelib.datasets import Images

FACES = datasets.load("faces-sample").train[:6].batch().x
torch.manual_seed(0)
NOISY = (FACES + 0.1 * torch.randn_like(FACES)).clamp(0, 1)


def test_psnr_and_mse_are_scikit_images():
    for i, (a, b) in enumerate(zip(FACES.numpy(), NOISY.numpy(), strict=True)):
        expected = peak_signal_noise_ratio(a, b, data_range=1)
        assert metrics.psnr(NOISY, FACES)[i].item() == pytest.approx(expected, rel=1e-5)
        assert metrics.mse(NOISY, FACES)[i].item() == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels):
    a, b = (
        t.expand(-1, channels, -1, -1) * torch.linspace(0.5, 1, channels).view(1, -1, 1, 1)
        for t in (FACES, NOISY)
    )
    for i in range(len(a)):
        expected = structural_similarity(
            a[i].numpy(), b[i].numpy(), channel_axis=0, data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert metrics.ssim(b, a)[i].item() == pytest.approx(expected, abs=2e-4)


def test_pearson_is_numpys():
    expected = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(FACES.numpy(), NOISY.numpy(), strict=True)
    ]
    assert metrics.pearson(NOISY, FACES).tolist() == pytest.approx(expected, abs=1e-5)


def test_the_power_spectrum_of_one_wave_is_all_at_its_frequency():
    x = torch.arange(32) / 32
    wave = (2 * torch.pi * 5 * x).cos().expand(2, 3, 32, 32)
    for images in (wave, wave.mT):
        power = measuring.power_spectrum(images)
        assert power.argmax() == 5 and power.sum() == pytest.approx(power[5].item(), rel=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (17, 30)])
def test_the_power_spectrum_of_white_noise_is_its_variance_and_a_mean_is_at_zero(size):
    torch.manual_seed(0)
    power = measuring.power_spectrum(0.5 + 0.2 * torch.randn(400, 3, *size))
    assert power[1:].tolist() == pytest.approx([0.04] * (len(power) - 1), rel=0.1)
    assert power[0].item() == pytest.approx(0.25 * size[0] * size[1] + 0.04, rel=0.01)


def test_the_power_spectrum_takes_every_size_and_says_what_it_wants():
    assert measuring.power_spectrum(torch.rand(1, 1, 1, 1)).shape == (1,)
    assert measuring.power_spectrum(torch.rand(2, 1, 1, 9)).isfinite().all()
    with pytest.raises(ValueError, match="N, C, H, W"):
        measuring.power_spectrum(torch.rand(3, 8, 8))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (5, 3), (7, 12), (11, 11)])
def test_every_metric_takes_every_size(size):
    x = torch.rand(3, 2, *size)
    y = (x + 0.1).clamp(0, 1)
    for f in (metrics.mse, metrics.psnr, metrics.ssim):
        assert f(y, x).shape == (3,) and f(y, x).isfinite().all()
    assert metrics.ssim(x, x).tolist() == pytest.approx([1, 1, 1])
    assert metrics.pearson(y, x).shape == (3,)


def test_evaluate_is_the_mean_over_all_images_whatever_the_batches():
    data = datasets.load("digits").test
    model = models.autoencoder(data.shape, 4, net="mlp")
    model.train()
    x = data.batch().x
    expected = metrics.mse(model.reconstruct(x), x).mean().item()
    for size in (7, 64, 1000):
        assert metrics.evaluate(model, data, batch_size=size)["mse"] == pytest.approx(expected, rel=1e-5)
    assert model.training, "evaluate left the model in evaluation mode"


@pytest.mark.parametrize(
    "shape, names",
    [
        ((5,), ["mse", "pearson"]),
        ((2, 16), ["mse", "pearson"]),
        ((1, 8, 9), ["mse", "psnr", "ssim", "pearson"]),
        ((1, 4, 6, 5), ["mse", "pearson"]),
    ],
)
def test_by_default_evaluate_has_the_metrics_that_fit_the_shape(shape, names):
    model = models.autoencoder(shape, 2, net="mlp", likelihood="gaussian")
    found = metrics.evaluate(model, datasets.Examples(np.random.default_rng(0).random((7, *shape))))
    assert list(found) == names and np.isfinite(list(found.values())).all()


def with_gaps(shape=(6,)):
    """Examples with missing numbers (of the first all, of the second all but one), a model, x and x̂."""
    rng = np.random.default_rng(0)
    x = rng.random((40, *shape))
    x[rng.random(x.shape) < 0.3] = np.nan
    x[:2] = np.nan
    x[1].flat[3] = 0.7
    data = datasets.Examples(x.astype(np.float32))
    model = models.autoencoder(shape, 2, net="mlp", likelihood="gaussian")
    x_hat = model.reconstruct(data.batch().x).numpy()
    return data, model, x.reshape(40, -1), x_hat.reshape(40, -1)


@pytest.mark.parametrize("shape", [(6,), (2, 5), (1, 12, 13)])
def test_numbers_that_are_not_known_count_nothing(shape):
    data, model, x, x_hat = with_gaps(shape)
    pairs = [(a[~np.isnan(a)], b[~np.isnan(a)]) for a, b in zip(x, x_hat, strict=True)]
    errors = [np.mean((a - b) ** 2) for a, b in pairs if len(a)]
    expected = {"mse": np.mean(errors)}  # of 39 examples: of the first nothing is known
    if len(shape) == 3:
        expected["psnr"] = np.mean(-10 * np.log10(errors))
    expected["pearson"] = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs if len(a) > 1])
    for size in (7, 500):
        assert metrics.evaluate(model, data, batch_size=size) == pytest.approx(expected, rel=1e-4)
    left, total = np.nansum((x - x_hat) ** 2), np.nansum((x - np.nanmean(x, 0)) ** 2)
    assert metrics.fraction_of_variance(model, data) == pytest.approx(1 - left / total, rel=1e-4)


def test_what_stands_where_a_number_is_not_known_has_no_effect():
    data, model, *_ = with_gaps((1, 4, 5))
    other = data.map(lambda b: replace(b, target=torch.where(b.known, b.target, 99.0)))
    for f in (metrics.evaluate, metrics.fraction_of_variance, metrics.rate_distortion):
        assert f(model, other) == f(model, data)
    with pytest.raises(TypeError, match=r"ssim compares whole examples.*metrics mse, psnr and pearson"):
        metrics.evaluate(model, data, {"ssim": metrics.ssim})


def test_where_all_is_known_a_mask_changes_nothing():
    known = torch.ones_like(FACES, dtype=torch.bool)
    for f in (metrics.mse, metrics.psnr, metrics.pearson):
        torch.testing.assert_close(f(NOISY, FACES, known), f(NOISY, FACES))


def test_constant_examples_have_no_correlation_and_a_broken_model_is_not_hidden():
    x = np.random.default_rng(0).random((6, 1, 8, 8), np.float32)
    x[2] = 0.25
    model = models.autoencoder((1, 8, 8), 2, net="mlp", likelihood="gaussian")
    data, others = datasets.Images(x), datasets.Images(np.delete(x, 2, 0))
    found, expected = metrics.evaluate(model, data), metrics.evaluate(model, others)
    assert found["pearson"] == pytest.approx(expected["pearson"]) and found["mse"] != expected["mse"]
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(torch.nan)
    assert np.isnan(list(metrics.evaluate(model, data).values())).all()
    assert np.isnan(metrics.fraction_of_variance(model, data))


@pytest.fixture(scope="module")
def known():
    """The linear-Gaussian model, 20,000 samples of it, and s, its posterior's variances."""
    model, marginal = linear_gaussian()
    w = model.decoder[0][1].weight
    s = 1 / (1 + w.square().sum(0) / NOISE**2)
    return model, Rows(marginal.sample((20_000,)).view(-1, 1, 1, DIM)), marginal, s.detach()


def test_log_likelihood_is_the_closed_form_in_any_number_of_pieces(known):
    model, data, marginal, _ = known
    data = Rows(data.x[:40])
    expected = marginal.log_prob(data.x.flatten(1))
    for samples, rows in ((1, 7), (10, 3), (1500, 600)):
        got = metrics.log_likelihood(model, data, samples, rows)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_log_likelihood_is_the_mean_of_weights_and_not_of_their_logarithms():
    model, marginal = linear_gaussian()
    with torch.no_grad():
        model.encoder[0][1].bias += 0.4
    data = Rows(marginal.sample((30,)).view(-1, 1, 1, DIM))
    got = metrics.log_likelihood(model, data, 20_000)
    torch.testing.assert_close(got, marginal.log_prob(data.x.flatten(1)), atol=0.06, rtol=0)
    assert torch.equal(got, metrics.log_likelihood(model, data, 20_000))
    assert (metrics.log_likelihood(model, data, 1) < got - 0.05).float().mean() > 0.5


def test_log_likelihood_neither_underflows_nor_holds_all_samples_at_once():
    digits = datasets.load("digits").test[:3]
    model = models.autoencoder(digits.shape, 4, net="mlp", likelihood="gaussian-learnt")
    decoded = []
    model.decoder.register_forward_hook(lambda _, inputs, __: decoded.append(len(inputs[0])))
    with torch.no_grad():
        model.decoder[-1].log_scale.fill_(-6.0)  # log p(x) near −10⁶
    got = metrics.log_likelihood(model, digits, 3000, rows=1000)
    assert got.isfinite().all() and (got < -1e5).all()
    assert max(decoded) <= 1000 and sum(decoded) == 9000


def test_rate_active_units_and_fraction_of_variance_are_the_closed_forms(known):
    model, data, marginal, s = known
    torch.testing.assert_close(metrics.kl_per_dimension(model, data), -0.5 * s.log(), rtol=0.03, atol=0.01)
    rd = metrics.rate_distortion(model, data)
    assert rd["rate"] == pytest.approx(-0.5 * s.log().sum().item(), rel=0.03)
    assert rd["rate"] + rd["distortion"] == pytest.approx(marginal.entropy().item(), rel=0.02)
    # the posterior's mean varies by 1 − s
    for threshold in ((1 - s).sort().values[:-1] + 0.03).tolist():
        assert torch.equal(metrics.active_units(model, data, threshold), 1 - s > threshold)
    total = marginal.covariance_matrix.trace()
    left = NOISE**2 * (s.sum() + DIM - LATENT)
    assert metrics.fraction_of_variance(model, data) == pytest.approx((1 - left / total).item(), abs=0.01)


def test_a_dimension_that_the_encoder_does_not_set_is_inactive():
    digits = datasets.load("digits").test
    model = models.autoencoder(digits.shape, 4, net="linear")
    last = model.encoder[1][1][1]
    with torch.no_grad():
        last.weight[1].zero_(), last.weight[5].zero_(), last.bias[1].zero_(), last.bias[5].zero_()
    assert metrics.active_units(model, digits).tolist() == [True, False, True, True]
    assert metrics.kl_per_dimension(model, digits)[1] == 0
    with pytest.raises(TypeError, match="plain autoencoder"):
        metrics.rate_distortion(models.autoencoder(digits.shape, 4, posterior="deterministic"), digits)


def test_frechet_distance_is_the_closed_form():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(500, 5, generator=g, dtype=torch.double)
    white = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T  # covariance I exactly
    s, t = torch.rand(2, 5, generator=g, dtype=torch.double) + 0.2
    shift = torch.arange(5.0).double()
    expected = (shift.square() + (s - t).square()).sum().item()  # diagonal covariances commute
    assert metrics.frechet_distance(white * s, white * t + shift) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    m = torch.randn(5, 5, generator=g, dtype=torch.double)
    a, b = x[:300] @ m, x[200:] + 1
    root = scipy.linalg.sqrtm((a.T.cov() @ b.T.cov()).numpy()).real
    expected = (a.mean(0) - b.mean(0)).square().sum() + (a.T.cov() + b.T.cov()).trace() - 2 * root.trace()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-6)
    with pytest.raises(ValueError, match="two sets of features"):
        metrics.frechet_distance(x, x[:, :3])


def test_frechet_distance_of_few_features_in_many_dimensions_is_finite():
    x = torch.randn(10, 40)
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-4)


def test_features_are_the_nets_on_every_image_in_order():
    digits = datasets.load("digits").test
    judge = judges.classifier(digits.shape, 10, features=7, hidden=(4, 8))
    expected = judge.eval()[0](digits.batch().x)
    judge.train()
    for images in (digits, digits.batch().x):
        torch.testing.assert_close(metrics.features(judge[0], images), expected)
    assert judge[0].training


def test_embedding_quality_tells_classes_from_noise_and_neighbours_from_strangers():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    x = np.eye(3)[y] * 8 + rng.normal(size=(400, 3))
    good = measuring.embedding_quality(x[:300, :2], y[:300], x[300:, :2], y[300:], originals=x[300:])
    assert good["knn"] > 0.97 and good["linear"] > 0.97 and good["trustworthiness"] > 0.8
    noise = rng.normal(size=(400, 2))
    bad = measuring.embedding_quality(noise[:300], y[:300], noise[300:], y[300:], originals=x[300:])
    assert bad["knn"] < 0.5 and bad["linear"] < 0.5 and bad["trustworthiness"] < 0.65


def test_the_ssim_error_is_none_for_equal_images_and_trains():
    p = heads.Deterministic()(FACES)
    assert metrics.ssim_error(p, FACES).tolist() == pytest.approx([0] * len(FACES), abs=1e-3)
    faces = datasets.load("faces-sample").train
    torch.manual_seed(0)
    model = models.autoencoder(faces.shape, 16, net="mlp", hidden=(64,), likelihood="gaussian")
    objective = partial(losses.elbo, error=metrics.ssim_error)
    before = metrics.evaluate(model, faces)["ssim"]
    list(training.train(model, faces, objective, training.adam(model, 3e-3), epochs=60, batch_size=20))
    assert metrics.evaluate(model, faces)["ssim"] > before + 0.2


def test_the_mutual_information_gap_is_one_for_a_dimension_each_and_none_for_two():
    rng = np.random.default_rng(0)
    v = rng.integers(0, 2, (4000, 3))
    noise = 0.01 * rng.normal(size=(4000, 3))
    own, shared = v + noise, np.concatenate([v + noise, v - noise], 1)
    assert measuring.mutual_information_gap(own, v) > 0.9
    assert measuring.mutual_information_gap(shared, v) == pytest.approx(0, abs=0.01)
    assert measuring.mutual_information_gap(rng.normal(size=(4000, 3)), v) < 0.02
    # the information of one bit, half of the time hidden: a closed form
    seen = np.where(rng.random(4000) < 0.5, v[:, 0], 2)
    assert measuring.mutual_information_gap(
        np.stack([seen + noise[:, 0], noise[:, 1]], 1), v[:, :1]
    ) == pytest.approx(0.5, abs=0.08)
    with pytest.raises(ValueError, match="no factor varies"):
        measuring.mutual_information_gap(own, np.ones((4000, 1)))


# ---- where a metric is not defined -----------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, 100 / 255, 1.0])
def test_pearson_of_a_constant_picture_is_nan_and_of_a_constant_reconstruction_0(level):
    flat, other = torch.full((2, 1, 4, 5), level), torch.rand(2, 1, 4, 5)
    known = torch.ones(2, 1, 4, 5, dtype=torch.bool)
    known[:, :, :2] = False
    for names in ({}, {"known": known}):
        assert metrics.pearson(other, flat, **names).isnan().all()
        assert metrics.pearson(flat, flat, **names).isnan().all()
        assert (metrics.pearson(flat, other, **names) == 0).all()
    assert metrics.pearson(other, torch.where(known, flat, other), known=known).isnan().all()


def test_means_over_constant_pictures_are_of_the_others():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (10, 1, 8, 8)).astype(np.uint8)
    pixels[3:6] = 77
    model = models.autoencoder((1, 8, 8), 2, net="mlp", hidden=[4])
    every = metrics.evaluate(model, Images(pixels))["pearson"]
    rest = metrics.evaluate(model, Images(np.delete(pixels, range(3, 6), 0)))["pearson"]
    assert every == pytest.approx(rest, abs=1e-6)
    for alike in (Images(pixels[3:6]), Images(pixels[:1])):
        assert math.isnan(metrics.fraction_of_variance(model, alike))
    assert math.isnan(metrics.evaluate(model, Images(pixels[3:6]))["pearson"])
