"""Labelled Faces in the Wild: 13,233 photos of 5,749 people, 73 attributes of each photo."""

import os
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from ..errors import unknown
from .cache import DataError, cache_dir
from .download import download, find, unpack
from .images import Images, Split
from .photos import by_subfolder, listed, names, photos

# as the loaders of others name them
FOLDERS = tuple(f"lfw/{name}" for name in ("lfw-deepfunneled", "lfw_funneled", "lfw-funneled", "lfw"))
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

    DataError if photos are missing, damaged or cannot be downloaded; the message says what to do.

    Source: Huang, Ramesh, Berg, Learned-Miller, Labeled Faces in the Wild, 2007,
    http://vis-www.cs.umass.edu/lfw/; attributes: Kumar, Berg, Belhumeur, Nayar, 2009.
    """
    if split not in SPLITS:
        raise ValueError(unknown("split", split, SPLITS))
    data = everybody(size, crop, channels)
    data = replace(data, attributes=_attributes(data))
    train, valid, test = SPLITS[split](cast(np.ndarray, data.labels), np.random.default_rng(seed))
    return Split(data[train], data[valid], data[test], f"lfw, {split} split")


def everybody(size: int | tuple[int, int], crop: int | None, channels: int) -> Images:
    """All photos, person by person, with who is on them."""
    folder = _folder()
    found = listed(folder)
    _check(folder, {os.fsdecode(name) for name in found[0].tolist()})
    return by_subfolder(photos("lfw", folder, size, channels, found, crop, whole=True)[0])


def _folder() -> Path:
    """Where the photos are; downloaded if they are nowhere."""
    for name in FOLDERS:
        if (found := find(name)) and any(p.is_dir() for p in os.scandir(found)):
            return found
    archive = download("lfw/lfw-funneled.tgz", [ARCHIVE], ARCHIVE_HASH, what="LFW (233 MB)")
    return unpack(archive, cache_dir() / "lfw" / "lfw_funneled")


def _check(folder: Path, files: set[str]) -> None:
    """Photos of a person are numbered from 1, so a gap or a wrong name is found.

    If the official list `lfw-names.txt` lies beside the photos, they must agree with it.
    """
    counts = dict(Counter(file.partition("/")[0] for file in files))
    official = folder.parent / "lfw-names.txt"
    if official.exists():
        lines = (line.split() for line in official.read_text("utf-8").splitlines() if line)
        counts |= {person: int(n) for person, n in lines}
    wanted = {f"{person}/{person}_{i:04d}.jpg" for person, n in counts.items() for i in range(1, n + 1)}
    if missing := wanted - files:
        raise DataError(f"{folder} lacks {len(missing):,} of {len(wanted):,} photos, first {min(missing)}. "
                        "Photos are named <Person>/<Person>_0001.jpg, …_0002.jpg …; unpack the archive "
                        "again.")  # fmt: skip
    if strange := files - wanted:
        raise DataError(f"{folder}: {min(strange)} is not expected there. Unpack the archive again.")


def called(data: Images) -> list[str]:
    """What each photo is called: Ann_A_0001."""
    return [Path(os.fsdecode(name)).stem for name in names(data)]


def _attributes(data: Images) -> pd.DataFrame | None:
    """One row a photo: 1 present, 0 absent, NaN for the photos that were not annotated."""
    file = find("lfw/lfw_attributes.txt")
    if file is None:
        try:
            file = download("lfw/lfw_attributes.txt", [ATTRIBUTES], None, what="LFW's attributes")
        except DataError as e:
            warnings.warn(f"{e}\nGoing on without attributes: what needs none works.", stacklevel=3)
            return None
    with open(file, encoding="utf-8") as lines:
        header = next((line for line in lines if line.startswith("#\tperson\timagenum")), None)
        if header is None:
            raise DataError(f"{file} is not LFW's attribute file (no '# person imagenum …'): get it again.")
        table = pd.read_csv(lines, sep="\t", names=header.lstrip("#").strip().split("\t"))
    rows = table.pop("person").str.replace(" ", "_") + table.pop("imagenum").map("_{:04.0f}".format)
    table = table.gt(0).astype(np.float32).set_axis(rows.tolist())
    return table[~table.index.duplicated()].reindex(called(data)).reset_index(drop=True)


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
