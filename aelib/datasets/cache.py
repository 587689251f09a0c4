"""The folder of the cache, and decoded pixels in it: a file to be mapped, and a record of what is in it."""

import errno
import hashlib
import json
import math
import os
import random
import shutil
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir

from .decoder import checksum

CACHE_VERSION = 3  # part of every key: raise it when decoding changes
LOOKED_AT = 2**26  # bytes of pixels that are checked at every start: all of a small set
FULL = (errno.ENOSPC, errno.EDQUOT)

Entry = tuple[int, int, int, list[tuple[int, str]]]  # row, how many, checksum, the unread: (number, why)
Gap = tuple[int, int]  # row, how many
Decode = Callable[[Path, int, list[Gap]], Generator[Entry, None, None]]


class DataError(RuntimeError):
    """Data that is missing, corrupt, half-downloaded or misnamed; the message says what to do."""


class _Damage(Exception):
    """What is wrong with a file of pixels or its record."""


def cache_dir() -> Path:
    """The folder of downloads and decoded pixels: `AELIB_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("AELIB_CACHE") or user_cache_dir("aelib"))


@contextmanager
def writing(folder: Path, what: str = "it") -> Iterator[Path]:
    """A folder of the cache to write to, made if it is not there.

    DataError if it cannot be made or written to, or if the disk is full: there is no room for `what`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as e:
        full = f"the disk of {cache_dir()} is full: there is no room for {what}. Make room"
        shut = f"the cache {cache_dir()} cannot be written to ({e.strerror or e}: {e.filename or folder})"
        raise DataError(f"{full if e.errno in FULL else shut}. Set AELIB_CACHE to a folder that can") from e


def cached_pixels(
    key: dict[str, Any], shape: tuple[int, int, int, int], decode: Decode
) -> tuple[np.ndarray, dict[int, str]]:
    """Decoded pixels (N, C, H, W), memory-mapped and read-only, and {row: why} of what could not be decoded.

    Beside the pixels lies a record, a line of JSON for what they were made from, a line for each block of
    photos with its checksum and those that could not be read, and a last line with the record's own SHA-256.
    An interrupted decoding leaves a record without the last line, and goes on where it was.

    Promised: a record that was changed, and a file of pixels of another length, shape or time of change than
    when it was finished, are always noticed; then every block is compared with its checksum, and those that
    differ are decoded again, with a warning. At every other start 64 MB of the pixels are compared: all of a
    small set, other parts of a larger one every time. A complete cache need not be writable.

    Args:
        key: all that the pixels depend on; its hash names the file, and `key["name"]` begins the name.
        shape: (N, C, H, W).
        decode: given the file, the byte where its pixels begin and the rows that are missing, writes these
            and yields an entry after each block.
    """
    made_from = json.dumps([CACHE_VERSION, key, shape], sort_keys=True).encode() + b"\n"
    name = f"{key['name']}-{hashlib.sha256(made_from).hexdigest()[:16]}"
    file = cache_dir() / "decoded" / f"{name}.npy"
    try:
        return _finished(file, made_from, shape)
    except OSError:
        pass  # what is there besides "nothing" is said when it is written
    except _Damage as e:
        warnings.warn(f"{file} is damaged: {e}. What differs is decoded again.", stacklevel=5)
    with (
        writing(file.parent, f"{shape[0]:,} images of this size, {math.prod(shape) / 1e9:.2g} GB"),
        FileLock(f"{file}.lock"),
    ):
        with suppress(FileNotFoundError, _Damage):
            return _finished(file, made_from, shape)  # another process was quicker
        try:
            _finish(file, made_from, shape, decode)
        except Exception:  # unlike an interruption it leaves nothing
            file.unlink(missing_ok=True)
            _record(file).unlink(missing_ok=True)
            raise
        return _finished(file, made_from, shape)


def _record(file: Path) -> Path:
    return file.with_suffix(".record")


def _finished(file: Path, made_from: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[int, str]]:
    """Pixels, and what could not be decoded.

    FileNotFoundError if nobody has finished them; _Damage if they are no longer what they were.
    """
    if not _record(file).exists() and file.exists():
        raise _Damage("its record is missing")
    lines = _record(file).read_bytes().splitlines(keepends=True)
    try:
        end = json.loads(lines[-1])
        digest, when = end["sha256"], end["file"]
    except (ValueError, LookupError, TypeError):
        raise FileNotFoundError(file) from None
    body = [line for line in lines if line.startswith(b"[")]
    if body[:1] != [made_from] or hashlib.sha256(b"".join(body)).hexdigest() != digest:
        raise _Damage("its record was changed")
    some = entries = [json.loads(line) for line in body[1:]]
    pixels, known = _mapped(file, shape), when == _when(file)
    if known:  # sampled without touching anybody's random numbers
        share = LOOKED_AT / max(LOOKED_AT, pixels.nbytes)
        some = random.Random().sample(entries, math.ceil(share * len(entries)))
    if bad := sum(not _same(pixels, entry) for entry in some):
        raise _Damage(f"{bad:,} of {len(some):,} blocks of pixels differ from their checksum")
    if not known:  # it is a copy, or somebody touched it
        with suppress(OSError):
            _end(file, b"".join(body))
    return pixels, {first + i: why for first, _, _, unread in entries for i, why in unread}


def _finish(file: Path, made_from: bytes, shape: tuple[int, ...], decode: Decode) -> None:
    """Decode what is not there as the record says; all, if there is nothing."""
    lines: list[bytes] = []
    with suppress(FileNotFoundError, _Damage):
        pixels = _mapped(file, shape)
        head, *noted = _record(file).read_bytes().splitlines(keepends=True) or [b""]
        lines = [line for line in noted if head == made_from and _same(pixels, line)]
    todo, at = [], 0
    for first, n, *_ in [*sorted(map(json.loads, lines)), [shape[0], 0]]:
        todo += [(at, first - at)] if first > at else []
        at = first + n
    with open(_record(file), "wb") as notes:
        notes.write(made_from + b"".join(lines))
        notes.flush()
        if not lines:
            if shutil.disk_usage(file.parent).free < math.prod(shape):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            file.unlink(missing_ok=True)  # whoever has the old one open keeps it
            np.lib.format.open_memmap(file, "w+", np.uint8, shape)
        with closing(decode(file, _mapped(file, shape).offset, todo)) as done:
            for entry in done:
                notes.write(json.dumps(entry).encode() + b"\n")
                notes.flush()
    with open(file, "rb") as whole:
        os.fsync(whole.fileno())
    _end(file, _record(file).read_bytes())


def _end(file: Path, body: bytes) -> None:
    """Write the last line of a record."""
    end = {"sha256": hashlib.sha256(body).hexdigest(), "file": _when(file)}
    with open(_record(file), "ab") as notes:
        notes.write(json.dumps(end).encode() + b"\n")
        notes.flush()
        os.fsync(notes.fileno())


def _when(file: Path) -> list[int]:
    """What is compared to see whether a file was changed: its length, and the time of the last change."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _mapped(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """The pixels in a file, mapped and read-only; _Damage if they are not there, or not in this shape."""
    try:
        pixels = np.lib.format.open_memmap(file, "r")
    except FileNotFoundError:
        raise _Damage("the file of pixels is missing") from None
    except PermissionError:
        raise
    except Exception as e:  # of NumPy, in great variety
        raise _Damage(f"the file of pixels cannot be opened ({e})") from e
    whole = pixels.flags.c_contiguous and pixels.offset + pixels.nbytes == file.stat().st_size
    if pixels.shape != shape or pixels.dtype != np.uint8 or not whole:
        raise _Damage(f"its pixels are {pixels.shape} of {pixels.dtype}, not {shape} of uint8")
    return pixels


def _same(pixels: np.memmap, line: bytes | list) -> bool:
    """Whether a block of pixels is as a line of the record says."""
    try:
        first, n, known, unread = json.loads(line) if isinstance(line, bytes) else line
        inside = 0 <= first < first + n <= len(pixels)
        return inside and checksum(pixels[first : first + n].data, unread) == known
    except (ValueError, TypeError):  # half a line: the interruption was there
        return False
