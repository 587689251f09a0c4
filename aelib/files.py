"""Files that are written whole or not at all, known by their digest, and never somebody else's."""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

MARKS = (b"Software\0aelib", b"Comment\0aelib", b"Written by aelib", b"aelib.retrieval")  # of its files
REASONS = {  # for the one whose work it is
    errno.ENOSPC: "the disk is full. Make room, then do the same again",
    errno.EACCES: "Permission denied. Choose another place, or ask its owner for the right",
    errno.EROFS: "Read-only file system. Choose another place",
    errno.ENOENT: "the folder that it is in is not there, and cannot be made",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EEXIST: "a file is in the place of a folder",
    errno.ENAMETOOLONG: "its name is too long. Choose a shorter one",
}


class WriteError(RuntimeError):
    """A file that could not be written; names it, says why, and what to do."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file beside its place, see it to the disk, and move it into its place; its folder is made.

    WriteError if the disk is full, or the folder cannot be written; what stood there before is whole.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_synced(part, data)
        os.replace(part, path)
    except OSError as e:
        raise WriteError(f"{path} cannot be written: {reason(e)}") from e
    finally:  # after Ctrl-C too
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and return when it has reached the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sum_of(known: Mapping[str, Any]) -> str:
    """The SHA-256 of what is known, but for its own entry "sha256", if it has one."""
    rest = {k: v for k, v in known.items() if k != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()


def reason(e: OSError) -> str:
    """What an error of the disk means for the one whose work it is, and what to do."""
    return REASONS.get(e.errno or 0) or e.strerror or str(e)


def marked(path: Path) -> bool:
    """Whether a file says, at its beginning or end, that aelib wrote it."""
    data = path.read_bytes()
    return any(mark in data[:512] + data[-512:] for mark in MARKS)
