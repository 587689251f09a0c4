"""Exercises of page 14."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from .asking import predicted
from .judging import compared, exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=8, low=0, high=1000)
def bytes_of_a_face() -> None:
    """How many bytes of tokens have the error of a JPEG at quality 5?"""


@exercise([numbers((50, 3), (7, 3)), numbers((9, 1), (4, 1), seed=1)], by_hand=("aelib", "scipy", "sklearn"))
def nearest(v: Tensor, codebook: Tensor) -> Answers:
    """v (B, d), a codebook (words, d) → (B,) which word is the nearest to each."""
    distance = (v[:, None] - codebook).square().sum(2)
    return distance.argmin(1), {
        "this is the word that is the farthest": distance.argmax(1),
        "this is the nearest v of each word: the smallest over the words, not over the examples": (
            distance.argmin(0)
        ),
        "these are distances; which word it is is asked for": distance.amin(1),
        "this is the word itself; its number is asked for": codebook[distance.argmin(1)],
        "square the differences before the sum over the d numbers": (v[:, None] - codebook).sum(2).argmin(1),
        "|e|² differs from word to word: −2 v·e alone prefers long words": (v @ codebook.T).argmax(1),
    }


def _terms(first: bool = True, second: bool = True, swap: bool = False, mean: bool = False) -> Callable:
    def f(h: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        a = ((h.detach() if first else h) - e).square()
        b = (h - (e.detach() if second else e)).square()
        a, b = (v.mean(1) if mean else v.sum(1) for v in (a, b))
        return (b, a) if swap else (a, b)

    return f


@compared(
    [numbers((6, 3), (6, 3)), numbers((4, 2), (4, 2), seed=1)],
    reference=_terms(),
    mistakes={
        "the first term moves the words alone: detach h in it": _terms(first=False),
        "the second term moves the encoder alone: detach e in it": _terms(second=False),
        "each term has a side that stays where it is: detach it": _terms(first=False, second=False),
        "first the codebook's term, then the commitment": _terms(swap=True),
        "the sum over the numbers of an example, not their mean": _terms(mean=True),
    },
    by_hand=("aelib",),
)
def vq_terms(f: Callable, h: Tensor, e: Tensor) -> Any:
    """h (B, d), its words e (B, d) → the codebook's term and the commitment, each (B,)."""
    h, e = (v.clone().requires_grad_() for v in (h, e))
    terms = f(h, e)
    if terms is None or terms is ...:
        return None
    measured = [*terms]
    for term in terms:
        slopes = torch.autograd.grad(term.sum(), (h, e), allow_unused=True, retain_graph=True)
        measured += [torch.zeros(h.numel()) if s is None else s.flatten() for s in slopes]
    return torch.cat([v.detach().flatten() for v in measured])


def _follow(what: str = "") -> Callable:
    def f(codebook: Tensor, usage: Tensor, v: Tensor, word: Tensor, decay: float) -> tuple[Tensor, Tensor]:
        hit = one_hot(word, len(codebook)).to(v)
        count, total = hit.sum(0), hit.T @ v
        old, new = (1 - decay, decay) if what == "turned" else (decay, 1 - decay)
        after = old * usage + new * count
        if what == "means":
            return old * codebook + new * total / count.clamp_min(1)[:, None], after
        if what == "undivided":
            return old * usage[:, None] * codebook + new * total, after
        if what == "unweighted":
            return (old * codebook + new * total) / after[:, None], after
        if what == "usage":
            return (old * usage[:, None] * codebook + new * total) / after[:, None], count
        return (old * usage[:, None] * codebook + new * total) / after[:, None], after

    return f


def _words(n: int, words: int, d: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """A codebook, its usage, vectors and their words; the last word is not used."""
    codebook, usage, v = numbers((words, d), (words,), (n, d), seed=seed)
    return codebook, usage.exp(), v, torch.arange(n) * 3 % (words - 1), 0.9


@compared(
    [_words(20, 5, 3, 0), _words(9, 4, 1, 1)],
    reference=_follow(),
    mistakes={
        "a word that is not used in this batch moves to 0: average sums and counts, then divide": (
            _follow("means")
        ),
        "divide the running sum by the running usage": _follow("undivided"),
        "the running sum of a word is usage · word, not the word": _follow("unweighted"),
        "decay is the weight of what was there before": _follow("turned"),
        "the usage is a running mean too": _follow("usage"),
    },
    by_hand=("aelib",),
)
def follow(f: Callable, codebook: Tensor, usage: Tensor, v: Tensor, word: Tensor, decay: float) -> Any:
    """A codebook (words, d), its usage (words,), v (B, d), their words (B,), decay → both after a step."""
    pair = f(codebook, usage, v, word, decay)
    if pair is None or pair is ...:
        return None
    return torch.cat([pair[0].flatten(), pair[1].flatten()])


@exercise([(torch.arange(40) ** 2 % 7, 8), (torch.tensor([0, 0, 1, 3]), 4)], by_hand=("aelib", "measuring"))
def perplexity(tokens: Tensor, words: int) -> tuple[float, dict[str, float]]:
    """Tokens (N,), of `words` words → e to the entropy of how often each word is used."""
    share = torch.bincount(tokens, minlength=words) / len(tokens)
    entropy = -torch.special.xlogy(share, share).sum().item()
    return math.exp(entropy), {
        "this is the entropy; the perplexity is e to it": entropy,
        "this is the entropy in bits; the perplexity is 2 to it": entropy / math.log(2),
        "an entropy in bits belongs to 2, one in nats to e": math.exp(entropy / math.log(2)),
        "a word that is used once counts less than one that is used often; this counts words": float(
            (share > 0).sum()
        ),
        "an entropy has a minus": math.exp(-entropy),
    }


def _cut(what: str = "") -> Callable:
    def f(h: Tensor, levels: Tensor) -> Tensor:
        bounded = h if what == "unbounded" else h.sigmoid() if what == "half" else h.tanh()
        unit = bounded if what == "half" else (bounded + 1) / 2
        place = (unit * levels).floor().clamp(0).minimum(levels - 1)
        if what == "edge":
            value = place / levels * 2 - 1
        elif what == "half":
            value = (place + 0.5) / levels
        else:
            value = (place + 0.5) / levels * 2 - 1
        if what == "place":
            return place
        return value if what == "dead" else bounded + (value - bounded).detach()

    return f


@compared(
    [(numbers((50, 3))[0], torch.tensor([2.0, 5.0, 8.0])), (3 * numbers((9, 2), seed=1)[0], torch.ones(2))],
    reference=_cut(),
    mistakes={
        "the value stands in the middle of its level; yours stands at its lower edge": _cut("edge"),
        "no gradient comes through: add what rounding changes, detached": _cut("dead"),
        "this is which level; its value in (−1, 1) is asked for": _cut("place"),
        "first tanh: it keeps every number between −1 and 1": _cut("unbounded"),
        "between −1 and 1, by tanh; a sigmoid is between 0 and 1": _cut("half"),
    },
    by_hand=("aelib",),
)
def cut(f: Callable, h: Tensor, levels: Tensor) -> Any:
    """h (B, d), levels (d,) → (B, d), the middle of the level of each tanh h, with a gradient for h."""
    h = h.clone().requires_grad_()
    value = f(h, levels)
    if value is None or value is ...:
        return None
    slope = torch.zeros_like(h)
    if value.requires_grad:
        (slope,) = torch.autograd.grad(value.sum(), h)
    return torch.stack([value.detach(), slope])


@exercise([numbers((2, 3, 5, 5)), numbers((1, 1, 3, 3), seed=1)], by_hand=("aelib",))
def causal(scores: Tensor) -> Answers:
    """Scores (B, heads, N, N) of query n for key m → weights that sum to 1 over m ≤ n."""
    n = scores.shape[-1]
    later = torch.ones(n, n).triu(1).bool()
    right = scores.masked_fill(later, -math.inf).softmax(-1)
    return right, {
        "these see the future: nothing is masked": scores.softmax(-1),
        "turned round: query n may see m ≤ n, not m ≥ n": scores.masked_fill(later.T, -math.inf).softmax(-1),
        "a masked weight is 0 if its score is −∞; a score of 0 is a weight like others": (
            scores.masked_fill(later, 0.0).softmax(-1)
        ),
        "the weights that are left must sum to 1: mask the scores before the softmax": (
            scores.softmax(-1).masked_fill(later, 0.0)
        ),
        "the softmax is over the keys, the last dimension": (
            scores.masked_fill(later, -math.inf).softmax(-2)
        ),
    }  # fmt: skip


def _logits(n: int, length: int, words: int, seed: int) -> tuple[Tensor, Tensor]:
    return numbers((n, length, words), seed=seed)[0], torch.arange(n * length).view(n, length) % words


@exercise([_logits(4, 6, 5, 0), _logits(2, 3, 9, 1)], by_hand=("aelib",))
def bits(logits: Tensor, tokens: Tensor) -> Answers:
    """Logits (B, N, words), tokens (B, N) → (B,) Σ −log₂ P(token), the bits of each example."""
    nats = cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view(tokens.shape)
    raw = logits.gather(2, tokens[..., None])[..., 0]
    return nats.sum(1) / math.log(2), {
        "bits have the logarithm to the base of 2; these are nats": nats.sum(1),
        "the sum over the tokens, not their mean": nats.mean(1) / math.log(2),
        "one number per example: keep the first dimension": nats.sum() / math.log(2),
        "a cost is positive: the sign is turned round": -nats.sum(1) / math.log(2),
        "logits are no logarithms of probabilities yet: log_softmax makes them so": -raw.sum(1) / math.log(2),
        "divide nats by log 2; you multiplied": nats.sum(1) * math.log(2),
    }
