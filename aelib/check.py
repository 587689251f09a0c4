"""Instant answers to the exercises: `check.f(your_function)` says "correct", or what is off and why.

No check raises: a learner's half-written function gets a sentence.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _judge(f: Callable, cases: list[tuple], expected: Callable, hints: dict[str, Callable]) -> None:
    """Compare f with `expected` on every case; a wrong answer equal to a known mistake gets its hint."""
    for case in cases:
        want = expected(*case)
        try:
            got = f(*case)
        except Exception as e:
            return print(f"not yet: your function raised {type(e).__name__}: {e}")
        if got is None or got is ...:
            return print("not yet: your function returns nothing so far")
        if not isinstance(got, Tensor):
            return print(f"not yet: a tensor is expected; yours is a {type(got).__name__}")
        if got.shape != want.shape:
            return print(f"not yet: the shape is {tuple(got.shape)}, expected {tuple(want.shape)}")
        if not torch.allclose(got.float(), want, rtol=1e-4, atol=1e-5):
            for hint, mistake in hints.items():
                if torch.allclose(got.float(), mistake(*case), rtol=1e-4, atol=1e-5):
                    return print(f"not yet: {hint}")
            return print("not yet: the shape is right, the numbers are not")
    return print("correct")


def squared_error(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 00: (x_hat, x), both (B, C, H, W) → (B,), the sum of squared differences."""
    g = torch.Generator().manual_seed(0)
    cases = [tuple(torch.rand(5, c, 4, 6, generator=g) for _ in range(2)) for c in (1, 3)]
    _judge(
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

    _judge(
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
    _judge(
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

    _judge(
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
    _judge(
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
    _judge(
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

    _judge(
        f,
        cases,
        arc,
        {
            "this is the straight line; go round": lambda a, b, t: (1 - t) * a + t * b,
            "a and b are exchanged: at t = 0 it is a": lambda a, b, t: arc(b, a, t),
            "divide by sin ω": lambda a, b, t: arc(a, b, t) * torch.sin(torch.acos(a @ b / (a @ a))),
        },
    )


def score(f: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise of notebook 05: noisy x and its denoised r, both (B, D), σ → (B, D), (r − x) / σ²."""
    g = torch.Generator().manual_seed(0)
    cases = [
        (torch.randn(5, d, generator=g), torch.randn(5, d, generator=g), s) for d, s in ((2, 0.5), (7, 2))
    ]
    _judge(
        f,
        cases,
        lambda x, r, s: (r - x) / s**2,
        {
            "the sign is turned round: the score points from the noisy point to the data": (
                lambda x, r, s: (x - r) / s**2
            ),
            "divide by the variance σ², not by σ": lambda x, r, s: (r - x) / s,
            "right direction, but its length is missing: divide by σ²": lambda x, r, s: r - x,
            "divide by σ², do not multiply": lambda x, r, s: (r - x) * s**2,
        },
    )


def top_k(f: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise of notebook 07: codes (N, K), k → (N, K): the k largest of each stay, the others are 0."""
    g = torch.Generator().manual_seed(0)

    def kept(z: Tensor, k: int, key: Tensor, dim: int = 1) -> Tensor:
        return z * torch.zeros_like(z).scatter(dim, key.topk(k, dim).indices, 1.0)

    _judge(
        f,
        [(torch.randn(6, 5, generator=g), 2), (torch.randn(4, 9, generator=g), 3)],
        lambda z, k: kept(z, k, z),
        {
            "these are the largest in size; a large negative number is not among the largest": (
                lambda z, k: kept(z, k, z.abs())
            ),
            "these are the k smallest": lambda z, k: kept(z, k, -z),
            "these are the largest over the batch; each code keeps its own": lambda z, k: kept(z, k, z, 0),
            "the numbers that stay keep their value": lambda z, k: kept(torch.ones_like(z), k, z),
        },
    )


def nearest_others(f: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise of notebook 06: codes (N, K), k → (N, k), rows of the k others of highest cosine, in order."""
    g = torch.Generator().manual_seed(0)
    cases = [
        (torch.randn(9, d, generator=g) * (1 + torch.arange(9.0)[:, None]), k) for d, k in ((2, 1), (5, 4))
    ]

    def sides(z: Tensor) -> Tensor:
        return torch.nn.functional.normalize(z, dim=1)

    def first(closeness: Tensor, k: int, skip: float = float("-inf")) -> Tensor:
        return closeness.clone().fill_diagonal_(skip).argsort(1, descending=True)[:, :k].float()

    _judge(
        f,
        cases,
        lambda z, k: first(sides(z) @ sides(z).T, k),
        {
            "nobody is an answer to himself: leave the diagonal out": (
                lambda z, k: first(sides(z) @ sides(z).T, k, 2.0)
            ),
            "divide the codes by their lengths: cosine, not the dot product": lambda z, k: first(z @ z.T, k),
            "these are the Euclidean neighbours; divide the codes by their lengths": (
                lambda z, k: first(-torch.cdist(z, z), k)
            ),
            "these are the least similar: the highest cosine comes first": (
                lambda z, k: first(-sides(z) @ sides(z).T, k)
            ),
        },
    )


def decoder(f: Callable[[int, tuple[int, int, int]], Callable]) -> None:
    """Exercise of notebook 11: (K, (C, H, W)) → a module from codes (B, K) to a Bernoulli over images."""
    for size, shape in ((4, (1, 6, 5)), (7, (3, 8, 8))):
        try:
            module = f(size, shape)
            if module is None or module is ...:
                return print("not yet: your function returns nothing so far")
            with torch.no_grad():
                p = module(1e4 * torch.randn(64, size))  # so large that every way out is driven to its end
                mean, x = p.mean, torch.rand(64, *shape)
                log_prob = p.log_prob(x) if mean.shape == x.shape else x
        except Exception as e:
            return print(f"not yet: {type(e).__name__}: {e}")
        if mean.shape != x.shape:
            return print(f"not yet: images are {tuple(mean.shape)}, expected {tuple(x.shape)}")
        if log_prob.shape != (64,):
            return print(f"not yet: log p is {tuple(log_prob.shape)}; expected one number an image")
        low, high = mean.min().item(), mean.max().item()
        if low < -0.01 or high > 1.01:
            return print(f"not yet: means run from {low:.2g} to {high:.2g}; a Bernoulli's are in [0, 1]")
        if low > 0.01 or high < 0.99:
            return print(
                f"not yet: means reach only {low:.2f} to {high:.2f}: is there an activation too many?"
            )
    print("correct")
