"""Exact search: the ten nearest, by cosine, among 100,000 codes of 128 numbers, for 100 queries at once.

The codes are drawn independently: an exact search looks at all of them, wherever they lie. (What approximate
ones cost and find, on codes like real ones: `python tests/benchmarks/search_cost.py`.)
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from aelib.retrieval import Index
from benchmarks.race import Case, Track
from benchmarks.search_cost import K

CODES, SIZE, QUERIES, BATCHES = 100_000, 128, 100, 10


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and queries, of length one."""
    generator = torch.Generator().manual_seed(0)
    both = normalize(torch.randn(CODES + QUERIES, SIZE, generator=generator))
    return both[:CODES], both[CODES:]


def ours(device: str, track: Track) -> None:
    codes, queries = drawn()
    index = Index(codes)
    while True:
        for _ in range(BATCHES):
            found = index.ask(queries, K)
        track(BATCHES * QUERIES, found.closeness.mean().item())


def scikit(device: str, track: Track) -> None:
    """Of vectors of length one the nearest are those of the largest cosine; it is faster at distances."""
    from sklearn.neighbors import NearestNeighbors

    codes, queries = (x.numpy() for x in drawn())
    index = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(codes)
    while True:
        for _ in range(BATCHES):
            distances, _ = index.kneighbors(queries)
        track(BATCHES * QUERIES, 1 - float(np.square(distances).mean()) / 2)


def loop(device: str, track: Track) -> None:
    """One matrix times vector and one partial sort a query."""
    codes, queries = (x.numpy() for x in drawn())
    while True:
        closest = []
        for query in queries:
            cosines = codes @ query
            rows = np.argpartition(cosines, -K)[-K:]
            closest.append(np.sort(cosines[rows])[::-1])
        track(QUERIES, float(np.mean(closest)))


CASE = Case(
    title="Exact search among 100,000 codes of 128",
    unit="queries",
    contenders={"aelib": ours, "scikit-learn": scikit, "numpy, query by query": loop},
    value="mean cosine of what was found",
    devices=("cpu",),
)
