"""Examples of any shape, with what is known about each."""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import unknown
from .batch import Batch, Batches, Transform, cut, kept
from .store import SCALES, pieces, read, span, tensor
from .tables import numbers

RESIDENT_BYTES = 4 * 2**30  # a larger set stays in main memory (or on disk) and is sent batch by batch
E = TypeVar("E", bound="Examples")


@dataclass(frozen=True, eq=False)
class Examples:
    """A set of N examples of one shape, with what is known about each.

    Args:
        store: (M, …) uint8 (divided by 255 in a batch), uint16 (by 65,535) or float (as it is; NaN where a
            number is not known), perhaps shared with other sets: an array, in memory or memory-mapped, a
            tensor, or what else has a shape, a dtype and rows.
        labels: (N,) integers, one class (or one person) an example.
        classes: what the labels mean: `classes[labels[i]]` is a name.
        attributes: a table of N rows and A columns of any type, kept as floats (see `tables.numbers`): 1 =
            present, 0 = absent, or a number that is measured; NaN = not known.
        rows: (N,) which rows of the store these are, in order; None: all. Nothing is copied.
        transforms: applied to every batch, in order; see `map`.
        paths: (M,) bytes, the file of each row of the store; see `files`.
        weights: (N,) from 0 up, how much each example counts in a mean; None: all the same.
        fill: (…) what x holds where a number is not known; None: the mean of those that are, over this set.
            (A `Split` gives all its parts the means of its training part.)
        dtype: of x.
        note: what `of` understood, for those who look.

    ValueError for a table whose length is not N, a label that is no integer or has no class, a weight below
    0, or a store of another type.

    >>> data = Examples(np.zeros((10, 4), np.float32))
    >>> [tuple(b.x.shape) for b in data.batches(4)]
    [(3, 4), (3, 4), (4, 4)]
    """

    store: Any
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()
    attributes: pd.DataFrame | None = None
    rows: np.ndarray | None = None
    transforms: tuple[Transform, ...] = ()
    paths: np.ndarray | None = None
    weights: np.ndarray | None = None
    fill: np.ndarray | None = None
    dtype: torch.dtype = torch.float32
    note: str = ""

    def __post_init__(self) -> None:
        kind = str(getattr(self.store, "dtype", type(self.store).__name__)).removeprefix("torch.")
        if kind not in SCALES or not getattr(self.store, "shape", ()):
            raise ValueError(f"examples are (N, …) of {', '.join(SCALES)}; got "
                             f"{kind}{list(getattr(self.store, 'shape', ''))}. datasets.of(…) reads other "
                             "types too")  # fmt: skip
        if isinstance(self.store, Tensor):  # in the same memory
            object.__setattr__(self, "store", self.store.detach().cpu().numpy())
        if self.attributes is not None:
            object.__setattr__(self, "attributes", numbers(self.attributes))
        for name in ("labels", "attributes", "weights"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                what = type(self).__name__.lower()
                raise ValueError(f"{len(self)} {what}, but {len(value)} {name}: need one per {what[:-1]}")
        mine = [] if self.attributes is None else list(self.attributes)
        for order in filter(None, (getattr(f, "columns", None) for f in self.transforms)):
            if mine != order:
                raise ValueError(f"attributes {mine}, but like= has {order}: data.only(*names) before map "
                                 "gives the same, in one order")  # fmt: skip
        if self.labels is not None:
            object.__setattr__(self, "labels", whole(self.labels))
            low, high = (int(self.labels.min()), int(self.labels.max())) if len(self) else (0, -1)
            if (k := len(self.classes)) and (low < 0 or high >= k):
                raise ValueError(f"labels go from {low} to {high}, but there are {k} classes: 0 to {k - 1}")
        if self.weights is not None:
            w = np.asarray(self.weights, np.float64)
            object.__setattr__(self, "weights", w)
            if not (np.isfinite(w).all() and (w >= 0).all() and (w.any() or not len(w))):
                raise ValueError("weights are numbers from 0 up, not all 0; some are negative or not finite")

    def __len__(self) -> int:
        return len(self.store) if self.rows is None else len(self.rows)

    def __repr__(self) -> str:
        known = [f"{len(self.classes)} classes"] if len(self.classes) else []
        known += [f"{self.attributes.shape[1]} attributes"] if self.attributes is not None else []
        known += [self.note] if self.note else []
        return f"{type(self).__name__}({', '.join([f'{len(self):,} × {self.shape}', *known])})"

    @property
    def values(self) -> np.ndarray:
        """(N, …) the numbers as they are stored, read into memory."""
        return read(self.store, slice(None) if self.rows is None else self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(…) of one example."""
        return tuple(self.store.shape[1:])

    @property
    def names(self) -> np.ndarray | None:
        """(N,) the class (or the person) of each example, by name."""
        return None if self.labels is None else np.asarray(self.classes)[self.labels]

    @property
    def files(self) -> np.ndarray | None:
        """(N,) the name of each example's file, below the folder they were read from."""
        paths = self.paths if self.paths is None or self.rows is None else self.paths[self.rows]
        return None if paths is None else np.array([os.fsdecode(path) for path in paths])

    def __getitem__(self: E, rows: slice | Sequence[int] | np.ndarray) -> E:
        """The examples of these rows: a slice, a list of numbers or a boolean mask."""
        if isinstance(rows, (int, np.integer)):
            raise TypeError(f"one row is not a set: write data[{rows}:{rows + 1}]")
        mine = np.arange(len(self.store)) if self.rows is None else self.rows
        rows = rows if isinstance(rows, slice) else np.asarray(rows)
        labels, weights = (None if v is None else v[rows] for v in (self.labels, self.weights))
        table = None if self.attributes is None else self.attributes.iloc[rows]
        return replace(self, rows=mine[rows], labels=labels, attributes=table, weights=weights, note="")

    def map(self: E, f: Transform) -> E:
        """The same examples with f applied to every batch, again every time one is made.

        Noise, occlusion, flips and conditions are such functions: they return a changed `Batch`. Their
        randomness is torch's, on the device of the batch.
        """
        changed = replace(self, transforms=(*self.transforms, f))
        kept(changed, kept(self))  # the numbers are the same: they travel to a device once
        return changed

    def oversampled(self: E, power: float = 0.5) -> E:
        """The same examples, those with a rare label or attribute several times.

        An example stands (typical / p)^power times in the set, rounded, at least once. p is the share of the
        rarest of what is known about it (its class; or, of each attribute, that it is present, or absent),
        typical is 1 / classes, or ½. What is measured, with more than two values, has no say.

        Args:
            power: 0 changes nothing; with 1 what is rare comes about as often as anything else.

        ValueError if there are neither labels nor attributes.
        """
        table = self.labels if self.attributes is None else self.attributes.to_numpy()
        if table is None:
            raise ValueError("these examples have neither labels nor attributes to be rare")
        often = np.ones(len(self))
        for y in table.reshape(len(self), -1).T:
            known = y == y  # all but NaN
            _, which, counts = np.unique(y[known], return_inverse=True, return_counts=True)
            kinds = len(counts) if self.attributes is None else 2
            if len(counts) <= kinds:
                often[known] = np.maximum(often[known], len(which) / kinds / counts[which])
        return self[np.repeat(np.arange(len(self)), np.round(often**power).astype(int))]

    def attribute(self, name: str) -> np.ndarray:
        """(N,) values of one attribute: 1 present, 0 absent, or a number; NaN not known.

        KeyError if there is no such attribute; the message names the nearest.
        """
        if self.attributes is None:
            raise KeyError("these examples have no attributes")
        if name not in self.attributes:
            raise KeyError(unknown("attribute", name, self.attributes.columns))
        return self.attributes[name].to_numpy()

    def only(self: E, *names: str) -> E:
        """The same examples with these attributes alone, in this order: what a classifier is to predict."""
        columns = {name: self.attribute(name) for name in names}
        return replace(self, attributes=pd.DataFrame(columns))

    @property
    def missing(self) -> int:
        """How many of the numbers are not known. They are looked at once."""
        here = kept(self)
        if self.store.dtype.kind == "f" and "missing" not in here:
            here["missing"] = span(self.store, self.rows)[2]
        return here.get("missing", 0)

    @property
    def mean(self) -> np.ndarray:
        """(…) float64, the mean example as stored, of the numbers that are known; 0 where none is."""
        total, known = np.zeros(self.shape), np.zeros(self.shape)
        for piece in pieces(self.store, self.rows):
            total += np.nansum(piece, 0, dtype=np.float64)
            known += (piece == piece).sum(0)  # all but NaN
        return total / np.maximum(known, 1)

    def batches(
        self, size: int, seed: int | None = None, device: torch.device | str = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> Batches:  # fmt: skip
        """Every example once, in ⌈N / size⌉ batches whose lengths differ by at most one.

        (No small remainder: a last batch of one example would break batch statistics and weigh one example
        as much as a hundred.)

        Arguments as of `Data.batches`. The numbers travel to the device once, as stored, if they fit.
        """
        if size < 1:
            raise ValueError(f"a batch has at least one example; got size={size}")
        n = max(1, -(-len(self) // size))
        return Batches(self._batches(n, seed, torch.device(device), part), n, len(self))

    def _batches(
        self, n: int, seed: int | None, device: torch.device, part: tuple[int, int]
    ) -> Iterator[Batch]:
        numbers, rows, y, weight, fill = self._on(device)
        total, scale = len(self), SCALES[str(self.store.dtype)]
        order, is_tensor = None, isinstance(numbers, Tensor)
        if seed is not None:
            order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
            order = order.to(numbers.device) if is_tensor else order
        for k in range(n):
            piece = cut(k, n, total)
            piece = cut(*part, piece.stop - piece.start, piece.start)
            these = piece if order is None else order[piece]
            wanted = these if rows is None else rows[these]
            if not is_tensor:
                x = tensor(read(numbers, wanted if isinstance(wanted, slice) else wanted.numpy()))
            else:  # selecting is faster than indexing
                x = numbers[wanted] if isinstance(wanted, slice) else numbers.index_select(0, wanted)
            x = x.to(device, non_blocking=True).to(self.dtype, copy=isinstance(wanted, slice))
            if scale == 65535:
                x.remainder_(65536)  # it came as int16, which every device can select from
            if scale != 1:
                x.div_(scale)
            known = None if fill is None else ~x.isnan()
            x = x if known is None else torch.where(known, x, fill)
            its_y, its_weight = (None if v is None else v[these].to(device) for v in (y, weight))
            batch = Batch(x, y=its_y, known=known, weight=its_weight)
            for f in self.transforms:
                batch = f(batch)
                if not isinstance(batch, Batch):
                    raise TypeError(f"what map is given returns a Batch; {f} returned {type(batch).__name__}")
            yield batch

    def batch(self, device: torch.device | str = "cpu") -> Batch:
        """All examples as one batch: for a handful, as in `data[:8].batch()`."""
        return next(self.batches(max(len(self), 1), device=device))

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the number of examples, their numbers or labels (SHA-256).

        Of more than 1,000 examples, 1,000 at equal distances are read: it costs the same for ten million.
        """
        some = np.linspace(0, max(len(self) - 1, 0), min(len(self), 1000)).astype(int)
        digest = hashlib.sha256(f"{len(self)} {self.shape}".encode())
        digest.update(read(self.store, some if self.rows is None else self.rows[some]).tobytes())
        for known, kind in ((self.labels, np.int64), (self.weights, np.float64)):
            if known is not None:
                digest.update(np.asarray(known)[some].astype(kind).tobytes())
        return digest.hexdigest()[:16]

    def _on(self, device: torch.device) -> tuple[Any, ...]:
        """What batches are cut from: numbers, rows, y, weight, fill; on the device if they fit there."""
        here = kept(self)
        if device not in here:
            y: Any = self.labels if self.attributes is None else self.attributes.to_numpy(np.float32)
            y = None if y is None else torch.tensor(np.ascontiguousarray(y))  # columns may be in reverse
            w: Any = self.weights
            w = None if w is None else torch.tensor(w / w.mean(), dtype=torch.float32)
            fill = None
            if self.missing:
                fill = torch.tensor(self.mean if self.fill is None else self.fill).to(device, self.dtype)
            nbytes = len(self) * math.prod(self.shape) * self.store.dtype.itemsize
            rows = None if self.rows is None else torch.from_numpy(self.rows)
            # where they do not travel torch sees the store's memory (or its file) as it is
            if device.type == "cpu" or nbytes > RESIDENT_BYTES:
                numbers = tensor(self.store)
            else:
                numbers, rows = tensor(self.values), None
                as_they_are = SCALES[str(self.store.dtype)] == 1  # and some devices do not know float64
                numbers = numbers.to(device, self.dtype) if as_they_are else numbers.to(device)
                y, w = (None if v is None else v.to(device) for v in (y, w))
            here[device] = numbers, rows, y, w, fill
        return here[device]


def whole(labels: Any) -> np.ndarray:
    """(N,) int64 of labels; ValueError if they are not integers, or not one an example."""
    given = np.asarray(labels)
    if given.ndim != 1:
        raise ValueError(f"labels are (N,), one an example; got {given.shape}. More: attributes, a table")
    wrong = given[given % 1 != 0] if given.dtype.kind in "biuf" else given
    if len(wrong):
        raise ValueError(f"labels are integers, one class an example; got {wrong[0]!s}. Names of classes: "
                         "datasets.of(x, labels=names). Numbers that are no class: attributes, a "
                         "table")  # fmt: skip
    return given.astype(np.int64, copy=False)
