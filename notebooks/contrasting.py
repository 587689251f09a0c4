"""A contrastive objective, for page 06: views of one photo get near codes, views of other photos far ones."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from aelib import losses
from aelib.datasets import Batch

# tried on validation photos
TEMPERATURE, CROP, TURN, CONTRAST, GREY, NOISE = 0.1, 0.8, 0.17, 0.4, 0.2, 0.03


def two_views(batch: Batch) -> Batch:
    """The same photos, `x` and `target` each another view of them."""
    return replace(batch, x=view(batch.x), target=view(batch.x))


def view(x: Tensor) -> Tensor:
    """Colour photos (B, 3, H, W) as another camera might have them, each in its own way.

    A part of `CROP` to all of the area, turned by up to `TURN` (radians), half of them mirrored; with other
    contrast and colours, one of five grey; with a little noise.
    """
    n = len(x)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(n, *(shape or (1, 1, 1)), device=x.device).uniform_(low, high)

    side, angle = between(CROP, 1, 1).sqrt()[:, 0], between(-TURN, TURN, 1)[:, 0]
    mirrored = between(-1, 1, 1)[:, 0].sign()
    off = between(-1, 1, 2) * (1 - side)[:, None]
    rows = [(side * angle.cos() * mirrored, -side * angle.sin(), off[:, 0])]
    rows += [(side * angle.sin() * mirrored, side * angle.cos(), off[:, 1])]
    to = torch.stack([torch.stack(row, 1) for row in rows], 1)
    x = grid_sample(x, affine_grid(to, list(x.shape), False), padding_mode="reflection", align_corners=False)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * between(1 - CONTRAST, 1 + CONTRAST)
    x = x * between(1 - CONTRAST / 2, 1 + CONTRAST / 2, x.shape[1], 1, 1)
    x = torch.where(between(0, 1) < GREY, x.mean(1, keepdim=True), x)
    return (x + NOISE * between(0, 1) * torch.randn_like(x)).clamp(0, 1)


def nt_xent(a: Tensor, b: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """(B,) nats: how badly each code is recognised among all others of both views, by the angle.

        −log exp(s(aᵢ, bᵢ) / t) / Σ exp(s(aᵢ, ·) / t),  s: cosine; the mean of both directions.

    Args:
        a, b: (B, K) codes of two views of the same B photos.

    Source: Chen, Kornblith, Norouzi, Hinton, 2020, https://arxiv.org/abs/2002.05709.
    """
    n, z = len(a), normalize(torch.cat([a, b]))
    alike = (z @ z.T / temperature).masked_fill(
        torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf
    )
    partner = (torch.arange(2 * n, device=z.device) + n) % (2 * n)
    return cross_entropy(alike, partner, reduction="none").view(2, n).mean(0)


class Codes(nn.Module):
    """(B, C, H, W) → (B, K): the mean of an encoder's posterior, for a `retrieval.Coder`."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x).mean


def contrastive(model: nn.Module, batch: Batch) -> losses.Terms:
    """The objective of an encoder, on batches of `two_views`: {"loss"}, (B,) nats."""
    return {"loss": nt_xent(model(batch.x).mean, model(batch.target).mean)}
