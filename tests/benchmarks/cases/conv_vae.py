"""A convolutional VAE of 28×28 images, the factory's, with 16 and 32 channels and a code of 16 numbers."""

from __future__ import annotations

import torch

from aelib import elbo, models
from aelib.models import Autoencoder
from benchmarks.cases import trainers
from benchmarks.cases.trainers import Plain, fashion, fashion_samples, tensor
from benchmarks.race import Case, Track

IMAGES, BATCH, LATENT, WIDTHS = 10_000, 128, 16, (16, 32)


def vae() -> Autoencoder:
    torch.manual_seed(0)
    return models.autoencoder((1, 28, 28), LATENT, hidden=WIDTHS)


def plain() -> Plain:
    """Its layers without the heads."""
    model = vae()
    return Plain(model.encoder[:-1], model.decoder[:-1])


def ours(device: str, track: Track) -> None:
    trainers.ours(vae(), fashion(IMAGES), elbo, BATCH, device, track)


def example(device: str, track: Track) -> None:
    trainers.example(plain(), fashion_samples(IMAGES), trainers.elbo_of_example, BATCH, device, track)


def pythae(device: str, track: Track) -> None:
    trainers.pythae(plain(), tensor(fashion(IMAGES)), LATENT, BATCH, device, track)


def lightning(device: str, track: Track) -> None:
    trainers.lightning(plain(), tensor(fashion(IMAGES)), trainers.elbo, BATCH, device, track)


def bare(device: str, track: Track) -> None:
    trainers.bare(plain(), tensor(fashion(IMAGES)), trainers.elbo, BATCH, device, track)


CASE = Case(
    title="Convolutional VAE, 28×28, batch 128",
    unit="images",
    contenders={
        "aelib": ours,
        "PyTorch's example": example,
        "pythae": pythae,
        "Lightning": lightning,
        "bare loop": bare,
    },
    value="training loss of the epoch, in nats an image",
)
