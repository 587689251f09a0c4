"""A folder of JPEGs of 640×480 as 64×64 pixels in memory, as for the first time.

Beside it stands the least that can be done with Pillow, in as many processes: open, decode, cut, resize, keep
nothing. The photos, and this least, are those of `python tests/benchmarks/decoding.py`, which says more.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from aelib.datasets.photos import folder
from benchmarks import decoding as decoding_cost
from benchmarks.race import Case, Track

PHOTOS = 2_000


def ours(device: str, track: Track) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["AELIB_CACHE"] = str(Path(scratch, "cache"))
        files = decoding_cost.photos(Path(scratch, "photos"), PHOTOS)
        k = 0
        while True:
            k += 1
            os.utime(files[0], (k, k))  # a changed file: nothing of the cache is used
            folder(Path(scratch, "photos"), decoding_cost.SIZE)
            track(PHOTOS)


def least(device: str, track: Track) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        files = decoding_cost.photos(Path(scratch), PHOTOS)
        while True:
            decoding_cost.in_processes(files)
            track(PHOTOS)


CASE = Case(
    title="Decoding a folder of photos, 640×480 to 64×64",
    unit="photos",
    contenders={"aelib": ours, "Pillow, in processes": least},
    devices=("cpu",),
)
