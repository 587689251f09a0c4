"""The one loop in which a model looks at data without being trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .contexts import evaluating, seeded
from .datasets import Batch, Data


def device_of(model: nn.Module) -> torch.device:
    """Where its parameters and buffers are; the CPU, if it has none."""
    return next((v.device for v in model.state_dict(keep_vars=True).values()), torch.device("cpu"))


def batches(model: nn.Module, data: Data, size: int = 500, seed: int | None = 0) -> Iterator[Batch]:
    """The data in order, where the model is, which is in evaluation mode meanwhile.

    Args:
        size: the most examples in a batch.
        seed: of the data's own noise; None: the caller's randomness goes on.
    """
    at = device_of(model)
    with evaluating(model), contextlib.nullcontext() if seed is None else seeded(seed, at):
        yield from data.batches(size, device=at)


@torch.no_grad()
def each(
    f: Callable[[Batch], Tensor], model: nn.Module, data: Data, size: int = 500, seed: int | None = 0
) -> Tensor:
    """(N, …) f of every batch, (B, …), without gradient, on the CPU. Arguments as in `batches`."""
    return torch.cat([f(batch).cpu() for batch in batches(model, data, size, seed)])
