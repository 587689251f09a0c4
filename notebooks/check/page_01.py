"""Exercises of page 01."""

import torch
from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(*numbers((20, k)), (torch.arange(20) % 3 == 0).float()) for k in (6, 9)])
def direction(z: Tensor, has: Tensor) -> Answers:
    """(codes (N, K), has (N,) of 0 and 1) → (K,), present minus absent."""
    absent, present = z[has == 0].mean(0), z[has == 1].mean(0)
    return present - absent, {
        "the sign is turned round: this vector takes the attribute away": absent - present,
        "do not take absolute values: a code may have to fall where the attribute is added": (
            (present - absent).abs()
        ),
        "subtract the mean code of the images without the attribute": present,
        "subtract the images *without* it, not all images": present - z.mean(0),
    }


@exercise([(x, m, torch.linalg.qr(v)[0].T) for v, x, m in [numbers((6, 2), (4, 6), (6,))]])
def pca_reconstruction(x: Tensor, mean: Tensor, v: Tensor) -> Answers:
    """(x (B, D), mean (D,), V (K, D), rows orthonormal) → (B, D)."""
    return mean + (x - mean) @ v.T @ v, {
        "add the mean again at the end": (x - mean) @ v.T @ v,
        "subtract the mean before you project": x @ v.T @ v,
        "subtract the mean before you project, not only add it after": mean + x @ v.T @ v,
    }
