"""Heads, which turn a network's output into a distribution, and the standard prior.

A head is the last layer of an encoder or a decoder. It has `factor`, the number of parameters per
variable that the network before it must deliver along dimension 1, and its `forward(h)` returns a
`torch.distributions.Distribution` whose `log_prob` is one number per example, (B,), in nats.
"""

from .densities import Delta, OptimalNormal, per_example
from .heads import (
    Bernoulli,
    Categorical,
    Deterministic,
    Gaussian,
    Laplace,
    OptimalGaussian,
    StandardNormal,
    TopK,
)
from .quantized import Quantized, VectorQuantizer, perplexity

__all__ = [
    "Bernoulli",
    "Categorical",
    "Delta",
    "Deterministic",
    "Gaussian",
    "Laplace",
    "OptimalGaussian",
    "OptimalNormal",
    "Quantized",
    "StandardNormal",
    "TopK",
    "VectorQuantizer",
    "per_example",
    "perplexity",
]
