"""Codes rounded to the vectors of a codebook."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .densities import Delta, exact


class Quantized(Delta):
    """A point whose parts are vectors of a codebook: what `VectorQuantizer` returns.

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


class VectorQuantizer(nn.Module):
    """Head that rounds each part of a code to the nearest vector of a learnt codebook.

    A code (B, K) is K / size parts of `size` numbers each, a code (B, K, h, w) has as many at each place; all
    share one codebook, so a part is one of `codes` numbers: log₂ codes bits.

    In training mode the codebook follows the encoder: each vector is the running mean of the parts that were
    rounded to it. A vector that hardly any part is rounded to is moved onto a part drawn from the batch. The
    codebook is no parameter: no optimizer touches it. Train with the objective `losses.vector_quantized`.

    Args:
        codes: vectors in the codebook.
        size: numbers in a vector.
        decay: of the running means, a step.

    Raises:
        ValueError: codes or size below 1, or a code whose K is no multiple of the size.

    Source: van den Oord, Vinyals, Kavukcuoglu, 2017, https://arxiv.org/abs/1711.00937; running means: its
    appendix; moving what is not used: Williams et al., 2020, https://arxiv.org/abs/2002.08111.

    >>> q = VectorQuantizer(512, 4)(torch.randn(5, 32))
    >>> q.mean.shape, q.indices.shape, q.commitment.shape
    (torch.Size([5, 32]), torch.Size([5, 8]), torch.Size([5]))
    """

    factor = 1
    RARE = 0.1  # of the share that each would have were all used alike: below it a vector is moved
    codebook: Tensor
    usage: Tensor

    def __init__(self, codes: int, size: int, decay: float = 0.99) -> None:
        super().__init__()
        if codes < 1 or size < 1:
            raise ValueError(f"codes and size are at least 1; got {codes} and {size}")
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codes, size))
        self.register_buffer("usage", torch.zeros(codes))  # none used yet: the first batch moves them all

    def forward(self, h: Tensor) -> Quantized:
        """(B, K, …) → the rounded code, as a distribution."""
        h, size = exact(h), self.codebook.shape[1]
        if h.shape[1] % size:
            raise ValueError(
                f"a code of {h.shape[1]} cannot be cut into vectors of {size}; choose a multiple of it"
            )
        parts = h.unflatten(1, (-1, size)).movedim(2, -1)  # (B, K / size, …, size)
        with torch.no_grad():
            if self.training:
                self._follow(parts.reshape(-1, size))
            indices = self._nearest(parts.reshape(-1, size)).view(parts.shape[:-1])
            vectors = self.codebook[indices]
        commitment = (parts - vectors).square().flatten(1).sum(1)
        rounded = vectors.movedim(-1, 2).flatten(1, 2)
        return Quantized(h + (rounded - h).detach(), indices, commitment)

    def _nearest(self, parts: Tensor) -> Tensor:
        e = self.codebook
        return torch.addmm(e.square().sum(1), parts, e.T, alpha=-2).argmin(1)  # |v|² is the same for all

    def _follow(self, parts: Tensor) -> None:
        nearest, share = self._nearest(parts), len(parts) / len(self.codebook)
        counts = torch.bincount(nearest, minlength=len(self.codebook)).to(parts)
        sums = torch.zeros_like(self.codebook).index_add_(0, nearest, parts)
        usage = self.decay * self.usage + (1 - self.decay) * counts
        total = self.decay * self.usage[:, None] * self.codebook + (1 - self.decay) * sums
        rare = usage < self.RARE * share
        drawn = parts[torch.randint(len(parts), (len(usage),), device=parts.device)]
        self.codebook.copy_(torch.where(rare[:, None], drawn, total / usage[:, None]))
        self.usage.copy_(usage.masked_fill(rare, share))

    def extra_repr(self) -> str:
        """Vectors and their size."""
        return "{}, {}".format(*self.codebook.shape)


def perplexity(indices: Tensor) -> Tensor:
    """() how many vectors of a codebook are used, in effect: exp of the entropy of the indices.

    1: always the same vector; as many as there are vectors: all alike.
    """
    share = torch.bincount(indices.flatten()) / indices.numel()
    return torch.special.entr(share).sum().exp()
