"""Datasets: `load("lfw")` is a `Split` of `Images`, found, downloaded or made; `of(x)` is your own."""

import os
from pathlib import Path
from typing import Any

from ..errors import unknown
from .batch import Batch, Batches, Data
from .cache import DataError
from .drawn import drawn_faces
from .embedded import digits, faces_sample
from .examples import Examples
from .food import coco, food_101
from .images import Images, Split
from .lfw import lfw
from .mnist import fashion_mnist, mnist
from .photos import folder
from .reading import of, split
from .registry import DATASETS, Source
from .transforms import binarised, conditioned, flipped, masked, noisy, occluded, salt_and_pepper


def load(name: str | os.PathLike[str], **options: Any) -> Split:
    """A dataset by name, or a folder of photos, split into train, valid and test.

    It is looked for in `AELIB_DATA`, then in the cache, then downloaded, and what comes is checked.
    `digits`, `faces-sample` and `drawn-faces` need neither files nor a network.

    Args:
        name: one of `DATASETS`, or a folder, as "my/photos".
        options: of that dataset, as `size=64` for "lfw"; `help(aelib.datasets.lfw)` lists them.

    ValueError if there is no such dataset, folder (the nearest name is suggested) or option; DataError if the
    files are missing, damaged or cannot be downloaded.

    >>> load("digits")
    Split(digits: 1,297 train, 200 valid, 300 test, each 1×8×8)
    """
    name = os.fspath(name)
    if name not in DATASETS and name and Path(name).is_dir():
        name, options = "folder", {"path": name} | options
    if name not in DATASETS:
        raise ValueError(unknown("dataset or folder of photos", name, DATASETS))
    if name == "folder" and "path" not in options:
        raise ValueError("folder stands for your own photos: name the folder itself, as my/photos")
    source = DATASETS[name]
    if strange := [option for option in options if option not in source.options]:
        known = ", ".join(source.options) or "none"
        raise ValueError(f"{name} has no option {strange[0]!r}. Its options: {known}")
    return source.load(**options)


__all__ = [
    "DATASETS", "Batch", "Batches", "Data", "DataError", "Examples", "Images", "Source", "Split",
    "binarised", "coco", "conditioned", "digits", "drawn_faces", "faces_sample", "fashion_mnist", "flipped",
    "folder", "food_101", "lfw", "load", "masked", "mnist", "noisy", "occluded", "of",
    "salt_and_pepper", "split",
]  # fmt: skip
