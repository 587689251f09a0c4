"""Labelled Faces in the Wild: 13,233 photos of 5,749 people, 73 attributes of each photo."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import unknown
from .files import DataError, cache_dir, cached_arrays, cached_pixels, decode, download, find, unpack
from .images import Images, Split

FOLDERS = ("lfw-deepfunneled", "lfw_funneled", "lfw-funneled", "lfw")  # as the loaders of others name them
ARCHIVE = "https://ndownloader.figshare.com/files/5976015"  # the mirror of scikit-learn: lfw-funneled.tgz
ARCHIVE_HASH = "sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
ATTRIBUTES = "https://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt"
CROWD = 30  # people with more photos are always trained on: none of them shall dominate a test


def lfw(
    size: int | tuple[int, int] = 64, split: str = "people", crop: int | None = 90, channels: int = 3,
    seed: int = 0,
) -> Split:  # fmt: skip
    """Faces in colour with the person's name and 73 attributes (Smiling, Eyeglasses, Male …).

    About a tenth of the photos is the test part (1,333 of 13,233), about 900 the validation part.

    Args:
        size: side of the images, or (H, W).
        split: "people": no person is in two parts. "random": photos are dealt out at random, so a test
            photo's person may have been trained on.
        crop: side of the central square that is kept of a photo of 250×250; None keeps all of it.
        channels: 3 colour, 1 grey.
        seed: decides who is in which part.

    `AELIB_DATA` may hold the deep-funnelled photos; what is downloaded are the funnelled ones, which are
    aligned a little less well, so numbers differ slightly between the two.

    Raises:
        DataError: photos are missing, damaged or cannot be downloaded; the message says what to do.

    Source: Huang, Ramesh, Berg, Learned-Miller, Labeled Faces in the Wild, 2007,
    http://vis-www.cs.umass.edu/lfw/; attributes: Kumar, Berg, Belhumeur, Nayar, 2009.
    """
    if split not in SPLITS:
        raise ValueError(unknown("split", split, SPLITS))
    if channels not in (1, 3):
        raise ValueError(f"channels is 3 (colour) or 1 (grey); got {channels}")
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"an image has at least 1×1 pixels; got size={size}")
    folder = _folder()
    folders = sorted((p.name, p.stat().st_mtime_ns) for p in os.scandir(folder) if p.is_dir())
    people = [name for name, _ in folders]
    # a folder's time changes when a photo in it is added, removed or renamed
    stamp = hashlib.sha256(repr(folders).encode()).hexdigest()
    key = {"name": "lfw", "folder": str(folder.resolve()), "stamp": stamp}
    counts = cached_arrays(key, lambda: {"counts": _counts(folder, people)})["counts"]
    labels = np.repeat(np.arange(len(people)), counts)
    files = [f"{p}/{p}_{i:04d}.jpg" for p, n in zip(people, counts, strict=True) for i in range(1, n + 1)]
    pixels = cached_pixels(
        key | {"crop": crop, "channels": channels, "size": [height, width]},
        lambda out: decode([folder / f for f in files], out, crop, "LFW: decoding, once"),
        (len(files), channels, height, width),
    )
    data = Images(pixels, labels, people, _attributes(people, labels))
    train, valid, test = SPLITS[split](labels, np.random.default_rng(seed))
    return Split(data[train], data[valid], data[test], f"lfw, {split} split")


def _folder() -> Path:
    """Where the photos are; downloaded if they are nowhere."""
    for name in FOLDERS:
        if (found := find(f"lfw/{name}")) and any(p.is_dir() for p in os.scandir(found)):
            return found
    archive = download(
        "lfw/lfw-funneled.tgz", [ARCHIVE], ARCHIVE_HASH, otherwise="drawn-faces", what="LFW (233 MB)"
    )
    unpack(archive, cache_dir() / "lfw" / "lfw_funneled")
    archive.unlink()
    return cache_dir() / "lfw" / "lfw_funneled"


def _counts(folder: Path, people: list[str]) -> np.ndarray:
    """Photos of each person. They are numbered from 1, so a gap or a wrong name is found.

    If the official list `lfw-names.txt` lies beside the photos, they must agree with it.
    """
    official = folder.parent / "lfw-names.txt"
    listed = {}
    if official.exists():
        listed = {n: int(k) for n, k in (line.split() for line in official.read_text().splitlines() if line)}
        if absent := sorted(set(listed) - set(people)):
            raise DataError(
                f"{folder} lacks {len(absent)} of {len(listed)} people, first {absent[0]}. "
                "The archive was unpacked halfway: unpack it again."
            )
    counts = []
    for person in people:
        names = {p.name for p in os.scandir(folder / person) if p.name.endswith(".jpg")}
        counts.append(listed.get(person, len(names)))
        wanted = {f"{person}_{i:04d}.jpg" for i in range(1, counts[-1] + 1)}
        if names != wanted:
            missing, strange = sorted(wanted - names), sorted(names - wanted)
            found = f"{missing[0]} is missing" if missing else f"{strange[0]} is not expected there"
            raise DataError(
                f"{folder / person}: {found}. Photos are named <Person>_0001.jpg, <Person>_0002.jpg …; "
                "unpack the archive again."
            )
    return np.array(counts)


def _attributes(people: list[str], labels: np.ndarray) -> pd.DataFrame | None:
    """One row a photo: 1 present, 0 absent, NaN for the photos that were not annotated."""
    file = find("lfw/lfw_attributes.txt")
    if file is None:
        try:
            file = download(
                "lfw/lfw_attributes.txt", [ATTRIBUTES], None, otherwise="drawn-faces", what="LFW's attributes"
            )
        except DataError as e:
            warnings.warn(f"{e}\nGoing on without attributes: what needs none works.", stacklevel=3)
            return None
    status = file.stat()
    key = {
        "name": "lfw-attributes",
        "file": str(file.resolve()),
        "stamp": [status.st_mtime_ns, status.st_size],
    }
    stored = cached_arrays(key, lambda: _parse(file))
    table = pd.DataFrame(stored["values"], columns=pd.Index(stored["attributes"].tolist()))
    photo = {name: i for i, name in enumerate(stored["photos"].tolist())}
    number = pd.Series(labels).groupby(labels).cumcount() + 1
    rows = [photo.get(f"{people[i]} {k}", -1) for i, k in zip(labels, number, strict=True)]
    return table.reindex(rows).reset_index(drop=True)


def _parse(file: Path) -> dict[str, np.ndarray]:
    """The attribute file: values (photos, attributes) as 1 and 0, and the names of both."""
    with open(file) as lines:
        header = next((line for line in lines if line.startswith("#\tperson\timagenum")), None)
        if header is None:
            raise DataError(
                f"{file} is not LFW's attribute file (no line '# person imagenum …'): get it again."
            )
        table = pd.read_csv(lines, sep="\t", names=header.lstrip("#").strip().split("\t"))
    photos = table["person"].str.replace(" ", "_") + " " + table["imagenum"].astype(str)
    values = table.drop(columns=["person", "imagenum"])
    return {
        "values": values.gt(0).to_numpy(np.float32),
        "attributes": np.array(list(values)),
        "photos": np.array(photos.tolist()),
    }


def _random(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    order = rng.permutation(len(labels))
    test, valid = round(len(labels) * 0.10073), round(len(labels) * 0.06801)  # 1,333 and 900 of 13,233
    return np.sort(order[test + valid :]), np.sort(order[test : test + valid]), np.sort(order[:test])


def _people(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    counts = np.bincount(labels)
    few = rng.permutation(np.flatnonzero(counts <= CROWD))
    dealt = np.cumsum(counts[few])
    test, valid = len(labels) * 0.10073, len(labels) * (0.10073 + 0.06801)
    in_test = np.isin(labels, few[dealt <= test])
    in_valid = np.isin(labels, few[(dealt > test) & (dealt <= valid)])
    return np.flatnonzero(~in_test & ~in_valid), np.flatnonzero(in_valid), np.flatnonzero(in_test)


SPLITS = {"people": _people, "random": _random}
