"""Exercises of page 05."""

from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(*numbers((5, d), (5, d)), s) for d, s in ((2, 0.5), (7, 2))])
def score(x: Tensor, r: Tensor, s: float) -> Answers:
    """noisy x and its denoised r, both (B, D), σ → (B, D), (r − x) / σ²."""
    return (r - x) / s**2, {
        "the sign is turned round: the score points from the noisy point to the data": (x - r) / s**2,
        "divide by the variance σ², not by σ": (r - x) / s,
        "right direction, but its length is missing: divide by σ²": r - x,
        "divide by σ², do not multiply": (r - x) * s**2,
    }
