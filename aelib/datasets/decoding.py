"""Many photos decoded by several processes, straight into a file."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from math import prod
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from . import decoder
from .cache import Entry, Gap

BLOCK = 256  # photos decoded at a time, fewer where they are large: an interruption loses no more
BLOCK_BYTES = 2**24
# glibc gives the memory of every photo back and asks for it again: a tenth of all time
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**28)}


def decode(
    folder: Path, files: np.ndarray, shape: tuple[int, int, int], crop: int | None, what: str,
    part: Path, start: int, todo: list[Gap],
) -> Generator[Entry, None, None]:  # fmt: skip
    """Decode photos, `files` (N,) below a folder, into a file; yield what to note of each block.

    Args:
        shape, crop: as in `decoder.decode`; `what` is said by the progress bar.
        part: the file, with room for all pixels; the first of the first photo goes to byte `start`.
        todo: which photos: from where on, and how many.
    """
    size = prod(shape)
    step = max(1, min(BLOCK, BLOCK_BYTES // size))
    blocks = [(i, min(step, first + n - i)) for first, n in todo for i in range(first, first + n, step)]
    left = sum(n for _, n in blocks)

    def job(first: int, n: int) -> decoder.Job:
        some = files[first : first + n].tolist()
        return os.fsencode(folder), some, str(part), start + first * size, shape, crop

    hidden = bool(os.environ.get("TQDM_DISABLE"))  # which the bar of a notebook does not read by itself
    with (
        tqdm(total=len(files), desc=what, unit=" photos", leave=False, disable=hidden) as bar,
        _Workers(max(1, min(processors(), len(blocks)))) as pool,
    ):
        bar.update(len(files) - left)
        firsts = {pool.submit(lambda *at: pool.ask(job(*at)), *at): at[0] for at in blocks}
        for asked in as_completed(firsts):
            first = firsts.pop(asked)
            for n, checksum, unread in asked.result():
                yield first, n, checksum, unread
                bar.update(n)
                first += n


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Workers(ThreadPoolExecutor):
    """Processes that run `decoder`, each asked by a thread of its own.

    They are started by the path of their file, not by `multiprocessing`: that would import torch in each, or
    fork a process that has threads, or run a learner's script a second time. (In threads alone, a photo that
    crashes the decoder would take the whole notebook with it.)
    """

    def __init__(self, n: int) -> None:
        # Ctrl-C is for this process: what a thread starts inherits what it blocks, from its first moment
        super().__init__(n, initializer=signal.pthread_sigmask, initargs=(signal.SIG_BLOCK, {signal.SIGINT}))
        self.mine = threading.local()
        self.started: list[subprocess.Popen[bytes]] = []

    def __exit__(self, *exc: object) -> None:
        self.shutdown(cancel_futures=True)  # blocks that are begun are ended: under a second
        for process in self.started:
            process.communicate()  # closes what it reads from, so it ends

    def ask(self, job: decoder.Job) -> list[decoder.Block]:
        """`decoder.block(job)` in this thread's process. A photo that kills it is one that cannot be read."""
        if not hasattr(self.mine, "process"):
            self.mine.process = subprocess.Popen(
                [sys.executable, "-P", decoder.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=os.environ | KEEP_MEMORY,
            )  # fmt: skip
            self.started.append(self.mine.process)
        process = self.mine.process
        try:
            pickle.dump(job, process.stdin)
            process.stdin.flush()
            answer: decoder.Block | OSError = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            del self.mine.process
            folder, files, part, start, shape, crop = job
            if len(files) == 1:
                unread = [(0, "the decoder dies of it")]
                return [(1, decoder.checksum(bytes(prod(shape)), unread), unread)]
            half = len(files) // 2
            left = self.ask((folder, files[:half], part, start, shape, crop))
            return left + self.ask((folder, files[half:], part, start + half * prod(shape), shape, crop))
        if isinstance(answer, OSError):
            raise answer
        return [answer]
