"""Models to files and back: `save` and `load`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__, models
from ..contexts import device_named
from ..models import Autoencoder
from ..training import History
from . import checkpoint
from .checkpoint import WEIGHTS, RunError, fill
from .run import Run


def save(path: str | Path, model: nn.Module, history: History | None = None) -> Path:
    """Write a model, and its history, to a folder from which `load` gives it back. Returns the checkpoint.

    Raises:
        RunError: the folder cannot be written, holds another training, or another process trains in it.
    """
    run, history = Run(path), history or History()
    with run.locked():
        run.begin({"model": getattr(model, "recipe", None) or type(model).__name__})
        return run.save(model, None, history)


def load(
    path: str | Path, into: nn.Module | None = None, *, which: str | None = None, device: str = "auto"
) -> Any:
    """A trained model, in evaluation mode: of a run, or of a file of weights. See `aelib.load`.

    Nothing in the files is executed.

    Args:
        path: a run's folder, or a .safetensors file with its recipe.
        into: a model to fill, for one that `autoencoder` did not make; it is returned.
        which: of a run: "best" (the default), "last", or a checkpoint's name.
        device: "auto" (CUDA, MPS, CPU in this order), "cuda", "mps", "cpu".

    Raises:
        ValueError: `which` of a file.
        RunError: no run there, a damaged checkpoint (another is offered), or one of another model.
    """
    at = device_named(device)
    if Path(path).is_file():
        if which is not None:
            raise ValueError(f"{path} is one file of weights, without checkpoints: leave which={which!r} out")
        file = Path(path)
    else:
        file = Run(path).folder("best" if which is None else which) / WEIGHTS
    if into is None:
        found, recipe = checkpoint.read_weights(file)
        if recipe is None:
            raise RunError(
                f"{path} holds a model that `autoencoder` did not make: load({str(path)!r}, into=model)"
            )
        with torch.device("meta"):  # a recipe that asks for more than the file holds costs no memory
            checkpoint.compare(from_recipe(recipe, file), found, file)
        into = from_recipe(recipe, file)
        kind = next(found[name].dtype for name, _ in into.named_parameters())
        into = into.to(kind) if kind.is_floating_point else into  # the precision that it was saved in
    return fill(into, file).to(at).eval()


def from_recipe(recipe: Mapping[str, Any], where: object = "the recipe") -> Autoencoder:
    """The model that `autoencoder(**recipe)` makes, with a layer of normalisation given by its name.

    Raises:
        RunError: something in it that this aelib does not know.
    """
    try:
        return models.from_recipe(recipe)
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError, MemoryError) as e:
        raise RunError(f"{where}: the model's recipe is not one that aelib {__version__} knows ({e})") from e
