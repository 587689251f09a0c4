"""Your own photos: any folder of them, a handful or ten million."""

import difflib
import hashlib
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from ..errors import shown
from . import tables
from .cache import DataError, cached_pixels
from .decoder import SUFFIXES, is_photo
from .decoding import decode
from .images import Images, Split

PARTS = {b"train": "train", b"val": "valid", b"dev": "valid", b"test": "test"}
PART = re.compile(rb"(train|val|dev|test)(?:ing|id|idation)?[-_ ]?(?:set|data|images)?\d*")  # a folder of one
COMPARED = 2**29  # bytes of pixels, of which copies are looked for: a second
SHARE = 0.1  # of the photos: the validation part, and as many again the test part
# of systems and other programs: thumbnails, copies, what was deleted
NOT_MEANT = (b"@eadir", b"__macosx", b"$recycle.bin", b"#recycle", b"lost+found")


def folder(
    path: str | os.PathLike[str], size: int = 64, channels: int = 3, seed: int = 0, labels: Any = None,
    by: str | None = None,
) -> Split:  # fmt: skip
    """The photos in a folder and in all folders below it, cut to the central square.

    If they lie in subfolders train, test and valid (or val, training, train2017 … in large or small letters),
    these are the parts. What is not there is dealt from the training part: a tenth of its photos is the test
    part, a tenth the validation part, of each class alike. Which is in which follows from the names and the
    seed, so a copy of the folder elsewhere is split in the same way. If they lie in two subfolders or more
    (or parts do), and none beside these, the subfolders are classes.

    They are decoded once, by all processors, into a file in the cache, which is read as batches need it: a
    set may be larger than the memory. They are decoded again when one is added, changed or removed. Photos
    that cannot be read (as HEIC) are left out and listed in `Split.unreadable`; `Split.note` says what was
    understood.

    Args:
        path: of the folder. Files that are no photos (by the end of their name; by their first bytes if the
            name has none) are passed over, and what is hidden, thumbnails of other programs, folders of runs.
        size: side of the images in pixels.
        channels: 3 colour, 1 grey.
        seed: decides which photo is in which part.
        labels: a table with what is known of each photo, found by its name: a .csv, .tsv or .parquet, a
            `DataFrame`, a mapping. Which columns become classes or attributes: `tables.known`.
        by: a column of that table, as "patient", or "folder": photos that share it are in one part.

    DataError if there is no such folder (the message names the nearest), or no photo in it that can be read,
    or the disk of the cache is full; ValueError for a size below 1, a number of channels other than 1 and 3,
    a table that does not name the photos, or fewer groups than parts.
    """
    root = existing(path)
    data, unreadable = photos("folder", root, size, channels)
    data, part, groups, notes = arranged(data, root.name, labels, by)
    of_train = np.arange(len(data)) if part is None else np.flatnonzero(part == "train")
    parts = {} if part is None else {name: data[part == name] for name in set(part)}
    if missing := [name for name in ("test", "valid") if name not in parts]:
        some = dealt(data[of_train], seed, len(missing), None if groups is None else groups[of_train])
        parts |= dict(zip([*missing, "train"], some, strict=True))
        notes += [] if part is None else [f"dealt from train: {', '.join(missing)}"]
    split = Split(parts["train"], parts["valid"], parts["test"], root.name, unreadable, "; ".join(notes))
    if shared := _in_two(split):
        warnings.warn(f"{shared}. Their error says nothing about other photos", stacklevel=3)
    return split


def existing(path: str | os.PathLike[str]) -> Path:
    """The folder; DataError if there is none, which names the nearest."""
    root = Path(path).expanduser()
    if root.is_dir():
        return root
    if root.exists():
        raise DataError(f"{root} is a file: give the folder of the photos (an archive: unpack it first).")
    above = next(p for p in root.absolute().parents if p.is_dir())
    wrong = root.absolute().relative_to(above).parts[0]
    near = difflib.get_close_matches(wrong, [p.name for p in os.scandir(above) if p.is_dir()], 1)
    hint = f"Did you mean {above / near[0]}?" if near else f"In {above} is no folder {wrong!r}."
    raise DataError(f"there is no folder {root}. {hint}")


def photos(
    name: str, root: Path, size: int | tuple[int, int], channels: int = 3,
    found: tuple[np.ndarray, str] | None = None, crop: int | None = None, whole: bool = False,
) -> tuple[Images, dict[str, str]]:  # fmt: skip
    """The photos below a folder that can be read, in the order of their names, and why the others cannot.

    Args:
        name: of the dataset: its file in the cache begins with it.
        size, channels: as of `folder`; size may also be (H, W).
        found: the photos, as from `listed`; None: all.
        crop: side of the central square that is kept of each; None: the largest.
        whole: a photo that cannot be read is an error.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1 or channels not in (1, 3):
        raise ValueError(f"size is at least 1, channels 3 or 1; got size={size}, channels={channels}")
    files, stamp = listed(root) if found is None else found
    if not len(files):
        known = ", ".join(s.decode() for s in SUFFIXES)
        raise DataError(f"there is no photo in {root} or below it: no file that ends in {known}.")
    shape = (channels, height, width)
    key: dict[str, Any] = {"name": name, "folder": str(root.resolve()), "stamp": stamp}
    key |= {} if crop is None else {"crop": crop}
    decoded = partial(decode, root, files, shape, crop, f"{name}: decoding, once")
    pixels, unread = cached_pixels(key, (len(files), *shape), decoded)
    unreadable = {os.fsdecode(files[row]): unread[row] for row in sorted(unread)}
    if unreadable:
        file, why = next((shown(file), why) for file, why in unreadable.items())
        if whole:
            raise DataError(f"{root / file} cannot be decoded ({why}): half-copied? Copy or unpack it again.")
        if len(unreadable) == len(files):
            raise DataError(f"no photo in {root} can be read. The first: {file} ({why})")
        few = f"{file} ({why}){' …' if len(unreadable) > 1 else ''}; all are listed in Split.unreadable"
        many = f"{len(unreadable):,} of {len(files):,} photos in {root}"
        warnings.warn(f"{many} could not be read and are left out: {few}", stacklevel=4)
    good = np.delete(np.arange(len(files)), list(unread))
    return replace(Images(pixels), rows=good, paths=files), unreadable


def listed(root: Path, only: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """The files below a folder that are named as photos: (N,) bytes, sorted, and a fingerprint of the list.

    The fingerprint changes when one is added, removed, renamed or changed (its size or time).
    """
    found, parts = _walk(os.fsencode(root)), []
    while some := list(islice(found, 2**16)):  # arrays, not objects: a hundred bytes a photo
        parts.append([np.array(column) for column in zip(*some, strict=True)])
    if not parts:
        return np.array([], "S1"), ""
    files, sizes, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(files)
    if only is not None:
        if len(missing := np.setdiff1d(only, files)):
            raise DataError(f"{root} lacks {len(missing):,} of {len(only):,} photos, first "
                            f"{shown(missing[0])}. The archive was unpacked halfway: unpack it "
                            "again.")  # fmt: skip
        order = order[np.isin(files[order], only)]
    digest = hashlib.sha256()
    for column in (files, sizes, times):
        digest.update(column[order].view(np.uint8))
    return files[order], digest.hexdigest()


def _walk(root: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and time of each photo. Every folder is entered once, however many links lead to it.

    Folders that cannot be opened and links to nowhere are among them, so that they end up as unreadable.
    What is hidden is not, nor thumbnails of other programs, nor the pictures in a run's folder.
    """
    met, closed, tops = set[tuple[int, int]](), list[OSError](), [root]
    start = len(os.path.join(root, b""))
    for top in tops:  # links come last: a photo is named by the folder that it is in
        for folder, inner, files in os.walk(top, onerror=closed.append):
            status = os.stat(folder)
            of_a_run = {b"run.json", b"config.yaml"} <= set(files)
            if (status.st_dev, status.st_ino) in met or (of_a_run and folder != root):
                inner.clear()
                continue
            met.add((status.st_dev, status.st_ino))
            passed = (*NOT_MEANT, b"tensorboard") if of_a_run else NOT_MEANT
            inner[:] = sorted(n for n in inner if not n.startswith(b".") and n.lower() not in passed)
            tops += filter(os.path.islink, (os.path.join(folder, name) for name in inner))
            for name in files:
                path = os.path.join(folder, name)
                if name.startswith(b".") or name.lower() in NOT_MEANT:
                    continue
                size, time, usual = -1, 0, True
                with suppress(OSError):
                    status = os.stat(path)
                    size, time, usual = status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode)
                if usual and is_photo(path):  # opening a pipe would wait for ever
                    yield path[start:], size, time
    for e in closed:
        if e.filename == root:
            raise DataError(f"{shown(root)} cannot be opened ({e.strerror}).") from e
        yield e.filename[start:] + b"/", -1, 0


def names(data: Images) -> np.ndarray:
    """(N,) bytes, the file of each image. (`Images.files` has them as str, which take four times as much.)"""
    paths = cast(np.ndarray, data.paths)  # whoever asks has read them from a folder
    return paths if data.rows is None else paths[data.rows]


def by_subfolder(data: Images, level: int = 0, train: Any = slice(None)) -> Images:
    """With a folder on the way to each photo as its class, if there are two and no photo lies outside.

    Args:
        level: which folder, from 0, the outermost.
        train: (N,) which photos must not; others may: their class is not known.
    """
    classes, labels = np.unique(_level(names(data), level), return_inverse=True)
    outside = int(classes[0] == b"")
    if len(classes) - outside < 2 or (outside and not labels[train].all()):
        return data
    known = [os.fsdecode(name) for name in classes[outside:]] + [tables.NOT_KNOWN] * outside
    return replace(data, labels=(labels - outside) % len(known), classes=known)


def _level(paths: np.ndarray, k: int) -> np.ndarray:
    """(N,) bytes, the k-th folder on the way to each photo; empty if there is none."""
    return np.fromiter(((p.split(b"/")[k:-1] or [b""])[0] for p in paths), paths.dtype, len(paths))


def arranged(
    data: Images, above: str, labels: Any = None, by: str | None = None
) -> tuple[Images, np.ndarray | None, np.ndarray | None, list[str]]:
    """Photos with what their folders and a table say of them: classes, part (N,), group (N,), notes.

    Parts are train, valid and test; "" is a photo beside their folders.
    """
    paths, part, groups, notes = names(data), None, None, list[str]()
    for n in range(3):  # as train/cats, images/train/cats or cats/train
        tops, place = np.unique(_level(paths, n), return_inverse=True)
        kinds = np.array([_part(top) for top in tops])
        if part is None and "train" in kinds and (len(set(kinds) - {""}) > 1 or len(tops) == 1):
            part = kinds[place]
            data = by_subfolder(data, n + 1, part == "train")
            data = by_subfolder(data, n - 1) if n and data.labels is None else data
            notes.append(f"parts as in {', '.join(map(os.fsdecode, tops[kinds != '']))}")
    data = by_subfolder(data) if part is None else data
    if labels is not None:
        table, how = tables.joined(labels, [os.fsdecode(p) for p in paths], above)
        for name in [] if part is not None else list(table):
            own = table[name].map(lambda cell: _part(str(cell).encode()), na_action="ignore")
            if own.nunique() > 1 and {"train"} < set(own.dropna()) <= set(PARTS.values()):
                part, notes = own.fillna("train").to_numpy(str), [f"parts as in column {name}"]
                table = table.drop(columns=name)  # photos without a row are there to train on
        if by in table:
            groups = table.pop(cast(str, by)).astype(object).fillna(pd.Series(paths)).to_numpy(str)
        found, what = tables.known(table)
        notes.append(f"{how}: {what}" if what else how)
        data = replace(data, **found)
    if by == "folder" and groups is None:
        groups = np.array([os.path.dirname(p) for p in paths])
    if by is not None:
        if groups is None:
            raise ValueError(f'by is "folder", or a column of the labels; got {by!r}')
        notes.append(f"{len(set(groups)):,} groups by {by}")
    if part is not None and (beside := part == "").any():
        one = shown(paths[beside][0])
        warnings.warn(f"photos in no part, left out: {beside.sum():,}, first {one}", stacklevel=4)
    if part is not None and groups is not None:
        parts = pd.Series(part).groupby(groups).nunique()
        if (torn := parts > 1).any():
            warnings.warn(f"groups in two parts: {torn.sum():,}, first {parts.idxmax()}", stacklevel=4)
    return data, part, groups, notes


def _part(folder: bytes) -> str:
    """train, valid or test, if a folder is called so; else nothing."""
    found = PART.fullmatch(folder.strip().lower())
    return PARTS[found[1]] if found else ""


def dealt(data: Images, seed: int, parts: int, groups: np.ndarray | None = None) -> list[Images]:
    """Parts of a tenth each, of every class alike, then the rest; by the photos' names, not their order.

    What shares a group (N,) is not in two parts; classes are then not dealt alike.
    """
    n, salt = len(data), str(seed).encode()

    def lots(words: Iterable[bytes]) -> np.ndarray:
        hashes = (hashlib.blake2b(word, digest_size=8, key=salt).digest() for word in words)
        return np.array([int.from_bytes(h, "big") for h in hashes], np.uint64)

    if groups is not None:
        each, place = np.unique(groups, return_inverse=True)
        order = np.argsort(lots(os.fsencode(str(g)) for g in each))
        return [data[rows] for rows in in_shares(place, order, [SHARE] * parts)]
    drawn = lots(names(data))
    labels = np.zeros(n, np.int64) if data.labels is None else data.labels
    place = pd.Series(drawn).groupby(labels).rank(method="first").to_numpy()  # in its class, from 1
    order = np.lexsort((drawn, (place - 0.5) / np.bincount(labels)[labels]))
    tenth = max(round(n * SHARE), int(n > parts))
    return [data[np.sort(rows)] for rows in np.split(order, [tenth * (i + 1) for i in range(parts)])]


def in_shares(groups: np.ndarray, order: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
    """The rows of each part: whole groups (N,) in this order, until it has about its share; then the rest."""
    n, parts = len(order), len(shares) + 1
    if n < parts:
        raise ValueError(f"{parts} parts need as many groups (of by) or examples, or more; there are {n}")
    ends, at = np.cumsum(np.bincount(groups)[order]) / len(groups), [0]  # shares of the first 1, 2, … groups
    for k, share in enumerate(shares, 1):
        goal = share + (ends[at[-1] - 1] if at[-1] else 0)
        at.append(int(np.clip(np.abs(ends - goal).argmin() + 1, at[-1] + 1, n - parts + k)))
    return [np.flatnonzero(np.isin(groups, some)) for some in np.split(order, at[1:])]


def _in_two(split: Split) -> str:
    """Which photos are in two parts, pixel for pixel, in words; of large sets it is not looked for."""
    met, twice = dict[int, tuple[str, str]](), list[str]()
    for part in ("train", "valid", "test") if split.train.store.nbytes <= COMPARED else ():
        data: Images = getattr(split, part)
        rows = range(len(data)) if data.rows is None else data.rows
        for file, row in zip(names(data), rows, strict=True):
            picture = data.store[row].tobytes()
            other, first = met.setdefault(hash(picture), (part, shown(file)))
            if other != part:
                twice.append(f"{first} ({other}) and {shown(file)} ({part})")
    return f"photos in two parts, pixel for pixel: {len(twice):,}, first {twice[0]}" if twice else ""
