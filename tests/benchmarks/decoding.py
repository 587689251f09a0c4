"""What decoding costs: `python tests/benchmarks/decoding.py` measures it on photos that it makes itself.

It loads a folder of JPEGs of 640×480 with `datasets.load`, and does beside it what cannot be left out: open
each, decode, cut, resize, in as many processes that keep nothing. It writes materials/results/decoding.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file `profile` is not Python's own

import gc
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import PIL
from PIL import Image

from aelib.datasets import decoder
from aelib.datasets.decoding import processors
from aelib.datasets.photos import folder
from benchmarks.machine import RESULTS, write

FILE = RESULTS / "decoding.json"
COMMAND = "python tests/benchmarks/decoding.py"
SIZE, ROUNDS, COMPARED, SCALES, KINDS = 64, 3, 4_000, (1_000, 10_000), 500


def photos(at: Path, n: int) -> list[str]:
    """Write n JPEGs of 640×480, of as many different contents as `KINDS`, in folders of a thousand."""
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(min(n, KINDS)):  # smooth shapes with fine grain: about as many bytes as a photo has
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((640, 480))
        grain = rng.normal(0, 12, (480, 640, 1))
        kinds.append(Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)))
    files: list[str] = []
    for i in range(n):
        file = at / f"{i // 1000:03d}" / f"{i:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        if i < KINDS:
            kinds[i].save(file, quality=85)
        else:
            file.write_bytes(Path(files[i % KINDS]).read_bytes())
        files.append(str(file))
    return files


def least(file: str) -> None:
    """What no decoder of photos can leave out, with Pillow, and nothing else."""
    with Image.open(file) as photo:
        photo.draft(None, (2 * SIZE, 2 * SIZE))
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        photo.convert("RGB").crop((left, top, left + side, top + side)).resize(
            (SIZE, SIZE), Image.Resampling.BICUBIC
        )


def in_processes(files: list[str]) -> None:
    """`least` of each, by a pool of processes."""
    with multiprocessing.get_context("fork").Pool(processors()) as pool:
        for _ in pool.imap_unordered(least, files, chunksize=256):
            pass
        pool.close()
        pool.join()


def in_threads(files: list[str]) -> None:
    """The library's own decoder, by a pool of threads: what the processes are weighed against."""
    with ThreadPoolExecutor(processors()) as pool:
        for _ in pool.map(lambda file: decoder.decode(file, (3, SIZE, SIZE)), files):
            pass


def seconds(f: Callable[[], object]) -> tuple[float, float]:
    """How long it takes on the clock, and of all processors together."""

    def used() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(u.ru_utime + u.ru_stime for u in both)

    gc.collect()
    start, before = time.perf_counter(), used()
    f()
    return time.perf_counter() - start, used() - before


def main() -> None:
    """Make photos, load them in turns with the least that can be done, write."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["AELIB_CACHE"] = str(Path(scratch, "cache"))
        sets = {n: Path(scratch, str(n)) for n in (COMPARED, *SCALES)}
        files = {n: photos(at, n) for n, at in sets.items()}
        os.sync()  # writing the photos to the disk shall not go on beside what is measured
        fresh = 0

        def load(n: int) -> None:
            """As for the first time: where a file was touched, all are decoded again."""
            nonlocal fresh
            fresh += 1
            os.utime(files[n][0], (fresh, fresh))
            folder(sets[n], SIZE)

        runs: dict[str, Callable[[], object]] = {
            "aelib": lambda: load(COMPARED),
            "least, in processes": lambda: in_processes(files[COMPARED]),
            "aelib's decoder, in threads": lambda: in_threads(files[COMPARED]),
        } | {f"aelib, {n} photos": lambda n=n: load(n) for n in SCALES}  # type: ignore[misc]
        load(SCALES[0])  # the first opens files that are not in memory yet
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name].append(seconds(run))
                print("{}: {:.2f} s, {:.2f} s of processors".format(name, *times[name][-1]), flush=True)
        kilobytes = statistics.mean(os.path.getsize(f) for f in files[COMPARED]) / 1000
    clock, busy = ({k: statistics.median(t[i] for t in v) for k, v in times.items()} for i in (0, 1))
    ours, theirs = "aelib", "least, in processes"
    record: dict[str, Any] = {
        "command": COMMAND, "processor": platform.processor() or platform.machine(),
        "processes": processors(), "pillow": PIL.__version__, "rounds": ROUNDS,
        "photos": f"{COMPARED} JPEGs of 640×480, {kilobytes:.0f} kB each, to {SIZE}×{SIZE}",
        "ratio": round(clock[ours] / clock[theirs], 3),
        "ratio_of_processor_seconds": round(busy[ours] / busy[theirs], 3),
        "seconds": {k: round(v, 2) for k, v in clock.items()},
        "processor_seconds": {k: round(v, 2) for k, v in busy.items()},
        "milliseconds_a_photo": {n: round(1000 * busy[f"aelib, {n} photos"] / n, 3) for n in SCALES},
        "photos_a_second": {n: round(n / clock[f"aelib, {n} photos"]) for n in SCALES},
    }  # fmt: skip
    write(FILE, record)
    print(FILE.read_text("utf-8"))


if __name__ == "__main__":
    main()
