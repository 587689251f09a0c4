"""The datasets that are known by name: what each is, its terms, its size, where it is found."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .download import find
from .images import Split

Loader = TypeVar("Loader", bound=Callable[..., Split])


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from.

    Args:
        load: the function that returns its `Split`.
        terms: of use, in a few words; materials/data_licences.md has the rest.
        size: of what is downloaded, or why nothing is.
        check: how what is downloaded is checked.
        places: folders that it is found by, below `AELIB_DATA` or the cache; none if it needs no files.
    """

    load: Callable[..., Split]
    terms: str
    size: str
    check: str = "–"
    places: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The first line about it."""
        return (inspect.getdoc(self.load) or "").partition("\n")[0].rstrip(".")

    @property
    def options(self) -> list[str]:
        """What `load` takes."""
        return list(inspect.signature(self.load).parameters)

    def found(self) -> Path | None:
        """The folder that it is in, if it is on this machine as files."""
        return next((folder for place in self.places if (folder := find(place))), None)


DATASETS: dict[str, Source] = {}


def dataset(
    name: str, terms: str, size: str, check: str = "–", places: tuple[str, ...] = ()
) -> Callable[[Loader], Loader]:
    """Enter the function that follows into `DATASETS`. Arguments as of `Source`."""

    def enter(load: Loader) -> Loader:
        DATASETS[name] = Source(load, terms, size, check, places)
        return load

    return enter
