"""Messages for what people type wrong."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for a name that is not known: the nearest one first, then all there are.

    >>> unknown("dataset", "mnits", ["lfw", "mnist"])
    "there is no dataset 'mnits'. Did you mean 'mnist'? Known: lfw, mnist"
    """
    lower = {str(k).lower(): str(k) for k in known}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    return f"there is no {kind} {name!r}.{hint} Known: {', '.join(lower.values())}"
