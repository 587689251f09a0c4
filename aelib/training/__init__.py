"""Training: a generator whose caller's loop body is the callback, and `fit`, which runs it to its end."""

from .history import DivergedError, History, Record, Unfinished
from .loop import assess, fit, train
from .optim import Optimizers, adam, cosine, muon, warm_up

__all__ = [
    "DivergedError", "History", "Optimizers", "Record", "Unfinished", "adam", "assess", "cosine", "fit",
    "muon", "train", "warm_up",
]  # fmt: skip
