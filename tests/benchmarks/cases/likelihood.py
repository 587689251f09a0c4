"""log p(x) of test digits by importance sampling: log 1/S Σ p(x, zₛ) / q(zₛ|x), zₛ ~ q(z|x), S = 500.

Slow ways get fewer digits: what is compared is digits a second. They agree on the mean of the first few.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from aelib import datasets, metrics, pretrained
from aelib.datasets import Images
from aelib.models import Autoencoder
from benchmarks.race import Case, Track

SAMPLES, DIGITS, SOME, FEW = 500, 200, 50, 10


def model(device: str) -> Autoencoder:
    torch.manual_seed(0)
    return pretrained.load("vae-mnist").to(device).eval()


def digits(n: int) -> Images:
    """The first n, made black and white once, so that all see the same."""
    grey = datasets.load("mnist").test[:n]
    draws = torch.rand(grey.pixels.shape, generator=torch.Generator().manual_seed(0)).numpy()
    return Images(255 * (draws < grey.pixels / 255).astype(np.uint8))


def ours(device: str, track: Track) -> None:
    vae, images = model(device), digits(DIGITS)
    while True:
        track(DIGITS, metrics.log_likelihood(vae, images, SAMPLES)[:FEW].mean().item())


def log_weights(vae: Autoencoder, x: Tensor, samples: int) -> Tensor:
    """(samples,) of one digit (1, 1, 28, 28), by plain formulas."""
    mean, log_scale = vae.encoder[:-1](x).chunk(2, 1)
    q = Normal(mean, log_scale.exp())
    z = q.sample((samples,)).squeeze(1)
    nll = F.binary_cross_entropy_with_logits(
        vae.decoder[:-1](z), x.expand(samples, -1, -1, -1), reduction="none"
    )
    return Normal(0.0, 1.0).log_prob(z).sum(1) - q.log_prob(z).sum(1) - nll.flatten(1).sum(1)


@torch.no_grad()
def one_by_one(device: str, track: Track, n: int, each: Callable[[Autoencoder, Tensor], Tensor]) -> None:
    """A loop over digits."""
    vae, images = model(device), digits(n).batch(device).x
    while True:
        found = [each(vae, x[None]).logsumexp(0).item() - math.log(SAMPLES) for x in images]
        track(n, sum(found[:FEW]) / FEW)


def digit_by_digit(device: str, track: Track) -> None:
    one_by_one(device, track, SOME, lambda vae, x: log_weights(vae, x, SAMPLES))


def sample_by_sample(device: str, track: Track) -> None:
    """A loop over samples in the loop over digits: every code is drawn and decoded by itself."""

    def each(vae: Autoencoder, x: Tensor) -> Tensor:
        mean, log_scale = vae.encoder[:-1](x).chunk(2, 1)
        q, prior, out = Normal(mean, log_scale.exp()), Normal(0.0, 1.0), []
        for _ in range(SAMPLES):
            z = q.sample()
            nll = F.binary_cross_entropy_with_logits(vae.decoder[:-1](z), x, reduction="sum")
            out.append(prior.log_prob(z).sum() - q.log_prob(z).sum() - nll)
        return torch.stack(out)

    one_by_one(device, track, FEW, each)


CASE = Case(
    title=f"log p(x) of MNIST digits, {SAMPLES} importance samples",
    unit="images",
    contenders={
        "aelib": ours,
        "image by image": digit_by_digit,
        "sample by sample": sample_by_sample,
    },
    value=f"mean log p(x) of the first {FEW} digits, in nats",
)
