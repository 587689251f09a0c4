"""Numbers as they are stored: rows of arrays, of memory maps, and of what is neither."""

import math
import warnings
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

PIECE_BYTES = 2**26  # what is looked at once, in pieces of this size
# what numbers of each type are divided by
SCALES = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}


def pieces(store: Any, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    """These rows of the store (None: all), some at a time."""
    total = len(store) if rows is None else len(rows)
    step = max(1, PIECE_BYTES // max(1, math.prod(store.shape[1:]) * store.dtype.itemsize))
    for these in (slice(start, start + step) for start in range(0, total, step)):
        yield read(store, these if rows is None else rows[these])


def span(store: Any, rows: np.ndarray | None = None) -> tuple[float, float, int]:
    """The lowest and the highest number in these rows (None: all), and how many are missing, in one pass."""
    low, high, missing = math.inf, -math.inf, 0
    for piece in (p for p in pieces(store, rows) if p.size):
        least, most = piece.min(), piece.max()
        if np.isnan(least):
            missing += int(np.isnan(piece).sum())
            least, most = np.nanmin(piece, initial=low), np.nanmax(piece, initial=high)
        low, high = min(low, float(least)), max(high, float(most))
        if low == -math.inf or high == math.inf:
            raise ValueError("there are infinite numbers among the examples; write NaN for what is not known")
    return low, high, missing


def read(store: Any, rows: slice | np.ndarray) -> np.ndarray:
    """Rows of an array, or of what is none (HDF5, Zarr …) and wants them in order and each once."""
    if isinstance(store, np.ndarray) or isinstance(rows, slice):
        return np.asarray(store[rows])
    each, place = np.unique(rows, return_inverse=True)
    return np.asarray(store[each])[place]


def marks(store: Any, rows: np.ndarray | None) -> np.ndarray:
    """(N,) 64 bits by which each of these rows (None: all) is known again: of its BLAKE2 sum."""
    each = (row.tobytes() for piece in pieces(store, rows) for row in piece)
    return np.array([int.from_bytes(blake2b(row, digest_size=8).digest(), "little") for row in each], "<u8")


def tensor(store: Any) -> Any:
    """The same memory (or file) as a tensor, uint16 as int16; what is no array stays what it is."""
    if not isinstance(store, np.ndarray):
        return store
    if min(store.strides, default=0) < 0:  # which torch does not know
        store = store.copy()
    with warnings.catch_warnings():  # a mapped file is read-only; batches are copies
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(store.view(np.int16) if store.dtype == np.uint16 else store)
