"""What the zoo reaches: `python tests/benchmarks/zoo.py` trains every member and judges it.

Each is trained on Fashion-MNIST from three seeds and judged on the test images; materials/results/zoo.json is
written again after each run. With names behind it, as `vanilla PCA`, it does so for these.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own
    sys.path.append(str(Path(__file__).resolve().parents[2] / "notebooks"))  # where the members stand

import json
import statistics
import time
from typing import Any

import measuring
import numpy as np
import torch
from zoo import BATCH_SIZE, CODE, EPOCHS, MEMBERS, NOISE, pca

from aelib import datasets, latent, metrics
from aelib.contexts import seeded
from aelib.datasets import Images, Split
from aelib.errors import unknown
from aelib.models import Autoencoder
from benchmarks.machine import RESULTS, write

FILE, COMMAND = RESULTS / "zoo.json", "python tests/benchmarks/zoo.py"
SEEDS = (0, 1, 2)


def judge(model: Autoencoder, train: Images, test: Images) -> dict[str, float]:
    """What a model does on images that it was not trained on.

    Args:
        train: a linear classifier learns from the codes and labels of the first 5,000.

    Returns:
        {"mse"}: of the reconstructions; {"restored"}: the same, when the model sees them noisy (σ = 0.2);
        {"hoyer", "zeros"}: sparsity of the codes; {"moved"}: Σ|z(noisy) − z|² / Σ|z − mean z|², how far the
        noise moves a code, against how far codes are spread; {"probe"}: the linear classifier's accuracy.
    """
    with seeded(0, model.device):
        z, noisy = (latent.encode(model, data) for data in (test, test.map(NOISE)))
    fitted, labels = latent.encode(model, train[:5000]), np.asarray(train.labels)[:5000]
    quality = measuring.embedding_quality(fitted, labels, z, np.asarray(test.labels))
    return {
        "mse": metrics.evaluate(model, test, {"mse": metrics.mse})["mse"],
        "restored": metrics.evaluate(model, test.map(NOISE), {"mse": metrics.mse})["mse"],
        **measuring.sparsity(z),
        "moved": ((noisy - z).square().sum() / (z - z.mean(0)).square().sum()).item(),
        "probe": quality["linear"],
    }


def run(name: str, split: Split, seed: int) -> dict[str, float]:
    """One training and what `judge` says of it, with its seconds of CPU and the MSE after one epoch."""
    start = time.process_time()  # of all threads, so it depends little on what else the machine does
    model = pca(split.train) if name == "PCA" else MEMBERS[name].train(split.train, seed=seed)
    seconds = round(time.process_time() - start)
    measured = {"seed": seed, "cpu_seconds": seconds, **judge(model, split.train, split.test)}
    if name != "PCA":
        model = MEMBERS[name].train(split.train, seed=seed, epochs=1)
        measured["one epoch"] = metrics.evaluate(model, split.test, {"mse": metrics.mse})["mse"]
    return measured


def make(name: str, split: Split) -> None:
    """Train and judge one member from every seed, or PCA, and write what is known after each run.

    Raises:
        ValueError: there is no member of this name (the nearest is suggested).
    """
    if name not in ("PCA", *MEMBERS):
        raise ValueError(unknown("member of the zoo", name, ["PCA", *MEMBERS]))
    runs: list[dict[str, float]] = []
    for seed in SEEDS[:1] if name == "PCA" else SEEDS:
        runs.append(run(name, split, seed))
        columns = {k: [r[k] for r in runs] for k in runs[0] if k != "seed"}
        entry: dict[str, Any] = {"mean": {k: statistics.fmean(v) for k, v in columns.items()}}
        if len(runs) > 1:
            entry["sd"] = {k: statistics.stdev(v) for k, v in columns.items()}
        known = json.loads(FILE.read_text("utf-8"))["members"] if FILE.is_file() else {}
        record = {
            "command": COMMAND,
            "data": "fashion-mnist: trained on 55,000 images, judged on the 10,000 test images",
            "settings": {"code": CODE, "epochs": EPOCHS, "batch_size": BATCH_SIZE},
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "members": known | {name: entry | {"runs": runs}},
        }
        write(FILE, record)


if __name__ == "__main__":
    images = datasets.load("fashion-mnist")
    for each in sys.argv[1:] or ["PCA", *MEMBERS]:
        make(each, images)
