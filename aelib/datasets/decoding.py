"""Photos decoded by several processes, straight into the cache."""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from . import decoder

BLOCK = 256  # photos decoded at a time, fewer where they are large: an interruption loses no more
BLOCK_BYTES = 2**24
# glibc gives the memory of every photo back and asks for it again: a tenth of all time
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**28)}


def decode(
    folder: Path, files: np.ndarray, part: Path, start: int, shape: tuple[int, int, int],
    crop: int | None, what: str,
) -> Iterator[tuple[int, str]]:  # fmt: skip
    """Decode photos into a file; yield those that cannot be read, as (number, why), as they are met.

    Which blocks are done is noted behind the last pixel of the file, so decoding goes on from there after an
    interruption. Who asks cuts that off at the end.

    Args:
        folder: where they lie.
        files: (N,) bytes, their names below it.
        part: the file, with room for all pixels.
        start: where in it the first pixel goes.
        shape: (C, H, W) of each.
        crop: as in `decoder.decode`.
        what: said by the progress bar.

    Raises:
        OSError: the file cannot be written to (the disk is full).
    """
    n, size = len(files), prod(shape)
    step = max(1, min(BLOCK, BLOCK_BYTES // size))
    done: dict[int, list[tuple[int, str]]] = {}
    with open(part, "rb") as earlier:
        earlier.seek(start + n * size)
        for line in earlier:
            try:
                first, unread = json.loads(line)
                done[first] = unread
            except ValueError:
                pass  # half a line: the interruption was there
    todo = [i for i in range(0, n, step) if i not in done]

    def job(first: int) -> decoder.Job:
        some = files[first : first + step].tolist()
        return os.fsencode(folder), some, str(part), start + first * size, shape, crop

    workers = min(processors(), len(todo))
    hidden = bool(os.environ.get("TQDM_DISABLE"))  # which the bar of a notebook does not read by itself
    with (
        open(part, "ab") as notes,
        tqdm(total=n, desc=what, unit=" photos", leave=False, mininterval=0.5, disable=hidden) as bar,
        _Workers(workers) as pool,
    ):
        for unread in done.values():
            yield from map(tuple, unread)
        bar.update(n - sum(min(step, n - i) for i in todo))
        answers: queue.SimpleQueue[Future] = queue.SimpleQueue()
        for first in todo:
            pool.threads.submit(lambda i: (i, pool.ask(job(i))), first).add_done_callback(answers.put)
        left = len(todo)
        while left:
            some = [answers.get()]
            while not answers.empty():
                some.append(answers.get())
            os.fsync(notes.fileno())  # what is noted as done is on the disk
            for first, bad in (answer.result() for answer in some):
                unread = [(first + i, why) for i, why in bad]
                notes.write(json.dumps([first, unread]).encode() + b"\n")
                notes.flush()
                bar.update(min(step, n - first))
                yield from unread
            left -= len(some)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Workers:
    """Processes that run `decoder`, each asked by a thread of its own.

    They are started by the path of their file, not by `multiprocessing`: that would import torch in each, or
    fork a process that has threads, or run a learner's script a second time. (Threads alone are as fast on
    two processors, as Pillow lets go of Python's lock while it decodes; but a photo that crashes the decoder
    would take the whole notebook with it.)
    """

    def __init__(self, n: int) -> None:
        self.threads = ThreadPoolExecutor(max(1, n))
        self.mine = threading.local()
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.threads.shutdown(cancel_futures=True)  # blocks that are begun are ended: under a second
        for process in self.started:
            process.communicate()  # closes what it reads from, so it ends

    def ask(self, job: decoder.Job) -> list[tuple[int, str]]:
        """`decoder.block(job)` in this thread's process. A photo that kills it is one that cannot be read."""
        try:
            answer = self._ask(job)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            del self.mine.process
            folder, files, part, start, shape, crop = job
            if len(files) == 1:
                return [(0, "the decoder dies of it")]
            half = len(files) // 2
            left = self.ask((folder, files[:half], part, start, shape, crop))
            right = self.ask((folder, files[half:], part, start + half * prod(shape), shape, crop))
            return left + [(half + i, why) for i, why in right]
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _ask(self, job: decoder.Job) -> list[tuple[int, str]] | OSError:
        if not hasattr(self.mine, "process"):
            self.mine.process = subprocess.Popen(
                [sys.executable, "-P", decoder.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=os.environ | KEEP_MEMORY,
            )  # fmt: skip
            self.started.append(self.mine.process)
        process = self.mine.process
        pickle.dump(job, process.stdin)
        process.stdin.flush()
        return pickle.load(process.stdout)
