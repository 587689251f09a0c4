"""What every notebook begins with: its profile, its device and its data, said in three lines."""

from __future__ import annotations

import os
import sys
from typing import Any, TypeVar

import torch

from .. import datasets, graphs
from ..contexts import device_named
from ..datasets import DataError, Split
from ..errors import unknown
from ..graphs import Graph

T = TypeVar("T")
PROFILES = ("full", "quick")


def profile() -> str:
    """`AELIB_PROFILE`: "full" (what a learner runs, the default) or "quick" (what a test runs).

    Raises:
        ValueError: it is set to something else.
    """
    name = os.environ.get("AELIB_PROFILE") or "full"
    if name not in PROFILES:
        raise ValueError("AELIB_PROFILE: " + unknown("profile", name, PROFILES))
    return name


def pick(*, full: T, quick: T) -> T:
    """One of two values, by the profile."""
    return full if profile() == "full" else quick


def device() -> str:
    """Where `train` runs by default: "cuda", "mps" or "cpu"."""
    return device_named().type


def machine() -> str:
    """One line: Python, torch and what it runs on."""
    at = torch.cuda.get_device_name() if torch.cuda.is_available() else device()
    if at == "cpu":
        n = torch.get_num_threads()
        at = f"CPU, {n} thread{'s'[: n > 1]}"
    return f"Python {sys.version.split()[0]}, torch {torch.__version__.split('+')[0]}, {at}"


def data(name: str, otherwise: str, quick: int = 1600, **options: Any) -> Split:
    """The dataset of a notebook, or, where it cannot be had, the embedded one; says which in a few lines.

    The quick profile takes the first `quick` training images and a quarter as many of the others.

    Args:
        name: as in `datasets.load`, with its options.
        otherwise: an embedded dataset.
        quick: training images in the quick profile.
    """
    print(f"profile {profile()} on {machine()}")
    try:
        split = datasets.load(name, **options)
    except DataError as e:
        split = datasets.load(otherwise)
        print(f"{name} is not here, so this page runs on {otherwise}. ({str(e).splitlines()[0]})")
    if profile() == "quick":
        split = split.head(quick)
    print(split)
    return split


def graph(name: str, otherwise: str = "digits") -> Graph:
    """The graph of a notebook, whole in both profiles, or, where it cannot be had, the embedded one; says so.

    Args:
        name: as in `graphs.load`.
        otherwise: an embedded graph.
    """
    print(f"profile {profile()} on {machine()}")
    try:
        found = graphs.load(name)
    except DataError as e:
        found = graphs.load(otherwise)
        print(f"{name} is not here, so this page runs on {otherwise}. ({str(e).splitlines()[0]})")
    print(found)
    return found
