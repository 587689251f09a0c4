"""Datasets: `load("lfw")` is a `Split` of `Images`, found, downloaded or made; `of(x)` is your own."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import unknown
from .batch import Batch, Batches, Data
from .cache import DataError
from .download import find
from .drawn import drawn_faces
from .examples import Examples
from .food import coco, food_101
from .images import Images, Split
from .lfw import FOLDERS, lfw
from .mnist import digits, faces_sample, fashion_mnist, mnist
from .photos import folder
from .reading import of, split
from .transforms import binarised, conditioned, flipped, masked, noisy, occluded, salt_and_pepper


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from.

    Args:
        load: the function that returns its `Split`.
        terms: of use, in a few words; materials/data_licences.md has the rest.
        size: of what is downloaded, or why nothing is.
        check: how what is downloaded is checked.
        places: folders that it is found by, below `AELIB_DATA` or the cache; none if it needs no files.
    """

    load: Callable[..., Split]
    terms: str
    size: str
    check: str = "–"
    places: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The first line about it."""
        return (inspect.getdoc(self.load) or "").partition("\n")[0].rstrip(".")

    @property
    def options(self) -> list[str]:
        """What `load` takes."""
        return list(inspect.signature(self.load).parameters)

    def found(self) -> Path | None:
        """The folder that it is in, if it is on this machine as files."""
        return next((folder for place in self.places if (folder := find(place))), None)


DATASETS = {
    source.load.__name__.replace("_", "-"): source
    for source in (
        Source(drawn_faces, "MIT, as aelib", "made on the spot"),
        Source(digits, "CC BY 4.0", "built in"),
        Source(faces_sample, "research use, as lfw", "built in"),
        Source(folder, "yours", "no download"),
        Source(food_101, "research use", "5 GB", "MD5 of the archive", ("food-101/images",)),
        Source(coco, "each photo's own, on Flickr", "19 GB, by hand", places=("coco/train2017",)),
        Source(lfw, "research use", "233 MB", "SHA-256 of the archive", FOLDERS),
        Source(mnist, "CC BY-SA 3.0", "12 MB", "MD5 of each file", ("MNIST/raw",)),
        Source(fashion_mnist, "MIT", "31 MB", "MD5 of each file", ("FashionMNIST/raw",)),
    )
}


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
