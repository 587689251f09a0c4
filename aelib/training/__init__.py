"""Training: a generator whose caller's loop body is the callback. It knows no disk; `runs.fit` does."""

from .defaults import FROM_RANDOM, Choice, choose, mirrored
from .history import DivergedError, History, Record, Unfinished
from .loop import assess, train
from .optim import Optimizers, adam, cosine, muon, warm_up
from .step import Step

__all__ = [
    "FROM_RANDOM", "Choice", "DivergedError", "History", "Optimizers", "Record", "Step", "Unfinished", "adam",
    "assess", "choose", "cosine", "mirrored", "muon", "train", "warm_up",
]  # fmt: skip
