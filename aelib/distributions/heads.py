"""Heads whose distribution has a density, or is a point; and the standard prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Categorical as _Categorical
from torch.distributions import Independent, Normal
from torch.distributions import Laplace as _Laplace

from .densities import LOG_SCALE, Delta, OptimalNormal, QuickBernoulli, Standard, exact, per_example


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

    def forward(self, h: Tensor) -> Independent:
        """(B, …) logits → distribution over (B, …)."""
        return per_example(QuickBernoulli(logits=exact(h), validate_args=False))


class Categorical(nn.Module):
    """Head of a classifier: one of K classes. −log p(y) = −log softmax(h)_y, the cross-entropy."""

    factor = 1

    def forward(self, h: Tensor) -> _Categorical:
        """(B, K) logits → distribution over classes (B,)."""
        return _Categorical(logits=exact(h), validate_args=False)


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
        mean = exact(h)
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
        return OptimalNormal(exact(h))


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
        d = Standard(self.loc, torch.ones_like(self.loc), validate_args=False)
        return Independent(d, self.loc.ndim, validate_args=False)
