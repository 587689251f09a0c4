"""Datasets: `load("lfw")` returns a `Split` of `Images`, found, downloaded or made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import unknown
from .batch import Batch, Batches, Data
from .drawn import drawn_faces
from .embedded import digits, faces_sample
from .files import DataError
from .food import coco, food_101
from .images import Images, Split
from .lfw import Pairs, lfw, lfw_pairs, pairs_of
from .mnist import fashion_mnist, mnist
from .photos import folder
from .transforms import binarised, conditioned, flipped, masked, noisy, occluded, salt_and_pepper

DATASETS: dict[str, Callable[..., Split]] = {
    "lfw": lfw,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "digits": digits,
    "faces-sample": faces_sample,
    "drawn-faces": drawn_faces,
    "food-101": food_101,
    "coco": coco,
    "folder": folder,
}


def load(name: str, **options: Any) -> Split:
    """A dataset by name, split into train, valid and test.

    It is looked for in `AELIB_DATA`, then in the cache, then downloaded with its checksum verified.
    `digits`, `faces-sample` and `drawn-faces` need neither files nor a network; `folder` is your own photos.

    Args:
        name: one of `DATASETS`.
        options: of that dataset, as `size=64` for "lfw" or `path="Pictures"` for "folder";
            `help(aelib.datasets.lfw)` lists them.

    Raises:
        ValueError: there is no dataset of this name; the message suggests the nearest.
        DataError: the files are missing, damaged or cannot be downloaded.

    >>> load("digits")
    Split(digits: 1,297 train, 200 valid, 300 test, each 1×8×8)
    """
    if name not in DATASETS:
        raise ValueError(unknown("dataset", name, DATASETS))
    return DATASETS[name](**options)


__all__ = [
    "DATASETS", "Batch", "Batches", "Data", "DataError", "Images", "Pairs", "Split", "binarised", "coco",
    "conditioned", "digits", "drawn_faces", "faces_sample", "fashion_mnist", "flipped", "folder", "food_101",
    "lfw",
    "lfw_pairs", "load", "masked", "mnist", "noisy", "occluded", "pairs_of", "salt_and_pepper",
]  # fmt: skip
