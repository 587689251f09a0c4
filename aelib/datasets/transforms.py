"""Functions of a batch for `Images.map`: what changes the input is data."""

from __future__ import annotations

from dataclasses import replace

import torch

from .images import Batch, Transform


def flipped(batch: Batch) -> Batch:
    """Mirror each image, and its target with it, left to right with probability ½."""
    heads = torch.rand(len(batch), 1, 1, 1, device=batch.x.device) < 0.5
    x = torch.where(heads, batch.x.flip(-1), batch.x)
    same = batch.target is batch.x
    return replace(batch, x=x, target=x if same else torch.where(heads, batch.target.flip(-1), batch.target))


def noisy(scale: float) -> Transform:
    """Add Gaussian noise of this standard deviation to x, in [0, 1] units; the target stays clean."""
    if not scale > 0:
        raise ValueError(f"noise of standard deviation {scale} changes nothing: give a positive number")

    def f(batch: Batch) -> Batch:
        return replace(batch, x=(batch.x + scale * torch.randn_like(batch.x)).clamp(0, 1))

    return f
