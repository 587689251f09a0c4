"""How a page of the course begins: its profile, its device and its data, said in three lines."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from aelib import datasets, graphs, materials
from aelib.contexts import device_named
from aelib.datasets import DataError, Split
from aelib.errors import unknown
from aelib.graphs import Graph

T = TypeVar("T")
PROFILES = ("full", "quick")
# a method has one colour on all pages; they are Okabe and Ito's, which colour-blind readers can tell apart
COLOURS = {
    "pixels": "#000000", "PCA": "#E69F00", "AE": "#0072B2", "VAE": "#D55E00", "CVAE": "#CC79A7",
    "IWAE": "#009E73", "flow": "#56B4E9", "forest": "#F0E442", "random": "#999999",
}  # fmt: skip


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


def data(
    name: str, otherwise: str, quick: int = 1600, both: Mapping[str, Any] = {}, **options: Any
) -> Split:  # fmt: skip
    """The dataset of a notebook, or, where it cannot be had, the embedded one; says which in a few lines.

    The quick profile takes the first `quick` training images and a quarter as many of the others.

    Args:
        name: as in `datasets.load`, with its options.
        otherwise: an embedded dataset.
        quick: training images in the quick profile.
        both: options of both datasets, as the size of their pictures.
    """
    split = _found(datasets.load, name, otherwise, both, **options)
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
    found = _found(graphs.load, name, otherwise)
    print(found)
    return found


def _found(
    load: Callable[..., T], name: str, otherwise: str, both: Mapping[str, Any] = {}, **options: Any
) -> T:  # fmt: skip
    print(f"profile {profile()} on {machine()}")
    try:
        return load(name, **both, **options)
    except DataError as e:
        print(f"{name} is not here, so this page runs on {otherwise}. ({str(e).splitlines()[0]})")
        return load(otherwise, **both)


def results(name: str) -> dict[str, Any]:
    """What tests/benchmarks/NAME.py measured for a notebook, from several seeds, of materials/results.

    Raises:
        FileNotFoundError: nothing was measured yet; the message says how to.
    """
    file = materials.RESULTS / f"{name}.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; make it with: python tests/benchmarks/{name}.py")
    return json.loads(file.read_text("utf-8"))
