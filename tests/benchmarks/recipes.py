"""The recipes of the models that come with the library.

`python tests/benchmarks/recipes.py vae-mnist` trains one again, judges it on the test images, and writes
weights and numbers to `pretrained.FOLDER`. `python tests/benchmarks/recipes.py --judge vae-mnist` does the
second half alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own
    sys.path.append(str(Path(__file__).resolve().parents[2] / "notebooks"))  # where the judges are

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from judges import Judges
from torch import nn

from aelib import datasets, heads, latent, losses, metrics, nets, pretrained, runs, training
from aelib.contexts import device_named, seeded
from aelib.datasets import Images
from aelib.datasets.batch import Transform
from aelib.errors import unknown
from aelib.files import write_file
from aelib.losses import Objective
from aelib.models import Autoencoder
from aelib.pretrained import CONDITIONS, MODELS
from aelib.runs.checkpoint import weights

END = 3.0  # the last strength of the slider along directions, in standard deviations
STRENGTHS, KEPT = (6.0, 5.5, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5), 0.95  # of a condition; see `strengths`


@dataclass(frozen=True)
class Recipe:
    """How a model is built, trained and judged.

    Args:
        build: makes the model, untrained.
        data: makes the training images.
        objective: what descends; of `losses.hiding`, without its reader.
        reader: makes the reader of codes that `losses.hiding` hides from; None: there is none.
        epochs, batch_size: of the training.
        optimizer: makes the optimizer of a model.
        schedule: of the objective's keywords, and of "lr" if it is not `cosine(0.02)`.
        clip: the largest norm of the gradient.
        start: the recipe whose weights it goes on from; "" starts from scratch.
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
    reader: Callable[[], nn.Module] | None = None
    start: str = ""
    valid: Callable[[], Images] | None = None
    judged: Callable[[Autoencoder], dict[str, float]] = lambda model: _likelihood(model, 10_000, 5000)
    directions: bool = False

    def train(self) -> tuple[Autoencoder, training.History]:
        """The trained model and its history."""
        with seeded(0):
            model = pretrained.load(f"pretrained/{self.start}") if self.start else self.build()
            reader = None if self.reader is None else self.reader().to(device_named())
        objective, optimizers = self.objective, self.optimizer(model)
        if reader is not None:
            objective = partial(objective, reader=reader)
            optimizers = {"loss": optimizers, "read": training.adam(reader, 2e-3)}
        history = runs.fit(
            model, self.data(), objective, optimizers, epochs=self.epochs,
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


def _part(dataset: str, part: str, *changes: Transform, conditions: bool = False, **keywords: Any) -> Images:
    """Train, valid or test images of a dataset, changed; with `CONDITIONS`, for a conditional model."""
    images: Images = getattr(datasets.load(dataset, **keywords), part)
    for change in changes:
        images = images.map(change)
    return images.only(*CONDITIONS).map(datasets.conditioned()) if conditions else images


def _reconstructions(model: Autoencoder, test: Callable[[], Images]) -> dict[str, float]:
    """What `metrics.evaluate` says of the test images and, of a VAE, distortion and rate in nats."""
    images = test()
    numbers = metrics.evaluate(model, images)
    if model.prior is not None:
        numbers |= metrics.rate_distortion(model, images)
    return numbers | {"images": len(images)}


def _writable() -> None:  # asked before the work, not after hours of it
    pretrained.FOLDER.mkdir(parents=True, exist_ok=True)
    if not os.access(pretrained.FOLDER, os.W_OK):
        raise PermissionError(
            f"{pretrained.FOLDER} cannot be written by you: make its models in a clone of the project"
        )


def edits(
    name: str, faces: Images, ends: Mapping[str, float]
) -> tuple[torch.Tensor, Callable[[int, torch.Tensor], torch.Tensor]]:
    """Faces (N, C, H, W) decoded by a model of faces, and how it edits them, as `Judges.edited` wants it.

    Along an attribute's direction, or by the condition.

    Args:
        faces: with all of `CONDITIONS` as attributes.
        ends: attribute → how far.
    """
    model, c, vectors = pretrained.load(f"pretrained/{name}", device="cpu"), None, {}
    if model.recipe["conditions"]:
        faces = faces.only(*CONDITIONS).map(datasets.conditioned())
        c = torch.cat([batch.c for batch in faces.batches(500)])
    else:
        vectors = pretrained.directions(name)
    z = latent.encode(model, faces)

    def edit(k: int, to: torch.Tensor) -> torch.Tensor:
        end = ends[CONDITIONS[k]]
        if c is None:
            return latent.decode(model, z + end * to[:, None] * vectors[CONDITIONS[k]])
        turned = c.clone()
        turned[:, k] = end * to
        return latent.decode(model, z, turned)

    return latent.decode(model, z, c), edit


def strengths(name: str, faces: datasets.Split) -> dict[str, float]:
    """How far each attribute is edited: to `END` along directions, by a condition as far as people stay.

    That is the largest of `STRENGTHS` at which 95 % of the validation people, edited to either side, are
    nearest to their own photo; the least of them if there is none.
    """
    ends = dict.fromkeys(CONDITIONS, END)
    if not pretrained.load(f"pretrained/{name}", device="cpu").recipe["conditions"]:
        return ends
    jury = Judges(replace(faces, test=faces.valid, valid=faces.train[:2500]), CONDITIONS)
    decoded, edit = edits(name, faces.valid, ends)
    sides = torch.ones(len(decoded)), -torch.ones(len(decoded))
    for k, attribute in enumerate(CONDITIONS):
        for strength in STRENGTHS:
            ends[attribute] = strength
            if sum(jury.identity(edit(k, side))["nearest"] for side in sides) / 2 >= KEPT:
                break
    return ends


def said_of(name: str, faces: datasets.Split | None = None) -> dict[str, Any]:
    """What `Judges` say of a model's decoded and edited faces, of LFW or others."""
    faces = faces or datasets.load("lfw", size=64)
    ends = strengths(name, faces)
    jury, (decoded, edit) = Judges(faces, CONDITIONS), edits(name, faces.test, ends)
    return {
        "strength": ends, "judge": jury.judged(),
        "photos": jury.identity(jury.photos), "decoded": jury.identity(decoded),
        "edited": jury.edited(decoded, edit),
    }  # fmt: skip


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


def _oversampled() -> Images:
    """LFW's training photos with `CONDITIONS`, those with a rare one several times."""
    photos = datasets.load("lfw", size=64).train.only(*CONDITIONS)
    return photos.oversampled().map(datasets.flipped).map(datasets.conditioned())


def _reader() -> nn.Module:
    """Of `CONDITIONS`, from codes that are standardised: so no code gains by being far away."""
    mlp = nets.MLP(96, 256, 256, len(CONDITIONS))
    return nn.Sequential(nn.BatchNorm1d(96, affine=False), mlp, heads.Bernoulli())


# Muon on the multilayer networks, where it was ahead of Adam in trials; on the convolutional ones Adam was.
# The trials on digits looked at test digits.
RECIPES = {
    "vae-mnist": Recipe(MODELS["vae-mnist"], _binarised_mnist, losses.elbo, epochs=350, batch_size=512),
    # in trials 25 epochs from the VAE's weights ended at a lower training loss (88.07) than 250 from scratch
    # with the plain gradient (88.50)
    "iwae-mnist": Recipe(
        MODELS["iwae-mnist"],
        _binarised_mnist,
        partial(losses.iwae, samples=5),
        epochs=150,
        batch_size=512,
        start="vae-mnist",
    ),
    "flow-vae-mnist": Recipe(
        MODELS["flow-vae-mnist"],
        _binarised_mnist,
        losses.elbo,
        epochs=40,
        batch_size=128,
        optimizer=partial(training.adam, lr=2e-3),
        judged=partial(_likelihood, images=1000, samples=1000),  # its decoder is slow
    ),
    "vae-fashion-mnist": Recipe(
        MODELS["vae-fashion-mnist"],
        objective=losses.elbo,
        epochs=15,
        **_pictures("fashion-mnist"),
    ),
    "ae-lfw": Recipe(
        MODELS["ae-lfw"],
        objective=partial(losses.reconstruction, error=losses.squared_error),
        epochs=25,
        directions=True,
        **_pictures("lfw", datasets.flipped, size=64),
    ),
    "vae-lfw": Recipe(
        MODELS["vae-lfw"],
        objective=losses.elbo,
        epochs=30,
        directions=True,
        **_pictures("lfw", datasets.flipped, size=64),
    ),
    "cvae-lfw": Recipe(
        MODELS["cvae-lfw"],
        objective=partial(losses.hiding, strength=300.0, beta=0.3),
        epochs=14,  # of the oversampled set, as long as 24 of the photos
        clip=1.0,
        reader=_reader,
        **_pictures("lfw", datasets.flipped, size=64, conditions=True)
        | {"optimizer": partial(training.adam, lr=1e-3), "data": _oversampled},
    ),
    "vae-food-101": Recipe(
        MODELS["vae-food-101"],
        objective=losses.elbo,
        epochs=40,
        **_pictures("food-101", datasets.flipped, size=64),
    ),
}


def make(name: str) -> None:
    """Train by the recipe, and write weights (.safetensors) and what it took (.json), each in one move."""
    from safetensors.torch import save

    _writable()
    recipe, start = RECIPES[name], time.process_time()
    model, history = recipe.train()
    if recipe.directions:
        photos = recipe.data()
        codes, table = latent.encode(model, replace(photos, transforms=())), photos.attributes
        known = [] if table is None else [str(name) for name in table]
        found = {a: latent.direction(codes, photos.attribute(a)) for a in known}
        found = {a: latent.in_deviations(v, codes) for a, v in found.items()}
        write_file(pretrained.FOLDER / f"{name}-directions.safetensors", save(found))
    write_file(pretrained.FOLDER / f"{name}.safetensors", weights(model))
    took = {
        "command": f"python tests/benchmarks/recipes.py {name}",
        "cpu_seconds": round(time.process_time() - start),  # of all threads
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    curve = {"valid/loss by epoch": [round(r["valid/loss"], 3) for r in history]} if recipe.valid else {}
    _write(name, took | {k: v for k, v in history[-1].items() if k != "seconds"} | curve)


def judge(name: str) -> None:
    """Add to the model's record what it reaches on test images."""
    _writable()
    model, start = pretrained.load(f"pretrained/{name}"), time.process_time()
    test = {"command": f"python tests/benchmarks/recipes.py --judge {name}"} | RECIPES[name].judged(model)
    test["cpu_seconds"] = round(time.process_time() - start)
    said = {"judges": said_of(name)} if name.endswith("-lfw") else {}
    _write(name, pretrained.record(name) | {"test": test} | said)


def _write(name: str, numbers: dict[str, Any]) -> None:
    write_file(pretrained.FOLDER / f"{name}.json", (json.dumps(numbers, indent=1) + "\n").encode())


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    if not names or {*sys.argv[1:]} - {*names, "--judge"}:
        sys.exit(f"usage: python tests/benchmarks/recipes.py [--judge] {' | '.join(RECIPES)}")
    if unknown_ := [n for n in names if n not in RECIPES]:
        sys.exit("aelib: " + unknown("pretrained model", unknown_[0], RECIPES))
    try:
        for each in names:
            if "--judge" not in sys.argv:
                make(each)
            judge(each)
    except (ValueError, OSError, RuntimeError) as e:  # a folder, data that are not here
        sys.exit(f"aelib: {e}")
