"""Networks: plain tensor → tensor modules, for examples (C, …) of any size and number of channels.

They know nothing of losses, distributions or conditions.
"""

from .convolutions import ConvDecoder, ConvEncoder, FCNDecoder, FCNEncoder, Sized, Up, down, sizes
from .layers import MLP, Centre, Features, Reshape, Residual, Standardise, last, learnt
from .start import linear, principal

__all__ = [
    "MLP", "Centre", "ConvDecoder", "ConvEncoder", "FCNDecoder", "FCNEncoder", "Features",
    "Reshape", "Residual", "Sized", "Standardise", "Up", "down", "last", "learnt", "linear",
    "principal", "sizes",
]  # fmt: skip
