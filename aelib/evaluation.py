"""The one loop in which a model looks at data without being trained."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .contexts import evaluating, seeded
from .datasets import Batch, Data
from .models import Autoencoder


def device_of(model: nn.Module) -> torch.device:
    """Where its parameters and buffers are; the CPU, if it has none."""
    return next((v.device for v in model.state_dict(keep_vars=True).values()), torch.device("cpu"))


def batches(model: nn.Module, data: Data, size: int = 500, seed: int | None = 0) -> Iterator[Batch]:
    """The data in order, where the model is, which is in evaluation mode meanwhile.

    The seed is of the data's own noise; None: the caller's randomness goes on.
    """
    at = device_of(model)
    with evaluating(model), contextlib.nullcontext() if seed is None else seeded(seed, at):
        yield from data.batches(size, device=at)


def check(model: Autoencoder, data: Data | None = None) -> None:
    """Raise `ValueError` if a model cannot encode the first of these data; None: if it takes conditions."""
    recipe = model.recipe or {}
    batch = None if data is None else next(batches(model, data, 1))
    needs = recipe.get("conditions", 0)
    if needs and (batch is None or batch.c is None):
        raise ValueError(f"this model takes conditions of size {needs}, and none are given here. Use it in "
                         "Python: model.sample(n, c), model.reconstruct(x, c), or "
                         "data.map(datasets.conditioned(…))")  # fmt: skip
    if batch is None:
        return
    mine: list[int] = list(batch.x.shape[1:])
    shape: list[int] = recipe.get("shape", mine)
    try:
        if mine != shape and (recipe["net"] != "fcn" or mine[0] != shape[0]):
            raise RuntimeError(f"it was built for {shape}")
        with torch.no_grad():
            model.encode(batch.x, batch.c)
    except RuntimeError as e:
        raise ValueError(f"the model cannot take these examples, which are {mine}: {e}") from e


@torch.no_grad()
def each(
    f: Callable[[Batch], Tensor], model: nn.Module, data: Data, size: int = 500, seed: int | None = 0
) -> Tensor:
    """(N, …) f of every batch, (B, …), without gradient, on the CPU. Arguments as in `batches`."""
    return torch.cat([f(batch).cpu() for batch in batches(model, data, size, seed)])
