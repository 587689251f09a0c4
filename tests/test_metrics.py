import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from aelib import datasets, metrics, models

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
