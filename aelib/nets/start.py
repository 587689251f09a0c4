"""Where a training may start: linear layers that are principal component analysis."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..contexts import seeded
from ..datasets.batch import Data
from ..heads import Laplace
from .convolutions import Up
from .layers import CONVOLUTIONS, Centre, Features, Reshape, fitting, last

EXAMPLES, NUMBERS = 5000, 2**26  # that a PCA is fitted to, at most; the numbers are 256 MB
FLOOR = 1e-3  # of the mean variance: the least that a PCA is taken to leave unexplained


def linear(
    given: Sequence[int], out: int, back: int, made: Sequence[int], shape: Sequence[int], stride: int = 0
) -> tuple[nn.Module, nn.Module]:
    """One linear layer each way, all zeros: (B, *given) → (B, out), and (B, back) → (B, *made).

    Args:
        shape: of an example, without conditions and parameters beside it.
        stride: 0: of whole examples; else of each patch of so many places along every axis: convolutions,
            whose codes are (B, out, ⌈H / stride⌉, …).
    """
    encoder: nn.Module
    if stride:  # the last `stride` places of such a kernel are the patch
        convolution = CONVOLUTIONS[len(shape) - 1][0]
        encoder = convolution(given[0], out, 2 * stride - 1, stride, stride - 1)
        decoder: nn.Module = Up(made, [back], [stride], nn.Identity)
    else:
        d, beside = math.prod(shape), given[0] - shape[0]
        encoder = nn.Sequential(Features(*shape), nn.Linear(d + beside, out))
        decoder = nn.Sequential(nn.Linear(back, math.prod(made)), Reshape(*shape))
    for p in (*encoder.parameters(), *decoder.parameters()):
        nn.init.zeros_(p)
    return encoder, decoder


def _rows(data: Data, enter: nn.Module, shape: Sequence[int], stride: int) -> Tensor:
    """(N, D) some examples of a set, or their patches, behind `enter`."""
    with seeded(0):
        fitting(data, shape, "start")
        u = enter(next(data.batches(min(EXAMPLES, max(2, NUMBERS // math.prod(shape))), 0)).target)
    if stride:
        ends = [n for size in reversed(shape[1:]) for n in (0, -size % stride)]
        u, axes = pad(u, ends), len(shape) - 1
        for axis in range(2, 2 + axes):
            u = u.unfold(axis, stride, stride)
        u = u.movedim(1, 1 + axes).flatten(0, axes)
    return u.flatten(1)


def principal(
    encoder: nn.Module, decoder: nn.Module, data: Data, enter: nn.Module, head: Any, n: int,
    shape: Sequence[int], stride: int = 0,
) -> None:  # fmt: skip
    """Make the layers of `linear` the PCA of a set, and a scale that the head learns what it leaves over.

    A stochastic code (of 2n outputs) is that of *probabilistic* PCA, whose posterior is known: with the
    variances λ along the components U, q(z|x) = N(√(λ − σ²) / λ · Uᵀ(u − μ), σ² / λ), û = μ + U √(λ − σ²) z.
    It is the best linear variational autoencoder: its bound is log p(x), its codes are N(0, 1) on average.
    Else the code is Uᵀ(u − μ) / √λ.

    Args:
        data: a few thousand of its examples are read.
        enter: x → u, what the encoder gets: `Centre`, whose decoder makes x, or `Standardise`, whose makes u.
        head: of the decoder; see `heads`.
        n: numbers in a code; those for which there is no component are not used.
        shape, stride: as of `linear`.

    Source: Tipping, Bishop, Probabilistic Principal Component Analysis, 1999; Lucas, Tucker, Grosse, Norouzi,
    Don't Blame the ELBO!, 2019, https://arxiv.org/abs/1911.02469.
    """
    from sklearn.decomposition import PCA

    u, head = _rows(data, enter, shape, stride), getattr(head, "head", head)
    block = (shape[0], *[stride] * (len(shape) - 1)) if stride else (u.shape[1],)
    unit, origin = (4.0, 0.5) if isinstance(enter, Centre) else (1.0, 0.0)
    first, second = last(encoder), last(decoder)
    stochastic = len(first.bias) > n
    mean = u.mean(0)
    if stride:
        mean = mean.view(block[0], -1).mean(1, True).expand(-1, stride ** len(block[1:])).flatten()
    u = (u - mean).expand(max(2, len(u)), -1)  # one example is two that are the same
    if stride:  # a convolution has one bias a channel: how a patch's mean varies within it is a component
        u = torch.cat([u, -u])
    count, d = u.shape
    k = max(1, min(n, d, count - 1))
    with np.errstate(invalid="ignore"):  # of examples that are all the same
        pca = PCA(k, random_state=0).fit(u.numpy())
    total, values = u.square().sum() / (count - 1), torch.as_tensor(pca.explained_variance_).float()
    left = (total - values.sum()) / max(d - k, 1) * (count - 1) / max(count - 1 - k, 1)  # unbiased
    b = math.sqrt(2) if isinstance(head, Laplace) else 1.0  # σ, in scales of the head
    learnt, fixed = getattr(head, "log_scale", None), getattr(head, "scale", None)
    s2 = torch.max(left, FLOOR * total / d).clamp_min(1e-12)
    s2 = s2 if learnt is not None or fixed is None else torch.tensor((fixed * b * unit) ** 2)
    components = torch.zeros(n, d)
    components[:k] = torch.as_tensor(pca.components_)
    spread = s2.repeat(n)  # λ
    spread[:k] = values.clamp_min(s2.item() if stochastic else 1e-12)
    size = (spread - s2 if stochastic else spread).sqrt()  # of a component in û
    there, back = components * (size / spread)[:, None], components * size[:, None] / unit
    place = slice(n), slice(block[0]), *(slice(-s, None) for s in block[1:])
    with torch.no_grad():
        first.weight[place], first.bias[:n] = there.view(n, *block), -there @ mean
        first.bias[n:] = (s2 / spread).log()[: len(first.bias) - n] / 2
        (second.weight if stride else second.weight.T)[place] = back.view(n, *block)
        start = mean.view(block[0], -1)[:, 0] / unit + origin
        log_scale = s2.log() / 2 - math.log(unit * b)
        second.bias[: len(start)], second.bias[len(start) :] = start, log_scale
        if learnt is not None:
            learnt.copy_(log_scale)
