"""Instant answers to the exercises: `mine = check.NAME(mine)` says "correct", or what is off and why.

No check raises: a learner's half-written function gets a sentence, and the page goes on with the course's
version. `check.NAME(guess, truth)` compares a guess, `check.NAME(number, low, high)` judges an experiment.
`check.progress()` shows what is solved. The exercises of page NN stand in `page_NN.py`.
"""

import importlib
import pkgutil
from difflib import get_close_matches

from IPython import get_ipython

from . import record
from .judging import EXERCISES, Exercise
from .record import passed

for _module in sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("page_")):
    importlib.import_module(f"{__name__}.{_module}")
globals().update(EXERCISES)
if _shell := get_ipython():  # a stub that is run shows nothing, and not "Ellipsis"
    _shell.display_formatter.ipython_display_formatter.for_type(type(...), lambda _: None)


def progress() -> None:
    """Print what is solved, a line for each page: ● solved, ◐ tried, ○ not tried yet."""
    rows = record.tries()
    solved = {row["exercise"] for row in rows if row.get("solved")}
    tried = {row["exercise"] for row in rows}
    for page in sorted({e.page for e in EXERCISES.values()}):
        names = [e.name for e in EXERCISES.values() if e.page == page]
        marks = ["●" if n in solved else "◐" if n in tried else "○" for n in names]
        print(f"{page:4s}", "  ".join(f"{m} {n}" for m, n in zip(marks, names, strict=True)))
    print(f"{len(solved & set(EXERCISES))} of {len(EXERCISES)} solved, in {len(rows)} tries")


def __getattr__(name: str) -> Exercise:
    near = get_close_matches(name, EXERCISES, 1)
    raise AttributeError(
        f"there is no exercise {name!r}" + (f"; did you mean check.{near[0]}?" if near else "")
    )


__all__ = ["EXERCISES", "Exercise", "passed", "progress"]
