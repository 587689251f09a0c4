"""What a model is compared with: PCA with as many numbers as its code has, and the mean example."""

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .datasets import Batch, Data
from .evaluation import batches, each
from .heads import VectorQuantizer
from .metrics import mse, rate_distortion
from .models import Autoencoder, autoencoder

LOST = 1.005  # times PCA's error: above it by more than rounding
NOTHING = 1e-6  # of the mean's error: a PCA below it keeps all that there is
NO_BETTER = 0.95  # of the mean's error: a model above it shows everybody the mean
NATS = 24 * math.log(2)  # that a float32 holds


def pca(data: Data, size: int, net: str = "linear", **recipe: Any) -> Autoencoder:
    """Principal component analysis of some thousand examples, as an autoencoder; see `autoencoder(start=)`.

    Args:
        size: components; there are fewer where the examples or their numbers are fewer.
        net: "fcn" for PCA of patches; then with its other arguments.
    """
    shape = next(data.batches(1)).target.shape[1:]
    point: dict[str, Any] = {"posterior": "deterministic", "likelihood": "gaussian", "start": data}
    return autoencoder(shape, size, net=net, **point, **recipe)


@dataclass(frozen=True)
class Comparison:
    """Mean squared errors per number, all over the same examples; as a text, one line.

    Attributes:
        mse: the model's.
        pca: of PCA with as many numbers as the code, fitted to the training examples; for a network of
            convolutions only, of PCA of patches.
        mean: of the mean training example, for every example.
        numbers: that the code has.
    """

    mse: float
    pca: float
    mean: float
    numbers: int

    def __str__(self) -> str:
        ratio, side = self.mse / max(self.pca, 1e-30), "above" if self.mse > self.pca else "below"
        much = f"{abs(ratio - 1):.1%} {side}" if ratio < 2 else f"{ratio:.1f} times"
        line = f"mean squared error {self.mse:.3g}, {much} PCA's {self.pca:.3g} with as many numbers"
        if self.pca < NOTHING * self.mean:
            line = f"mean squared error {self.mse:.3g}; PCA with as many numbers loses nothing"
        return f"{line} ({self.numbers:,}); the mean alone {self.mean:.3g}"


@torch.no_grad()
def compare(model: Autoencoder, train: Data, valid: Data) -> Comparison:
    """The errors of the model, of PCA and of the mean on the examples of `valid`.

    Raises:
        ValueError: there are no examples to fit PCA to, or none to judge by.
    """
    if not len(train) or not len(valid):
        raise ValueError("a comparison needs training examples, for PCA, and others to judge by")
    first, recipe = next(batches(model, valid, 1)), model.recipe or {}
    numbers = model.encode(first.x, first.c).mean[0].numel()
    places = recipe.get("net") == "fcn"
    whole = linear = pca(train, 1 if places else numbers).to(model.device)
    if places:
        linear = pca(train, recipe["latent"], "fcn", hidden=recipe["hidden"]).to(model.device)
    mean = whole.decode(torch.zeros(1, 1 if places else numbers, device=model.device)).mean

    def errors(batch: Batch) -> Tensor:
        guesses = model.reconstruct(batch.x, batch.c), linear.reconstruct(batch.x), mean
        return torch.stack([mse(g.expand_as(batch.target), batch.target, batch.known) for g in guesses], 1)

    mine, its, means = each(errors, model, valid).double().mean(0).tolist()
    return Comparison(mine, its, means, numbers)


@torch.no_grad()
def verdict(model: Autoencoder, train: Data, valid: Data) -> list[str]:
    """How good a trained model is, a line each: against PCA, and what is wrong with its code."""
    found = compare(model, train, valid)
    lines = [f"validation: {found}"]
    if found.mse > NO_BETTER * found.mean:
        lines.append("it is hardly better than the mean: the decoder makes nothing of the code")
    elif found.pca < NOTHING * found.mean:
        lines.append("a code of so many numbers can hold the whole of an example: choose a smaller one")
    elif found.mse > LOST * found.pca:
        recipe, cure = model.recipe or {}, "train for more epochs, or take a larger network"
        cure = cure if recipe.get("start") else "begin at PCA (start=)"
        cure = "no linear network can do more: take another" if recipe.get("net") == "linear" else cure
        lines.append(f"PCA is better: {cure}")
    with contextlib.suppress(TypeError):  # a point has no rate
        rate = rate_distortion(model, valid)["rate"]
        if rate > NATS * found.numbers:
            much = f"KL is {rate:,.0f} nats, {rate / found.numbers:,.0f} per number of the code"
            lines.append(f"{much}, more than a float holds: codes lie far from where samples are drawn")
    for head in (m for m in model.modules() if isinstance(m, VectorQuantizer)):
        indices = each(lambda b: model.encode(b.x, b.c).indices, model, train)  # type: ignore[attr-defined]
        used, there_are = len(indices.unique()), len(head.codebook)
        if used < there_are / 2:
            lines.append(f"{used} of {there_are} vectors of the codebook are in use: fewer would do")
    return lines
