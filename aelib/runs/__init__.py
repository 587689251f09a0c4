"""Runs: a training to its end, its folder, from which it goes on, and from which its model comes back."""

from .checkpoint import RunError
from .fitting import fit
from .run import Run, load, save

__all__ = ["Run", "RunError", "fit", "load", "save"]
