"""What a model is trained on: a set of images, a split."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import unknown
from .batch import Batch, Batches, Transform, cut, kept

RESIDENT_BYTES = 4 * 2**30  # a larger set stays in main memory (or on disk) and is sent batch by batch


@dataclass(frozen=True, eq=False)
class Images:
    """A set of N images of one size, as uint8, with what is known about each.

    Args:
        store: (M, C, H, W) uint8, in memory or memory-mapped, perhaps shared with other sets.
        labels: (N,) integers, one class (or one person) an image.
        classes: what the labels mean: `classes[labels[i]]` is a name.
        attributes: a table of N rows and A columns, 1 = present, 0 = absent, NaN = not known.
        rows: (N,) which images of the store these are, in order; None: all. Nothing is copied.
        transforms: applied to every batch, in order; see `map`.
        paths: (M,) bytes, the file of each image of the store; see `files`.

    Raises:
        ValueError: a table whose length is not N, a label without a class, or a store that is not
            (M, C, H, W) uint8.

    >>> data = Images(np.zeros((10, 1, 8, 8), np.uint8))
    >>> [len(b) for b in data.batches(4)]
    [3, 3, 4]
    """

    store: np.ndarray
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()
    attributes: pd.DataFrame | None = None
    rows: np.ndarray | None = None
    transforms: tuple[Transform, ...] = ()
    paths: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.store.ndim != 4 or self.store.dtype != np.uint8:
            raise ValueError(
                f"pixels are (N, C, H, W) of uint8; got shape {self.store.shape} of {self.store.dtype}"
            )
        for name in ("labels", "attributes"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise ValueError(f"{len(self)} images, but {len(value)} {name}: need one per image")
        if self.labels is not None and len(self.classes) and len(self):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise ValueError(
                    f"labels go from {low} to {high}, but there are {len(self.classes)} classes: "
                    f"0 to {len(self.classes) - 1}"
                )

    def __len__(self) -> int:
        return len(self.store) if self.rows is None else len(self.rows)

    def __repr__(self) -> str:
        known = [f"{len(self.classes)} classes"] if len(self.classes) else []
        known += [f"{self.attributes.shape[1]} attributes"] if self.attributes is not None else []
        return f"Images({', '.join([f'{len(self):,} × {self.shape}', *known])})"

    @property
    def pixels(self) -> np.ndarray:
        """(N, C, H, W) uint8, read into memory."""
        return self.store if self.rows is None else self.store[self.rows]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return cast(tuple[int, int, int], tuple(self.store.shape[1:]))

    @property
    def names(self) -> np.ndarray | None:
        """(N,) the class (or the person) of each image, by name."""
        return None if self.labels is None else np.asarray(self.classes)[self.labels]

    @property
    def files(self) -> np.ndarray | None:
        """(N,) the name of each image's file, below the folder they were read from."""
        if self.paths is None:
            return None
        return np.array(
            [os.fsdecode(p) for p in (self.paths if self.rows is None else self.paths[self.rows])]
        )

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Images:
        """The images of these rows: a slice, a list of numbers or a boolean mask."""
        if isinstance(rows, (int, np.integer)):
            raise TypeError(f"one row is not a set of images: write data[{rows}:{rows + 1}]")
        mine = np.arange(len(self.store)) if self.rows is None else self.rows
        rows = rows if isinstance(rows, slice) else np.asarray(rows)
        return replace(
            self,
            rows=mine[rows],
            labels=None if self.labels is None else self.labels[rows],
            attributes=None if self.attributes is None else self.attributes.iloc[rows],
        )

    def map(self, f: Transform) -> Images:
        """The same images with f applied to every batch, anew every time one is drawn.

        Noise, occlusion, flips and conditions are such functions: they return a changed `Batch`. Their
        randomness is torch's, on the device of the batch.
        """
        return replace(self, transforms=(*self.transforms, f))

    def attribute(self, name: str) -> np.ndarray:
        """(N,) values of one attribute: 1 present, 0 absent, NaN not known.

        Raises:
            KeyError: there is no such attribute; the message names the nearest.
        """
        if self.attributes is None:
            raise KeyError("these images have no attributes")
        if name not in self.attributes:
            raise KeyError(unknown("attribute", name, self.attributes.columns))
        return self.attributes[name].to_numpy()

    def only(self, *names: str) -> Images:
        """The same images with these attributes alone, in this order: what a classifier is to tell."""
        columns = {name: self.attribute(name) for name in names}
        return replace(self, attributes=pd.DataFrame(columns))

    def batches(
        self,
        size: int,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> Batches:
        """Every image once, in ⌈N / size⌉ batches whose lengths differ by at most one.

        (No small remainder: a last batch of one image would break batch statistics and weigh one image
        as much as a hundred.)

        Args:
            size: the most images in a batch.
            seed: the order is a permutation drawn from it; None keeps the order.
            device: where the batch is wanted. The pixels travel there once, as uint8, if they fit.
            part: (k, n): of every batch the k-th of n parts, for the k-th of n devices that share it.
        """
        if size < 1:
            raise ValueError(f"a batch has at least one image; got size={size}")
        n = max(1, -(-len(self) // size))
        return Batches(self._batches(n, seed, torch.device(device), part), n, len(self))

    def _batches(
        self, n: int, seed: int | None, device: torch.device, part: tuple[int, int]
    ) -> Iterator[Batch]:
        pixels, rows, y = self._on(device)
        total = len(self)
        order = None
        if seed is not None:
            order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).to(pixels.device)
        for k in range(n):
            piece = cut(k, n, total)
            piece = cut(*part, piece.stop - piece.start, piece.start)
            these = piece if order is None else order[piece]
            wanted = these if rows is None else rows[these]
            # which is faster than indexing
            x = pixels[wanted] if isinstance(wanted, slice) else pixels.index_select(0, wanted)
            x = x.to(device, non_blocking=True).to(torch.float32).div_(255)
            batch = Batch(x, y=None if y is None else y[these].to(device))
            for f in self.transforms:
                batch = f(batch)
                if not isinstance(batch, Batch):
                    raise TypeError(
                        f"a function given to map returns a Batch; {f} returned {type(batch).__name__}"
                    )
            yield batch

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the number of images, their pixels or labels (SHA-256).

        Of more than 1,000 images, 1,000 at equal distances are read: it costs the same for ten million.
        """
        some = np.linspace(0, max(len(self) - 1, 0), min(len(self), 1000)).astype(int)
        rows = some if self.rows is None else self.rows[some]
        digest = hashlib.sha256(f"{len(self)} {self.shape}".encode())
        digest.update(np.ascontiguousarray(self.store[rows]).tobytes())
        if self.labels is not None:
            digest.update(np.asarray(self.labels)[some].astype(np.int64).tobytes())
        return digest.hexdigest()[:16]

    def batch(self, device: torch.device | str = "cpu") -> Batch:
        """All images as one batch: for a handful, as in `data[:8].batch()`."""
        return next(self.batches(max(len(self), 1), device=device))

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Pixels, the rows of them that are meant, and y, as tensors: on the device if they fit there."""
        if device not in (here := kept(self)):
            y: Any = self.labels if self.attributes is None else self.attributes.to_numpy(np.float32)
            y = None if y is None else torch.tensor(y)
            fits = device.type != "cpu" and len(self) * self.store[0].nbytes <= RESIDENT_BYTES
            with warnings.catch_warnings():  # a mapped file is read-only; batches are copies
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                # where it does not travel torch sees the store's memory (or its file) as it is
                pixels = torch.from_numpy(self.pixels).to(device) if fits else torch.from_numpy(self.store)
            rows = None if fits or self.rows is None else torch.from_numpy(self.rows)
            y = y.to(device) if fits and y is not None else y
            here[device] = (pixels, rows, y)
        return here[device]


@dataclass(frozen=True)
class Split:
    """Three sets of images that share none: to fit, to choose, and to report.

    Args:
        unreadable: photos that are in none, as they cannot be read: {file: why}.
    """

    train: Images
    valid: Images
    test: Images
    name: str = ""
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape

    def head(self, n: int) -> Split:
        """The first n training images, and of the other two at most n / 4: for a quick try."""
        few = -(-n // 4)
        return replace(self, train=self.train[:n], valid=self.valid[:few], test=self.test[:few])

    def __repr__(self) -> str:
        counts = f"{len(self.train):,} train, {len(self.valid):,} valid, {len(self.test):,} test"
        return f"Split({self.name}: {counts}, each {'×'.join(map(str, self.shape))})"
