"""Pictures, and a set of examples in three parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np

from .examples import Examples
from .store import span

CHANNELS = (1, 2, 3, 4)  # how many a picture has, if it is not said


@dataclass(frozen=True, eq=False, repr=False)
class Images(Examples):
    """A set of N pictures of one size, (N, C, H, W): `Examples` that are shown and compared as such.

    Raises:
        ValueError: a store that is not (M, C, H, W), or whose channels stand last, or floats up to 255.

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
            raise ValueError(
                f"pictures are (N, C, H, W); in {shape} the channels stand last: write datasets.of(pixels). "
                f"If there really are {shape[1]} channels: Examples(pixels)"
            )
        if self.store.dtype.kind == "f" and len(self.store):
            in_unit(*span(self.store[:16])[:2])

    @property
    def pixels(self) -> np.ndarray:
        """(N, C, H, W) as they are stored, read into memory."""
        return self.values


def in_unit(low: float, high: float) -> None:
    """Refuse floats that were meant to be divided.

    Raises:
        ValueError: no number is below 0, and some are above 2 and none above 65,535.
    """
    if low >= 0 and 2 < high <= 65535:
        by, bits = (255, 8) if high <= 255 else (65535, 16)
        raise ValueError(
            f"pictures of floats have pixels in [0, 1]; these go up to {high:g}: divide by {by}, or give "
            f"them as uint{bits}. To keep the numbers as they are: datasets.Examples(x)"
        )


D = TypeVar("D", bound=Examples)


@dataclass(frozen=True)
class Split(Generic[D]):
    """Three sets of examples that share none: to fit, to choose, and to report.

    Where numbers are missing, the means of the training part stand for them in all three.

    Args:
        unreadable: photos that are in none, as they cannot be read: {file: why}.
    """

    train: D
    valid: D
    test: D
    name: str = ""
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts: dict[str, Any] = {"train": self.train, "valid": self.valid, "test": self.test}
        if self.train.fill is None and any(p.missing for p in parts.values()):
            for name, part in parts.items():
                object.__setattr__(self, name, replace(part, fill=self.train.mean))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (C, H, W) of a picture."""
        return self.train.shape

    def head(self, n: int) -> "Split[D]":
        """The first n training examples, and of the other two at most n / 4: for a quick try."""
        few = -(-n // 4)
        return replace(self, train=self.train[:n], valid=self.valid[:few], test=self.test[:few])

    def __repr__(self) -> str:
        counts = f"{len(self.train):,} train, {len(self.valid):,} valid, {len(self.test):,} test"
        return f"Split({self.name}{': ' if self.name else ''}{counts}, each {'×'.join(map(str, self.shape))})"
