"""Distributions that torch lacks, or computes slowly; `heads` has the modules that return them."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli as _Bernoulli
from torch.distributions import Distribution, Independent, Normal, constraints, register_kl

LOG_SCALE = (-7.0, 7.0)  # predicted scales stay in [e⁻⁷, e⁷], so that no step can overflow


def exact(h: Tensor) -> Tensor:
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

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The value, repeated `sample_shape` times."""
        return self.value.expand(*sample_shape, *self.value.shape)


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


class OptimalNormal(Distribution):
    """Normal whose scale is, for each example, the one under which its target is likeliest.

    σ² = mean over the example of (x − mean)², so log p = −D/2 · (log 2πσ² + 1). The scale is chosen
    after seeing x, so this bounds a density from above: good to train with, not to compare in nats.

    Source: Rybkin, Daniilidis, Levine, 2021, https://arxiv.org/abs/2006.13202 (there one σ a batch).
    """

    arg_constraints = {"mean": constraints.real}  # noqa: RUF012

    def __init__(self, mean: Tensor, unit: Tensor | None = None) -> None:
        self._mean, self._unit = mean, mean.new_ones(()) if unit is None else unit
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(B, …) the mean."""
        return self._mean

    def log_prob(self, value: Tensor, known: Tensor | None = None) -> Tensor:
        """(B,) nats; of the variables that are known (B, …) alone, where it is given."""
        difference = (value - self._mean) / self._unit
        error, log_unit = difference.square().flatten(1), self._unit.log().expand_as(difference).flatten(1)
        n = torch.tensor(error.shape[1])
        if known is not None:
            known = known.flatten(1)
            error, log_unit, n = torch.where(known, error, 0.0), log_unit * known, known.sum(1)
        variance = (error.sum(1) / n.clamp_min(1)).clamp_min(math.exp(2 * LOG_SCALE[0]))
        return -0.5 * n * (math.log(2 * math.pi) + variance.log() + 1) - log_unit.sum(1)


class _CrossEntropy(torch.autograd.Function):
    """x h − log(1 + eʰ) of logits h, whose derivative by h is x − sigmoid(h).

    torch computes the logarithm by `log1p`, which is not vectorised on a CPU; the plain one is, and is as
    exact for an argument between 1 and 2. One function also keeps two tensors for the way back, not six.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(h, x)
        return (x * h).sub_(h.clamp_min(0)).sub_(h.abs().neg_().exp_().add_(1).log_())

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        h, x = ctx.saved_tensors
        return (x - h.sigmoid()) * gradient[0], h * gradient[0] if ctx.needs_input_grad[1] else None


class QuickBernoulli(_Bernoulli):
    """torch's, with a log-density and gradient that take about half of the time on a CPU."""

    def log_prob(self, value: Tensor) -> Tensor:
        """(B, …) nats, one number a pixel."""
        return _CrossEntropy.apply(self.logits, value)


class Standard(Normal):
    """A normal distribution of mean 0 and scale 1, to which the KL has a shorter formula."""


@register_kl(Normal, Standard)
def _kl_to_standard(q: Normal, p: Standard) -> Tensor:
    """KL(N(m, σ²) ‖ N(0, 1)) = ½ (m² + σ² − 1) − log σ, of each variable."""
    return 0.5 * (q.loc.square() + q.scale.square() - 1) - q.scale.log()
