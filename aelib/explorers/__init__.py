"""Widgets for notebooks: each is a pure function (model, position → images) with a thin widget over it.

One rule of names: `x` is the widget, `x_images` the pictures at one position, `x_strip` a row of them for a
page that stands still.
"""

from .codes import (
    attributes,
    attributes_strip,
    conditional,
    conditional_strip,
    interpolation,
    latent_space,
    latent_space_random,
    latent_space_strip,
)
from .reconstructions import reconstructions, reconstructions_images

__all__ = [
    "attributes", "attributes_strip", "conditional", "conditional_strip", "interpolation",
    "latent_space", "latent_space_random", "latent_space_strip", "reconstructions",
    "reconstructions_images",
]  # fmt: skip
