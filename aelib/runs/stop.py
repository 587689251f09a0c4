"""A training that is asked to stop, by Ctrl-C or another signal."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

# Ctrl-C, a request to end, and a terminal that is closed; Windows lacks the last one
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stop:
    """Somebody's wish, by a signal, that a training stop after its step."""

    asked = 0  # the signal's number

    @contextlib.contextmanager
    def listening(self, answer: str, signals: Sequence[int] = SIGNALS) -> Iterator[None]:
        """Signals are obeyed after the step, and answered by this text; a second one at once.

        They reach the main thread only; in another one nothing changes.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = number
            with contextlib.suppress(RuntimeError, OSError):  # it may come in the middle of another print
                if answer:
                    print(answer, file=sys.stderr, flush=True)

        with contextlib.ExitStack() as stack:
            for number in signals:
                with contextlib.suppress(ValueError):  # only the main thread may
                    stack.callback(signal.signal, number, signal.signal(number, ask))
            yield
