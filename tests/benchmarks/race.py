"""A race: contenders in processes of their own, that do the same work in turns on one clock.

A contender is a function of a device and a `Track`. It sets itself up, does one round of its work, and calls
the track, which stops its clock and lets it wait for its next turn; and so on without end. So a trainer is
measured as it runs, epoch after epoch of one training. Its first round, with all that is set up, is the
warm-up.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from benchmarks.machine import now, status_mb


class ContenderError(RuntimeError):
    """A contender failed, or did not do the same as the others; the message names it."""


class Finished(SystemExit):
    """Raised in a contender when the race is over, so that it tidies up."""


class Lap(NamedTuple):
    """What is known of one round: seconds, how many images (or queries …), and the most memory so far in MB.

    Contenders must agree on value (the mean training loss, say), and on the size of their model.
    """

    seconds: float
    amount: int
    value: float | None
    parameters: int | None
    megabytes: float
    cuda_megabytes: float | None


class Track:
    """A contender's end of the race."""

    def __init__(self, pipe: Connection, device: str) -> None:
        self.pipe, self.device = pipe, device
        self.start = now(device)

    def __call__(
        self,
        amount: int,
        value: float | Callable[[], float] | None = None,
        parameters: int | None = None,
    ) -> None:
        """End a round, in which so many were done; returns when the next begins.

        A value that is a function is found off the clock.
        """
        seconds, on_card = now(self.device) - self.start, None
        if self.device == "cuda":
            import torch

            on_card = torch.cuda.max_memory_allocated() / 1e6
        if callable(value):
            value = value()
        self.pipe.send(Lap(seconds, amount, value, parameters, megabytes(), on_card))
        if not self.pipe.recv():
            raise Finished
        self.start = now(self.device)


def megabytes() -> float:
    """The most memory that this process has held, in MB."""
    if (most := status_mb("VmHWM:")) is not None:  # getrusage's begins, on Linux, with what the parent held
        return most
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1.024 / 1e3


Contender = Callable[[str, Track], None]


@dataclass(frozen=True)
class Case:
    """Contenders of one kind of work.

    Args:
        title: of the panel and the row of the table.
        unit: what is counted, in the plural.
        contenders: name → contender; the first is ours.
        value: what the values are that the contenders must agree on.
        rounds: that count, after the warm-up.
        devices: where it can be run.
        agree: how far apart, relatively, the values of the last round may be.
    """

    title: str
    unit: str
    contenders: Mapping[str, Contender]
    value: str = ""
    rounds: int = 5
    devices: Sequence[str] = ("cpu", "cuda")
    agree: float = 0.03


def run(case: Case, device: str) -> dict[str, list[Lap]]:
    """Name → the laps of each contender, without its warm-up.

    Raises:
        ContenderError: one raised an error, or died, or its model or its values are not like the others'.
    """
    names = list(case.contenders)
    with ExitStack() as stack:
        lanes = {}
        for name in names:
            lanes[name] = stack.enter_context(_lane(name, case.contenders[name], device))
            lap = lanes[name](None)
            print(f"  {name}: {lap.seconds:.1f} s to set up and warm up", flush=True)
        laps: dict[str, list[Lap]] = {name: [] for name in names}
        for k in range(case.rounds):
            for name in turns(names, k):
                laps[name].append(lanes[name](True))
        # not before: while a loss still falls fast, the order of the batches shows in it
        compare(case, {name: each[-1] for name, each in laps.items()})
    return laps


def turns(names: Sequence[str], k: int) -> list[str]:
    """The order of round k: each comes first in turn, so that nobody always follows the same one."""
    k %= len(names)
    return [*names[k:], *names[:k]]


def compare(case: Case, laps: Mapping[str, Lap]) -> None:
    """See that all did the same: models of one size, and values that differ by no more than noise."""
    sizes = {name: lap.parameters for name, lap in laps.items() if lap.parameters is not None}
    if len(set(sizes.values())) > 1:
        raise ContenderError(f"the models of {case.title} differ in their number of parameters: {sizes}")
    values = {name: lap.value for name, lap in laps.items() if lap.value is not None}
    if values and not max(values.values()) - min(values.values()) <= case.agree * abs(
        statistics.median(values.values())
    ):
        raise ContenderError(
            f"the values of {case.title} differ by more than {case.agree:.0%}: "
            + ", ".join(f"{name} {value:.6g}" for name, value in values.items())
        )


def summary(laps: Mapping[str, Sequence[Lap]]) -> dict[str, dict[str, Any]]:
    """Name → medians and all rounds of each contender; `ours_is_faster` is how many times as fast ours is."""
    rates = {name: statistics.median(lap.amount / lap.seconds for lap in each) for name, each in laps.items()}
    ours = next(iter(rates.values()))
    out = {}
    for name, each in laps.items():
        last = each[-1]
        out[name] = {
            "per_second": _short(rates[name]),
            "ours_is_faster": _short(ours / rates[name]),
            "amount": last.amount,
            "seconds": _short(statistics.median(lap.seconds for lap in each)),
            "rounds": [_short(lap.seconds) for lap in each],
            "value": None if last.value is None else _short(last.value, 6),
            "values": [_short(lap.value, 6) for lap in each if lap.value is not None],
            "parameters": last.parameters,
            "megabytes": round(max(lap.megabytes for lap in each)),
            "cuda_megabytes": None if last.cuda_megabytes is None else _short(last.cuda_megabytes),
        }
    return out


def merged(results: Mapping[str, Any], case: str, device: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The results with this entry in the place of the one of the same case and device, if there was one."""
    return {**results, case: {**results.get(case, {}), device: dict(entry)}}


def _short(x: float, digits: int = 4) -> float:
    return float(f"{x:.{digits}g}")


@contextmanager
def _lane(name: str, contender: Contender, device: str) -> Iterator[Callable[[bool | None], Lap]]:
    """A contender's process: call it with True to let it do a round, with None to hear of its first."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_enter, args=(contender, device, there), name=name)
    process.start()
    there.close()  # else a process that dies would never be missed

    def lap(go: bool | None) -> Lap:
        try:
            if go is not None:
                here.send(go)
            said = here.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            process.join(10)
            raise ContenderError(f"{name} died, with exit code {process.exitcode}") from None
        if isinstance(said, str):
            raise ContenderError(f"{name} failed:\n{said}")
        return said

    try:
        yield lap
    finally:
        with suppress(OSError):  # it may be no more
            here.send(False)
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()
        here.close()


def _enter(contender: Contender, device: str, pipe: Connection) -> None:
    # its own workers start as in a program that a person starts; they would inherit the dear way of this one
    multiprocessing.set_start_method(None, force=True)
    try:
        contender(device, Track(pipe, device))
        pipe.send("it ended before the race did")
    except Finished:
        pass
    except BaseException:
        pipe.send(traceback.format_exc())
