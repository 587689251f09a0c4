"""What a model is compared with: the mean example, and PCA with as many numbers as its code has."""

from __future__ import annotations

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
from .models import Autoencoder

EXAMPLES, NUMBERS = 5000, 6e7  # PCA is fitted to at most so many examples, of so many numbers in all
LOST = 1.005  # an error above PCA's by more than rounding
NO_BETTER = 0.95  # of the mean's error: a model above it shows everybody the mean
NATS = 24 * math.log(2)  # that a float32 holds
NOTHING = 1e-6  # of the mean's error: a PCA below it keeps all that there is


def pca(data: Data, size: int) -> Any:
    """scikit-learn's PCA of the targets of at most 5,000 examples, chosen at random and the same each time.

    Args:
        size: components; there are fewer where the examples or their numbers are fewer.
    """
    from sklearn.decomposition import PCA

    width = next(data.batches(1)).target[0].numel()
    limit = min(EXAMPLES, max(2, int(NUMBERS / width)))
    x = next(data.batches(min(limit, len(data)), seed=0)).target.flatten(1)
    return PCA(min(size, *x.shape), random_state=0).fit(x.cpu().numpy())


@dataclass(frozen=True)
class Comparison:
    """Mean squared errors per number, all over the same examples; as a text, one line.

    Attributes:
        mse: the model's.
        pca: of PCA with as many numbers as the code, fitted to the training examples.
        mean: of their mean, given for every example.
        numbers: that the code has.
    """

    mse: float
    pca: float
    mean: float
    numbers: int

    def __str__(self) -> str:
        ratio, side = self.mse / max(self.pca, 1e-30), "above" if self.mse > self.pca else "below"
        much = f"{abs(ratio - 1):.0%} {side}" if ratio < 2 else f"{ratio:.1f} times"
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
    first = next(batches(model, valid, 1))
    numbers = model.encode(first.x, first.c).mean[0].numel()
    fitted = pca(train, numbers)
    v, mean = (torch.as_tensor(a).float().to(model.device) for a in (fitted.components_, fitted.mean_))

    def errors(batch: Batch) -> Tensor:
        x = batch.x.flatten(1) - mean
        guesses = (model.reconstruct(batch.x, batch.c), x @ v.T @ v + mean, mean.expand_as(x))
        return torch.stack([mse(g.view_as(batch.target), batch.target, batch.known) for g in guesses], 1)

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
        lines.append("PCA is better: train for more epochs, or begin at PCA (start)")
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
