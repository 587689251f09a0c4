"""Exercises of page 13."""

import math

import torch
from torch import Tensor

from .asking import predicted
from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


def _errors(n: int, m: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Squared errors of n validation examples and m others; one pixel has none in validation."""
    valid, errors = (v.square() for v in numbers((n, *shape), (m, *shape)))
    valid[:, ..., 0] = 0
    return valid, errors


@exercise([_errors(20, 4, 1, 3, 5), _errors(30, 6, 7)], by_hand=("aelib",))
def standardised(valid: Tensor, errors: Tensor) -> Answers:
    """Squared errors of validation examples (M, …) and others (N, …) → scores (N,), per pixel."""
    usual = valid.mean(0)
    floor = usual + 0.01 * usual.mean()
    return (errors / floor).flatten(1).mean(1), {
        "every pixel has its own usual error: the mean over the examples alone": (
            errors.flatten(1).mean(1) / floor.mean()
        ),
        "add a hundredth of the mean to the usual errors: a pixel that is always black has none": (
            (errors / usual).flatten(1).mean(1)
        ),
        "the mean over the pixels, not their sum": (errors / floor).flatten(1).sum(1),
        "these are squares already: divide by the usual error, not by its square": (
            (errors / floor.square()).flatten(1).mean(1)
        ),
        "one score per example: take the mean over its pixels, not over the examples": (
            (errors / floor).flatten(1).mean(0)
        ),
    }


def _scored(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scores, some of them equal, and which are of strange examples."""
    scores = numbers((n,), seed=seed)[0].mul(3).round()
    strange = torch.arange(n) % 3 == 0
    return scores + strange, strange


@exercise([_scored(20, 0), _scored(101, 1)], by_hand=("sklearn", "scipy", "torchmetrics", "aelib"))
def auroc(scores: Tensor, strange: Tensor) -> Answers:
    """Scores (N,) and which are strange (N,) → the share of pairs in which the strange one scores higher."""
    s, n = scores[strange][:, None], scores[~strange]
    higher, equal = (s > n).double().mean(), (s == n).double().mean()
    order = scores.argsort(stable=True)
    rank = torch.empty(len(scores), dtype=torch.double)
    rank[order] = torch.arange(1, len(scores) + 1, dtype=torch.double)
    a, b = len(s), len(n)
    return higher + equal / 2, {
        "pairs with equal scores count half: give equal scores their mean rank": higher,
        "equal scores must not count as won: give them their mean rank": higher + equal,
        "equal scores have one rank, their mean; yours depends on the order of the examples": (
            (rank[strange].sum() - a * (a + 1) / 2) / (a * b)
        ),
        "this is the share of pairs in which the normal one scores higher": 1 - higher - equal / 2,
        "this is the mean rank: take off a (a + 1) / 2, what the strange ones have among themselves": (
            higher + equal / 2 + (a + 1) / (2 * b)
        ),
        "a share of pairs: divide by their number": (higher + equal / 2) * a * b,
    }


@exercise([(numbers((99,))[0], 0.05), (numbers((500,), seed=1)[0], 0.01)], by_hand=("aelib", "scipy"))
def threshold(valid: Tensor, rate: float) -> Answers:
    """Scores of M normal examples (M,), a rate → the k-th largest of them, k = ⌊rate · (M + 1)⌋."""
    ordered = valid.sort(descending=True).values
    k = math.floor(rate * (len(valid) + 1) + 1e-9)
    return ordered[k - 1], {
        "the first of a list has the index 0, so the k-th has k − 1": ordered[k],
        "the k-th largest, not the k-th smallest": valid.sort().values[k - 1],
        "k counts one in M + 1: a new example is one more": ordered[math.floor(rate * len(valid) + 1e-9) - 1],
        "this is k, not the score in this place": torch.tensor(float(k)),
        "the scores are not normally distributed: take one of them, not a mean and a number of deviations": (
            valid.mean() - valid.std() * math.sqrt(2) * torch.erfinv(torch.tensor(2 * rate - 1))
        ),
    }


@predicted(near=0.1)
def likelier() -> None:
    """Which share of the digits gets a higher ELBO than half of the clothes, from a VAE of clothes?"""


def _grey(*shape: int) -> Tensor:
    """Grey levels, some of them black or white."""
    return (1.6 * numbers(shape)[0].sigmoid() - 0.3).clamp(0, 1)


@exercise([(_grey(4, 1, 5, 6),), (_grey(3, 7),)], by_hand=("scipy", "torch.distributions", "aelib"))
def least(x: Tensor) -> Answers:
    """Grey levels (B, …) in [0, 1] → (B,) what the best possible Bernoulli still costs, in nats."""
    h = -torch.special.xlogy(x, x) - torch.special.xlogy(1 - x, 1 - x)
    return h.flatten(1).sum(1), {
        "the sum over the pixels, not their mean": h.flatten(1).mean(1),
        "nats have the natural logarithm; these are bits": h.flatten(1).sum(1) / math.log(2),
        "a black pixel costs too: (1 − x) log (1 − x) is missing": -torch.special.xlogy(x, x)
        .flatten(1)
        .sum(1),
        "a cost is positive: the sign is turned round": -h.flatten(1).sum(1),
        "one number per example: keep the first dimension": h.sum(),
    }
