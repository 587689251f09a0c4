"""Labelled Faces in the Wild: 13,233 photos of 5,749 people, 73 attributes of each photo."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import unknown
from .cache import DataError, Entry, Gap, cache_dir, cached_pixels
from .decoding import decode
from .download import download, find, unpack
from .images import Images, Split
from .registry import DATASETS, dataset

# as the loaders of others name them
FOLDERS = tuple(f"lfw/{name}" for name in ("lfw-deepfunneled", "lfw_funneled", "lfw-funneled", "lfw"))
ARCHIVE = "https://ndownloader.figshare.com/files/5976015"  # the mirror of scikit-learn: lfw-funneled.tgz
ARCHIVE_HASH = "sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
ATTRIBUTES = "https://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt"
PAIRS = {  # name: file, its number at the mirror, sha256
    "folds": ("pairs.txt", 5976006, "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592"),
    "dev-train": (
        "pairsDevTrain.txt", 5976012, "1d454dada7dfeca0e7eab6f65dc4e97a6312d44cf142207be28d688be92aabfa",
    ),
    "dev-test": (
        "pairsDevTest.txt", 5976009, "7cb06600ea8b2814ac26e946201cdb304296262aad67d046a16a7ec85d0ff87c",
    ),
}  # fmt: skip
CROWD = 30  # people with more photos are always trained on: none of them shall dominate a test


@dataset("lfw", "research use", "233 MB", check="SHA-256 of the archive", places=FOLDERS)
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
    pixels, labels, people, paths = _photos(size, crop, channels)
    data = Images(pixels, labels, people, _attributes(people, labels), paths=paths)
    train, valid, test = SPLITS[split](labels, np.random.default_rng(seed))
    return Split(data[train], data[valid], data[test], f"lfw, {split} split")


def _photos(
    size: int | tuple[int, int], crop: int | None, channels: int
) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """All photos, person by person: pixels (N, C, H, W), whose each is (N,), people's names, files."""
    if channels not in (1, 3):
        raise ValueError(f"channels is 3 (colour) or 1 (grey); got {channels}")
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"an image has at least 1×1 pixels; got size={size}")
    folder = _folder()
    folders = sorted((p.name, p.stat().st_mtime_ns) for p in os.scandir(folder) if p.is_dir())
    people = [name for name, _ in folders]
    counts = _counts(folder, people)
    labels = np.repeat(np.arange(len(people)), counts)
    files = [f"{p}/{p}_{i:04d}.jpg" for p, n in zip(people, counts, strict=True) for i in range(1, n + 1)]
    paths, shape = np.array([os.fsencode(f) for f in files]), (channels, height, width)

    def whole(part: Path, start: int, todo: list[Gap]) -> Generator[Entry, None, None]:
        for entry in decode(folder, paths, shape, crop, "LFW: decoding, once", part, start, todo):
            for i, why in entry[3]:
                raise DataError(
                    f"{folder / files[entry[0] + i]} cannot be decoded ({why}). It is damaged or "
                    "half-copied: copy or unpack it again."
                )
            yield entry

    # a folder's time changes when a photo in it is added, removed or renamed
    stamp = hashlib.sha256(repr(folders).encode()).hexdigest()
    key = {"name": "lfw", "folder": str(folder.resolve()), "stamp": stamp, "crop": crop}
    return cached_pixels(key, (len(files), *shape), whole)[0], labels, people, paths


def _folder() -> Path:
    """Where the photos are; downloaded if they are nowhere."""
    for name in FOLDERS:
        if (found := find(name)) and any(p.is_dir() for p in os.scandir(found)):
            return found
    what = f"LFW ({DATASETS['lfw'].size})"
    archive = download("lfw/lfw-funneled.tgz", [ARCHIVE], ARCHIVE_HASH, otherwise="drawn-faces", what=what)
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
        listed = {n: int(k) for n, k in (s.split() for s in official.read_text("utf-8").splitlines() if s)}
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
    number = pd.Series(labels).groupby(labels).cumcount() + 1
    photos = [f"{people[i]} {k}" for i, k in zip(labels, number, strict=True)]
    return _parse(file).reindex(photos).reset_index(drop=True)


def _parse(file: Path) -> pd.DataFrame:
    """The attribute file: a row of 1 and 0 for each photo, which is called as "Ann_A 1"."""
    with open(file, encoding="utf-8") as lines:
        header = next((line for line in lines if line.startswith("#\tperson\timagenum")), None)
        if header is None:
            raise DataError(
                f"{file} is not LFW's attribute file (no line '# person imagenum …'): get it again."
            )
        table = pd.read_csv(lines, sep="\t", names=header.lstrip("#").strip().split("\t"))
    photos = table["person"].str.replace(" ", "_") + " " + table["imagenum"].astype(str)
    values = table.drop(columns=["person", "imagenum"]).gt(0).astype(np.float32)
    return values.set_axis(photos.tolist())[~photos.duplicated().to_numpy()]


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


@dataclass(frozen=True)
class Pairs:
    """Pairs of photos, in folds that share no person: is it the same person on both?

    Args:
        images: the photos, with the people as labels.
        rows: (P, 2) which two photos of `images` are a pair.
        same: (P,) True where both show the same person.
        fold: (P,) the number of the fold that a pair belongs to, from 0.
    """

    images: Images
    rows: np.ndarray
    same: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def strangers(self, folds: Sequence[int]) -> Images:
        """The photos of everybody who is in no pair of these folds: what may be learnt from to judge them."""
        labels = self.images.labels
        if labels is None:
            raise ValueError("these photos have no labels that say who is on them: Images(…, labels=)")
        return self.images[~np.isin(labels, labels[self.rows[np.isin(self.fold, folds)]])]

    def __repr__(self) -> str:
        return f"Pairs({len(self):,} of {len(self.images):,} photos, {self.fold.max() + 1} folds)"


def lfw_pairs(
    name: str = "folds", size: int | tuple[int, int] = 64, crop: int | None = 90, channels: int = 3
) -> Pairs:
    """The official pairs of LFW: half of them show one person twice, half show two people.

    Args:
        name: "folds": 6,000 pairs in ten folds, to report on, once. "dev-train" (2,200) and "dev-test"
            (1,000): to choose settings by; they share no person with each other, but do with "folds".
        size, crop, channels: as in `lfw`.

    Raises:
        ValueError: a name that is not known.
        DataError: photos or pairs are missing, do not belong together, or cannot be downloaded.

    Source: Huang, Ramesh, Berg, Learned-Miller, 2007, http://vis-www.cs.umass.edu/lfw/.
    """
    if name not in PAIRS:
        raise ValueError(unknown("set of pairs", name, PAIRS))
    text, number, digest = PAIRS[name]
    pixels, labels, people, paths = _photos(size, crop, channels)
    file = find(f"lfw/{text}") or download(
        f"lfw/{text}", [f"https://ndownloader.figshare.com/files/{number}"], f"sha256:{digest}",
        otherwise="drawn-faces", what=f"LFW's pairs ({text})",
    )  # fmt: skip
    first = dict(zip(people, np.searchsorted(labels, np.arange(len(people))), strict=True))
    counts = dict(zip(people, np.bincount(labels), strict=True))
    words_of = [line.split() for line in file.read_text("utf-8").splitlines() if line.strip()]
    rows, same = [], []
    try:
        folds, each = map(int, ["1", *words_of[0]][-2:])
        for words in words_of[1:]:
            ends = [(words[0], words[1]), (words[0] if len(words) == 3 else words[2], words[-1])]
            if any(not 1 <= int(k) <= counts[person] for person, k in ends):
                raise KeyError(words[0])
            rows.append([first[person] + int(k) - 1 for person, k in ends])
            same.append(len(words) == 3)
    except (ValueError, IndexError, KeyError) as e:
        raise DataError(f"{file} names a photo that is not there, or is damaged ({e}): get it again.") from e
    if len(rows) != folds * 2 * each:
        raise DataError(f"{file} has {len(rows)} pairs and announces {folds * 2 * each}: get it again.")
    fold = np.arange(folds).repeat(2 * each)
    return Pairs(Images(pixels, labels, people, paths=paths), np.array(rows), np.array(same), fold)


def pairs_of(images: Images, folds: int = 10, each: int = 60, seed: int = 0) -> Pairs:
    """Pairs of labelled images, made as LFW's are: people are dealt out to folds, half of the pairs are same.

    Args:
        images: with labels.
        folds: how many; no person is in two of them.
        each: pairs of a fold, at most: there are not more than the people's photos allow.
        seed: of the choice.

    Raises:
        ValueError: no labels, or a fold without two photos of one person or without two people.
    """
    if images.labels is None:
        raise ValueError("pairs need labels: who is on the image")
    rng = np.random.default_rng(seed)
    counts = np.bincount(images.labels)
    many = rng.permutation(np.flatnonzero(counts > 1))
    rows: list[np.ndarray] = []
    sizes: list[int] = []
    for k in range(folds):
        mine = np.flatnonzero(np.isin(images.labels, many[k::folds]))
        a, b = np.triu_indices(len(mine), 1)
        equal = images.labels[mine[a]] == images.labels[mine[b]]
        n = min(each // 2, equal.sum(), (~equal).sum())
        if n < 1:
            raise ValueError(f"{len(many)} people with two images or more are too few for {folds} folds")
        for kind in (equal, ~equal):
            chosen = rng.choice(np.flatnonzero(kind), n, replace=False)
            rows.append(np.stack([mine[a[chosen]], mine[b[chosen]]], 1))
        sizes.append(2 * n)
    same = np.concatenate([np.arange(n) < n // 2 for n in sizes])
    return Pairs(images, np.concatenate(rows), same, np.arange(folds).repeat(sizes))
