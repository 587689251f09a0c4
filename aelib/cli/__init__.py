"""The command line: `aelib VERB …`. Its verbs are typed functions, whose arguments are options and YAML keys.

This file and the signatures import nothing heavy, so that `aelib --help` answers at once.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from ..errors import say, shown
from ..files import reason
from .outliers import outliers
from .train import begin, list_datasets, resume
from .use import embed, evaluate, export, index, interpolate, reconstruct, report, sample, search

# `begin` is called as "train": the parser looks for a name in the package too, where `aelib.train` is another
VERBS: dict[str, Callable[..., None]] = {
    "train": begin, "resume": resume, "evaluate": evaluate, "report": report, "sample": sample,
    "reconstruct": reconstruct, "interpolate": interpolate, "embed": embed, "index": index, "search": search,
    "outliers": outliers, "export": export, "datasets": list_datasets,
}  # fmt: skip
EXPLAINED = ValueError, TypeError, KeyError, ImportError, RuntimeError, FloatingPointError  # by their words
ABOUT = (
    "Autoencoders from the command line: train one on a known dataset or a folder of photos, look at it, and "
    "use its codes. A first try: aelib train digits --epochs 5, then aelib report runs/digits."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb.

    Exit codes: 0 done, 1 it cannot be done (the message says why), 2 wrong usage, 130 after Ctrl-C.
    """
    from .parser import run

    for stream in (sys.stdout, sys.stderr):  # of a terminal that lacks a letter
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        run(VERBS, ABOUT, sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt as e:
        print(f"\naelib: {e or 'stopped'}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # as in `aelib datasets | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as e:
        if os.environ.get("AELIB_TRACEBACK") or not (text := _explained(e)):
            raise
        say("aelib: " + "\n".join(map(shown, text.split("\n"))))
        sys.exit(1)


def _explained(e: Exception) -> str:
    """What an error of this package, of a file or of memory says to the user; nothing, if it is a fault."""
    if isinstance(e, OSError):
        return f"{e.filename}: {reason(e)}" if e.filename else str(e)
    if isinstance(e, MemoryError) or "t allocate memory" in str(e) or "out of memory" in str(e):
        return "there is not enough memory for this: ask for less, as fewer or smaller pictures or layers"
    frames = [frame for frame, _ in traceback.walk_tb(e.__traceback__)]
    here = bool(frames) and frames[-1].f_globals.get("__name__", "").startswith("aelib.")
    if not (here and isinstance(e, EXPLAINED)):
        return ""
    return str(e.args[0] if isinstance(e, KeyError) and e.args else e)  # which puts its message in quotes
