"""Runs: a training's folder, from which it goes on, and from which its model comes back."""

from .checkpoint import RunError
from .keeper import Keeper, keeping
from .loading import load, save
from .run import Run

__all__ = ["Keeper", "Run", "RunError", "keeping", "load", "save"]
