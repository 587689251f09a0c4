"""Networks: plain tensor → tensor modules, for examples (C, …) of any size and number of channels.

They know nothing of losses, distributions or conditions.
"""

from .convolutions import (
    ConvDecoder,
    ConvEncoder,
    FCNDecoder,
    FCNEncoder,
    Sized,
    UNet,
    Up,
    down,
    grid,
    sides,
    stem,
)
from .layers import (
    MLP,
    WEIGHTED,
    Centre,
    Channels,
    Features,
    Layer,
    Reshape,
    Residual,
    check,
    pca_layers,
)
from .standardise import Standardise, learnt

__all__ = [
    "MLP", "WEIGHTED", "Centre", "Channels", "ConvDecoder", "ConvEncoder", "FCNDecoder", "FCNEncoder",
    "Features", "Layer", "Reshape", "Residual", "Sized", "Standardise", "UNet", "Up", "check", "down", "grid",
    "learnt", "pca_layers", "sides", "stem",
]  # fmt: skip
