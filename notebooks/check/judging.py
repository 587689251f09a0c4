"""How an answer is judged: compared with the reference, and with what known mistakes lead to.

An exercise has a reference that passes, and mistakes that learners make, each with a hint of its own. Three
forms: `exercise` where the right and the wrong results follow from the arguments, `compared` where something
must first be measured of an answer (a class, a gradient), `judged` where a sentence is found in another way.
Nothing raises.
"""

import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import record
from .reading import borrowed

NOTHING = "nothing is written there so far"
EXERCISES: dict[str, "Exercise"] = {}  # in the order of the pages


@dataclass(eq=False)
class Exercise:
    """`check.NAME(answer)` prints "correct", or "not yet" and why, and returns what the page goes on with.

    That is the answer if it is correct, and the reference otherwise.

    Args:
        name: as it is called.
        page: "09".
        about: what is asked, in one line.
        reference: a function, a class, a model or a value that passes.
        mistakes: {hint: a wrong answer that gets this hint}.
        judge: answer → the first complaint, or None; may raise what the answer raises.
        kind: "write", "predict", "debug" or "explore".
        by_hand: modules whose functions do the same job, and would answer another question.
    """

    name: str
    page: str
    about: str
    reference: Any
    mistakes: dict[str, Any]
    judge: Callable[[Any], str | None]
    kind: str = "write"
    by_hand: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.__doc__ = self.about
        EXERCISES[self.name] = self
        if inspect.isfunction(self.reference):  # a cell that ends with a check shows its sentence alone
            self.reference._ipython_display_ = lambda: None

    def __call__(self, answer: Any) -> Any:
        if answer is self.reference and callable(answer):
            print("this is the course's version, not yours: run the cell in which you write it once more")
            return answer
        complaint = recorded(self.name, self.verdict(answer))
        if complaint is None:
            print("correct")
            return answer
        print(f"not yet: {complaint}\n(the page goes on with the course's version)")
        return self.reference

    def verdict(self, answer: Any) -> str | None:
        """The first complaint, or None where there is none."""
        try:
            return self._other_kind(answer) or borrowed(answer, self.by_hand) or self.judge(answer)
        except Exception as e:  # a check that raises teaches nothing
            return raised(e, answer)

    def _other_kind(self, answer: Any) -> str | None:
        if answer is None or answer is ...:
            return NOTHING
        is_a = f"this is a {type(answer).__name__}"
        if inspect.isclass(self.reference):
            if inspect.isclass(answer):
                return None
            if inspect.isfunction(answer):
                return "this is a function; a class is expected: it begins with `class`"
            return f"{is_a}; give the class itself, without parentheses after its name"
        if inspect.isclass(answer):
            other = "a model made of it" if isinstance(self.reference, nn.Module) else "a function (`def`)"
            return f"this is a class; {other} is expected"
        if callable(self.reference) and not callable(answer):
            return f"{is_a}, what a call gives; give the function itself, without parentheses after its name"
        if callable(answer) and not callable(self.reference):
            return "this is a function; give the value that it returns"
        return None


def recorded(name: str, complaint: str | None) -> str | None:
    """The complaint, noted."""
    record.note(name, complaint)
    return complaint


def page_of(f: Callable) -> str:
    """The page whose file a check stands in: check.page_09 → "09"."""
    return f.__module__.rpartition("page_")[2]


def described(f: Callable) -> str:
    """What is asked: the first paragraph of a docstring."""
    return " ".join((inspect.getdoc(f) or "").split("\n\n")[0].split())


def exercise(cases: list[tuple], *, by_hand: tuple[str, ...] = (), kind: str = "write") -> Callable:
    """Of a function `NAME(*case)` → (the right result, {hint: what this mistake leads to}), its exercise.

    Results are tensors, numbers, or tuples of numbers.
    """

    def made(answers: Callable[..., tuple[Any, dict[str, Any]]]) -> Exercise:
        def judge(f: Callable) -> str | None:
            return next(filter(None, (_differs(f, case, *answers(*case)) for case in cases)), None)

        def reference(*case: Any) -> Any:
            return answers(*case)[0]

        def wrong(hint: str) -> Callable:
            return lambda *case: answers(*case)[1][hint]

        mistakes = {hint: wrong(hint) for hint in answers(*deepcopy(cases[0]))[1]}
        reference.__name__ = answers.__name__
        return Exercise(
            answers.__name__, page_of(answers), described(answers), reference, mistakes, judge, kind, by_hand
        )

    return made


def compared(
    cases: list[tuple], reference: Any, mistakes: dict[str, Any], *, by_hand: tuple[str, ...] = (),
    kind: str = "write",
) -> Callable:  # fmt: skip
    """Of a function `NAME(answer, *case)` → what is compared (a tensor, a number, a tuple of numbers).

    It measures the reference, every mistake and the answer alike.
    """

    def made(measure: Callable) -> Exercise:
        def judge(f: Any) -> str | None:
            for case in cases:
                wrong = {hint: _quietly(measure, m, case) for hint, m in mistakes.items()}
                right = measure(reference, *deepcopy(case))
                complaint = _differs(lambda *c: measure(f, *c), case, right, wrong)
                if complaint:
                    return complaint
            return None

        return Exercise(
            measure.__name__, page_of(measure), described(measure), reference, mistakes, judge, kind, by_hand
        )

    return made


def judged(
    reference: Any, mistakes: dict[str, Any], *, by_hand: tuple[str, ...] = (), kind: str = "write"
) -> Callable:
    """Of a function `NAME(answer)` → the first complaint or None, its exercise.

    Args:
        mistakes: {what the complaint contains: a wrong answer}.
    """
    return lambda judge: Exercise(
        judge.__name__, page_of(judge), described(judge), reference, mistakes, judge, kind, by_hand
    )


def _quietly(measure: Callable, f: Any, case: tuple) -> Any:
    """What is measured of a mistake, or None where it fails on this case."""
    try:
        return measure(f, *deepcopy(case))
    except Exception:
        return None


def _differs(f: Callable, case: tuple, right: Any, wrong: dict[str, Any]) -> str | None:
    """How f's result for one case differs from the right one; what a known mistake leads to gets its hint."""
    got = f(*deepcopy(case))
    if got is None or got is ...:
        return "your function returns nothing so far"
    want, mine = _tensor(right), _tensor(got)
    if mine is None:
        return f"a {_kind(right)} is expected; yours is a {_kind(got)}"
    for hint, value in wrong.items():
        if _close(mine, _tensor(value)) and not _close(_tensor(value), want):
            return hint
    if mine.shape != want.shape:
        return f"the shape is {tuple(mine.shape)}, expected {tuple(want.shape)}"
    if _close(mine, want):
        return None
    if want.numel() <= 4 and not isinstance(right, Tensor):
        return f"for {', '.join(map(_short, case))} yours is {_short(got)}, expected {_short(right)}"
    return _relation(mine.double(), want.double())


def _relation(mine: Tensor, want: Tensor) -> str:
    """What a tensor of the right shape and wrong numbers has to do with the right one."""
    if not mine.isfinite().all():
        return "some of your numbers are not finite (inf or nan)"
    ratio, shift = mine / want, mine - want
    safe = ratio[want.abs() > 1e-6]
    if len(safe) > 1 and torch.allclose(safe, safe.mean(), rtol=1e-3):
        return f"every number is {safe.mean():.4g} times the right one"
    if shift.numel() > 1 and torch.allclose(shift, shift.mean(), rtol=1e-3, atol=1e-6):
        return f"every number is larger than the right one by {shift.mean():.4g}"
    if mine.numel() == 1:
        return f"yours is {mine.item():.5g}, expected {want.item():.5g}"
    at = tuple((mine - want).abs().gt(1e-4).nonzero()[0].tolist())
    where = f"at {list(at)} yours is {mine[at]:.4g}, expected {want[at]:.4g}"
    return f"the shape is right, the numbers are not: {where}"


def _close(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)


def _tensor(value: Any) -> Tensor | None:
    """A tensor, number, array, or sequence of numbers as a tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    try:
        return torch.as_tensor(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        return None


def _kind(value: Any) -> str:
    numbers = {float: "number", int: "number", Tensor: "tensor"}
    return numbers.get(type(value), type(value).__name__)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) and value.ndim else str(value)


def raised(e: Exception, answer: Any) -> str:
    """What was raised, and in which line of the learner's."""
    mine = _files(answer)
    frames = traceback.extract_tb(e.__traceback__)
    if isinstance(e, NotImplementedError) and frames[-1].filename in mine:
        return NOTHING  # a stub
    what = f"it raised {type(e).__name__}: {textwrap.shorten(str(e), 300)}"
    lines = [f for f in frames if f.filename in mine]
    if not lines:
        return what
    linecache.checkcache(lines[-1].filename)
    return f"{what}\n         in your line {lines[-1].lineno}: {lines[-1].line}"


def _files(answer: Any) -> set[str]:
    """Where the code of a function, a class or an object was written, a cell of a page included."""
    if isinstance(answer, nn.Module):
        return set().union(*(_files(type(m)) for m in answer.modules() if "torch" not in type(m).__module__))
    owner = answer if inspect.isclass(answer) else None
    functions = [f for f in vars(owner).values() if inspect.isfunction(f)] if owner else [answer]
    return {f.__code__.co_filename for f in functions if hasattr(f, "__code__")}


def numbers(*shapes: tuple[int, ...], seed: int = 0) -> tuple[Tensor, ...]:
    """A tensor of each shape, its numbers from N(0, 1) and one seed."""
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=g) for shape in shapes)


__all__ = ["EXERCISES", "Exercise", "compared", "exercise", "judged", "numbers"]
