"""Small sets of pictures for patients: 800 to train on, 250 for validation, of 8×8 to 28×28 pixels.

`save` keeps them in one small file, so that patients are the same where data and libraries are others. They
are read from the file that the variable AELIB_PATIENTS names.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from aelib import datasets
from aelib.datasets import Images, Split

TRAIN, VALID = 800, 250


def pooled(pixels: np.ndarray, k: int) -> np.ndarray:
    """uint8 (N, C, H, W) at a k-th of the size."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).float()
    return F.avg_pool2d(x, k).round().to(torch.uint8).numpy()


def some(split: Split[Any], k: int = 1) -> tuple[Images, Images]:
    """Pictures of a known set, evenly spread over it, at a k-th of their size."""
    parts = []
    for part, n in ((split.train, TRAIN), (split.valid, VALID)):
        part = part[np.unique(np.linspace(0, len(part) - 1, n).astype(int))]
        parts.append(replace(part, store=pooled(part.pixels, k), rows=None, paths=None))
    return parts[0], parts[1]


def letters(seed: int = 0) -> tuple[Images, Images]:
    """Capital letters of Pillow's own typeface, turned, moved and scaled: 18×22, grey."""
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 26, TRAIN + VALID)
    pixels = np.empty((len(labels), 1, 22, 18), np.uint8)
    for i, label in enumerate(labels):
        canvas = Image.new("L", (54, 66), int(rng.integers(0, 60)))
        font = ImageFont.load_default(float(rng.uniform(38, 52)))
        at = tuple(np.array([27, 33]) + rng.normal(0, 3, 2))
        ImageDraw.Draw(canvas).text(at, chr(65 + label), int(rng.integers(150, 256)), font, anchor="mm")
        canvas = canvas.rotate(float(rng.normal(0, 8)), Image.Resampling.BILINEAR)
        pixels[i, 0] = np.asarray(canvas.resize((18, 22), Image.Resampling.BOX))
    data = Images(pixels, labels, [chr(65 + i) for i in range(26)])
    return data[:TRAIN], data[TRAIN:]


def patches(seed: int = 0, size: int = 16) -> tuple[Images, Images]:
    """Places of scikit-image's photos, in colour; validation shows the photos' lower parts."""
    rng, parts = np.random.default_rng(seed), []
    for part, n in ((0, TRAIN), (1, VALID)):
        labels = rng.integers(0, 4, n)
        pixels = np.empty((n, 3, size, size), np.uint8)
        for i, label in enumerate(labels):
            photo = _photo(int(label))
            edge = int(0.8 * photo.shape[1])
            photo = photo[:, :edge] if part == 0 else photo[:, edge - size // 2 :]
            y, x = (int(rng.integers(0, m - size + 1)) for m in photo.shape[1:])
            pixels[i] = photo[:, y : y + size, x : x + size]
        parts.append(Images(pixels, labels, ["astronaut", "coffee", "cat", "rocket"]))
    return parts[0], parts[1]


@cache
def _photo(i: int) -> np.ndarray:
    from skimage import data as photos

    photo = (photos.astronaut, photos.coffee, photos.chelsea, photos.rocket)[i]()
    return pooled(photo.transpose(2, 0, 1)[None], 2)[0]


PICTURES: dict[str, Callable[[], tuple[Images, Images]]] = {
    "digits": lambda: some(datasets.load("digits")),
    "mnist": lambda: some(datasets.load("mnist"), 2),
    "fashion": lambda: some(datasets.load("fashion-mnist")),
    "cartoon faces": lambda: some(datasets.drawn_faces(3000, 36), 2),
    "lfw": lambda: some(datasets.load("lfw", size=32), 2),
    "letters": letters,
    "patches": patches,
}


@cache
def loaded(name: str) -> tuple[Images, Images]:
    """The pictures to train on and those of validation."""
    if not (file := os.environ.get("AELIB_PATIENTS")):
        return PICTURES[name]()
    with np.load(file) as kept:
        classes, columns = (kept[f"{name} {what}"].tolist() for what in ("classes", "columns"))
        parts = []
        for k in ("train", "valid"):
            values = pd.DataFrame(kept[f"{name} {k} attributes"], columns=columns) if columns else None
            parts.append(Images(kept[f"{name} {k}"], kept[f"{name} {k} labels"], classes, values))
    return parts[0], parts[1]


def save(file: Path) -> None:
    """All of the pictures, in one file of NumPy's."""
    out: dict[str, Any] = {}
    for name in PICTURES:
        for k, part in zip(("train", "valid"), loaded(name), strict=True):
            table = part.attributes if part.attributes is not None else pd.DataFrame()
            out |= {f"{name} {k}": part.pixels, f"{name} {k} labels": part.labels}
            out |= {f"{name} classes": np.array(part.classes), f"{name} {k} attributes": table.to_numpy()}
            out[f"{name} columns"] = np.array(table.columns, str)
    np.savez_compressed(file, **out)
