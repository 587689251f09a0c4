"""Exercises of page 03."""

import torch
from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(*(3 * v / v.norm() for v in numbers((k,), (k,))), t) for k, t in ((2, 0.5), (5, 0.25), (5, 1.0))])
def slerp(a: Tensor, b: Tensor, t: float) -> Answers:
    """a and b (K,) of equal norm, t → (K,), on the arc from a to b."""
    omega = torch.acos(a @ b / (a.norm() * b.norm()))
    there, back = torch.sin(t * omega), torch.sin((1 - t) * omega)
    return (back * a + there * b) / torch.sin(omega), {
        "this is the straight line; go round": (1 - t) * a + t * b,
        "a and b are exchanged: at t = 0 it is a": (back * b + there * a) / torch.sin(omega),
        "divide by sin ω": back * a + there * b,
    }
