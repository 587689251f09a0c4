"""Numbers in units of their own to numbers of about unit size: learnt from data, kept in the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..datasets.batch import Data


class Standardise(nn.Module):
    """(x − mean) / scale, each channel by itself; of a table (B, D) each variable. In the place of `Centre`.

    Mean and scale are learnt from data, not trained, and saved with the weights; see `models.autoencoder`. In
    bfloat16, x = 1013.25 is 1012 before its mean is taken off: numbers of large units want float32.

    Args:
        mean, scale: (C,).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        along = (-1, *[1] * (x.ndim - 2))
        return (x - self.mean.view(along)) / self.scale.view(along)


def learnt(data: Data | bool, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(C,), (C,) mean and standard deviation of each channel of a set's targets, over what is known of them.

    A channel that does not vary, or of which nothing is known, has scale 1.

    Args:
        data: to learn from; True: zeros and ones.
        shape: that an example must have, (D,) or (C, …).

    Raises:
        TypeError: this is no set of examples.
        ValueError: an empty one, or one of examples of another shape.
    """
    if isinstance(data, bool):
        return torch.zeros(shape[0]), torch.ones(shape[0])
    if not hasattr(data, "batches"):
        raise TypeError(f"standardise= takes data to learn from, as split.train; got {type(data).__name__}")
    found = tuple(next(data.batches(1)).target.shape[1:]) if len(data) else "none"
    if found != tuple(shape):
        raise ValueError(f"the model is for examples {tuple(shape)}, but those to learn from are {found}")

    def average(f: Callable[[Tensor], Tensor]) -> Tensor:
        total = n = torch.zeros(shape[0], dtype=torch.double)
        for batch in data.batches(500):
            x = batch.target.double().reshape(len(batch), shape[0], -1)
            known = torch.ones_like(x) if batch.known is None else batch.known.reshape(x.shape).double()
            n = n + known.sum((0, 2))
            total = total + torch.where(known > 0, f(x), 0.0).sum((0, 2))
        return total / n.clamp_min(1)

    mean = average(lambda x: x)
    scale = average(lambda x: (x - mean[:, None]).square()).sqrt()
    varies = scale > torch.finfo(torch.float).eps * mean.abs()
    return mean.float(), torch.where(varies, scale, 1.0).float()
