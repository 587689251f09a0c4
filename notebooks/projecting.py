"""PCA as two layers of a network: what pages 01 and 08 and the zoo build on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def pca_layers(pca: Any, n: int, shape: Sequence[int]) -> tuple[nn.Sequential, nn.Sequential]:
    """A fitted scikit-learn PCA as two frozen linear maps: to n whitened coordinates, and back.

    z = V(x − mean) / s and x = mean + Vᵀ(s z), where s is the standard deviation along each component.

    Returns:
        (B, *shape) → (B, n), and (B, n) → (B, *shape).

    Raises:
        ValueError: the PCA has fewer than n components.
    """
    if n > len(pca.components_):
        raise ValueError(f"the PCA has {len(pca.components_)} components; {n} were asked for")
    v = torch.as_tensor(pca.components_[:n], dtype=torch.float32)
    s = torch.as_tensor(pca.explained_variance_[:n], dtype=torch.float32).sqrt()
    mean = torch.as_tensor(pca.mean_, dtype=torch.float32)
    there = nn.Linear(v.shape[1], n).requires_grad_(False)
    back = nn.Linear(n, v.shape[1]).requires_grad_(False)
    there.weight.data, there.bias.data = v / s[:, None], -(v @ mean) / s
    back.weight.data, back.bias.data = (v * s[:, None]).T.contiguous(), mean
    return nn.Sequential(nn.Flatten(), there), nn.Sequential(back, nn.Unflatten(1, tuple(shape)))
