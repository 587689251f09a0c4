"""Heads: the last layer of an encoder or a decoder, which turns a network's output into a distribution.

A head has `factor`, the number of parameters per variable that the network before it must deliver along
dimension 1, and its `forward(h)` returns a `torch.distributions.Distribution` whose `log_prob` is one number
per example, (B,), in nats.
"""

import math

import torch
from torch import Tensor, nn
from torch import distributions as D

from .distributions import LOG_SCALE, Delta, OptimalNormal, Quantized, QuickBernoulli, exact, per_example


class Deterministic(nn.Module):
    """Head of a plain autoencoder: a point, no density."""

    factor = 1

    def forward(self, h: Tensor) -> Delta:
        """(B, …) → the point itself."""
        return Delta(exact(h))


class Bernoulli(nn.Module):
    """Head for pixels in [0, 1]: h is the logit, the mean is its sigmoid.

    −log p(x) = −Σ x log m + (1 − x) log(1 − m), the binary cross-entropy. Grey pixels are allowed; it
    is then no normalised density, but its minimum is still at m = x.
    """

    factor = 1

    def forward(self, h: Tensor) -> D.Independent:
        """(B, …) logits → distribution over (B, …)."""
        return per_example(QuickBernoulli(logits=exact(h), validate_args=False))


class Categorical(nn.Module):
    """Head of a classifier: one of K classes. −log p(y) = −log softmax(h)_y, the cross-entropy."""

    factor = 1

    def forward(self, h: Tensor) -> D.Categorical:
        """(B, K) logits → distribution over classes (B,)."""
        return D.Categorical(logits=exact(h), validate_args=False)


class _LocationScale(nn.Module):
    family: type[D.Normal] | type[D.Laplace]

    def __init__(self, scale: float | None = None, learn: bool = False) -> None:
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"a scale is positive; got {scale}")
        if learn and scale is None:
            raise ValueError("learn=True needs a scale to start from, as in Gaussian(0.1, learn=True)")
        self.factor = 2 if scale is None else 1
        self.scale = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale or 1))) if learn else None

    def forward(self, h: Tensor) -> D.Independent:
        """(B, factor · K, …) → distribution over (B, K, …)."""
        mean = exact(h)
        scale: Tensor | float = self.scale or 1.0
        if self.factor == 2:
            mean, log_scale = mean.chunk(2, dim=1)
            scale = log_scale.clamp(*LOG_SCALE).exp()
        elif self.log_scale is not None:
            scale = exact(self.log_scale).exp()
        return per_example(self.family(mean, scale, validate_args=False))

    def extra_repr(self) -> str:
        """The scale."""
        return "predicted" if self.scale is None else f"{self.scale}, learn={self.log_scale is not None}"


class Gaussian(_LocationScale):
    """Head with a normal distribution for each variable.

    −log p(x) = Σ (x − m)² / 2σ² + log σ + ½ log 2π. With a fixed scale this is the squared error, scaled
    and shifted: training with MSE *is* a Gaussian.

    Args:
        scale: σ; None predicts the mean and log σ of every variable (factor 2).
        learn: σ is one parameter, trained, that starts at `scale`.

    >>> Gaussian()(torch.zeros(5, 6)).event_shape
    torch.Size([3])
    """

    family = D.Normal


class Laplace(_LocationScale):
    """Head with a Laplace distribution for each variable: −log p(x) = Σ |x − m| / b + log 2b.

    With a fixed scale this is the absolute error (L1), scaled and shifted. Arguments as `Gaussian`.
    """

    family = D.Laplace


class OptimalGaussian(nn.Module):
    """Head with a normal distribution whose one σ an example is the best possible; see `OptimalNormal`."""

    factor = 1

    def forward(self, h: Tensor) -> OptimalNormal:
        """(B, …) means → distribution over (B, …)."""
        return OptimalNormal(exact(h))


class Restored(nn.Module):
    """A head for standardised variables u; its distribution is in the data's own units: x = mean + scale · u.

    So log p(x) = log p(u) − Σ log scale. It undoes `nets.Standardise`.

    Args:
        head: of u: `Gaussian`, `Laplace` or `OptimalGaussian`.
        mean, scale: (C,), for each channel; of a table for each variable.
    """

    def __init__(self, head: nn.Module, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        if not isinstance(head, _LocationScale | OptimalGaussian):
            raise ValueError(f"a {type(head).__name__} head has no units to restore: standardised numbers "
                             'lie on both sides of 0; take likelihood="gaussian-learnt"')  # fmt: skip
        self.head, self.factor = head, head.factor
        self.mean, self.scale = nn.Buffer(mean), nn.Buffer(scale)

    def forward(self, h: Tensor) -> D.Distribution:
        """(B, factor · C, …) → distribution over (B, C, …)."""
        p = self.head(h)
        mean, scale = (exact(v).view(-1, *[1] * (h.ndim - 2)) for v in (self.mean, self.scale))
        if isinstance(p, OptimalNormal):
            return OptimalNormal(mean + scale * p.mean, scale)
        u = p.base_dist
        return per_example(type(u)(mean + scale * u.loc, scale * u.scale, validate_args=False))


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
        decay: of the running means, a step; None: each is over about the last five parts, if all are used
            alike. A longer memory does not follow an encoder that is new: most vectors are then left
            behind, and few are used.

    ValueError for codes or size below 1, or a code whose K is no multiple of the size.

    Source: van den Oord, Vinyals, Kavukcuoglu, 2017, https://arxiv.org/abs/1711.00937; running means: its
    appendix; moving what is not used: Williams et al., 2020, https://arxiv.org/abs/2002.08111.

    >>> q = VectorQuantizer(512, 4)(torch.randn(5, 32))
    >>> q.mean.shape, q.indices.shape, q.commitment.shape
    (torch.Size([5, 32]), torch.Size([5, 8]), torch.Size([5]))
    """

    factor = 1
    MEMORY = 5  # parts, of a running mean
    RARE = 0.1  # of the share that each would have were all used alike: below it a vector is moved

    def __init__(self, codes: int, size: int, decay: float | None = None) -> None:
        super().__init__()
        if codes < 1 or size < 1:
            raise ValueError(f"codes and size are at least 1; got {codes} and {size}")
        self.decay = decay
        self.codebook = nn.Buffer(torch.randn(codes, size))
        self.usage = nn.Buffer(torch.zeros(codes))  # none used yet: the first batch moves them all

    def forward(self, h: Tensor) -> Quantized:
        """(B, K, …) → the rounded code, as a distribution."""
        h, size = exact(h), self.codebook.shape[1]
        if h.shape[1] % size:
            raise ValueError(f"a code of {h.shape[1]} cannot be cut into vectors of {size}: take a multiple")
        parts = h.unflatten(1, (-1, size)).movedim(2, -1)  # (B, K / size, …, size)
        with torch.no_grad():
            flat = parts.reshape(-1, size)
            if self.training:
                self._follow(flat)
            indices = self._nearest(flat).view(parts.shape[:-1])
            vectors = exact(self.codebook)[indices]
        commitment = (parts - vectors).square().flatten(1).sum(1)
        rounded = vectors.movedim(-1, 2).flatten(1, 2)
        return Quantized(h + (rounded - h).detach(), indices, commitment)

    def _nearest(self, parts: Tensor) -> Tensor:
        e = exact(self.codebook)
        return torch.addmm(e.square().sum(1), parts, e.T, alpha=-2).argmin(1)  # |v|² is the same for all

    def _follow(self, parts: Tensor) -> None:
        nearest, share = self._nearest(parts), len(parts) / len(self.codebook)
        counts = torch.bincount(nearest, minlength=len(self.codebook)).to(parts)
        codebook, used = exact(self.codebook), exact(self.usage)
        sums = torch.zeros_like(codebook).index_add_(0, nearest, parts)
        decay = math.exp(-share / self.MEMORY) if self.decay is None else self.decay
        usage = decay * used + (1 - decay) * counts
        total = decay * used[:, None] * codebook + (1 - decay) * sums
        rare = usage < self.RARE * share
        random = parts[torch.randint(len(parts), (len(usage),), device=parts.device)]
        self.codebook.copy_(torch.where(rare[:, None], random, total / usage[:, None]))
        self.usage.copy_(usage.masked_fill(rare, share))

    def extra_repr(self) -> str:
        """Vectors and their size."""
        return "{}, {}".format(*self.codebook.shape)
