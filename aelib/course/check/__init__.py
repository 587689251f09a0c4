"""Instant answers to the exercises: `check.f(your_function)` says "correct", or what is off and why.

No check raises: a learner's half-written function gets a sentence.
"""

from .faces_and_codes import (
    beta_of_mean_squared_error,
    direction,
    kl,
    one_hot,
    pca_reconstruction,
    slerp,
    squared_error,
)
from .restoring_and_searching import (
    best_answer,
    bits_per_dimension,
    decoder,
    nearest_others,
    normalised,
    score,
    straight_through,
    top_k,
)

__all__ = [
    "best_answer", "beta_of_mean_squared_error", "bits_per_dimension", "decoder", "direction", "kl",
    "nearest_others", "normalised", "one_hot", "pca_reconstruction", "score", "slerp", "squared_error",
    "straight_through", "top_k",
]  # fmt: skip
