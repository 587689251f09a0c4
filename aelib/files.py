"""Files that are written whole or not at all, and known by their digest."""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class WriteError(RuntimeError):
    """A file that could not be written; names it, says why, and what to do."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file beside its place, see it to the disk, and move it into its place.

    WriteError if the disk is full, or the folder cannot be written; what stood there before is whole.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write_synced(part, data)
        os.replace(part, path)
    except OSError as e:
        raise WriteError(f"{path} cannot be written: {reason(e)}") from e
    finally:  # after Ctrl-C too
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
    """What an error of the disk means for the one whose work it is."""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Make room, then do the same again"
    return f"{e.strerror or e}"
