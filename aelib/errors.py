"""Messages for what people type wrong, and names that others chose, fit to be shown."""

import difflib
import os
import sys
from collections.abc import Iterable
from typing import TextIO


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for a name that is not known: the nearest one first, then all there are.

    >>> unknown("dataset", "mnits", ["lfw", "mnist"])
    "there is no dataset 'mnits'. Did you mean 'mnist'? Known: lfw, mnist"
    """
    lower = {str(k).lower(): str(k) for k in known}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    return f"there is no {kind} {name!r}.{hint} Known: {', '.join(lower.values())}"


def say(text: object, to: TextIO | None = None) -> None:
    """Print a line, on stderr by default, if somebody reads it: not after `… | head`, or a hang-up."""
    to = to or sys.stderr
    try:
        print(text, file=to, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), to.fileno())


def shown(name: object, where: str = "terminal") -> str:
    """A name that somebody chose, fit for "terminal" (one line, no control characters), "figure" (no formula
    of matplotlib, no hidden label) or "file" (UTF-8, which names on a disk need not be).

    >>> shown("caf\\udce9\\n"), shown("_$x", "figure")
    ('caf\\\\xe9\\\\n', ' _\\\\$x')
    """
    text = ""  # joiners of letters and of emoji are kept
    for c in os.fsdecode(name) if isinstance(name, bytes) else str(name):
        byte = "\udc80" <= c <= "\udcff"  # one that is no UTF-8
        fit = c.isprintable() or c in "\u200c\u200d" or (where == "file" and not "\ud800" <= c <= "\udfff")
        text += c if fit else f"\\x{ord(c) - 0xDC00:02x}" if byte else c.encode("unicode_escape").decode()
    return f"{' ' * text.startswith('_')}{text}".replace("$", r"\$") if where == "figure" else text
