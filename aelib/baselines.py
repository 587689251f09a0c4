"""What a model is compared with: PCA with as many numbers as its code has, and the mean example."""

import contextlib
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import nets
from .datasets import Batch, Data
from .evaluation import batches, each
from .heads import VectorQuantizer
from .metrics import mse, rate_distortion
from .models import Autoencoder, autoencoder

LOST = 1.005  # times PCA's error: above it by more than rounding
NOTHING = 1e-6  # of the mean's error: a PCA below it keeps all that there is
NO_BETTER = 0.95  # of the mean's error: a model above it shows everybody the mean
NATS = 24 * math.log(2)  # that a float32 holds


class Comparison(NamedTuple):
    """Mean squared errors per number, over the same examples: of the model, of PCA, of the mean example.

    PCA has as many numbers as the code; beside a network of convolutions only it is that of patches. Of a
    model that standardises, all are errors of standardised numbers.
    """

    mse: float
    pca: float
    mean: float
    numbers: int


def pca(data: Data, size: int, net: str = "linear", **recipe: Any) -> Autoencoder:
    """The first `size` principal components as an autoencoder; of patches with net="fcn" and its options."""
    shape = next(data.batches(1)).target.shape[1:]
    point: dict[str, Any] = {"posterior": "deterministic", "likelihood": "gaussian", "start": data}
    return autoencoder(shape, size, net=net, **point, **recipe)


@torch.no_grad()
def compare(model: Autoencoder, train: Data, valid: Data) -> Comparison:
    """The errors on the examples of `valid`; PCA and mean are those of `train`. Neither may be empty."""
    if not len(train) or not len(valid):
        raise ValueError("a comparison needs training examples, for PCA, and others to judge by")
    first, recipe = next(batches(model, valid, 1)), model.recipe or {}
    numbers = model.encode(first.x, first.c).mean[0].numel()
    size = 1 if recipe.get("net") == "fcn" else numbers
    unit: nn.Module = nn.Identity()
    more: dict[str, Any] = {}
    if recipe.get("standardise"):
        unit, more = nets.Standardise(*nets.learnt(train, recipe["shape"])), {"standardise": train}
    whole = linear = pca(train, size, **more).to(model.device)
    if recipe.get("net") == "fcn":
        linear = pca(train, recipe["latent"], "fcn", hidden=recipe["hidden"], **more).to(model.device)
    mean = whole.decode(torch.zeros(1, size, device=model.device)).mean

    def errors(batch: Batch) -> Tensor:
        x, u = batch.target, unit.to(model.device)
        guesses = model.reconstruct(batch.x, batch.c), linear.reconstruct(batch.x), mean
        return torch.stack([mse(u(g.expand_as(x)), u(x), batch.known) for g in guesses], 1)

    mine, its, means = each(errors, model, valid).double().mean(0).tolist()
    return Comparison(mine, its, means, numbers)


@torch.no_grad()
def verdict(model: Autoencoder, train: Data, valid: Data) -> list[str]:
    """How good a trained model is, a line each: against PCA, and what is wrong with its code."""
    error, its, mean, numbers = compare(model, train, valid)
    ratio = error / max(its, 1e-30)
    side = f"{abs(ratio - 1):.1%} {'above' if ratio > 1 else 'below'}" if ratio < 2 else f"{ratio:.1f} times"
    beside = f"{side} PCA's {its:.3g}" if its >= NOTHING * mean else "PCA loses nothing"
    lines = [f"validation: error {error:.3g}, {beside} with as many numbers ({numbers}); the mean {mean:.3g}"]
    recipe = model.recipe or {}
    if error > NO_BETTER * mean:
        lines.append("it is hardly better than the mean: the decoder makes nothing of the code")
    elif its < NOTHING * mean:
        lines.append("a code of so many numbers can hold the whole of an example: choose a smaller one")
    elif error > LOST * its:
        cure = "train for more epochs, or take a larger network"
        cure = cure if "start" in recipe else "start from it (start=)"
        cure = "a linear network cannot do more" if recipe.get("net") == "linear" else cure
        lines.append(f"PCA is better: {cure}")
    with contextlib.suppress(TypeError):  # a point has no rate
        rate = rate_distortion(model, valid)["rate"]
        if rate > NATS * numbers:
            lines.append(f"KL is {rate:,.0f} nats, more than {numbers:,} floats hold: the prior fits no code")
    for head in (m for m in model.modules() if isinstance(m, VectorQuantizer)):
        indices = each(lambda b: model.encode(b.x, b.c).indices, model, train)  # type: ignore[attr-defined]
        used, there_are = len(indices.unique()), len(head.codebook)
        if used < there_are / 2:
            lines.append(f"{used} of {there_are} vectors of the codebook are in use: fewer would do")
    return lines
