"""What asking costs: `python tests/benchmarks/search_cost.py` measures it, up to a million codes.

The codes, of 128 numbers, are drawn from a mixture of Gaussians that was fitted to real ones, of a
convolutional autoencoder on LFW. (Numbers drawn independently would have no neighbourhoods, and every
approximate index would look bad.) It writes materials/results/retrieval.json, again after each measurement.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from aelib import datasets, latent, losses, models, priors, runs, training
from aelib.contexts import seeded
from aelib.retrieval.index import Index, _faiss
from benchmarks.machine import RESULTS, write

FILE = RESULTS / "retrieval.json"
COMMAND = "python tests/benchmarks/search_cost.py"
SIZES, K, QUERIES = (10_000, 100_000, 1_000_000), 10, 200
EFFORTS = {"exact": (0,), "hnsw": (16, 64, 256), "ivf": (4, 16, 64)}


def like_codes(codes: Tensor, n: int, seed: int = 0) -> Tensor:
    """(n, K) codes drawn from a mixture of twenty Gaussians that is fitted to these (N, K)."""
    fitted = priors.fit_prior(codes, "mixture", seed)
    drawn = torch.empty(n, codes.shape[1])
    with seeded(seed):
        component = fitted.get_buffer("weights").multinomial(n, replacement=True)
        # component by component: the distribution's own `sample` would copy a covariance for every code
        each = zip(fitted.get_buffer("means"), fitted.get_buffer("scale_tril"), strict=True)
        for i, (mean, tril) in enumerate(each):
            rows = (component == i).nonzero().flatten()
            drawn[rows] = mean + torch.randn(len(rows), len(mean)) @ tril.T
    return drawn


def measure(
    codes: Tensor, queries: Tensor, kinds: Sequence[str] = tuple(EFFORTS), k: int = K
) -> Iterator[dict[str, Any]]:
    """One record for each kind of index and effort: time, memory, and how much of the truth is found.

    Times are the processor's, of all threads together, so they depend little on what else the machine does.

    Args:
        codes: (N, K) to be indexed.
        queries: (Q, K), asked one by one, as a learner would.

    Yields:
        {"kind", "codes", "effort", "build_seconds", "megabytes", "milliseconds" (the median of a query),
        "recall" (the share of the k truly nearest that are among the k found)}.
    """
    truth = Index(codes).ask(queries, k).rows
    for kind in kinds:
        start = time.process_time()
        index = Index(codes, kind=kind)
        build = time.process_time() - start
        megabytes = len(_faiss().serialize_index(index.inner)) / 1e6
        for effort in EFFORTS[kind]:
            index.look(effort)
            rows, times = [], []
            for z in queries:
                start = time.process_time()
                rows.append(index.ask(z[None], k).rows[0])
                times.append(time.process_time() - start)
            found = torch.stack(rows)[:, :, None] == truth[:, None]
            yield {
                "kind": kind, "codes": len(codes), "effort": effort, "build_seconds": round(build, 3),
                "megabytes": round(megabytes, 1), "milliseconds": round(1000 * statistics.median(times), 4),
                "recall": round(found.any(2).float().mean().item(), 4),
            }  # fmt: skip


def main() -> None:
    """Train, draw, measure, write."""
    torch.set_num_threads(1)
    faces = datasets.load("lfw").train
    with seeded(0):
        model = models.autoencoder(faces.shape, 128, posterior="deterministic", likelihood="gaussian")
    error = partial(losses.reconstruction, error=losses.squared_error)
    runs.fit(model, faces, error, training.adam(model, 2e-3), epochs=2, device="cpu")
    drawn = like_codes(latent.encode(model, faces), QUERIES + SIZES[-1])
    queries, codes = drawn[:QUERIES], drawn[QUERIES:]
    record: dict[str, Any] = {
        "command": COMMAND, "threads": 1, "processor": platform.processor() or platform.machine(),
        "dimensions": codes.shape[1], "k": K, "queries": QUERIES, "table": [],
    }  # fmt: skip
    for n in SIZES:
        for row in measure(codes[:n], queries):
            print(row, flush=True)
            record["table"].append(row)
            write(FILE, record)


if __name__ == "__main__":
    main()
