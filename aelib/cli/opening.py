"""What the verbs open: datasets by name or folder, and runs with their pictures. It imports torch."""

from __future__ import annotations

import inspect
from pathlib import Path

from .. import datasets, runs
from ..datasets import Split
from ..errors import unknown
from ..models import Autoencoder


def dataset(data: str, size: int | None = None) -> Split:
    """A dataset by its name, or a folder of photos.

    Raises:
        ValueError: it is neither; the nearest name is suggested.
    """
    if data in datasets.DATASETS:
        sized = "size" in inspect.signature(datasets.DATASETS[data]).parameters
        if size is not None and not sized:
            raise ValueError(f"{data} comes in one size: leave --size out")
        return datasets.load(data, **({} if size is None else {"size": size}))
    if Path(data).is_dir():
        return datasets.load("folder", path=data, **({} if size is None else {"size": size}))
    raise ValueError(unknown("dataset or folder of photos", data, datasets.DATASETS))


def opened(run: str, data: str | None = None, which: str = "best") -> tuple[Autoencoder, Split]:
    """A run's model, and the pictures it was trained on, or others."""
    model = runs.load(run, which=which)
    if data is None:
        config = runs.Run(run).settings()
        if "data" not in config or "net" not in config:
            raise runs.RunError(f"{run} does not say what it was trained on: name the data")
        split = dataset(config["data"], config.get("size"))
    else:
        split = dataset(data, model.recipe["shape"][-1])
    if list(split.shape) != model.recipe["shape"]:
        raise ValueError(
            f"{run} was trained on pictures {model.recipe['shape']}, these are {list(split.shape)}"
        )
    return model, split
