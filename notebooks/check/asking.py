"""Exercises without code to judge: a guess, compared with what came out, and a number from an experiment."""

import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from .judging import EXERCISES, NOTHING, described, page_of, recorded


class Prediction:
    """`check.NAME(guess, truth)`, after the cell that measures the truth: it says how near the guess was.

    Solved as soon as a guess is entered that can be one: to be wrong is allowed. A guess is a number from low
    to high, near if it differs by `near` at most; or one of some options.
    """

    kind, reference = "predict", None

    def __init__(
        self, ask: Callable, near: float | None, low: float, high: float, options: tuple[str, ...]
    ) -> None:
        self.name, self.page, self.about = ask.__name__, page_of(ask), described(ask)
        self.near, self.low, self.high, self.options = near, low, high, options
        self.mistakes = {NOTHING: None, "a number is expected": "much", "a number from": math.nan}
        if options:
            self.mistakes = {NOTHING: None, "one of": options[0] + "?", "in quotes": 1}
        EXERCISES[self.name] = self  # type: ignore[assignment]

    def __call__(self, guess: Any, truth: float | str) -> None:
        complaint = self.verdict(guess)
        if recorded(self.name, complaint):
            print(f"not yet: {complaint}; it is {_said(truth)}")
        elif isinstance(truth, str):
            print(f"you said {guess}, and so it is" if guess == truth else f"you said {guess}; it is {truth}")
        else:
            off = abs(float(guess) - truth)
            word = "" if self.near is None else ": near" if off <= self.near else f": off by {_said(off)}"
            print(f"you said {_said(float(guess))}; it is {_said(truth)}{word}")

    def verdict(self, guess: Any) -> str | None:
        """Why this is no guess, or None."""
        if guess is None or guess is ...:
            return NOTHING
        if self.options:
            if not isinstance(guess, str):
                return f"give one of the options, in quotes: {', '.join(self.options)}"
            close = get_close_matches(guess, self.options, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            return None if guess in self.options else f"one of {', '.join(self.options)} is expected{meant}"
        try:
            number = float(guess)
        except (TypeError, ValueError):
            return f"a number is expected; this is a {type(guess).__name__}"
        if not self.low <= number <= self.high:
            return f"a number from {self.low:g} to {self.high:g} is expected; this is {number:g}"
        return None


class Experiment:
    """`check.NAME(value, low, high)`: whether the number that a learner's experiment gave is in a range.

    The range is the page's, which knows its data and its profile.
    """

    kind, reference = "explore", None

    def __init__(self, ask: Callable, below: str, above: str) -> None:
        self.name, self.page, self.about = ask.__name__, page_of(ask), described(ask)
        self.below, self.above = below, above
        self.mistakes = {NOTHING: None, below: -math.inf, above: math.inf, "a number is expected": "much"}
        EXERCISES[self.name] = self  # type: ignore[assignment]

    def __call__(self, value: Any, low: float, high: float) -> None:
        complaint = self.verdict(value, low, high)
        recorded(self.name, complaint)
        print(f"not yet: {complaint}" if complaint else "correct")

    def verdict(self, value: Any, low: float = 0.0, high: float = 1.0) -> str | None:
        """What a number outside of the range says, or None."""
        if value is None or value is ...:
            return NOTHING
        try:
            number = float(value)
        except (TypeError, ValueError):
            return f"a number is expected; this is a {type(value).__name__}"
        if low <= number <= high:
            return None
        return f"yours is {_said(number)}: {self.below if number < low else self.above}"


def predicted(
    *, near: float | None = None, low: float = 0.0, high: float = 1.0, options: tuple[str, ...] = ()
) -> Callable[[Callable], Prediction]:
    """Of a function whose docstring asks, its prediction: a number (a share, if not said), or an option."""
    return lambda ask: Prediction(ask, near, low, high, options)


def measured(*, below: str, above: str) -> Callable[[Callable], Experiment]:
    """Of a function whose docstring asks, its experiment.

    Args:
        below: what a number says that is too small, and `above`: too large.
    """
    return lambda ask: Experiment(ask, below, above)


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"
