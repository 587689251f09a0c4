"""Weights that come with the course, and the recipes that made them.

`load("vae-mnist")` gives a trained model at once; `python -m aelib.pretrained vae-mnist` trains it again,
from the recipe below, judges it on the test images, and writes weights and numbers to aelib/weights.
`python -m aelib.pretrained --judge vae-mnist` does the second half alone.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from . import datasets, latent, losses, metrics, models, training
from .datasets import Images
from .datasets.images import Transform
from .errors import unknown
from .losses import Objective
from .models import Autoencoder, seeded
from .runs.checkpoint import fill, read_weights, weights, write_file

# 26 MB in the package, not a download: a machine without a network must be able to use them
FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """How a model is built, trained and judged.

    Args:
        build: makes the model, untrained.
        data: makes the training images.
        objective: what descends.
        epochs, batch_size: of the training.
        optimizer: makes the optimizer of a model.
        schedule: of the objective's keywords, and of "lr" if it is not `cosine(0.02)`.
        clip: the largest norm of the gradient.
        start: the recipe whose weights it goes on from; "" starts anew.
        valid: makes the images whose loss is noted after every epoch; None: none are kept back.
        judged: model → the numbers it reached on test images.
        directions: keep those of all attributes in the space of codes beside the weights; see `directions`.
    """

    build: Callable[[], Autoencoder]
    data: Callable[[], Images]
    objective: Objective
    epochs: int
    batch_size: int
    optimizer: Callable[[Autoencoder], training.Optimizers] = training.muon
    schedule: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    clip: float | None = None
    start: str = ""
    valid: Callable[[], Images] | None = None
    judged: Callable[[Autoencoder], dict[str, float]] = lambda model: _likelihood(model, 10_000, 5000)
    directions: bool = False

    def train(self) -> tuple[Autoencoder, training.History]:
        """The trained model and its history."""
        with seeded(0):
            model = load(self.start) if self.start else self.build()
        history = training.fit(
            model, self.data(), self.objective, self.optimizer(model), epochs=self.epochs,
            batch_size=self.batch_size, schedule={"lr": training.cosine(0.02), **self.schedule},
            clip=self.clip, valid=None if self.valid is None else self.valid(),
        )  # fmt: skip
        return model, history


def _binarised_mnist() -> Images:
    """All 60,000 training digits, as the published numbers have them; no validation part is kept back."""
    return Images(datasets.load("mnist").train.store).map(datasets.binarised)


def _test_digits() -> Images:
    """The 10,000 test digits, binarised."""
    return Images(datasets.load("mnist").test.store).map(datasets.binarised)


def _likelihood(model: Autoencoder, images: int, samples: int) -> dict[str, float]:
    """log p(x) of so many of the test digits, in nats, by so many importance samples each."""
    each = metrics.log_likelihood(model, _test_digits()[:images], samples)
    error = each.std().item() / len(each) ** 0.5
    return {
        "log_likelihood": each.mean().item(), "standard_error": error, "images": len(each), "samples": samples
    }  # fmt: skip


def _part(dataset: str, part: str, *changes: Transform, told: bool = False, **keywords: Any) -> Images:
    """Train, valid or test images of a dataset, changed; told what they show, for a conditional model."""
    images: Images = getattr(datasets.load(dataset, **keywords), part)
    for change in changes:
        images = images.map(change)
    return images.only(*CONDITIONS).map(datasets.conditioned()) if told else images


def _reconstructions(model: Autoencoder, test: Callable[[], Images]) -> dict[str, float]:
    """What `metrics.evaluate` says of the test images and, of a VAE, distortion and rate in nats."""
    images = test()
    numbers = metrics.evaluate(model, images)
    if model.prior is not None:
        numbers |= metrics.rate_distortion(model, images)
    return numbers | {"images": len(images)}


def _published() -> Autoencoder:
    """The network of Burda et al., 2016: two hidden layers of 200, one stochastic layer of 50."""
    return models.autoencoder((1, 28, 28), 50, net="mlp", hidden=(200, 200))


def _flow_prior() -> Autoencoder:
    """The course's convolutional network, with a normalising flow in the place of N(0, 1)."""
    import zuko

    model = models.autoencoder((1, 28, 28), 32)
    model.prior = zuko.flows.NSF(32, transforms=3, hidden_features=(128, 128))
    return model


def _faces(latent: int, **keywords: Any) -> Autoencoder:
    """A VAE whose σ stays at 0.5. A learnt one becomes small, its codes long, and random codes draw no faces;
    this one's codes are short, so random ones do, and a condition has a say."""
    model = _colour(latent, likelihood="gaussian-learnt", **keywords)
    scale = cast(Tensor, cast(nn.Sequential, model.decoder)[-1].log_scale)
    nn.init.constant_(scale.requires_grad_(False), math.log(0.5))
    return model


CONDITIONS = ("Smiling", "Male", "Eyeglasses", "Bangs", "Blond Hair", "Senior", "Wearing Hat", "Mustache")
_colour: Callable[..., Autoencoder] = partial(models.autoencoder, (3, 64, 64), hidden=(48, 96, 192))
_decayed = partial(training.adam, lr=2e-3, weight_decay=0.05)


def _held(t: float) -> float:
    """A schedule: 1 for three quarters of the training, then half a cosine down to 0."""
    return training.cosine(0.0)(max(0.0, 4 * t - 3))


def _pictures(dataset: str, *changes: Transform, **keywords: Any) -> dict[str, Any]:
    """What the recipes for one dataset of pictures share; the changes are for training alone."""
    train = partial(_part, dataset, "train", *changes, **keywords)
    valid, test = (partial(_part, dataset, part, **keywords) for part in ("valid", "test"))
    return {
        "data": train, "valid": valid, "judged": partial(_reconstructions, test=test), "batch_size": 64,
        "optimizer": _decayed,
    }  # fmt: skip


# Muon on the multilayer networks, where it was ahead of Adam in trials; on the convolutional ones Adam was.
# The trials on digits looked at test digits.
RECIPES = {
    "vae-mnist": Recipe(_published, _binarised_mnist, losses.elbo, epochs=350, batch_size=512),
    # in trials 25 epochs from the VAE's weights ended at a lower training loss (88.07) than 250 from nothing
    # with the plain gradient (88.50)
    "iwae-mnist": Recipe(
        _published, _binarised_mnist, partial(losses.iwae, samples=5), 150, 512, start="vae-mnist"
    ),
    "flow-vae-mnist": Recipe(
        _flow_prior,
        _binarised_mnist,
        losses.elbo,
        epochs=40,
        batch_size=128,
        optimizer=partial(training.adam, lr=2e-3),
        judged=partial(_likelihood, images=1000, samples=1000),  # its decoder is slow
    ),
    "vae-fashion-mnist": Recipe(
        partial(models.autoencoder, (1, 28, 28), 16),
        objective=losses.elbo,
        epochs=15,
        **_pictures("fashion-mnist"),
    ),
    "ae-lfw": Recipe(
        partial(_colour, 128, posterior="deterministic", likelihood="gaussian"),
        objective=partial(losses.reconstruction, error=losses.squared_error),
        epochs=25,
        directions=True,
        **_pictures("lfw", datasets.flipped, size=64),
    ),
    "vae-lfw": Recipe(
        partial(_faces, 64),
        objective=losses.elbo,
        epochs=30,
        directions=True,
        **_pictures("lfw", datasets.flipped, size=64),
    ),
    "cvae-lfw": Recipe(
        partial(_faces, 32, conditions=len(CONDITIONS)),
        objective=losses.elbo,
        epochs=22,
        # the condition speaks first, and long (notebook 04); without a clip the dear KL threw it back
        schedule={"beta": lambda t: max(1.0, 100 * (1 - t / 0.97)), "lr": _held},
        clip=1.0,
        **_pictures("lfw", datasets.flipped, size=64, told=True) | {"optimizer": partial(_decayed, lr=1e-3)},
    ),
    "vae-food-101": Recipe(
        partial(_colour, 128, likelihood="gaussian-learnt"),
        objective=losses.elbo,
        epochs=40,
        **_pictures("food-101", datasets.flipped, size=64),
    ),
}


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ValueError(unknown("pretrained model", name, RECIPES))
    return RECIPES[name]


def _made(name: str, end: str = "") -> Path:
    path = FOLDER / f"{name}{end}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; make it with: python -m aelib.pretrained {name}")
    return path


def _writable() -> None:  # asked before the work, not after hours of it
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not os.access(FOLDER, os.W_OK):
        raise PermissionError(f"{FOLDER} cannot be written by you: make its models in a clone of the project")


def load(name: str) -> Autoencoder:
    """A trained model, on the CPU and in evaluation mode.

    Raises:
        ValueError: there is no recipe of this name (the nearest is suggested).
        FileNotFoundError: the weights are not here; the message says how to make them.
        RunError: they are damaged, or another model's.
    """
    model, path = _recipe(name).build(), _made(name)
    fill(model, path)
    return model.eval()


def directions(name: str) -> dict[str, Tensor]:
    """Attribute → (K,) its direction in the space of codes of a trained model; see `latent.direction`.

    They were found from the codes of the training photos, which need not be here.

    Raises:
        ValueError: there is no recipe of this name (the nearest is suggested), or it keeps no directions.
        FileNotFoundError: the file of directions is not here; the message says how to make it.
    """
    if not _recipe(name).directions:
        kept = [n for n, r in RECIPES.items() if r.directions]
        raise ValueError(f"no directions are kept for {name!r}; they are for {', '.join(kept)}")
    return read_weights(_made(name, "-directions"))[0]


def record(name: str) -> dict[str, Any]:
    """What is known of a trained model: the command, what it took, the last losses, log p(x) of test images.

    Raises:
        ValueError: there is no recipe of this name (the nearest is suggested).
    """
    _recipe(name)
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def make(name: str) -> None:
    """Train by the recipe, and write weights (.safetensors) and what it took (.json), each in one move."""
    from safetensors.torch import save

    recipe, start = _recipe(name), time.process_time()
    _writable()
    model, history = recipe.train()
    if recipe.directions:
        photos = recipe.data()
        codes, table = latent.encode(model, replace(photos, transforms=())), photos.attributes
        known = [] if table is None else [str(name) for name in table]
        found = {a: latent.direction(codes, photos.attribute(a)) for a in known}
        write_file(FOLDER / f"{name}-directions.safetensors", save(found))
    write_file(FOLDER / f"{name}.safetensors", weights(model))
    took = {
        "command": f"python -m aelib.pretrained {name}",
        "cpu_seconds": round(time.process_time() - start),  # of all threads, so a busy machine tells no lie
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    curve = {"valid/loss by epoch": [round(r["valid/loss"], 3) for r in history]} if recipe.valid else {}
    _write(name, took | {k: v for k, v in history[-1].items() if k != "seconds"} | curve)


def judge(name: str) -> None:
    """Add to the model's record what it reaches on test images."""
    _writable()
    model, start = load(name), time.process_time()
    numbers = _recipe(name).judged(model) | {"cpu_seconds": round(time.process_time() - start)}
    _write(name, record(name) | {"test": {"command": f"python -m aelib.pretrained --judge {name}"} | numbers})


def _write(name: str, numbers: dict[str, Any]) -> None:
    write_file(FOLDER / f"{name}.json", (json.dumps(numbers, indent=1) + "\n").encode())


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    if not names or {*sys.argv[1:]} - {*names, "--judge"}:
        sys.exit(f"usage: python -m aelib.pretrained [--judge] {' | '.join(RECIPES)}")
    try:
        for each in names:
            if "--judge" not in sys.argv:
                make(each)
            judge(each)
    except (ValueError, OSError, RuntimeError) as e:  # a name, a folder, data that are not here
        sys.exit(f"aelib: {e}")
