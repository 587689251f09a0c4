"""Exercises of page 04."""

import torch
from torch import Tensor
from torch.autograd import Function

from .asking import predicted
from .judging import exercise, judged

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=0.5, low=-5, high=50)
def label_worth() -> None:
    """How many nats cheaper is a code if the class is given?"""


@exercise([(torch.tensor([2, 0, 1, 2]), 3), (torch.tensor([0, 3]), 6)])
def one_hot(y: Tensor, k: int) -> Answers:
    """labels (B,), K → (B, K), 1 in the column of the label and 0 elsewhere."""
    one = torch.eye(k)
    return one[y], {
        "0 and 1 are exchanged": 1 - one[y],
        "rows and columns are exchanged: a row for each image": one[y].T,
        "the columns count from 0: label 0 is the first": one[y].roll(1, 1),
    }


def _function(there: float = 1.0, back: float = -1.0, scaled: bool = True) -> type[Function]:
    class Reversed(Function):
        @staticmethod
        def forward(ctx, z, strength):  # type: ignore[no-untyped-def]
            ctx.strength = strength if scaled else 1.0
            return there * z

        @staticmethod
        def backward(ctx, gradient):  # type: ignore[no-untyped-def]
            return back * ctx.strength * gradient, None

    return Reversed


@judged(
    reference=_function(),
    mistakes={
        "forth it is the identity": _function(there=-1.0),
        "is not reversed": _function(back=1.0),
        "is not multiplied by the strength": _function(scaled=False),
        "no gradient comes back": _function(back=0.0),
    },
)
def reversed_gradient(cls: type[Function]) -> str | None:
    """A class `Reversed(Function)`: the identity, whose gradient comes back times −strength."""
    if "backward" not in vars(cls):
        return "your class does nothing so far"
    z = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    out = cls.apply(z, 3.0)
    if not isinstance(out, Tensor) or not torch.equal(out, z):
        return "forth it is the identity: z comes out as it went in"
    (out**2).sum().backward()
    ratio = (z.grad / (2 * z)).flatten().tolist() if z.grad is not None else [0.0]
    if max(map(abs, ratio)) == 0:
        return "no gradient comes back"
    if min(ratio) > 0:
        return "the gradient is not reversed"
    return None if ratio == [-3.0] * 4 else "the gradient is not multiplied by the strength"
