"""Exercises of page 10."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aelib.contexts import seeded

from .asking import measured, predicted
from .judging import compared, exercise, judged, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=5, low=1, high=100)
def codes_that_count() -> None:
    """How many of 100 codes of 16 numbers count, from a q that is twice as wide as the posterior?"""


def _coupling(
    sign: float = 1.0, summed: bool = False, exp: bool = True, of: str = "first", kept: bool = True,
    back: bool = True, whole: bool = False, log: bool = True,
) -> type[nn.Module]:  # fmt: skip
    """A coupling layer, or one with a mistake."""

    class Coupling(nn.Module):
        def __init__(self, k: int) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(k // 2, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, k)
            )  # fmt: skip

        def s_and_t(self, half: Tensor) -> tuple[Tensor, Tensor]:
            """(B, K / 2) → s and t, both (B, K / 2)."""
            s, t = self.net(half).chunk(2, 1)
            return s.tanh(), t

        def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
            """(B, K) → (B, K) and (B,)."""
            first, second = z.chunk(2, 1)
            s, t = self.s_and_t(first if of == "first" else second)
            scale = s.exp() if exp else s
            u = torch.cat([first if kept else first + t, second * scale + t], 1)
            log_det = sign * s if log else scale
            return u, log_det.sum() if whole else log_det.sum(1)

        def inverse(self, u: Tensor) -> Tensor:
            """(B, K) → (B, K)."""
            first, second = u.chunk(2, 1)
            s, t = self.s_and_t(first)
            return torch.cat([first, (second - t) / s.exp() if back else second / s.exp() - t], 1)

    return Coupling


@judged(
    reference=_coupling(),
    mistakes={
        "the sign of the logarithm is turned round": _coupling(sign=-1),
        "it is 0": _coupling(sign=0),
        "a logarithm for each example": _coupling(whole=True),
        "its exponential is missing": _coupling(exp=False),
        "s and t are of the first half": _coupling(of="second"),
        "the first half does not stay as it is": _coupling(kept=False),
        "inverse(forward(z)) is not z": _coupling(back=False),
        "the determinant is the product of the scales; its logarithm": _coupling(log=False),
    },
    by_hand=("zuko", "torch.distributions", "torch.func", "torch.autograd.functional"),
)
def coupling(make: type[nn.Module]) -> str | None:
    """A class (K): forward(z) → (u, log |det ∂u/∂z|), a coupling layer, and inverse(u) → z."""
    with seeded(0):
        layer, z = make(6).double(), torch.randn(5, 6, dtype=torch.double)
    out = layer(z)
    if out is None:
        return "your class does nothing so far: forward returns nothing"
    if not isinstance(out, tuple) or len(out) != 2:
        return "forward returns two things: u and log |det ∂u/∂z|"
    u, log_det = (v.detach() for v in out)
    if u.shape != z.shape:
        return f"u is {tuple(u.shape)}; it is of z's shape, {tuple(z.shape)}"
    if not torch.equal(u[:, :3], z[:, :3]):
        return "the first half does not stay as it is"
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda v: layer(v[None])[0][0], v) for v in z])
    if torch.equal(jacobian[:, 3:, :3], torch.zeros(5, 3, 3).double()):
        return "scale and shift do not depend on the first half: s and t are of the first half"
    inner = jacobian[:, 3:, 3:]
    if (inner - inner.diagonal(dim1=1, dim2=2).diag_embed()).abs().max() > 1e-9:
        return "s and t are of the first half alone; with the second in them nothing can be undone"
    s = layer.s_and_t(z[:, :3])[0].detach()
    if torch.allclose(inner.diagonal(dim1=1, dim2=2), s):
        return "the scale is exp(s), which is positive; its exponential is missing"
    exact = inner.diagonal(dim1=1, dim2=2).abs().log().sum(1)
    if log_det.shape != (5,):
        return f"the second is of the shape {tuple(log_det.shape)}: a logarithm for each example, (5,)"
    for wrong, hint in {
        "the sign of the logarithm is turned round": -exact,
        "it is 0, as if nothing were scaled": 0 * exact,
        "the determinant is the product of the scales; its logarithm is the sum of s": (
            inner.diagonal(dim1=1, dim2=2).sum(1)
        ),
        "the determinant itself; its logarithm is the sum of s": exact.exp(),
        "a mean over the numbers, not their sum": exact / 3,
    }.items():
        if torch.allclose(log_det, hint):
            return f"log |det ∂u/∂z|: {wrong}"
    if not torch.allclose(log_det, exact):
        return f"log |det ∂u/∂z| of an example is {log_det[0]:.4g}; by its Jacobian it is {exact[0]:.4g}"
    back = layer.inverse(u)
    if back is None:
        return "inverse returns nothing so far"
    return None if torch.allclose(back, z) else "inverse(forward(z)) is not z: undo the last step first"


@exercise([(scale * numbers((n, b))[0] - away,) for n, b, scale, away in ((9, 5, 1, 0), (7, 4, 2, 2000))])
def effective(log_w: Tensor) -> Answers:
    """log weights (S, B), S codes for each of B pictures → (B,), (Σ w)² / Σ w²."""
    w = log_w.softmax(0)
    right = 1 / w.square().sum(0)
    return right, {
        "the sum runs over the S codes of a picture, which stand in a column": (
            1 / log_w.softmax(1).square().sum(1)
        ),
        "a number of codes, not their share: do not divide by S": right / len(w),
        "upside down: (Σ w)² / Σ w²": 1 / right,
        "these are logarithms of weights: take their exponentials": log_w.sum(0) ** 2 / log_w.square().sum(0),
        "the square of the sum, over the sum of the *squares*": w.sum(0) / w.amax(0),
        "exponentials of different pictures need a largest weight each: one number per picture": right.mean(),
    }


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return 1 / (1 + (a[:, None] - b).square().sum(2))


def _mmd(a: Tensor, b: Tensor, k: Callable, own: bool = False, twice: float = 2.0, count: int = 1) -> Tensor:
    total = -twice * k(a, b).mean()
    for z in (a, b):
        near, n = k(z, z), len(z)
        total = total + (near.sum() - (0 if own else near.diagonal().sum())) / (n * (n if own else n - count))
    return total


@compared(
    [numbers((5, 3), (7, 3)), (2 * numbers((6, 2))[0], numbers((4, 2))[0] + 1)],
    reference=_mmd,
    mistakes={
        "pairs of different members: a code with itself, on the diagonal, is none": lambda a, b, k: _mmd(
            a, b, k, own=True
        ),
        "there are N (N − 1) pairs of different members": lambda a, b, k: _mmd(a, b, k, count=0),
        "the pairs of the two sets count twice": lambda a, b, k: _mmd(a, b, k, twice=1),
        "the pairs of the two sets are subtracted: near ones make the distance small": lambda a, b, k: _mmd(
            a, b, k, twice=-2
        ),
        "the sign is turned round": lambda a, b, k: -_mmd(a, b, k),
        "this is MMD; MMD² is asked": lambda a, b, k: _mmd(a, b, k).abs().sqrt(),
    },
    by_hand=("aelib",),
)
def mmd(f: Callable, a: Tensor, b: Tensor) -> Tensor | None:
    """Sets (N, K) and (M, K), a kernel → MMD², a number, unbiased."""
    return f(a, b, _kernel)


@compared(
    [(h, h.round()) for h in numbers((4, 3))],
    reference=lambda h, e: h + (e - h).detach(),
    mistakes={
        "the value is that of e, but no gradient reaches h": lambda h, e: e.detach(),
        "the gradient goes to e; it is to go to h": lambda h, e: e,
        "the gradient is right, but the value is h: nothing is rounded": lambda h, e: h,
        "the wrong way round: the value is to be e": lambda h, e: e + (h - e).detach(),
    },
)
def straight_through(f: Callable, h: Tensor, e: Tensor) -> Tensor | None:
    """H and its rounded e, both (B, K) → (B, K), the value of e, gradient to h."""
    h, e = h.clone().requires_grad_(), e.clone().requires_grad_()
    z = f(h, e)
    if not isinstance(z, Tensor):
        return z
    (z.sum() + 0 * (h + e).sum()).backward()
    return torch.cat([z.detach().expand(4, -1), h.grad, e.grad], 1)  # type: ignore[list-item]


@exercise([(torch.tensor([90.0, 543.4]), (1, 28, 28)), (torch.tensor([20.0]), (3, 4, 5))])
def bits_per_dimension(nats: Tensor, shape: tuple[int, int, int]) -> Answers:
    """nats per picture (B,), (C, H, W) → (B,) bits for each of its numbers."""
    bits, n = nats / math.log(2), math.prod(shape)
    return bits / n, {
        "these are nats for each number; a bit is log 2 of them": nats / n,
        "divide by log 2: a bit is *less* than a nat": nats * math.log(2) / n,
        "these are bits for the whole picture; divide by how many numbers it has": bits,
        "channels count too": bits / math.prod(shape[1:]),
    }


@measured(
    below="fewer than half of them count: make s a little smaller",
    above="more than half of them count: make s a little larger",
)
def half_of_the_codes() -> None:
    """How many of 100 codes of 16 numbers count, with an s > 1 at which half of them should?"""
