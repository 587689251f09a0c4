"""Exercises of page 08."""

from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(x, w.softmax(0)) for x, w in (numbers((n, d), (n,)) for n, d in ((3, 4), (5, 2)))])
def best_answer(x: Tensor, w: Tensor) -> Answers:
    """possible pictures (N, D), their probabilities (N,) → (D,), the picture whose
    expected squared error is smallest.
    """
    return w @ x, {
        "weigh each picture with its probability": x.mean(0),
        "this is the likeliest picture: a sharp guess, and right too seldom": x[w.argmax()],
        "the weights sum to 1 already: do not divide again": w @ x / len(x),
        "this is the median, the best answer to the absolute error": x.median(0).values,
    }
