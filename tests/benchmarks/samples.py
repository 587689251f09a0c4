"""Do samples look like the data? `python tests/benchmarks/samples.py` asks models that come with the course.

Samples from the model's own prior, N(0, 1), from the one that `latent.sampler` takes, and from a full
Gaussian fitted to the codes are compared with test pictures: Fréchet distance in the 30 principal coordinates
of training pictures, "photos" between training and test pictures. It writes materials/results/samples.json,
again after each model.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import time
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from aelib import datasets, latent, metrics, models, pretrained, priors
from aelib.datasets import Data, Split
from aelib.models import Autoencoder
from benchmarks.machine import RESULTS, machine, write

FILE = RESULTS / "samples.json"
COMMAND = "python tests/benchmarks/samples.py"
MODELS = {
    "vae-mnist": "mnist",
    "vae-fashion-mnist": "fashion-mnist",
    "vae-lfw": "lfw",
    "vae-food-101": "food-101",
}
SAMPLES = 2000  # and as many pictures


def measure(model: Autoencoder, split: Split) -> dict[str, Any]:
    """One record: distances from the test pictures, what the sampler said, and its seconds of CPU."""

    def pictures(data: Data) -> np.ndarray:
        return np.concatenate([b.target.flatten(1).numpy() for b in data.batches(500)])

    train, test = pictures(split.train[: 2 * SAMPLES]), pictures(split.test[:SAMPLES])
    known = PCA(30, svd_solver="randomized", random_state=0).fit(train)

    def distance(x: Tensor | np.ndarray) -> float:
        a, b = (torch.from_numpy(known.transform(v)) for v in (np.asarray(x), test))
        return round(metrics.frechet_distance(a, b), 2)

    before = time.process_time()
    drawn, said = latent.sampler(model, split.train)
    seconds = time.process_time() - before
    full = priors.fit_prior(latent.draws(model, split.train)[0], "full")
    each = {"own": model, "sampler": drawn, "full": models.Autoencoder(model.encoder, model.decoder, full)}
    return {
        "said": said, "seconds": round(seconds, 1), "photos": distance(train),
        **{name: distance(latent.sample(m, SAMPLES).flatten(1)) for name, m in each.items()},
    }  # fmt: skip


def main() -> None:
    """Load, sample, compare, write."""
    torch.set_num_threads(1)
    record: dict[str, Any] = {"command": COMMAND, "machine": machine(), "table": []}
    for name, data in MODELS.items():
        model, split = pretrained.load(f"pretrained/{name}", device="cpu"), datasets.load(data)
        row = {"model": name} | measure(model, split)
        print(row, flush=True)
        record["table"].append(row)
        write(FILE, record)


if __name__ == "__main__":
    main()
