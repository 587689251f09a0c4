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
from .completion import completed, completion
from .conditions import condition_strip, conditional, reconditioned
from .graphs import likely, links, links_strip
from .maps import manifold, manifold_grid
from .noise import denoising, restored, restored_strip
from .search import moved, search, search_strip

__all__ = [
    "attribute_strip", "attributes", "compare", "completed", "completion", "condition_strip", "conditional",
    "denoising", "edit", "interpolation", "interpolation_strip", "latent_space", "likely", "links",
    "links_strip", "manifold", "manifold_grid", "moved", "random_code", "reconditioned", "reconstructions",
    "restored", "restored_strip", "search", "search_strip", "traversals", "walk",
]  # fmt: skip
