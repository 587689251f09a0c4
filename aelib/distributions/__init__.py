"""Distributions that torch lacks; `heads` has the modules that return them."""

from .densities import Delta, OptimalNormal, per_example
from .quantized import Quantized, perplexity

__all__ = ["Delta", "OptimalNormal", "Quantized", "per_example", "perplexity"]
