"""A convolutional autoencoder of faces: LFW at 64×64 in colour, 128 numbers a code, squared error.

The way of PyTorch's examples opens, cuts and resizes every photo anew in every epoch, in as many workers as
there are processors. The others have the same faces, to the bit, in memory (decoded once, by the library).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aelib import datasets, losses, models
from aelib.datasets import Images
from aelib.datasets.decoding import processors
from aelib.models import Autoencoder
from benchmarks.cases import trainers
from benchmarks.cases.trainers import tensor
from benchmarks.race import Case, Track

FACES, BATCH, LATENT, SIZE, CROP = 3_000, 64, 128, 64, 90


def faces() -> Images:
    return datasets.load("lfw", size=SIZE, crop=CROP).train[:FACES]


def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return models.autoencoder((3, SIZE, SIZE), LATENT, posterior="deterministic", likelihood="gaussian")


def plain() -> nn.Module:
    """Its layers without the heads."""
    model = autoencoder()
    return nn.Sequential(model.encoder[:-1], model.decoder[:-1])


def error(model: nn.Module, x: Tensor) -> Tensor:
    """Summed over a face, as ours."""
    return F.mse_loss(model(x), x, reduction="sum") / len(x)


def photos() -> Any:
    """The same faces, as torchvision reads a folder of folders."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from aelib.datasets.lfw import _folder

    smaller = transforms.Resize(SIZE, transforms.InterpolationMode.BICUBIC)  # the library's filter
    steps = transforms.CenterCrop(CROP), smaller, transforms.ToTensor()
    folder = ImageFolder(_folder(), transforms.Compose(steps))
    at = {file: i for i, (file, _) in enumerate(folder.samples)}
    files = faces().files
    assert files is not None
    return torch.utils.data.Subset(folder, [at[f"{folder.root}/{file}"] for file in files])


def ours(device: str, track: Track) -> None:
    objective = partial(losses.reconstruction, error=losses.squared_error)
    trainers.ours(autoencoder(), faces(), objective, BATCH, device, track)


def example(device: str, track: Track) -> None:
    trainers.example(plain(), photos(), error, BATCH, device, track, workers=processors())


def lightning(device: str, track: Track) -> None:
    trainers.lightning(plain(), tensor(faces()), error, BATCH, device, track)


def bare(device: str, track: Track) -> None:
    trainers.bare(plain(), tensor(faces()), error, BATCH, device, track)


CASE = Case(
    title="Convolutional autoencoder, LFW 64×64, batch 64",
    unit="images",
    contenders={"aelib": ours, "PyTorch's example": example, "Lightning": lightning, "bare loop": bare},
    value="training loss of the epoch: squared error, summed over a face",
    agree=0.05,  # after six epochs of 47 steps the order of the batches still makes 3 %
)
