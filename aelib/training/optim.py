"""Optimizers and schedules: which parameters move, by how much, and when."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

Optimizers = Optimizer | Mapping[str, Optimizer | Sequence[Optimizer]]


def adam(
    model: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> Optimizer:
    """AdamW over the model's trainable parameters, in its fused form: a fifth faster for an MLP on a CPU.

    In a training of few steps a second beta of 0.98 forgets the wild first ones in time.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=weight_decay, betas=betas, fused=True)


def muon(model: nn.Module, lr: float = 0.02) -> dict[str, list[Optimizer]]:
    """Muon over the model's matrices, Adam over the rest (biases, convolutions): for `train`'s optimizers.

    Muon makes each step of a weight matrix orthogonal, so that weak directions are learnt as fast as strong
    ones. It pays over many steps; after a few on a small set Adam can be ahead. A step costs more, and for
    layers of 500 and wider much more.

    Source: Jordan et al., 2024, https://kellerjordan.github.io/posts/muon; torch.optim.Muon.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trainable if p.ndim == 2]
    rest = [p for p in trainable if p.ndim != 2]
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=lr, weight_decay=0.0))
    if rest:
        optimizers.append(torch.optim.AdamW(rest, lr=1e-3, weight_decay=0.0, fused=True))
    return {"loss": optimizers}


def warm_up(share: float = 0.1) -> Callable[[float], float]:
    """Schedule: from 0 to 1 in a straight line over the first share, in [0, 1], of the training, then 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"a warm-up is a share of the training, from 0 to 1; got {share}")
    return lambda t: min(1.0, t / share) if share else 1.0


def cosine(share: float = 0.05, end: float = 0.0) -> Callable[[float], float]:
    """Schedule: a warm-up over the first share of the training, then half a cosine from 1 down to `end`."""
    rise = warm_up(share)
    return lambda t: (
        rise(t) if t < share else end + (1 - end) * (1 + math.cos(math.pi * (t - share) / (1 - share))) / 2
    )


def by_term(optimizers: Optimizers) -> dict[str, list[Any]]:
    """Term → its optimizers, whichever of the three ways they were given in."""
    if isinstance(optimizers, Optimizer):
        return {"loss": [optimizers]}
    return {k: [o] if isinstance(o, Optimizer) else list(o) for k, o in optimizers.items()}
