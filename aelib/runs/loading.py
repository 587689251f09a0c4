"""Models to files and back: `save` and `load`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..datasets import DATASETS
from ..models import NORMS, Autoencoder, autoencoder
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
    path: str | Path, into: nn.Module | None = None, *, which: str = "best", device: str = "auto"
) -> Any:
    """A trained model, in evaluation mode: of a run, of a file of weights, or `"pretrained/NAME"`.

    Nothing in the files is executed.

    Args:
        path: a run's folder, a .safetensors file with its recipe, or "pretrained/NAME".
        into: a model to fill, for one that `autoencoder` did not make; it is returned.
        which: "best", "last", or a checkpoint's name.
        device: "auto" (CUDA if there is one), "cpu", "cuda", "mps".

    Raises:
        RunError: no run there, a damaged checkpoint (another is offered), or one of another model.
    """
    from .. import pretrained

    parts = Path(path).parts
    if len(parts) == 2 and parts[0] == "pretrained" and not Path(path).exists():
        model: nn.Module = pretrained.load(parts[1])
    else:
        if not Path(path).exists():
            hint = f" (a dataset: datasets.load({str(path)!r}))" if str(path) in DATASETS else ""
            if parts and parts[-1] in pretrained.RECIPES:
                hint = f" (a model that comes with aelib: load('pretrained/{parts[-1]}'))"
            raise RunError(f"{path} does not exist: neither a run's folder nor a file of weights{hint}")
        file = Path(path) if Path(path).is_file() else Run(path).folder(which) / WEIGHTS
        if into is None:
            recipe = checkpoint.read_weights(file)[1]
            if recipe is None:
                raise RunError(
                    f"{path} holds a model that `autoencoder` did not make: load({str(path)!r}, into=model)"
                )
            with torch.device("meta"):  # a recipe that asks for more than the file holds costs no memory
                checkpoint.compare(from_recipe(recipe, file), checkpoint.read_weights(file)[0], file)
            into = from_recipe(recipe, file)
        model = fill(into, file)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval()


def from_recipe(recipe: Mapping[str, Any], where: object = "the recipe") -> Autoencoder:
    """The model that `autoencoder(**recipe)` makes, with a layer of normalisation given by its name.

    Raises:
        RunError: something in it that this aelib does not know.
    """
    try:
        known = dict(recipe)
        if norm := known.get("norm"):
            known["norm"] = NORMS[norm]
        return autoencoder(**known)
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError, MemoryError) as e:
        raise RunError(f"{where}: the model's recipe is not one that aelib {__version__} knows ({e})") from e
