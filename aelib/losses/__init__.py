"""Objectives: functions of (model, batch) that return named terms, one number per example, in nats.

One rule of reduction holds everywhere: sum over an example, mean over the batch (`train` takes the
mean). With it β = 1 is the evidence lower bound. `error=` is a function (p, target) → (B,), as `nll`.
"""

from .bounds import (
    Error,
    Objective,
    Terms,
    elbo,
    iwae,
    kl_per_dimension,
    kl_term,
    log_weights,
    nll,
    perceptual,
    prediction,
    profile_nll,
    reconstruction,
    squared_error,
)
from .matching import adversarial, from_prior, inverse_multiquadric, mmd, prior_likelihood, wae
from .penalties import Penalty, contractive, hiding, l1, sparse, squared_jacobian, to_rate, vector_quantized

__all__ = [
    "Error", "Objective", "Penalty", "Terms", "adversarial", "contractive", "elbo", "from_prior",
    "hiding", "inverse_multiquadric", "iwae", "kl_per_dimension", "kl_term", "l1", "log_weights", "mmd",
    "nll", "perceptual", "prediction", "prior_likelihood", "profile_nll", "reconstruction", "sparse",
    "squared_error", "squared_jacobian", "to_rate", "vector_quantized", "wae",
]  # fmt: skip
