"""Models to files and back: `save` and `load`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__, models
from ..contexts import device_named
from ..models import Autoencoder
from ..training import History
from .checkpoint import WEIGHTS, RunError, compare, fill, read_weights
from .run import Run


def save(path: str | Path, model: nn.Module, history: History | None = None) -> Path:
    """Write a model, and its history, to a folder from which `load` gives it back. Returns the checkpoint.

    Raises:
        RunError: the folder cannot be written, holds another training, or another process trains in it.
    """
    run = Run(path)
    with run.locked():
        run.begin({"model": getattr(model, "recipe", None) or type(model).__name__})
        return run.save(model, None, history or History())


def load(
    path: str | Path, into: nn.Module | None = None, *, which: str | None = None, device: str = "auto"
) -> Any:
    """A trained model of a run, or of a file of weights. Arguments and errors are those of `aelib.load`."""
    at, file = device_named(device), Path(path)
    if not file.is_file():
        file = Run(path).folder("best" if which is None else which) / WEIGHTS
    elif which is not None:
        raise ValueError(f"{path} is one file of weights, without checkpoints: leave which={which!r} out")
    if into is None:
        found, recipe = read_weights(file)
        if recipe is None:
            raise RunError(
                f"{path} holds a model that `autoencoder` did not make: load({str(path)!r}, into=model)"
            )
        with torch.device("meta"):  # a recipe that asks for more than the file holds costs no memory
            compare(_built(recipe, file), found, file)
        into = _built(recipe, file)
        kind = next(found[name].dtype for name, _ in into.named_parameters())
        into = into.to(kind) if kind.is_floating_point else into  # the precision that it was saved in
    fill(into, file)
    return into.to(at).eval()


def _built(recipe: Mapping[str, Any], file: Path) -> Autoencoder:
    try:
        return models.from_recipe(recipe)
    except Exception as e:  # a recipe that is something else fails in many ways
        raise RunError(f"{file}: the model's recipe is not one that aelib {__version__} knows ({e})") from e
