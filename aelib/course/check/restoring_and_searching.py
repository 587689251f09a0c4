"""Answers to the exercises of notebooks 05 to 11."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .verdict import judge


def score(f: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise of notebook 05: noisy x and its denoised r, both (B, D), σ → (B, D), (r − x) / σ²."""
    g = torch.Generator().manual_seed(0)
    cases = [
        (torch.randn(5, d, generator=g), torch.randn(5, d, generator=g), s) for d, s in ((2, 0.5), (7, 2))
    ]
    judge(
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

    judge(
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


def best_answer(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 08: possible pictures (N, D), their probabilities (N,) → (D,), the picture whose
    expected squared error is smallest.
    """
    g = torch.Generator().manual_seed(0)
    cases = [
        (torch.rand(n, d, generator=g), torch.rand(n, generator=g).softmax(0)) for n, d in ((3, 4), (5, 2))
    ]
    judge(
        f,
        cases,
        lambda x, w: w @ x,
        {
            "weigh each picture with its probability": lambda x, w: x.mean(0),
            "this is the likeliest picture: a sharp guess, and right too seldom": lambda x, w: x[w.argmax()],
            "the weights sum to 1 already: do not divide again": lambda x, w: w @ x / len(x),
            "this is the median, the best answer to the absolute error": lambda x, w: x.median(0).values,
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

    judge(
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


def straight_through(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise of notebook 10: h and its rounded e, both (B, K) → (B, K), the value of e, gradient to h."""
    h = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

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

    judge(
        judged(f),
        [(h, h.round())],
        judged(lambda h, e: h + (e - h).detach()),
        {
            "the value is that of e, but no gradient reaches h": judged(lambda h, e: e.detach()),
            "the gradient goes to e; it is to go to h": judged(lambda h, e: e),
            "the gradient is right, but the value is h: nothing is rounded": judged(lambda h, e: h),
            "the wrong way round: the value is to be e": judged(lambda h, e: e + (h - e).detach()),
        },
    )


def bits_per_dimension(f: Callable[[Tensor, tuple[int, int, int]], Tensor]) -> None:
    """Exercise of notebook 10: nats a picture (B,), (C, H, W) → (B,) bits for each of its numbers."""

    def divided(nats: Tensor, shape: tuple[int, int, int], by: float) -> Tensor:
        return nats / by / (shape[0] * shape[1] * shape[2])

    judge(
        f,
        [(torch.tensor([90.0, 543.4]), (1, 28, 28)), (torch.tensor([20.0]), (3, 4, 5))],
        partial(divided, by=math.log(2)),
        {
            "these are nats for each number; a bit is log 2 of them": partial(divided, by=1.0),
            "divide by log 2: a bit is *less* than a nat": partial(divided, by=1 / math.log(2)),
            "these are bits for the whole picture; divide by how many numbers it has": lambda nats, shape: (
                divided(nats, (1, 1, 1), math.log(2))
            ),
            "channels count too": lambda nats, shape: divided(nats, (1, *shape[1:]), math.log(2)),
        },
    )


def normalised(f: Callable[[Tensor], Tensor]) -> None:
    """Exercise of notebook 09: an adjacency matrix A (N, N) → D^(−½) (A + I) D^(−½), D of A + I."""
    g = torch.Generator().manual_seed(0)
    cases = []
    for n in (4, 7):
        a = (torch.rand(n, n, generator=g) < 0.4).float().triu(1)
        a[0, 1:] = 1.0  # so that no node is alone
        cases.append((a + a.T,))

    def scaled(a: Tensor, degree: Tensor, left: float = -0.5, right: float = -0.5) -> Tensor:
        return degree[:, None] ** left * a * degree**right

    def own(a: Tensor) -> Tensor:
        return a + torch.eye(len(a))

    judge(
        f,
        cases,
        lambda a: scaled(own(a), own(a).sum(1)),
        {
            "a node must see itself too: add I to A": lambda a: scaled(a, a.sum(1)),
            "D holds the degrees of A + I, not of A": lambda a: scaled(own(a), a.sum(1)),
            "this is D^(−1) (A + I), the mean over the neighbours; take half of the exponent on each side": (
                lambda a: scaled(own(a), own(a).sum(1), -1.0, 0.0)
            ),
            "both exponents are −½, not −1": lambda a: scaled(own(a), own(a).sum(1), -1.0, -1.0),
            "divide by the roots of the degrees, do not multiply": (
                lambda a: scaled(own(a), own(a).sum(1), 0.5, 0.5)
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
