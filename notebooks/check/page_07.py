"""Exercises of page 07."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .asking import measured, predicted
from .judging import compared, exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(numbers((6, 5))[0], 2), (numbers((4, 9))[0], 3)])
def top_k(z: Tensor, k: int) -> Answers:
    """codes (N, K), k → (N, K): the k largest of each stay, the others are 0."""

    def mask(key: Tensor, dim: int = 1) -> Tensor:
        return torch.zeros_like(z).scatter(dim, key.topk(k, dim).indices, 1.0)

    return z * mask(z), {
        "these are the largest in size; a large negative number is not among the largest": z * mask(z.abs()),
        "these are the k smallest": z * mask(-z),
        "these are the largest over the batch; each code keeps its own": z * mask(z, 0),
        "the numbers that stay keep their value": mask(z),
    }


@predicted(low=0, high=11)
def above_pca() -> None:
    """How many of the eleven have a larger error on test pictures than PCA?"""


@exercise(
    [(x.sigmoid(), rho) for x, rho in zip(numbers((6, 4), (9, 3)), (0.1, 0.3), strict=True)],
    by_hand=("aelib",),
)
def to_rate(z: Tensor, rho: float) -> Answers:
    """Activations z (B, K) in (0, 1), a rate ρ → Σ over the units of KL(ρ ‖ ρ̂), ρ̂ its mean in the batch."""

    def kl(p: Tensor | float, q: Tensor | float) -> Tensor:
        p, q = torch.as_tensor(p), torch.as_tensor(q)
        return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()

    rate = z.mean(0)
    first = rho * (rho / rate).log()
    return kl(rho, rate).sum(), {
        "ρ̂ is the mean over the batch, before the KL; not the KL of each picture": kl(rho, z).mean(0).sum(),
        "ρ̂ is the mean over the batch, one per unit; not over the units": kl(rho, z.mean(1)).sum(),
        "the other way round: KL(ρ ‖ ρ̂) weighs the logarithms with ρ": kl(rate, rho).sum(),
        "the second half is missing: being off has a probability too, 1 − ρ": first.sum(),
        "sum over the units, not their mean": kl(rho, rate).mean(),
    }


def _stillness(encode: Callable, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    z = encode(x)
    rows = [torch.autograd.grad(z[:, k].sum(), x, retain_graph=True)[0] for k in range(z.shape[1])]
    return sum(row.flatten(1).square().sum(1) for row in rows)  # type: ignore[return-value]


def _of_sum(encode: Callable, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(encode(x).sum(), x)[0].flatten(1).square().sum(1)


def _first(encode: Callable, x: Tensor) -> Tensor:
    return _stillness(lambda x: encode(x)[:, :1], x)


@compared(
    [(k, shape) for k, shape in ((3, (5, 1, 2, 2)), (4, (2, 6)))],
    reference=_stillness,
    mistakes={
        "the gradient of the sum of a code: one backward pass for each of its numbers": _of_sum,
        "this is the first number of the code; add those of all": _first,
        "the square of the norm, not the norm": lambda f, x: _stillness(f, x).sqrt(),
        "one number per picture, (B,): no sum over the batch": lambda f, x: _stillness(f, x).sum(),
        "add over the numbers of the code, do not take their mean": (
            lambda f, x: _stillness(f, x) / f(x).shape[1]
        ),
    },
    by_hand=("aelib", "torch.func", "torch.autograd.functional"),
)
def stillness(f: Callable, k: int, shape: tuple[int, ...]) -> Tensor:
    """(encode, x (B, …)) → (B,), the squared norm of each picture's Jacobian ∂z/∂x."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape[1:]), 5), nn.Tanh(), nn.Linear(5, k))
    return f(net, torch.rand(shape))


@measured(
    below="fewer zeros than wanted: a larger weight makes more",
    above="more zeros than wanted: a smaller weight makes fewer",
)
def three_of_four() -> None:
    """Which share of a code's numbers is 0, with your weight of the L1 penalty?"""
