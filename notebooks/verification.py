"""The same person or not? LFW's protocol of pairs: a threshold on similarity, chosen on other pairs."""

from typing import NamedTuple

import numpy as np
from torch import nn
from torch.nn.functional import cosine_similarity

from aelib.datasets import Images, Pairs
from aelib.retrieval import codes


def pairs_of(images: Images, folds: int = 10, each: int = 60, seed: int = 0) -> Pairs:
    """Pairs of labelled images, made as LFW's are: people are dealt out to folds, half of the pairs are same.

    Args:
        images: with labels.
        folds: how many; no person is in two of them.
        each: pairs of a fold, at most: there are not more than the people's photos allow.
        seed: of the choice.

    Raises:
        ValueError: no labels, or a fold without two photos of one person or without two people.
    """
    if images.labels is None:
        raise ValueError("pairs need labels: who is on the image")
    rng = np.random.default_rng(seed)
    counts = np.bincount(images.labels)
    many = rng.permutation(np.flatnonzero(counts > 1))
    rows: list[np.ndarray] = []
    sizes: list[int] = []
    for k in range(folds):
        mine = np.flatnonzero(np.isin(images.labels, many[k::folds]))
        a, b = np.triu_indices(len(mine), 1)
        equal = images.labels[mine[a]] == images.labels[mine[b]]
        n = min(each // 2, equal.sum(), (~equal).sum())
        if n < 1:
            raise ValueError(f"{len(many)} people with two images or more are too few for {folds} folds")
        for kind in (equal, ~equal):
            chosen = rng.choice(np.flatnonzero(kind), n, replace=False)
            rows.append(np.stack([mine[a[chosen]], mine[b[chosen]]], 1))
        sizes.append(2 * n)
    same = np.concatenate([np.arange(n) < n // 2 for n in sizes])
    return Pairs(images, np.concatenate(rows), same, np.arange(folds).repeat(sizes))


def similarity(coder: nn.Module, images: Images, rows: np.ndarray) -> np.ndarray:
    """(P,) cosine similarity of the codes of pairs of images (P, 2); only those images are encoded."""
    needed, places = np.unique(rows, return_inverse=True)
    z = codes(coder, images[needed])
    a, b = z[places.reshape(rows.shape).T]
    return cosine_similarity(a, b).numpy()


class Verification(NamedTuple):
    """Accuracy of "the same person or not": mean over the folds, standard error, each fold's, thresholds."""

    mean: float
    standard_error: float
    folds: np.ndarray
    thresholds: np.ndarray


def threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The similarity above which "the same person" is right most often: half way between two, or ±∞."""
    order = np.argsort(-scores, kind="stable")
    s = np.concatenate([[np.inf], scores[order], [-np.inf]])
    right = np.concatenate([[0], np.cumsum(np.where(same[order], 1, -1))])  # of n called "same", + a constant
    right = np.where(s[:-1] > s[1:], right, -len(s))  # equal scores cannot be told apart
    n = int(right.argmax())
    return float((s[n] + s[n + 1]) / 2)


def verification(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Verification:
    """LFW's protocol: each fold is judged by the threshold that is best on all the others.

    The standard error is that of the mean of the folds' accuracies: their standard deviation / √folds.

    Args:
        scores: (P,) similarity of each pair, by a model that was trained on none of its people.
        same: (P,) whether both are the same person.
        fold: (P,) the fold of each pair, two or more folds in all.

    Raises:
        ValueError: lengths that differ, scores that are NaN, or a single fold.

    Source: Huang, Ramesh, Berg, Learned-Miller, 2007, http://vis-www.cs.umass.edu/lfw/.
    """
    scores, same, fold = np.asarray(scores), np.asarray(same, bool), np.asarray(fold)
    if not len(scores) == len(same) == len(fold) or np.isnan(scores).any():
        raise ValueError(f"a score, a truth and a fold for each pair, without NaN; got {len(scores)}, "
                         f"{len(same)} and {len(fold)}")  # fmt: skip
    names = np.unique(fold)
    if len(names) < 2:
        raise ValueError("a threshold is chosen on the other folds: there must be two at least")
    thresholds = np.array([threshold(scores[fold != f], same[fold != f]) for f in names])
    pairs = zip(names, thresholds, strict=True)
    each = np.array([((scores > t) == same)[fold == f].mean() for f, t in pairs])
    return Verification(float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5), each, thresholds)
