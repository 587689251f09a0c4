"""Which β has page 03's VAE? `python tests/benchmarks/betas.py` trains it with three, to choose among them.

What its ten numbers know of the classes of Fashion-MNIST's validation pictures, by ten nearest neighbours and
by a linear probe, and their trustworthiness. One seed. materials/results/betas.json is written again after
each training.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own
    sys.path.append(str(Path(__file__).resolve().parents[2] / "notebooks"))  # where the measures stand

from typing import Any

import numpy as np
import torch
from measuring import embedding_quality

from aelib import AutoencoderTransformer, datasets
from aelib.datasets import Images
from benchmarks.machine import RESULTS, write

FILE, COMMAND = RESULTS / "betas.json", "python tests/benchmarks/betas.py"
BETAS = (1.0, 0.3, 0.1)


def flat(images: Images) -> np.ndarray:
    """(N, D) pixels in [0, 1]."""
    return images.pixels.reshape(len(images), -1) / np.float32(255)


def quality(beta: float) -> dict[str, float]:
    """`measuring.embedding_quality` of the validation pictures, of page 03's VAE trained with this β."""
    clothes = datasets.load("fashion-mnist")
    vae = AutoencoderTransformer(
        10, beta=beta, shape=clothes.shape, net="conv", hidden=(16, 32, 64), posterior="gaussian",
        likelihood="bernoulli", random_state=0, batch_size=128, epochs=12, lr=2e-3,
    )  # fmt: skip
    codes, x = vae.fit_transform(flat(clothes.train)), flat(clothes.valid)
    return embedding_quality(codes, clothes.train.labels, vae.transform(x), clothes.valid.labels, x)


def main() -> None:
    """Train, judge, write."""
    torch.set_num_threads(1)
    record: dict[str, Any] = {"command": COMMAND, "betas": {}}
    for beta in BETAS:
        record["betas"][f"{beta:g}"] = quality(beta)
        print(beta, record["betas"][f"{beta:g}"], flush=True)
        write(FILE, record)


if __name__ == "__main__":
    main()
