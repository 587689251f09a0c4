"""The same person or not? LFW's protocol of pairs: a threshold on similarity, chosen on other pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from torch import nn
from torch.nn.functional import cosine_similarity

from aelib.datasets import DataError, Images
from aelib.datasets.download import download, find
from aelib.datasets.lfw import called, everybody
from aelib.errors import unknown
from aelib.retrieval import codes

PAIRS = {  # name: file, its number at the mirror, sha256
    "folds": ("pairs.txt", 5976006, "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592"),
    "dev-train": (
        "pairsDevTrain.txt", 5976012, "1d454dada7dfeca0e7eab6f65dc4e97a6312d44cf142207be28d688be92aabfa",
    ),
    "dev-test": (
        "pairsDevTest.txt", 5976009, "7cb06600ea8b2814ac26e946201cdb304296262aad67d046a16a7ec85d0ff87c",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """Pairs of photos, in folds that share no person: is it the same person on both?

    Args:
        images: the photos, with the people as labels.
        rows: (P, 2) which two photos of `images` are a pair.
        same: (P,) True where both show the same person.
        fold: (P,) the number of the fold that a pair belongs to, from 0.
    """

    images: Images
    rows: np.ndarray
    same: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def strangers(self, folds: Sequence[int]) -> Images:
        """The photos of everybody who is in no pair of these folds: what may be learnt from to judge them."""
        labels = cast(np.ndarray, self.images.labels)
        return self.images[~np.isin(labels, labels[self.rows[np.isin(self.fold, folds)]])]

    def __repr__(self) -> str:
        return f"Pairs({len(self):,} of {len(self.images):,} photos, {self.fold.max() + 1} folds)"


def lfw_pairs(
    name: str = "folds", size: int | tuple[int, int] = 64, crop: int | None = 90, channels: int = 3
) -> Pairs:
    """The official pairs of LFW: half of them show one person twice, half show two people.

    Args:
        name: "folds": 6,000 pairs in ten folds, to report on, once. "dev-train" (2,200) and "dev-test"
            (1,000): to choose settings by; they share no person with each other, but do with "folds".
        size, crop, channels: as in `lfw`.

    Raises:
        ValueError: a name that is not known.
        DataError: photos or pairs are missing, do not belong together, or cannot be downloaded.

    Source: Huang, Ramesh, Berg, Learned-Miller, 2007, http://vis-www.cs.umass.edu/lfw/.
    """
    if name not in PAIRS:
        raise ValueError(unknown("set of pairs", name, PAIRS))
    text, number, digest = PAIRS[name]
    images = everybody(size, crop, channels)
    url, what = f"https://ndownloader.figshare.com/files/{number}", f"LFW's pairs ({text})"
    file = find(f"lfw/{text}") or download(f"lfw/{text}", [url], f"sha256:{digest}", what=what)
    row = {photo: i for i, photo in enumerate(called(images))}
    lines = [line.split() for line in file.read_text("utf-8").splitlines() if line.strip()]
    same = [len(words) == 3 for words in lines[1:]]  # Ann 1 2, not Ann 1 Bob 2
    try:
        folds, each = map(int, ["1", *lines[0]][-2:])
        ends = [[(w[0], w[1]), (w[0] if len(w) == 3 else w[2], w[-1])] for w in lines[1:]]
        rows = [[row[f"{person}_{int(k):04d}"] for person, k in pair] for pair in ends]
    except (ValueError, IndexError, KeyError) as e:
        raise DataError(f"{file} names a photo that is not there, or is damaged ({e}): get it again.") from e
    if len(rows) != folds * 2 * each:
        raise DataError(f"{file} has {len(rows)} pairs and announces {folds * 2 * each}: get it again.")
    fold = np.arange(folds).repeat(2 * each)
    return Pairs(images, np.array(rows), np.array(same), fold)


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
