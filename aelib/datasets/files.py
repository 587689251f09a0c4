"""Where data is found, how it is downloaded, and the cache of decoded pixels."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir

CACHE_VERSION = 2  # part of every key: raise it when decoding changes
TIMEOUT_SECONDS = 8  # an unreachable host fails after this, not after minutes


class DataError(RuntimeError):
    """Data that is missing, corrupt, half-downloaded or misnamed; the message says what to do."""


def cache_path() -> Path:
    """The folder of downloads and decoded pixels: `AELIB_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("AELIB_CACHE") or user_cache_dir("aelib"))


def cache_dir() -> Path:
    """The same folder, made if it is not there.

    Raises:
        DataError: the folder cannot be made or written to.
    """
    path = cache_path()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as e:
        raise DataError(
            f"the cache folder {path} cannot be written to ({e.strerror}). "
            "Set AELIB_CACHE to a folder that can."
        ) from e


def find(relative: str) -> Path | None:
    """A file or folder below `AELIB_DATA`, else below the cache; None if it is in neither.

    Raises:
        DataError: `AELIB_DATA` is set to something that is no folder.
    """
    given = os.environ.get("AELIB_DATA")
    if given and not Path(given).is_dir():
        raise DataError(f"AELIB_DATA={given} is not a folder. Correct it, or unset it to download the data.")
    roots = [Path(given)] if given else []
    for root in [*roots, cache_path()]:
        if os.path.exists(root / relative):
            return root / relative
    return None


def download(
    relative: str, urls: Sequence[str], known_hash: str | None, *, otherwise: str, what: str = ""
) -> Path:
    """Download one file into the cache, with progress, from the first of the mirrors that answers.

    The file appears under its name only when it is complete and its checksum is right.

    Args:
        relative: where it goes below the cache.
        urls: mirrors, tried in turn.
        known_hash: "md5:…" or "sha256:…"; None where its authors publish none.
        otherwise: the embedded dataset that the error names.
        what: what is missed without it, for the error.

    Raises:
        DataError: no mirror answered within seconds, none sent the right bytes, or `AELIB_OFFLINE` is set.
    """
    import pooch
    import requests

    target = cache_dir() / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    fetch = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT_SECONDS)
    pooch.get_logger().setLevel("ERROR")
    reasons: list[str] = []
    if os.environ.get("AELIB_OFFLINE"):
        urls, reasons = (), ["AELIB_OFFLINE is set, so nothing is downloaded"]
    with FileLock(f"{target}.lock"):
        for url in urls:
            try:
                return Path(pooch.retrieve(url, known_hash, target.name, target.parent, downloader=fetch))
            except (requests.RequestException, OSError, ValueError) as e:
                reasons.append(f"{url}: {_reason(e)}")
    raise DataError(
        f"{what or target.name} could not be downloaded.\n  "
        + "\n  ".join(reasons)
        + f"\nNo network? datasets.load({otherwise!r}) needs none. If you have the data, set AELIB_DATA "
        f"to the folder that holds {relative}."
    )


def _reason(e: Exception) -> str:
    """One line a learner can act on, out of the chains that requests raises."""
    text = str(e)
    if "hash of downloaded file" in text:
        return "the file that came is not the right one (its checksum differs: half a download, or replaced)"
    if "resolve" in text or "Connection" in type(e).__name__:
        return "the host cannot be reached"
    if "timed out" in text or "Timeout" in type(e).__name__:
        return f"no answer within {TIMEOUT_SECONDS} s"
    return text.splitlines()[0]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar file into a folder that appears only when it is complete.

    Raises:
        DataError: the archive is damaged, or a member would land outside the folder.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, EOFError, OSError) as e:
            raise DataError(f"{archive} cannot be unpacked ({e}). Delete it and load again.") from e
        inside = Path(scratch) / folder.name
        os.replace(inside if inside.is_dir() else scratch, folder)


def cached_pixels(
    key: dict, fill: Callable[[Path, int], None], shape: tuple[int, int, int, int]
) -> np.ndarray:
    """Decoded pixels from the cache, memory-mapped and read-only; made first if they are not there.

    Args:
        key: all that the pixels depend on; its hash names the file.
        fill: writes them into the file that it is given, from the byte on that it is given. After an
            interruption it is given the same file again; what it notes behind the pixels is kept till then.
        shape: (N, C, H, W).

    Raises:
        DataError: the disk is full.
    """

    def write(part: Path) -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = header.tell()
        whole = start + math.prod(shape)
        if not part.exists() or part.stat().st_size < whole:
            if shutil.disk_usage(part.parent).free < whole:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with open(part, "wb") as file:
                file.write(header.getvalue())
                file.truncate(whole)
        fill(part, start)
        os.truncate(part, whole)

    try:
        return np.load(_once(place(key, ".npy"), write), mmap_mode="r")
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"the disk of {cache_dir()} is full: {shape[0]:,} images of this size take "
            f"{math.prod(shape) / 1e9:.2g} GB. Make room, set AELIB_CACHE to a folder on a larger disk, or "
            "ask for a smaller size."
        ) from e


def cached_arrays(key: dict, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Named arrays (labels, names, attributes) from the cache; made first if they are not there."""

    def write(part: Path) -> None:
        with open(part, "wb") as file:
            np.savez(file, allow_pickle=False, **make())

    with np.load(_once(place(key, ".npz"), write)) as arrays:
        return dict(arrays)


def place(key: dict, suffix: str) -> Path:
    """The file of the cache that belongs to a key; `key["name"]` stands first in its name."""
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, key], sort_keys=True).encode()).hexdigest()
    return cache_dir() / "decoded" / f"{key['name']}-{digest[:16]}{suffix}"


def _once(path: Path, write: Callable[[Path], None]) -> Path:
    """A file, written if it is not there: beside its place, then moved into it, so that no reader sees
    half of it. A lock lets two processes do the work once. A failure leaves nothing; an interruption (Ctrl-C,
    a process that is killed) leaves the part for `write` to go on with."""
    if not os.path.exists(path):  # reading what is there needs no right to write
        cache_dir()
        path.parent.mkdir(exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                part = path.with_name(f"{path.name}.part")
                try:
                    write(part)
                    os.replace(part, path)
                except Exception:
                    part.unlink(missing_ok=True)
                    raise
    return path
