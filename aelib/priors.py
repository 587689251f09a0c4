"""A prior that is learnt over the codes of a `VectorQuantizer`: one index after the other."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, constraints

from .distributions import VectorQuantizer
from .models import evaluating


class _FromCodebook(constraints.Constraint):
    is_discrete = True


class Indexed(Distribution):
    """Distribution over codes (K, …) made of vectors of a codebook, one index after the other.

    log P(z) = Σₙ log P(iₙ | i₁ … iₙ₋₁), in nats, where iₙ is the vector that part n of z is. It is a
    probability, not a density: over all codes it sums to 1.

    Args:
        prior: says P(iₙ | i₁ … iₙ₋₁) and knows the codebook.
    """

    arg_constraints = {}  # noqa: RUF012
    support = _FromCodebook()

    def __init__(self, prior: Autoregressive) -> None:
        self.prior = prior
        super().__init__(event_shape=torch.Size(prior.shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…,) nats, of codes (…, K, …); each part counts as the vector nearest to it."""
        z = value.reshape(-1, *self.event_shape)
        indices = self.prior.indices(z)
        each = self.prior.following(indices[:, :-1]).log_softmax(-1).gather(2, indices[..., None])
        return each.sum((1, 2)).view(value.shape[: value.ndim - len(self.event_shape)])

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """(*sample_shape, K, …) codes."""
        n = math.prod(sample_shape)
        start = torch.zeros(n, 0, dtype=torch.long, device=self.prior.start.device)
        return self.prior.vectors(self.prior.complete(start)).view(*sample_shape, *self.event_shape)


class Autoregressive(nn.Module):
    """The prior over codes of a VQ-VAE: a causal transformer over their indices; `forward(c)` is `Indexed`.

    A code (K, h, w) is the sequence of its N = K / size · h · w indices: part after part of a vector, and in
    each the places row by row. Index n is predicted from those before it alone, so that
    P(i₁ … i_N) = Π P(iₙ | i₁ … iₙ₋₁). The condition is ignored.

    Train it when the codebook has come to rest, with the objective `losses.prior_likelihood`; then the
    model's `sample` draws from it and `losses.elbo` is the model's bound.

    Args:
        quantizer: the encoder's head. It stays the encoder's: it is neither trained nor saved here.
        shape: of one code, (K,) or (K, h, w).
        width, layers, heads: of the transformer.

    Raises:
        ValueError: a K that is no multiple of the vectors' size.

    Source: van den Oord, Vinyals, Kavukcuoglu, 2017, https://arxiv.org/abs/1711.00937 (there a PixelCNN).

    >>> prior = Autoregressive(VectorQuantizer(16, 2), 4, 3, 3)
    >>> prior().sample((5,)).shape, prior().log_prob(torch.randn(5, 4, 3, 3)).shape
    (torch.Size([5, 4, 3, 3]), torch.Size([5]))
    """

    def __init__(
        self, quantizer: VectorQuantizer, *shape: int, width: int = 64, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        self._quantizer = (quantizer,)  # in a tuple, or its codebook would be saved twice
        self.shape = shape
        codes, size = quantizer.codebook.shape
        if shape[0] % size:
            raise ValueError(
                f"a code of {shape[0]} is not made of vectors of {size}; choose a multiple of it"
            )
        self.parts = (shape[0] // size, *shape[1:])
        length = math.prod(self.parts)
        self.start = nn.Parameter(torch.randn(width) * 0.1)
        self.embedding = nn.Embedding(codes, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.1)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.logits = nn.Linear(width, codes)
        self.register_buffer("mask", torch.ones(length, length).triu(1).bool(), persistent=False)

    def forward(self, c: Tensor | None = None) -> Indexed:
        """Any c → distribution with batch shape () and the code's event shape."""
        return Indexed(self)

    @torch.no_grad()
    def indices(self, z: Tensor) -> Tensor:
        """(B, K, …) → (B, N), the vectors nearest to a code's parts."""
        with evaluating(self._quantizer[0]):
            return self._quantizer[0](z).indices.flatten(1)

    def vectors(self, indices: Tensor) -> Tensor:
        """(B, N) → (B, K, …), the code that has these indices."""
        return self._quantizer[0].codebook[indices.unflatten(1, self.parts)].movedim(-1, 2).flatten(1, 2)

    def following(self, indices: Tensor) -> Tensor:
        """(B, n), the first n of N indices → (B, n + 1, codes), logits of each and of the one after them."""
        before = self.start.expand(len(indices), 1, -1)
        h = torch.cat([before, self.embedding(indices)], 1) + self.position[: indices.shape[1] + 1]
        n = h.shape[1]
        return self.logits(self.body(h, self.get_buffer("mask")[:n, :n], is_causal=True))

    @torch.no_grad()
    def complete(self, indices: Tensor) -> Tensor:
        """(B, n), the first n indices of some codes → (B, N): the same, and the rest drawn one by one."""
        for _ in range(len(self.position) - indices.shape[1]):
            drawn = Categorical(logits=self.following(indices)[:, -1], validate_args=False).sample()
            indices = torch.cat([indices, drawn[:, None]], 1)
        return indices
