"""Functions of a batch for `Images.map`: what changes the input is data."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import one_hot

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


def binarised(batch: Batch) -> Batch:
    """Every pixel becomes 1 with its grey level as probability, else 0, anew each time; target = x.

    Dynamic binarisation, for likelihoods of MNIST that compare with published ones.

    Source: Salakhutdinov, Murray, 2008; Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519.
    """
    x = torch.rand_like(batch.x).lt_(batch.x)  # torch.bernoulli takes four times as long on a CPU
    return replace(batch, x=x, target=x)


def conditioned(classes: int | None = None) -> Transform:
    """Make what is known about each image its condition c (B, K).

    Args:
        classes: labels become one-hot vectors of this size; None: attributes become +1 present,
            −1 absent, 0 not known.

    Raises:
        ValueError: the images have no labels or attributes (on the first batch).
    """

    def f(batch: Batch) -> Batch:
        if batch.y is None:
            raise ValueError("these images have neither labels nor attributes to be a condition")
        if classes is None:
            if batch.y.ndim != 2:
                raise ValueError("these images have labels: say how many classes, as conditioned(10)")
            return replace(batch, c=torch.nan_to_num(2 * batch.y - 1))
        if batch.y.ndim != 1:
            raise ValueError("these images have attributes, not labels: use conditioned() without a number")
        return replace(batch, c=one_hot(batch.y, classes).float())

    return f
