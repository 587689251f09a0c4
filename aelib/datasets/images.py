"""Pictures, and a set of examples in three parts."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from ..errors import shown
from .examples import Examples
from .store import read, span

CHANNELS = (1, 2, 3, 4)  # how many a picture has, if it is not said


@dataclass(frozen=True, eq=False, repr=False)
class Images(Examples):
    """A set of N pictures of one size, (N, C, H, W): `Examples` that are shown and compared as such.

    ValueError for a store that is not (M, C, H, W), or whose channels stand last, or floats up to 255.

    >>> data = Images(np.zeros((10, 1, 8, 8), np.uint8))
    >>> [len(b) for b in data.batches(4)]
    [3, 3, 4]
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = tuple(self.store.shape)
        if len(shape) != 4:
            raise ValueError(f"pictures are (N, C, H, W); got {shape}. Other shapes: Examples, datasets.of")
        if shape[1] not in CHANNELS and shape[3] in CHANNELS:
            raise ValueError(f"pictures are (N, C, H, W); in {shape} the channels stand last: write "
                             f"datasets.of(pixels). If there really are {shape[1]} channels: "
                             "Examples(pixels)")  # fmt: skip
        if self.store.dtype.kind == "f" and len(self.store):
            in_unit(*span(self.store[:16])[:2])
        if self.store.dtype == np.uint8 and self.rows is None and not self.transforms:
            some = np.linspace(0, len(self) - 1, min(len(self), 16)).astype(int)
            if read(self.store, some).max(initial=0) == 1:
                warnings.warn(BLACK, stacklevel=4)

    @property
    def pixels(self) -> np.ndarray:
        """(N, C, H, W) as they are stored, read into memory."""
        return self.values


BLACK = (
    "the pixels are only 0 and 1 of 255: nearly black. If 1 means white (a mask), give x.astype(bool) or "
    "x * 255 (of a folder, its pixels); if they really are so dark, datasets.Images(x) keeps them"
)


def in_unit(low: float, high: float) -> None:
    """Refuse floats that were meant to be divided: none is below 0, some are above 2, none above 65,535."""
    if low >= 0 and 2 < high <= 65535:
        by, bits = (255, 8) if high <= 255 else (65535, 16)
        raise ValueError(f"pictures of floats have pixels in [0, 1]; these go up to {high:g}: divide by "
                         f"{by}, or give them as uint{bits}. To keep the numbers as they are: "
                         "datasets.Examples(x)")  # fmt: skip


D = TypeVar("D", bound=Examples)


@dataclass(frozen=True)
class Split(Generic[D]):
    """Three sets of examples that share none: to fit, to choose, and to report.

    Where numbers are missing, the means of the training part stand for them in all three. Attributes of the
    same names stand in the order of the training part.

    Args:
        unreadable: photos that are in none, as they cannot be read: {file: why}.
        note: what was understood, for those who look.
    """

    train: D
    valid: D
    test: D
    name: str = ""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        parts: dict[str, Any] = {"train": self.train, "valid": self.valid, "test": self.test}
        order = [] if self.train.attributes is None else list(self.train.attributes)
        for name, part in parts.items():
            mine = [] if part.attributes is None else list(part.attributes)
            if mine != order and set(mine) == set(order):
                parts[name] = replace(part, attributes=part.attributes[order])
                object.__setattr__(self, name, parts[name])
        if self.train.fill is None and any(p.missing for p in parts.values()):
            for name, part in parts.items():
                object.__setattr__(self, name, replace(part, fill=self.train.mean))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (C, H, W) of a picture."""
        return self.train.shape

    @property
    def all(self) -> D:
        """The examples of all three parts as one set."""
        parts: list[Any] = [self.train, self.valid, self.test]

        def joined(name: str, join: Callable[[list[Any]], Any] = np.concatenate) -> Any:
            each = [getattr(part, name) for part in parts]
            return None if any(v is None for v in each) else join(each)

        known = {name: joined(name) for name in ("labels", "weights")}
        known["attributes"] = joined("attributes", pd.concat)
        if len({id(part.store) for part in parts}) > 1:
            return replace(parts[0], store=joined("values"), rows=None, paths=None, **known)
        rows = [np.arange(len(part.store)) if part.rows is None else part.rows for part in parts]
        return replace(parts[0], rows=np.concatenate(rows), **known)

    def head(self, n: int) -> "Split[D]":
        """The first n training examples, and of the other two at most n / 4: for a quick try."""
        few = -(-n // 4)
        return replace(self, train=self.train[:n], valid=self.valid[:few], test=self.test[:few])

    def __repr__(self) -> str:
        counts = f"{len(self.train):,} train, {len(self.valid):,} valid, {len(self.test):,} test"
        known = f"{counts}, each {'×'.join(map(str, self.shape))}{'; ' if self.note else ''}{self.note}"
        return shown(f"Split({self.name}{': ' if self.name else ''}{known})")
