"""Networks and objectives written by hand, as a learner does it."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aelib import losses, models
from aelib.datasets import Batch


class Encoder(nn.Module):
    """Two layers and one for the code, with ReLUs."""

    def __init__(self, shape: tuple[int, ...], conditions: int, out: int, width: int) -> None:
        super().__init__()
        self.conditions = conditions
        self.fc1 = nn.Linear(int(np.prod(shape)) + conditions, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C + K, H, W) → (B, out)."""
        if self.conditions:
            x, c = x[:, : -self.conditions], x[:, -self.conditions :, 0, 0]
            h = torch.cat([x.flatten(1), c], 1)
        else:
            h = x.flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(h)))))


class Decoder(nn.Module):
    """The same, backwards."""

    def __init__(self, latent: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.shape = shape
        self.fc1, self.fc2 = nn.Linear(latent, width), nn.Linear(width, width)
        self.fc3 = nn.Linear(width, int(np.prod(shape)))

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) → (B, C, H, W)."""
        h = F.relu(self.fc2(F.relu(self.fc1(z))))
        return self.fc3(h).view(len(z), *self.shape)


def convolutional(
    shape: tuple[int, ...], conditions: int, out: int, code: int
) -> tuple[nn.Module, nn.Module]:
    """Convolutions with BatchNorm and pooling, and upsampling: what most tutorials have."""
    c, h, w = shape
    small = (16, -(-h // 4), -(-w // 4))
    pool = partial(nn.MaxPool2d, 2, ceil_mode=True)
    there = nn.Sequential(
        nn.Conv2d(c + conditions, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), pool(),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), pool(),
        nn.Flatten(), nn.Linear(int(np.prod(small)), out),
    )  # fmt: skip
    back = nn.Sequential(
        nn.Linear(code, int(np.prod(small))), nn.ReLU(), nn.Unflatten(1, small),
        nn.Upsample(scale_factor=2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Upsample(size=(h, w)), nn.Conv2d(16, c, 3, padding=1),
    )  # fmt: skip
    return there, back


def bce_and_kl(model: models.Autoencoder, batch: Batch, beta: float = 1.0, error: Any = None) -> losses.Terms:
    """The textbook's two lines."""
    q, _, p = model(batch.x, batch.c)
    mean, std = q.mean, q.stddev
    wrong = F.binary_cross_entropy(p.mean, batch.target, reduction="none").flatten(1).sum(1)
    if error is not None:
        wrong = error(p, batch.target)
    kl = 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).flatten(1).sum(1)
    return {"loss": wrong + beta * kl, "error": wrong, "kl": kl}


def mse(model: models.Autoencoder, batch: Batch, error: Any = None) -> losses.Terms:
    """Squared error by hand, one number per picture."""
    p = model(batch.x, batch.c).p
    if error is not None:
        return {"loss": error(p, batch.target)}
    return {"loss": F.mse_loss(p.mean, batch.target, reduction="none").flatten(1).mean(1)}
