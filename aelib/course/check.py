"""Instant answers to the exercises: `check.f(your_function)` says "correct", or what is off and why.

No check raises: a learner's half-written function gets a sentence. They stand in the order of the notebooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

__all__ = [
    "best_answer", "beta_of_mean_squared_error", "bits_per_dimension", "decoder", "direction", "kl",
    "nearest_others", "normalised", "one_hot", "pca_reconstruction", "score", "slerp", "squared_error",
    "straight_through", "top_k",
]  # fmt: skip


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


def _numbers(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """A tensor of each shape, its numbers from N(0, 1) and one seed."""
    g = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=g) for shape in shapes)


def squared_error(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 00: (x_hat, x), both (B, C, H, W) → (B,), the sum of squared differences."""
    hints = {
        "you took the mean over the pixels; here, sum over an example, mean over the batch": (
            lambda a, b: (a - b).square().flatten(1).mean(1)
        ),
        "you took absolute differences; square them": lambda a, b: (a - b).abs().flatten(1).sum(1),
        "square each difference, then sum; not the other way round": (
            lambda a, b: (a - b).flatten(1).sum(1).square()
        ),
    }
    cases = [_numbers((5, c, 4, 6), (5, c, 4, 6)) for c in (1, 3)]
    _judge(f, cases, lambda a, b: (a - b).square().flatten(1).sum(1), hints)


def direction(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 01: (codes (N, K), has (N,) of 0 and 1) → (K,), present minus absent."""

    def mean(z: Tensor, has: Tensor, value: int) -> Tensor:
        return z[has == value].mean(0)

    hints = {
        "the sign is turned round: this vector takes the attribute away": (
            lambda z, y: mean(z, y, 0) - mean(z, y, 1)
        ),
        "do not take absolute values: a code may have to fall where the attribute is added": (
            lambda z, y: (mean(z, y, 1) - mean(z, y, 0)).abs()
        ),
        "subtract the mean code of the images without the attribute": lambda z, y: mean(z, y, 1),
        "subtract the images *without* it, not all images": lambda z, y: mean(z, y, 1) - z.mean(0),
    }
    cases = [(*_numbers((20, k)), (torch.arange(20) % 3 == 0).float()) for k in (6, 9)]
    _judge(f, cases, lambda z, y: mean(z, y, 1) - mean(z, y, 0), hints)


def pca_reconstruction(f: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 01: (x (B, D), mean (D,), V (K, D), rows orthonormal) → (B, D)."""
    hints = {
        "add the mean again at the end": lambda x, mean, v: (x - mean) @ v.T @ v,
        "subtract the mean before you project": lambda x, mean, v: x @ v.T @ v,
        "subtract the mean before you project, not only add it after": lambda x, mean, v: mean + x @ v.T @ v,
    }
    v, x, mean = _numbers((6, 2), (4, 6), (6,))
    cases = [(x, mean, torch.linalg.qr(v)[0].T)]
    _judge(f, cases, lambda x, mean, v: mean + (x - mean) @ v.T @ v, hints)


def kl(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 02: (mean, log_var), both (B, K) → (B,), KL(N(mean, var) ‖ N(0, 1)) in nats."""

    def each(m: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (m.square() + v.exp() - 1 - v)

    hints = {
        "sum over the dimensions of the code, not their mean": lambda m, v: each(m, v).mean(1),
        "the sign is turned round: a KL is never negative": lambda m, v: -each(m, v).sum(1),
        "there is a factor ½ in front of all four": lambda m, v: 2 * each(m, v).sum(1),
        "the argument is the logarithm of the *variance*, not of the standard deviation": (
            lambda m, v: each(m, 2 * v).sum(1)
        ),
    }
    _judge(f, [_numbers((5, k), (5, k)) for k in (3, 7)], lambda m, v: each(m, v).sum(1), hints)


def beta_of_mean_squared_error(f: Callable[[float], float]) -> None:
    """Exercise of notebook 02: D pixels → the β that the mean squared error plus the sum of the KL trains."""
    hints = {
        "nearly: −log p of a Gaussian with σ = 1 is *half* the squared error": lambda d: d,
        "the wrong way up: the small term here is the error, so the KL weighs more": lambda d: 2 / d,
        "the wrong way round: half, not twice": lambda d: 2 * d,
    }

    def as_tensor(d: Tensor) -> Tensor | None:
        return None if (out := f(int(d))) is None or out is ... else torch.as_tensor(float(out))

    _judge(as_tensor, [(torch.tensor(784.0),), (torch.tensor(12288.0),)], lambda d: d / 2, hints)


def slerp(f: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise of notebook 03: a and b (K,) of equal norm, t → (K,), on the arc from a to b."""

    def arc(a: Tensor, b: Tensor, t: float) -> Tensor:
        omega = torch.acos(a @ b / (a.norm() * b.norm()))
        return (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)

    hints = {
        "this is the straight line; go round": lambda a, b, t: (1 - t) * a + t * b,
        "a and b are exchanged: at t = 0 it is a": lambda a, b, t: arc(b, a, t),
        "divide by sin ω": lambda a, b, t: arc(a, b, t) * torch.sin(torch.acos(a @ b / (a @ a))),
    }
    cases = [
        (*(3 * v / v.norm() for v in _numbers((k,), (k,))), t) for k, t in ((2, 0.5), (5, 0.25), (5, 1.0))
    ]
    _judge(f, cases, arc, hints)


def one_hot(f: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise of notebook 04: labels (B,), K → (B, K), 1 in the column of the label and 0 elsewhere."""
    hints = {"0 and 1 are exchanged": lambda y, k: 1 - torch.eye(k)[y]}
    cases = [(torch.tensor([2, 0, 1, 2]), 3), (torch.tensor([0, 3]), 6)]
    _judge(f, cases, lambda y, k: torch.eye(k)[y], hints)


def score(f: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise of notebook 05: noisy x and its denoised r, both (B, D), σ → (B, D), (r − x) / σ²."""
    hints = {
        "the sign is turned round: the score points from the noisy point to the data": (
            lambda x, r, s: (x - r) / s**2
        ),
        "divide by the variance σ², not by σ": lambda x, r, s: (r - x) / s,
        "right direction, but its length is missing: divide by σ²": lambda x, r, s: r - x,
        "divide by σ², do not multiply": lambda x, r, s: (r - x) * s**2,
    }
    cases = [(*_numbers((5, d), (5, d)), s) for d, s in ((2, 0.5), (7, 2))]
    _judge(f, cases, lambda x, r, s: (r - x) / s**2, hints)


def nearest_others(f: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise of notebook 06: codes (N, K), k → (N, k), rows of the k others of highest cosine, in order."""

    def cosine(z: Tensor) -> Tensor:
        return torch.nn.functional.cosine_similarity(z[:, None], z, dim=2)

    def first(closeness: Tensor, k: int, itself: float = float("-inf")) -> Tensor:
        return closeness.clone().fill_diagonal_(itself).argsort(1, descending=True)[:, :k].float()

    hints = {
        "nobody is an answer to himself: leave the diagonal out": lambda z, k: first(cosine(z), k, 2.0),
        "divide the codes by their lengths: cosine, not the dot product": lambda z, k: first(z @ z.T, k),
        "these are the Euclidean neighbours; divide the codes by their lengths": (
            lambda z, k: first(-torch.cdist(z, z), k)
        ),
        "these are the least similar: the highest cosine comes first": lambda z, k: first(-cosine(z), k),
    }
    lengths = 1 + torch.arange(9.0)[:, None]
    cases = [(_numbers((9, d))[0] * lengths, k) for d, k in ((2, 1), (5, 4))]
    _judge(f, cases, lambda z, k: first(cosine(z), k), hints)


def top_k(f: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise of notebook 07: codes (N, K), k → (N, K): the k largest of each stay, the others are 0."""

    def kept(z: Tensor, k: int, key: Tensor, dim: int = 1) -> Tensor:
        return z * torch.zeros_like(z).scatter(dim, key.topk(k, dim).indices, 1.0)

    hints = {
        "these are the largest in size; a large negative number is not among the largest": (
            lambda z, k: kept(z, k, z.abs())
        ),
        "these are the k smallest": lambda z, k: kept(z, k, -z),
        "these are the largest over the batch; each code keeps its own": lambda z, k: kept(z, k, z, 0),
        "the numbers that stay keep their value": lambda z, k: kept(torch.ones_like(z), k, z),
    }
    a, b = _numbers((6, 5), (4, 9))
    _judge(f, [(a, 2), (b, 3)], lambda z, k: kept(z, k, z), hints)


def best_answer(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 08: possible pictures (N, D), their probabilities (N,) → (D,), the picture whose
    expected squared error is smallest.
    """
    hints = {
        "weigh each picture with its probability": lambda x, w: x.mean(0),
        "this is the likeliest picture: a sharp guess, and right too seldom": lambda x, w: x[w.argmax()],
        "the weights sum to 1 already: do not divide again": lambda x, w: w @ x / len(x),
        "this is the median, the best answer to the absolute error": lambda x, w: x.median(0).values,
    }
    cases = [(x, w.softmax(0)) for x, w in (_numbers((3, 4), (3,)), _numbers((5, 2), (5,)))]
    _judge(f, cases, lambda x, w: w @ x, hints)


def normalised(f: Callable[[Tensor], Tensor]) -> None:
    """Exercise of notebook 09: an adjacency matrix A (N, N) → D^(−½) (A + I) D^(−½), D of A + I."""

    def scaled(a: Tensor, degree: Tensor, left: float = -0.5, right: float = -0.5) -> Tensor:
        return degree[:, None] ** left * a * degree**right

    def own(a: Tensor) -> Tensor:
        return a + torch.eye(len(a))

    hints = {
        "a node must see itself too: add I to A": lambda a: scaled(a, a.sum(1)),
        "D holds the degrees of A + I, not of A": lambda a: scaled(own(a), a.sum(1)),
        "this is D^(−1) (A + I), the mean over the neighbours; take half of the exponent on each side": (
            lambda a: scaled(own(a), own(a).sum(1), -1.0, 0.0)
        ),
        "both exponents are −½, not −1": lambda a: scaled(own(a), own(a).sum(1), -1.0, -1.0),
        "divide by the roots of the degrees, do not multiply": lambda a: scaled(
            own(a), own(a).sum(1), 0.5, 0.5
        ),
    }
    cases = []
    for n in (4, 7):
        a = (_numbers((n, n))[0] < 0).float().triu(1)
        a[0, 1:] = 1.0  # so that no node is alone
        cases.append((a + a.T,))
    _judge(f, cases, lambda a: scaled(own(a), own(a).sum(1)), hints)


def straight_through(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 10: h and its rounded e, both (B, K) → (B, K), the value of e, gradient to h."""

    def judged(f: Callable) -> Callable:
        """What f returns, and beside it the gradients of h and of e."""

        def out(h: Tensor, e: Tensor) -> Tensor | None:
            h, e = h.clone().requires_grad_(), e.clone().requires_grad_()
            z = f(h, e)
            if not isinstance(z, Tensor):
                return z
            (z.sum() + 0 * (h + e).sum()).backward()
            return torch.cat([z.detach().expand(4, -1), h.grad, e.grad], 1)  # type: ignore[list-item]

        return out

    hints = {
        "the value is that of e, but no gradient reaches h": judged(lambda h, e: e.detach()),
        "the gradient goes to e; it is to go to h": judged(lambda h, e: e),
        "the gradient is right, but the value is h: nothing is rounded": judged(lambda h, e: h),
        "the wrong way round: the value is to be e": judged(lambda h, e: e + (h - e).detach()),
    }
    (h,) = _numbers((4, 3))
    _judge(judged(f), [(h, h.round())], judged(lambda h, e: h + (e - h).detach()), hints)


def bits_per_dimension(f: Callable[[Tensor, tuple[int, int, int]], Tensor]) -> None:
    """Exercise of notebook 10: nats per picture (B,), (C, H, W) → (B,) bits for each of its numbers."""

    def divided(nats: Tensor, shape: tuple[int, int, int], by: float = math.log(2)) -> Tensor:
        return nats / by / math.prod(shape)

    hints: dict[str, Callable] = {
        "these are nats for each number; a bit is log 2 of them": partial(divided, by=1.0),
        "divide by log 2: a bit is *less* than a nat": partial(divided, by=1 / math.log(2)),
        "these are bits for the whole picture; divide by how many numbers it has": (
            lambda nats, shape: divided(nats, (1, 1, 1))
        ),
        "channels count too": lambda nats, shape: divided(nats, (1, *shape[1:])),
    }
    cases = [(torch.tensor([90.0, 543.4]), (1, 28, 28)), (torch.tensor([20.0]), (3, 4, 5))]
    _judge(f, cases, divided, hints)


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
            return print(f"not yet: log p is {tuple(log_prob.shape)}; expected one number per image")
        low, high = mean.min().item(), mean.max().item()
        if low < -0.01 or high > 1.01:
            return print(f"not yet: means run from {low:.2g} to {high:.2g}; a Bernoulli's are in [0, 1]")
        if low > 0.01 or high < 0.99:
            return print(
                f"not yet: means reach only {low:.2f} to {high:.2f}: is there an activation too many?"
            )
    return print("correct")
