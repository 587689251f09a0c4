"""Exercises of page 11."""

import math
from collections.abc import Callable

import torch
from aelib import heads, nets
from torch import nn

from .judging import judged


def _decoder(*layers: nn.Module, flat: bool = False, head: Callable = heads.Bernoulli) -> Callable:
    """(K, shape) → a decoder with these layers before its head, which may lack the shape of an image."""

    def made(latent: int, shape: tuple[int, int, int]) -> nn.Module:
        to_image = [] if flat else [nets.Reshape(*shape)]
        return nn.Sequential(nn.Linear(latent, math.prod(shape)), *layers, *to_image, head())

    return made


@judged(
    reference=_decoder(),
    mistakes={
        "an activation too many": _decoder(nn.Sigmoid()),
        "images are": _decoder(flat=True),
        "means run from": _decoder(head=lambda: heads.Gaussian(1.0)),
    },
)
def decoder(f: Callable[[int, tuple[int, int, int]], Callable]) -> str | None:
    """(K, (C, H, W)) → a module from codes (B, K) to a Bernoulli over images."""
    for size, shape in ((4, (1, 6, 5)), (7, (3, 8, 8))):
        module = f(size, shape)
        if module is None or module is ...:
            return "your function returns nothing so far"
        with torch.no_grad():
            p = module(1e4 * torch.randn(64, size))  # so large that every way out is driven to its end
            mean, x = p.mean, torch.rand(64, *shape)
            log_prob = p.log_prob(x) if mean.shape == x.shape else x
        if mean.shape != x.shape:
            return f"images are {tuple(mean.shape)}, expected {tuple(x.shape)}"
        if log_prob.shape != (64,):
            return f"log p is {tuple(log_prob.shape)}; expected one number per image"
        low, high = mean.min().item(), mean.max().item()
        if low < -0.01 or high > 1.01:
            return f"means run from {low:.2g} to {high:.2g}; a Bernoulli's are in [0, 1]"
        if low > 0.01 or high < 0.99:
            return f"means reach only {low:.2f} to {high:.2f}: is there an activation too many?"
    return None
