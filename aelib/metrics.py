"""How good a reconstruction is: functions of (x_hat, target), images in [0, 1], that return (B,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from .datasets import Images
from .models import Autoencoder

Metric = Callable[[Tensor, Tensor], Tensor]


def mse(x_hat: Tensor, target: Tensor) -> Tensor:
    """(B,) mean squared error over the pixels of each image; grey levels run from 0 to 1."""
    return (x_hat - target).square().flatten(1).mean(1)


def psnr(x_hat: Tensor, target: Tensor) -> Tensor:
    """(B,) peak signal-to-noise ratio in dB: −10 log₁₀ MSE; infinite for equal images."""
    return -10 * mse(x_hat, target).log10()


def ssim(x_hat: Tensor, target: Tensor) -> Tensor:
    """(B,) structural similarity, from −1 to 1: the mean over windows of 11×11, Gaussian with σ = 1.5.

    Only windows that lie inside the image count. In images below 11 pixels the window shrinks.

    Source: Wang, Bovik, Sheikh, Simoncelli, 2004; computed by torchmetrics.
    """
    radius = min(5, (min(target.shape[-2:]) - 1) // 2)
    window: dict[str, Any] = {"sigma": 0.3 * radius}
    if radius == 0:
        window = {"gaussian_kernel": False, "kernel_size": 1}
    _, each = structural_similarity_index_measure(
        x_hat, target, data_range=1.0, reduction="none", return_full_image=True, **window
    )
    height, width = target.shape[-2:]
    return each[..., radius : height - radius, radius : width - radius].flatten(1).mean(1)


def pearson(x_hat: Tensor, target: Tensor) -> Tensor:
    """(B,) Pearson's correlation over the pixels of each image, from −1 to 1; NaN if one is constant."""
    a, b = (v.flatten(1) - v.flatten(1).mean(1, keepdim=True) for v in (x_hat, target))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


@torch.no_grad()
def evaluate(
    model: Autoencoder, data: Images, metrics: dict[str, Metric] | None = None, batch_size: int = 500
) -> dict[str, float]:
    """Metrics of the model's reconstructions (at the posterior's mean), averaged over all images.

    Args:
        metrics: name → function of (x_hat, target); MSE, PSNR, SSIM and Pearson by default.

    >>> from aelib import datasets, models
    >>> data = datasets.load("digits").test
    >>> sorted(evaluate(models.autoencoder(data.shape, 4), data))
    ['mse', 'pearson', 'psnr', 'ssim']
    """
    metrics = metrics or {"mse": mse, "psnr": psnr, "ssim": ssim, "pearson": pearson}
    was, totals = model.training, dict.fromkeys(metrics, 0.0)
    model.eval()
    for batch in data.batches(batch_size, device=model.device):
        x_hat = model.reconstruct(batch.x, batch.c)
        for name, f in metrics.items():
            totals[name] += f(x_hat, batch.target).cpu().double().sum().item()
    model.train(was)
    return {name: total / len(data) for name, total in totals.items()}
