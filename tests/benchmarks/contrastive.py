"""Does a contrastive objective find people again? `python tests/benchmarks/contrastive.py` trains and judges.

Page 06's encoder, untrained and trained with `contrasting.contrastive`, each from three seeds: precision at k
of LFW's test photos; and, of the first seed, LFW's official pairs, for each half of which it is trained on
people that are in none of them. materials/results/contrastive.json is written again after each run.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own
    sys.path.append(str(Path(__file__).resolve().parents[2] / "notebooks"))  # where the objective stands

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from contrasting import Codes, contrastive, two_views
from searching import precision_at
from torch import nn
from verification import Pairs, lfw_pairs, similarity, verification

from aelib import datasets, fit, models, retrieval
from aelib.contexts import seeded
from aelib.datasets import Images, Split
from aelib.retrieval import Coder
from aelib.training import adam, cosine
from benchmarks.machine import RESULTS, write

FILE, COMMAND = RESULTS / "contrastive.json", "python tests/benchmarks/contrastive.py"
SIZE, EPOCHS, BATCH_SIZE, SEEDS = 128, 6, 256, (0, 1, 2)


def untrained(images: Images, seed: int = 0) -> nn.Module:
    """The encoder of page 06's autoencoder, with the weights that it begins with."""
    with seeded(seed):
        model = models.autoencoder(images.shape, SIZE, posterior="deterministic", likelihood="gaussian")
    return Codes(model.encoder)


def trained(images: Images, seed: int = 0, epochs: int = EPOCHS) -> nn.Module:
    """The same, trained on two views of each photo; as many passes as page 06's autoencoder has."""
    coder = untrained(images, seed)
    optimizer = adam(coder.encoder, 2e-3, weight_decay=0.02)
    fit(
        coder.encoder, images.map(two_views), contrastive, optimizer, epochs=epochs, batch_size=BATCH_SIZE,
        seed=seed, schedule={"lr": cosine()},
    )  # fmt: skip
    return coder.cpu()


def coders(encoder: nn.Module, images: Images) -> dict[str, nn.Module]:
    """What is compared: the code, averaged with the mirror image's; and the same, whitened."""
    plain = Coder(encoder, mirror=True)
    return {"code": plain, "whitened": plain.whitened(images, min(SIZE, len(images) // 2))}


def precisions(encoder: nn.Module, split: Split) -> dict[str, Any]:
    """{"valid", "test"}: name of the code → {k: precision at k}."""
    parts, found = {"valid": split.valid, "test": split.test}, coders(encoder, split.train)
    return {
        part: {name: precision_at(retrieval.codes(c, data), data.labels) for name, c in found.items()}
        for part, data in parts.items()
    }


def pairs(make: Callable[[Images], nn.Module], judged: Pairs) -> dict[str, list[float]]:
    """Name of the code → [accuracy, its standard error] on pairs of people that nothing was trained on."""
    scores: dict[str, np.ndarray] = {}
    for half in np.array_split(np.unique(judged.fold), 2):
        mine, images = np.isin(judged.fold, half), judged.strangers(half)
        for name, coder in coders(make(images), images).items():
            scores.setdefault(name, np.empty(len(judged)))[mine] = similarity(
                coder, judged.images, judged.rows[mine]
            )
    found = {name: verification(each, judged.same, judged.fold) for name, each in scores.items()}
    return {name: [v.mean, v.standard_error] for name, v in found.items()}


def main() -> None:
    """Train, judge, write."""
    torch.set_num_threads(1)
    split, record = datasets.load("lfw"), {"command": COMMAND, "epochs": EPOCHS, "size": SIZE, "table": {}}
    for name, make in {"untrained": untrained, "contrastive": trained}.items():
        entry = record["table"][name] = {"runs": []}
        for seed in SEEDS:
            start = time.process_time()
            encoder = make(split.train, seed)
            seconds = round(time.process_time() - start)
            entry["runs"].append({"seed": seed, "cpu_seconds": seconds, **precisions(encoder, split)})
            print(name, json.dumps(entry["runs"][-1]), flush=True)
            write(FILE, record)
        entry["pairs"] = pairs(make, lfw_pairs())
        print(name, entry["pairs"], flush=True)
        write(FILE, record)


if __name__ == "__main__":
    main()
