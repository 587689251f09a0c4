"""Answers to the exercises of notebooks 00 to 04."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .verdict import judge


def squared_error(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 00: (x_hat, x), both (B, C, H, W) → (B,), the sum of squared differences."""
    g = torch.Generator().manual_seed(0)
    cases = [tuple(torch.rand(5, c, 4, 6, generator=g) for _ in range(2)) for c in (1, 3)]
    judge(
        f,
        cases,
        lambda a, b: (a - b).square().flatten(1).sum(1),
        {
            "you took the mean over the pixels; here, sum over an example, mean over the batch": (
                lambda a, b: (a - b).square().flatten(1).mean(1)
            ),
            "you took absolute differences; square them": lambda a, b: (a - b).abs().flatten(1).sum(1),
            "square each difference, then sum; not the other way round": (
                lambda a, b: (a - b).flatten(1).sum(1).square()
            ),
        },
    )


def direction(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 01: (codes (N, K), has (N,) of 0 and 1) → (K,), present minus absent."""
    g = torch.Generator().manual_seed(0)
    cases = [(torch.randn(20, k, generator=g), (torch.arange(20) % 3 == 0).float()) for k in (6, 9)]

    def mean(z: Tensor, has: Tensor, value: int) -> Tensor:
        return z[has == value].mean(0)

    judge(
        f,
        cases,
        lambda z, y: mean(z, y, 1) - mean(z, y, 0),
        {
            "the sign is turned round: this vector takes the attribute away": (
                lambda z, y: mean(z, y, 0) - mean(z, y, 1)
            ),
            "do not take absolute values: a code may have to fall where the attribute is added": (
                lambda z, y: (mean(z, y, 1) - mean(z, y, 0)).abs()
            ),
            "subtract the mean code of the images without the attribute": lambda z, y: mean(z, y, 1),
            "subtract the images *without* it, not all images": lambda z, y: mean(z, y, 1) - z.mean(0),
        },
    )


def pca_reconstruction(f: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 01: (x (B, D), mean (D,), V (K, D), rows orthonormal) → (B, D)."""
    g = torch.Generator().manual_seed(0)
    v = torch.linalg.qr(torch.randn(6, 2, generator=g))[0].T
    cases = [(torch.randn(4, 6, generator=g), torch.randn(6, generator=g), v)]
    judge(
        f,
        cases,
        lambda x, mean, v: mean + (x - mean) @ v.T @ v,
        {
            "add the mean again at the end": lambda x, mean, v: (x - mean) @ v.T @ v,
            "subtract the mean before you project": lambda x, mean, v: x @ v.T @ v,
            "subtract the mean before you project, not only add it after": lambda x, mean, v: (
                mean + x @ v.T @ v
            ),
        },
    )


def kl(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 02: (mean, log_var), both (B, K) → (B,), KL(N(mean, var) ‖ N(0, 1)) in nats."""
    g = torch.Generator().manual_seed(0)
    cases = [tuple(torch.randn(5, k, generator=g) for _ in range(2)) for k in (3, 7)]

    def each(m: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (m.square() + v.exp() - 1 - v)

    judge(
        f,
        cases,
        lambda m, v: each(m, v).sum(1),
        {
            "sum over the dimensions of the code, not their mean": lambda m, v: each(m, v).mean(1),
            "the sign is turned round: a KL is never negative": lambda m, v: -each(m, v).sum(1),
            "there is a factor ½ in front of all four": lambda m, v: 2 * each(m, v).sum(1),
            "the argument is the logarithm of the *variance*, not of the standard deviation": (
                lambda m, v: each(m, 2 * v).sum(1)
            ),
        },
    )


def beta_of_mean_squared_error(f: Callable[[float], float]) -> None:
    """Exercise of notebook 02: D pixels → the β that the mean squared error plus the sum of the KL trains."""
    judge(
        lambda d: None if (out := f(int(d))) is None or out is ... else torch.as_tensor(float(out)),
        [(torch.tensor(784.0),), (torch.tensor(12288.0),)],
        lambda d: d / 2,
        {
            "nearly: −log p of a Gaussian with σ = 1 is *half* the squared error": lambda d: d,
            "the wrong way up: the small term here is the error, so the KL weighs more": lambda d: 2 / d,
            "the wrong way round: half, not twice": lambda d: 2 * d,
        },
    )


def one_hot(f: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise of notebook 04: labels (B,), K → (B, K), 1 in the column of the label and 0 elsewhere."""
    judge(
        f,
        [(torch.tensor([2, 0, 1, 2]), 3), (torch.tensor([0, 3]), 6)],
        lambda y, k: torch.eye(k)[y],
        {"0 and 1 are exchanged": lambda y, k: 1 - torch.eye(k)[y]},
    )


def slerp(f: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise of notebook 03: a and b (K,) of equal norm, t → (K,), on the arc from a to b."""
    g = torch.Generator().manual_seed(0)
    cases = []
    for k, t in ((2, 0.5), (5, 0.25), (5, 1.0)):
        a, b = (torch.nn.functional.normalize(torch.randn(k, generator=g), dim=0) * 3 for _ in range(2))
        cases.append((a, b, t))

    def arc(a: Tensor, b: Tensor, t: float) -> Tensor:
        omega = torch.acos(a @ b / (a.norm() * b.norm()))
        return (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)

    judge(
        f,
        cases,
        arc,
        {
            "this is the straight line; go round": lambda a, b, t: (1 - t) * a + t * b,
            "a and b are exchanged: at t = 0 it is a": lambda a, b, t: arc(b, a, t),
            "divide by sin ω": lambda a, b, t: arc(a, b, t) * torch.sin(torch.acos(a @ b / (a @ a))),
        },
    )
