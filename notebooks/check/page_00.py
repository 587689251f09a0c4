"""Exercises of page 00."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from aelib.contexts import seeded
from torch import Tensor, nn

from .asking import measured, predicted
from .descending import descend, forgetful
from .judging import compared, exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([numbers((5, c, 4, 6), (5, c, 4, 6)) for c in (1, 3)])
def squared_error(a: Tensor, b: Tensor) -> Answers:
    """(x_hat, x), both (B, C, H, W) → (B,), the sum of squared differences."""
    d = (a - b).flatten(1)
    return d.square().sum(1), {
        "you took the mean over the pixels; here, sum over an example, mean over the batch": (
            d.square().mean(1)
        ),
        "you took absolute differences; square them": d.abs().sum(1),
        "square each difference, then sum; not the other way round": d.sum(1).square(),
        "this is one number for all, of shape (); give one for each: sum over the pixels of a face alone": (
            d.square().sum()
        ),
    }


class _Network(nn.Module):
    """It draws, as the library's models do, the `x_hat` of what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(12, 3), nn.Linear(3, 12), nn.Unflatten(1, (1, 3, 4))
        )

    def forward(self, x: Tensor) -> SimpleNamespace:
        """(B, 1, 3, 4)."""
        return SimpleNamespace(x_hat=self.layers(x))


def _step(
    zero: bool = True, step: bool = True, over: str = "faces", item: bool = True, up: bool = False
) -> Callable:
    """A step with a mistake, or without."""

    def f(model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer) -> Any:
        each = (model(x).x_hat - x).square().flatten(1)
        loss = {"faces": each.sum(1).mean(), "pixels": each.mean(), "none": each.sum()}[over]
        descend(-loss if up else loss, optimizer, zero, step)
        return loss.item() if item else loss

    return f


@compared(
    [(0,), (1,)],
    reference=_step(),
    mistakes=forgetful(_step)
    | {
        "you took the mean over the pixels too: sum over a face, mean over the faces": (_step(over="pixels")),
        "you summed over the faces; take the mean over them": _step(over="none"),
        "return loss.item(), a number: the tensor `loss` keeps all that it was calculated from": _step(
            item=False
        ),
        "the loss grows: the optimizer makes smaller what `backward` is called on": _step(up=True),
    },
    by_hand=("aelib",),
)
def step(f: Callable, seed: int) -> Tensor | None:
    """(model, x, optimizer) → the loss, a number, after one step that makes it smaller."""
    with seeded(seed):
        model, pictures = _Network(), torch.rand(3, 6, 1, 3, 4)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        curve = [f(model, x, optimizer) for x in pictures]
    if any(loss is None or loss is ... for loss in curve):
        return None
    values = torch.stack([torch.as_tensor(loss).detach() for loss in curve])
    return values[:, None] if isinstance(curve[0], Tensor) else values


@exercise([(0.5 * x + 0.3 * y, x + 1, m + 1) for x, y, m in [numbers((5, 3, 2, 4), (5, 3, 2, 4), (3, 2, 4))]])
def share_kept(x_hat: Tensor, x: Tensor, mean: Tensor) -> Answers:
    """(x_hat and x (B, C, H, W), mean (C, H, W)) → 1 − their error / the error of the mean face."""
    left, at_first = ((y - x).square().flatten(1).sum(1) for y in (x_hat, mean))
    return 1 - left.sum() / at_first.sum(), {
        "this is the share that is lost; what is kept is 1 − it": left.sum() / at_first.sum(),
        "sum the errors over all faces first, then divide, once": (1 - left / at_first).mean(),
        "one number for all faces: sum over them": 1 - left / at_first,
        "take the mean face that is given, of the faces that were learnt from": (
            1 - left.sum() / (x.mean(0) - x).square().sum()
        ),
        "divide by the error of the *mean face*; yours is the error of a black picture": (
            1 - left.sum() / x.square().sum()
        ),
        "it is turned round: what is left, divided by what the mean face leaves": 1
        - at_first.sum() / left.sum(),
    }


@predicted(near=0.05)
def share_in_64_numbers() -> None:
    """Which share of what makes faces differ do 64 numbers keep?"""


@exercise([(*numbers((k,), (k,), seed=k), s) for k, s in ((4, [-2.0, 0.0, 1.0]), (3, [0.5, 3.0]))])
def moved(z: Tensor, v: Tensor, strengths: list[float]) -> Answers:
    """(a code z (K,), a direction v (K,), S strengths) → (S, K), the code moved."""
    s = torch.tensor(strengths)[:, None]
    return z + s * v, {
        "the sign is turned round: a positive strength adds the direction": z - s * v,
        "the strength belongs to the direction; the code stays as it is": s * z + v,
        "these are the steps alone: add each to the code": s * v,
        "each step begins at the code, not where the last one ended": z + s.cumsum(0) * v,
        "the strengths are not in it yet": (z + v).expand(len(s), -1),
    }


@measured(
    below="so few numbers keep less than 0.9: take more",
    above="fewer numbers do it: go down, one by one, as long as kept_by(n) is at least 0.9",
)
def numbers_of_a_face() -> None:
    """What do the fewest numbers keep that keep 90 % of what makes the faces differ?"""
