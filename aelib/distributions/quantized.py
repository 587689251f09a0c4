"""The distribution of a code that was rounded to the vectors of a codebook."""

from __future__ import annotations

import torch
from torch import Tensor

from .densities import Delta


class Quantized(Delta):
    """A point whose parts are vectors of a codebook: what the head `VectorQuantizer` returns.

    Its value passes the gradient to the encoder as if nothing had been rounded ("straight through").

    Args:
        value: (B, K) or (B, K, h, w).
        indices: (B, K / size) or (B, K / size, h, w), which vector of the codebook each part is.
        commitment: (B,) Σ |part − vector|², whose gradient goes to the encoder.
    """

    def __init__(self, value: Tensor, indices: Tensor, commitment: Tensor) -> None:
        super().__init__(value)
        self.indices, self.commitment = indices, commitment

    def log_prob(self, value: Tensor) -> Tensor:
        """(B,) zeros: one of finitely many codes, with probability 1."""
        return value.new_zeros(value.shape[: value.ndim - len(self.event_shape)])


def perplexity(indices: Tensor) -> Tensor:
    """() how many vectors of a codebook are used, in effect: exp of the entropy of the indices.

    1: always the same vector; as many as there are vectors: all alike.
    """
    share = torch.bincount(indices.flatten()) / indices.numel()
    return torch.special.entr(share).sum().exp()
