"""Heads, which turn a network's output into a distribution, and the standard prior.

A head is the last layer of an encoder or a decoder. It has `factor`, the number of parameters per
variable that the network before it must deliver along dimension 1, and its `forward(h)` returns a
`torch.distributions.Distribution` whose `log_prob` is one number per example, (B,), in nats.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as _Bernoulli
from torch.distributions import Categorical as _Categorical
from torch.distributions import Distribution, Independent, Normal, constraints
from torch.distributions import Laplace as _Laplace

LOG_SCALE = (-7.0, 7.0)  # predicted scales stay in [e⁻⁷, e⁷], so that no step can overflow


def _exact(h: Tensor) -> Tensor:
    """Densities are computed in float32 at least, whatever the network's precision."""
    return h.float() if h.dtype in (torch.bfloat16, torch.float16) else h


def per_example(d: Distribution) -> Independent:
    """The distribution of a whole example: everything but dimension 0 is one event."""
    return Independent(d, len(d.batch_shape) - 1, validate_args=False)


class Delta(Distribution):
    """All the mass at one value: what a plain autoencoder's encoder returns. Event: all but dimension 0."""

    arg_constraints = {"value": constraints.real}  # noqa: RUF012
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:1], value.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(B, …) the value."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """(B, …) zeros."""
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The value, repeated `sample_shape` times."""
        return self.value.expand(*sample_shape, *self.value.shape)


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


class OptimalNormal(Distribution):
    """Normal whose scale is, for each example, the one under which its target is likeliest.

    σ² = mean over the example of (x − mean)², so log p = −D/2 · (log 2πσ² + 1). The scale is chosen
    after seeing x, so this bounds a density from above: good to train with, not to compare in nats.

    Source: Rybkin, Daniilidis, Levine, 2021, https://arxiv.org/abs/2006.13202 (there one σ a batch).
    """

    arg_constraints = {"mean": constraints.real}  # noqa: RUF012

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(B, …) the mean."""
        return self._mean

    def log_prob(self, value: Tensor) -> Tensor:
        """(B,) nats."""
        error = (value - self._mean).square().flatten(1)
        variance = error.mean(1).clamp_min(math.exp(2 * LOG_SCALE[0]))
        return -0.5 * error.shape[1] * (math.log(2 * math.pi) + variance.log() + 1)


class _QuickBernoulli(_Bernoulli):
    """torch's, with a log-density and gradient that take about half of the time on a CPU.

    log p = (x − ½) l − ½ |l| − log(1 + e^−|l|). torch computes the last term by `log1p`, which is not
    vectorised; the plain logarithm is, and is as exact here, since its argument is between 1 and 2.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        size = self.logits.abs()
        return (value - 0.5) * self.logits - size / 2 - (-size).exp().add(1).log()


class Deterministic(nn.Module):
    """Head of a plain autoencoder: a point, no density."""

    factor = 1

    def forward(self, h: Tensor) -> Delta:
        """(B, …) → the point itself."""
        return Delta(_exact(h))


class Bernoulli(nn.Module):
    """Head for pixels in [0, 1]: h is the logit, the mean is its sigmoid.

    −log p(x) = −Σ x log m + (1 − x) log(1 − m), the binary cross-entropy. Grey pixels are allowed; it
    is then no normalised density, but its minimum is still at m = x.
    """

    factor = 1

    def forward(self, h: Tensor) -> Independent:
        """(B, …) logits → distribution over (B, …)."""
        return per_example(_QuickBernoulli(logits=_exact(h), validate_args=False))


class Categorical(nn.Module):
    """Head of a classifier: one of K classes. −log p(y) = −log softmax(h)_y, the cross-entropy."""

    factor = 1

    def forward(self, h: Tensor) -> _Categorical:
        """(B, K) logits → distribution over classes (B,)."""
        return _Categorical(logits=_exact(h), validate_args=False)


class _LocationScale(nn.Module):
    family: type[Normal] | type[_Laplace]

    def __init__(self, scale: float | None = None, learn: bool = False) -> None:
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"a scale is positive; got {scale}")
        if learn and scale is None:
            raise ValueError("learn=True needs a scale to start from, as in Gaussian(0.1, learn=True)")
        self.factor = 2 if scale is None else 1
        self.scale = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale or 1))) if learn else None

    def forward(self, h: Tensor) -> Independent:
        """(B, factor · K, …) → distribution over (B, K, …)."""
        mean = _exact(h)
        scale: Tensor | float = self.scale or 1.0
        if self.factor == 2:
            mean, log_scale = mean.chunk(2, dim=1)
            scale = log_scale.clamp(*LOG_SCALE).exp()
        elif self.log_scale is not None:
            scale = self.log_scale.exp()
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

    family = Normal


class Laplace(_LocationScale):
    """Head with a Laplace distribution for each variable: −log p(x) = Σ |x − m| / b + log 2b.

    With a fixed scale this is the absolute error (L1), scaled and shifted. Arguments as `Gaussian`.
    """

    family = _Laplace


class OptimalGaussian(nn.Module):
    """Head with a normal distribution whose one σ an example is the best possible; see `OptimalNormal`."""

    factor = 1

    def forward(self, h: Tensor) -> OptimalNormal:
        """(B, …) means → distribution over (B, …)."""
        return OptimalNormal(_exact(h))


class TopK(nn.Module):
    """Activation before the head `Deterministic`: the k largest numbers of a code stay, the others become 0.

    (B, K), or (B, K, h, w) where each place keeps its own k.

    Source: Makhzani, Frey, k-sparse autoencoders, 2014, https://arxiv.org/abs/1312.5663.

    >>> TopK(1)(torch.tensor([[3.0, -4.0, 1.0]]))
    tensor([[3., 0., 0.]])
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"at least one number of a code is kept; got k={k}")
        self.k = k

    def forward(self, h: Tensor) -> Tensor:
        """Same shape."""
        if self.k > h.shape[1]:
            raise ValueError(f"{self.k} numbers are to be kept of a code that has {h.shape[1]}")
        kept = h.topk(self.k, dim=1).indices
        return torch.zeros_like(h).scatter(1, kept, h.gather(1, kept))

    def extra_repr(self) -> str:
        """How many are kept."""
        return str(self.k)


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
        h, size = _exact(h), self.codebook.shape[1]
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


class StandardNormal(nn.Module):
    """The prior N(0, 1) over a code of this shape; `forward(c)` returns it whatever the condition.

    Args:
        shape: of one code: `StandardNormal(16)`, or `StandardNormal(8, 4, 4)` for a code with places.
    """

    loc: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        # not saved with the weights: a fully convolutional model's must not depend on the image's size
        self.register_buffer("loc", torch.zeros(shape), persistent=False)

    def forward(self, c: Tensor | None = None) -> Independent:
        """Any c → distribution with batch shape () and the code's event shape."""
        d = Normal(self.loc, torch.ones_like(self.loc), validate_args=False)
        return Independent(d, self.loc.ndim, validate_args=False)
