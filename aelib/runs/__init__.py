"""Runs: a training to its end, its folder, from which it goes on, and from which its model comes back."""

from .checkpoint import RunError
from .fitting import fit
from .loading import load, save
from .run import Run

__all__ = ["Run", "RunError", "fit", "load", "save"]
