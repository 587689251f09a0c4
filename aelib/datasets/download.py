"""Where data is found, how it is downloaded and unpacked."""

import os
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from .cache import DataError, cache_dir, writing

TIMEOUT_SECONDS = 8  # an unreachable host fails after this, not after minutes


def find(relative: str) -> Path | None:
    """A file or folder below `AELIB_DATA`, which must be a folder, else below the cache; or None."""
    given = os.environ.get("AELIB_DATA")
    if given and not Path(given).is_dir():
        raise DataError(f"AELIB_DATA={given} is not a folder. Correct it, or unset it to download the data.")
    places = [root / relative for root in (*([Path(given)] if given else []), cache_dir())]
    return next((place for place in places if place.exists()), None)


def download(
    relative: str, urls: Sequence[str], known_hash: str | None, *,
    otherwise: str = "datasets.load('drawn-faces')", what: str = "",
) -> Path:  # fmt: skip
    """Download one file into the cache, with progress, from the first of the mirrors that answers.

    The file appears under its name, `relative` to the cache, when it is complete and its checksum is right.

    Args:
        known_hash: "md5:…" or "sha256:…"; None where its authors publish none.
        otherwise, what: for the error: the call that needs no network, and what is missed without the file.

    DataError if no mirror sent the right bytes in time, `AELIB_OFFLINE` is set, or the cache is read-only.
    """
    import pooch
    import requests

    target = cache_dir() / relative
    fetch = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT_SECONDS)
    pooch.get_logger().setLevel("ERROR")
    reasons: list[str] = []
    if os.environ.get("AELIB_OFFLINE"):
        urls, reasons = (), ["AELIB_OFFLINE is set, so nothing is downloaded"]
    with writing(target.parent, what or target.name), FileLock(f"{target}.lock"):
        for url in urls:
            try:
                return Path(pooch.retrieve(url, known_hash, target.name, target.parent, downloader=fetch))
            except (requests.RequestException, OSError, ValueError) as e:
                reasons.append(f"{url}: {_reason(e)}")
    tried = "\n  ".join([f"{what or target.name} could not be downloaded.", *reasons])
    raise DataError(f"{tried}\nNo network? {otherwise} needs none. If you have the data, set AELIB_DATA to "
                    f"the folder that holds {relative}.")  # fmt: skip


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


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a tar file into a folder that appears only when it is complete; then the file is deleted.

    DataError if the archive is damaged, or a member would land outside the folder.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch:
        try:
            with tarfile.open(archive) as tar:
                if hasattr(tarfile, "data_filter"):
                    tar.extractall(scratch, filter="data")
                else:  # Python before 3.11.4, as Debian's stable has it
                    for m in tar:
                        if not (m.isfile() or m.isdir()) or {"..", "/"} & {*Path(m.name).parts}:
                            raise tarfile.TarError(f"{m.name!r} would leave the folder")
                        tar.extract(m, scratch)
        except (tarfile.TarError, EOFError, OSError) as e:
            raise DataError(f"{archive} cannot be unpacked ({e}). Delete it and load again.") from e
        inside = Path(scratch) / folder.name
        os.replace(inside if inside.is_dir() else scratch, folder)
    archive.unlink()
    return folder
