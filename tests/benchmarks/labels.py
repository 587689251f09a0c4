"""What is a label worth to a VAE? `python tests/benchmarks/labels.py [SEED …]` trains page 04's pair.

MNIST, a VAE and a CVAE that is given the class: the same network, budget and seed, for codes of 8 and of 16
numbers, from two seeds; with half of the epochs, too, so that one can see whether either is still behind.
Distortion and rate of the test and of as many training digits, in nats per digit. The optimizer is chosen
before, by the bound on validation digits. materials/results/labels.json is written again after each
training; runs that it holds already are kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import json
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch

from aelib import datasets, fit, losses, metrics, models, training
from aelib.datasets import Images, Split, conditioned
from aelib.models import Autoencoder
from aelib.training import adam, cosine
from benchmarks.machine import RESULTS, write

Optimizer = Callable[[Autoencoder], Any]

FILE, COMMAND = RESULTS / "labels.json", "python tests/benchmarks/labels.py"
SIZES, SEEDS, EPOCHS, BATCH_SIZE = (8, 16), (0, 1), (24, 12), 256


def trained(digits: Split, size: int, seed: int, told: bool, epochs: int, by: Optimizer) -> Autoencoder:
    """A model of page 04."""
    torch.manual_seed(seed)
    condition = {"conditions": 10} if told else {}
    model = models.autoencoder(digits.shape, size, net="mlp", hidden=(256, 256), **condition)
    fit(
        model, part(digits.train, told), losses.elbo, by(model), epochs=epochs, batch_size=BATCH_SIZE,
        seed=seed, schedule={"lr": cosine()},
    )  # fmt: skip
    return model


def part(images: Images, told: bool) -> Images:
    """The same, with the class as a condition if it is told."""
    return images.map(conditioned(10)) if told else images


def chosen(digits: Split) -> dict[str, float]:
    """Optimizer → distortion + rate of validation digits: VAE, 8 numbers, half of the epochs."""
    optimizers = {"Adam, 0.001": adam, "Adam, 0.002": partial(adam, lr=2e-3), "Muon": training.muon}
    found = {name: trained(digits, 8, 0, False, EPOCHS[1], by) for name, by in optimizers.items()}
    return {name: sum(metrics.rate_distortion(model, digits.valid).values()) for name, model in found.items()}


def measured() -> dict[str, Any]:
    """What the file holds."""
    empty = {"command": COMMAND, "chosen": {}, "runs": []}
    return json.loads(FILE.read_text("utf-8")) if FILE.is_file() else empty


def main() -> None:
    """Train, judge, write."""
    torch.set_num_threads(1)
    digits, seeds = datasets.load("mnist"), [int(s) for s in sys.argv[1:]] or SEEDS
    if not measured()["chosen"]:
        write(FILE, {**measured(), "chosen": chosen(digits)})
        print(measured()["chosen"], flush=True)
    for epochs, seed, size, told in product(EPOCHS, seeds, SIZES, (False, True)):
        which = {"size": size, "seed": seed, "told": told, "epochs": epochs}
        if any(which.items() <= run.items() for run in measured()["runs"]):
            continue
        start = time.process_time()
        model = trained(digits, size, seed, told, epochs, training.muon)
        seconds = round(time.process_time() - start)
        parts = {"test": digits.test, "train": digits.train[: len(digits.test)]}
        found = {name: metrics.rate_distortion(model, part(p, told)) for name, p in parts.items()}
        run = {**which, "cpu_seconds": seconds, **found}
        print(json.dumps(run), flush=True)
        record = measured()  # read again: another process may have written meanwhile
        record["runs"] = sorted([*record["runs"], run], key=lambda run: [*run.values()][:4])
        write(FILE, record)


if __name__ == "__main__":
    main()
