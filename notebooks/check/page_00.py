"""Exercises of page 00."""

from torch import Tensor

from .judging import exercise, numbers

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
    }
