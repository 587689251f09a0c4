"""Exercises of page 06."""

from collections.abc import Callable

import torch
from torch import Tensor

from .asking import predicted
from .judging import compared, exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(numbers((9, d))[0] * (1 + torch.arange(9.0)[:, None]), k) for d, k in ((2, 1), (5, 4))])
def nearest_others(z: Tensor, k: int) -> Answers:
    """codes (N, K), k → (N, k), rows of the k others of highest cosine, in order."""

    def first(closeness: Tensor, itself: float = float("-inf")) -> Tensor:
        return closeness.clone().fill_diagonal_(itself).argsort(1, descending=True)[:, :k].float()

    cosine = torch.nn.functional.cosine_similarity(z[:, None], z, dim=2)
    return first(cosine), {
        "nobody is an answer to himself: leave the diagonal out": first(cosine, 2.0),
        "divide the codes by their lengths: cosine, not the dot product": first(z @ z.T),
        "these are the Euclidean neighbours; divide the codes by their lengths": first(-torch.cdist(z, z)),
        "these are the least similar: the highest cosine comes first": first(-cosine),
    }


@predicted()
def nearest_by_pixels() -> None:
    """How often is the nearest photo, by pixels, one of the same person?"""


@predicted()
def nearest_by_code() -> None:
    """And how often by the best code of this page?"""


def _rows(n: int, labels: int, k: int) -> tuple[Tensor, Tensor]:
    """Labels of n photos, and for each the rows of k others."""
    closeness, draw = numbers((n, n), (n,), seed=n)
    order = closeness.fill_diagonal_(-torch.inf).argsort(1, descending=True)
    return order[:, :k], draw.argsort() % labels


@exercise([_rows(17, 3, 4), _rows(22, 4, 5)], by_hand=("aelib", "searching"))
def precision(rows: Tensor, person: Tensor) -> Answers:
    """The rows (N, k) of each photo's nearest, the person on each photo (N,) → the share that is right."""
    same = (person[rows] == person[:, None]).float()
    return same.mean(), {
        "this asks whether *one* of the k is right": same.amax(1).mean(),
        "this looks at the nearest alone": same[:, 0].mean(),
        "these are the others: the share of wrong ones": 1 - same.mean(),
        "a share: divide by k too": same.sum(1).mean(),
        "rows are numbers of photos, not persons: look up who is on them": (
            (rows == person[:, None]).float().mean()
        ),
    }


def _white(codes: Tensor, power: float = 0.5, mean: bool = True, turned: bool = True) -> Tensor:
    z = codes - codes.mean(0) if mean else codes
    cov = torch.cov(codes.T)
    if not turned:
        return z / cov.diagonal() ** power
    values, vectors = torch.linalg.eigh(cov)
    return z @ vectors / values**power


@compared(
    [
        (torch.randn(60, 4, generator=g) @ torch.randn(4, 4, generator=g) + 2,)
        for g in [torch.Generator().manual_seed(0)]
    ],
    reference=_white,
    mistakes={
        "divide by the standard deviation, the root of the eigenvalue, not by the eigenvalue": (
            lambda z: _white(z, 1.0)
        ),
        "this turns the codes and leaves their widths: divide": lambda z: _white(z, 0.0),
        "each coordinate has deviation 1, and they still go together: turn first": lambda z: _white(
            z, turned=False
        ),
        "the mean is not 0: subtract it first": lambda z: _white(z, mean=False),
        "multiply, and the wide ones become wider: divide": lambda z: _white(z, -0.5),
    },
    by_hand=("aelib", "sklearn"),
)
def white(f: Callable, codes: Tensor) -> Tensor | None:
    """Codes (N, K) → (N, K), turned, with mean 0 and as covariance the identity."""
    z = f(codes)
    if not isinstance(z, Tensor) or z.shape != codes.shape:
        return z
    return torch.cat([z.mean(0), torch.cov(z.T).flatten()]).round(decimals=3)
