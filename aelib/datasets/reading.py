"""`of`: examples of what holds them; `split`: three parts of them, groups kept together."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from .examples import Examples
from .images import BLACK, CHANNELS, Images, Split, in_unit
from .photos import arranged, existing, in_shares, photos
from .store import SCALES, span

# what the axes of an array can be: N examples, D variables or depth, C channels, T steps, H × W pixels
LAYOUTS = {
    "ND": "table",
    "NCT": "series, channels first", "NTC": "series, channels last",
    "NHW": "grey pictures", "NCHW": "pictures, channels first", "NHWC": "pictures, channels last",
    "NDHW": "grey volumes", "NCDHW": "volumes, channels first", "NDHWC": "volumes, channels last",
}  # fmt: skip


def of(
    data: Any, labels: Any = None, *, layout: str | None = None, attributes: pd.DataFrame | None = None,
    weights: np.ndarray | None = None,
) -> Examples:  # fmt: skip
    """Examples of what holds them; what comes back says what was understood. Two readings are refused.

    Args:
        data: an array or tensor, a `DataFrame` (of which numbers are taken), a torch `Dataset` (each item
            is read once) or `DataLoader` (whose data set is taken), what scikit-learn's loaders return, or
            a folder of photos.
        labels: (N,) integers or names, one class an example; of a `DataFrame` also a column's name; of a
            folder also a table, as in `folder`.
        layout: what the axes are, where that is not plain: one of `LAYOUTS`, as "NHWC".
        attributes, weights: as of `Examples`.

    ValueError for what cannot be read, or can be read in two ways; the message has the nearest right call;
    TypeError for what holds no examples.

    >>> of(np.zeros((10, 28, 28), np.uint8))
    Images(10 × (1, 28, 28), grey pictures, uint8 from 0 to 0)
    >>> of(pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", "y"]}), labels="c")
    Examples(2 × (2,), 2 classes, table, float64 from 0.5 to 2, 1 missing)
    """
    notes: list[str] = []
    target: Any = None
    if isinstance(data, str | os.PathLike):
        data, labels, _ = _folder(data, labels, None)
    known = {} if labels is None or isinstance(data, pd.DataFrame) else _named(labels)
    if isinstance(data, DataLoader):
        if data.collate_fn is not default_collate:
            raise ValueError("this DataLoader makes its batches by a collate_fn of its own: give its arrays")
        data = data.dataset
    if isinstance(data, Examples):
        known |= {k: v for k, v in (("attributes", attributes), ("weights", weights)) if v is not None}
        return replace(data, **known)
    if isinstance(data, Mapping) and "data" in data:  # scikit-learn's Bunch
        names, target = data.get("target_names"), data.get("target")
        if np.asarray(target).dtype.kind == "i" and names is not None and np.max(target) < len(names):
            known = known or {"labels": target, "classes": [str(name) for name in names]}
        if "images" in data:
            notes.append("its pictures: of(bunch.images / bunch.images.max(), bunch.target)")
        data = data["data"]
    elif isinstance(data, Dataset):
        data, target = _items(data)
    if isinstance(data, pd.DataFrame):
        if isinstance(labels, str):
            if labels not in data:
                raise ValueError(f"there is no column {labels!r}; there are {', '.join(map(str, data))}")
            data, labels = data.drop(columns=labels), data[labels]
        known = known if labels is None else _named(labels)
        numbers = data.select_dtypes(["number", "bool"], exclude=["timedelta"])
        if left := [str(c) for c in data if c not in numbers]:
            notes.append(f"left out: {', '.join(left)}")
        if not numbers.shape[1]:
            raise ValueError(f"no column holds numbers; there are {', '.join(map(str, data))}")
        data, layout = numbers.to_numpy(np.float64, na_value=np.nan), layout or "ND"
    if target is not None and len(target) and not known:
        if (target := np.asarray(target)).dtype.kind != "f" and target.ndim == 1:
            known = _named(target)
        elif attributes is None:  # numbers that are no classes
            attributes = pd.DataFrame(target.reshape(len(target), -1)).add_prefix("target ")
    x, notes[:0] = _read(_array(data), layout)
    kind = Images if x.ndim == 4 and "pictures" in notes[0] else Examples
    return kind(x, **known, attributes=attributes, weights=weights, note=", ".join(notes))


def split(
    data: Any, labels: Any = None, *, by: Any = None, valid: float = 0.1, test: float = 0.1, seed: int = 0
) -> Split[Any]:  # fmt: skip
    """Deal examples at random into a part to train on, one to validate with and one to test with.

    Args:
        data, labels: `Examples`, or anything that `of` takes.
        by: (N,) the group (person, patient, video …) of each example, or the name of what holds it: a column
            of the `DataFrame`, an attribute; of a folder as in `folder`. No group is in two parts.
        valid, test: the shares of the examples, which whole groups meet roughly.
        seed: the same seed deals in the same way.

    ValueError for shares that leave nothing to train on, or fewer than three groups.

    >>> split(np.zeros((50, 4), np.float32), by=np.arange(50) // 5)
    Split(40 train, 5 valid, 5 test, each 4)
    """
    if isinstance(data, pd.DataFrame) and isinstance(by, str):
        data, by = data.drop(columns=by), data[by]
    elif isinstance(data, str | os.PathLike):
        data, labels, by = _folder(data, labels, by)
    elif isinstance(data, Examples) and isinstance(by, str):
        by = data.attribute(by)
    data = of(data, labels)
    groups = np.arange(len(data)) if by is None else pd.factorize(np.asarray(by), use_na_sentinel=False)[0]
    if len(groups) != len(data):
        raise ValueError(f"{len(data)} examples, but {len(groups)} in by: need one group per example")
    if not (valid > 0 and test > 0 and valid + test < 1):
        raise ValueError(f"valid and test are shares above 0, below 1 together; got {valid} and {test}")
    order = np.random.default_rng(seed).permutation(len(np.unique(groups)))
    tested, validated, trained = in_shares(groups, order, [test, valid])
    return Split(data[trained], data[validated], data[tested])


def _folder(path: Any, labels: Any, by: Any) -> tuple[Images, Any, Any]:
    """The photos in a folder, what of the labels was no table, and the group of each."""
    if Path(path).is_file():
        raise ValueError(f"{path} is a file: read it first, as of(pd.read_csv(…)) or of(np.load(…))")
    table = labels if isinstance(labels, str | os.PathLike | pd.DataFrame | Mapping) else None
    root = existing(path)
    name = by if isinstance(by, str) else None
    data, _, groups, _ = arranged(photos("folder", root, 64)[0], root.name, table, name)
    data = replace(data, note="photos, the central squares at 64×64")
    return data, labels if table is None else None, by if name is None else groups


def _named(labels: Any) -> dict[str, Any]:
    """Labels as integers, and the names of the classes."""
    if lost := pd.isna(given := np.asarray(labels)).sum():
        raise ValueError(f"{lost} labels are missing: leave these examples out, or label them")
    if given.dtype.kind in "iuf" and given.size and 0 <= given.min() <= given.max() < 1000 + len(given):
        return {"labels": given, "classes": [str(i) for i in range(int(given.max()) + 1)]}
    names, numbers = np.unique(given.astype(str) if given.dtype == object else given, return_inverse=True)
    return {"labels": numbers, "classes": [str(name) for name in names]}


def _items(data: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """x of each item of a torch `Dataset` and, where items are pairs, y."""
    if not hasattr(data, "__len__") or not len(data):
        raise ValueError("this Dataset does not say how many items it has, or has none: give its arrays")
    x, y = [], []
    for i in range(len(data)):
        item = data[i]
        first, *rest = item if isinstance(item, tuple | list) else (item,)
        if isinstance(first, Mapping | str):
            raise ValueError(f"items of this Dataset are {type(first).__name__}, not (x, y): give its arrays")
        x.append(np.asarray(first.detach().cpu() if isinstance(first, Tensor) else first))
        y += [np.asarray(v) for v in rest[:1]]
    return x, y


def _array(data: Any) -> Any:
    """An array of numbers, of a type that `Examples` keeps."""
    if isinstance(data, Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.dtype == torch.bfloat16 else data).numpy()
    if isinstance(data, list):
        shapes = {np.shape(v) for v in data if not isinstance(v, str)}
        if len(shapes) > 1:
            a, b, *_ = sorted(shapes, key=str)
            raise ValueError(f"examples are of different shapes, as {a} and {b}: bring them to one (photos "
                             "in a folder: datasets.load(folder, size=64) cuts and scales them)")  # fmt: skip
        data = np.asarray([np.asarray(v) for v in data])
    if not (hasattr(data, "shape") and hasattr(data, "dtype")):
        raise TypeError(f"no examples can be made of {type(data).__name__}: give an array, a tensor, a "
                        "DataFrame, a torch Dataset or a folder; of a Split one part, as split.train; of a "
                        "pair of(x, labels=y)")  # fmt: skip
    if (kind := np.dtype(data.dtype).kind) not in "biuf":
        what = {"O": "objects", "U": "strings", "S": "strings", "c": "complex numbers", "M": "dates"}
        raise ValueError(f"examples are numbers, these are {what.get(kind, str(data.dtype))}: make numbers "
                         "of them, as x.astype(np.float32), pd.get_dummies(x) for names, np.stack(x) for "
                         "arrays in an array")  # fmt: skip
    return data


def _read(x: Any, layout: str | None) -> tuple[Any, list[str]]:
    """The array with channels first, and what was understood."""
    low, high, missing = span(x)
    if layout is not None and (layout not in LAYOUTS or len(layout) != x.ndim):
        known = ", ".join(name for name in LAYOUTS if len(name) == x.ndim) or "none"
        raise ValueError(f"no layout {layout!r} for an array of shape {x.shape}. Known: {known}")
    layout = layout or _layout(x, low >= 0 and high <= 255)
    notes = [LAYOUTS[layout], f"{x.dtype} from {low:g} to {high:g}"]
    notes += [f"{missing:,} missing"] if missing else []
    pixels = "H" in layout
    if pixels and x.dtype.kind == "f":
        in_unit(low, high)
    if pixels and x.dtype.kind in "iu" and high == 1:
        raise ValueError(BLACK)
    if pixels and x.dtype.kind in "iu" and x.dtype.name not in ("uint8", "uint16"):
        raise ValueError(f"pixels are uint8, uint16 or floats in [0, 1]; these are {x.dtype} from {low:g} to "
                         f"{high:g}: x.astype(np.uint8) if they go up to 255")  # fmt: skip
    if x.dtype == bool:
        x = np.asarray(x).astype(np.uint8) * np.uint8(255)
    elif str(x.dtype) not in SCALES:  # or in the byte order of another machine
        x = np.asarray(x).astype(x.dtype.name if x.dtype.name in SCALES else np.float64)
    if layout in ("NHW", "NDHW"):
        x = np.asanyarray(x)[:, None]
    elif layout.endswith("C"):
        x = np.moveaxis(np.asanyarray(x), -1, 1)
        x = x if isinstance(x, np.memmap) else np.ascontiguousarray(x)
    return x, notes


def _layout(x: Any, grey: bool) -> str:
    """What the axes are, if that is plain; grey: the numbers are in the range of pixels."""
    shape, pixels = tuple(x.shape), x.dtype.kind in "bu" or (x.dtype.kind == "i" and grey)
    if len(shape) == 2:
        return "ND"
    if len(shape) == 3:
        if pixels or (grey and shape[1] == shape[2]):
            return "NHW"
        if shape[2] >= 4 * shape[1]:
            return "NCT"
    elif len(shape) in (4, 5):
        names = ("NCHW", "NHWC") if len(shape) == 4 else ("NCDHW", "NDHWC")
        plain = [name for name, size in zip(names, (shape[1], shape[-1]), strict=True) if size in CHANNELS]
        if len(plain) == 1:
            return plain[0]
    else:
        raise ValueError(f"an array of {shape} is not (N, …) of one to four axes an example. x[:, None]: "
                         "examples of one number each; x[None]: one example; datasets.Examples(x) takes any "
                         "as it is")  # fmt: skip
    known = [f'"{name}" ({what})' for name, what in LAYOUTS.items() if len(name) == len(shape)]
    raise ValueError(f"{shape} can be read in several ways: say layout={', or '.join(known)}")
