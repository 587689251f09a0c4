"""Widgets for notebooks: each is a pure function (model, position → images) with a thin widget over it."""

from .codes import (
    attribute_strip,
    attributes,
    edit,
    interpolation,
    interpolation_strip,
    latent_space,
    random_code,
    traversals,
    walk,
)
from .comparison import compare, reconstructions
from .conditions import condition_strip, conditional, reconditioned
from .maps import manifold, manifold_grid

__all__ = [
    "attribute_strip", "attributes", "compare", "condition_strip", "conditional", "edit", "interpolation",
    "interpolation_strip", "latent_space", "manifold", "manifold_grid", "random_code", "reconditioned",
    "reconstructions", "traversals", "walk",
]  # fmt: skip
