"""Objectives: functions of (model, batch) that return named terms, one number per example, in nats.

One rule of reduction holds everywhere: sum over an example, mean over the batch (`train` takes the
mean). With it β = 1 is the evidence lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, kl_divergence

from .datasets import Batch
from .distributions import Delta, Quantized
from .models import Autoencoder

Terms = dict[str, Tensor]
Objective = Callable[..., Terms]
Error = Callable[[Distribution, Tensor], Tensor]
Penalty = Callable[[Tensor], Tensor]
EXACT = 16  # up to so many numbers in a code, its Jacobian is computed row by row


def nll(p: Distribution, target: Tensor) -> Tensor:
    """(B,) the negative log-likelihood −log p(target), in nats."""
    return -p.log_prob(target)


def squared_error(p: Distribution, target: Tensor) -> Tensor:
    """(B,) Σ (mean − target)² over the pixels of each image."""
    return (p.mean - target).square().flatten(1).sum(1)


def reconstruction(model: Autoencoder, batch: Batch, error: Error = nll) -> Terms:
    """A plain autoencoder's objective: the error of the reconstruction.

    Args:
        error: (p, target) → (B,).

    Returns:
        {"loss"}, (B,).
    """
    return {"loss": error(model(batch.x, batch.c).p, batch.target)}


def elbo(
    model: Autoencoder, batch: Batch, beta: float = 1.0, error: Error = nll, free_bits: float = 0.0
) -> Terms:
    """The negative evidence lower bound: −log p(x) ≤ E_q[−log p(x|z)] + KL(q(z|x) ‖ p(z)).

    Args:
        beta: weight of the KL term; 1 is the bound.
        error: (p, target) → (B,).
        free_bits: nats each dimension of the code may carry at no cost: in the loss, the KL of a
            dimension counts as at least this much. The term "kl" stays the true one.

    Returns:
        {"loss", "nll", "kl"}, each (B,), where loss = nll + beta · kl.

    Raises:
        TypeError: the posterior is a point, whose KL is infinite, or there is no prior.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114; β: Higgins et al., 2017; free bits:
    Kingma et al., 2016, https://arxiv.org/abs/1606.04934.
    """
    q, z, p = model(batch.x, batch.c)
    prior = _prior(model, batch, q)
    error_, kl = error(p, batch.target), kl_term(q, prior, z)
    paid = kl
    if free_bits:
        paid = kl_per_dimension(q, prior).clamp_min(free_bits).flatten(1).sum(1)
    return {"loss": error_ + beta * paid, "nll": error_, "kl": kl}


def iwae(model: Autoencoder, batch: Batch, samples: int = 5) -> Terms:
    """The negative importance-weighted bound: −log p(x) ≤ −E[log 1/S Σ wₛ], wₛ = p(x, zₛ) / q(zₛ|x).

    One sample is the ELBO; more samples come nearer to log p(x). The gradient is the doubly reparameterised
    one: unbiased as the plain one, with less noise for the encoder, and none where q is the true posterior.

    Args:
        samples: S, codes drawn for each image; time and memory grow with it.

    Returns:
        {"loss", "elbo"}, each (B,): "elbo" is the negative ELBO, averaged over the same samples.

    Raises:
        TypeError: the posterior is a point, or there is no prior.

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519; the gradient: Tucker et
    al., 2019, https://arxiv.org/abs/1810.04152.
    """
    q = model.encode(batch.x, batch.c)
    prior = _prior(model, batch, q)
    z = q.rsample((samples,))
    w = _log_weights(model, batch, _constant(q), prior, z)
    share = w.detach().softmax(0)  # (S, B)
    if z.requires_grad:  # decoder and prior weigh sample s by its share, the encoder by the share squared
        share = share.view(*share.shape, *[1] * (z.ndim - 2))  # a hook that knew z would keep it for ever
        z.register_hook(lambda gradient: gradient * share)
    return {"loss": math.log(samples) - w.logsumexp(0), "elbo": -w.mean(0)}


def log_weights(model: Autoencoder, batch: Batch, samples: int) -> Tensor:
    """(S, B) log p(x, z) − log q(z|x) in nats, for S codes z drawn from q for each image."""
    q = model.encode(batch.x, batch.c)
    prior = _prior(model, batch, q)
    return _log_weights(model, batch, q, prior, q.rsample((samples,)))


def _constant(q: Distribution) -> Distribution:
    """The same factorised distribution, whose parameters let no gradient through."""
    if not isinstance(q, Independent):
        raise TypeError(f"the importance-weighted objective needs a factorised posterior; got {q}")
    base = q.base_dist
    parameters = {name: getattr(base, name).detach() for name in base.arg_constraints}
    constant = type(base)(**parameters, validate_args=False)
    return Independent(constant, q.reinterpreted_batch_ndims, validate_args=False)


def _log_weights(model: Autoencoder, batch: Batch, q: Distribution, prior: Distribution, z: Tensor) -> Tensor:
    """(S, B) log p(x, z) − log q(z|x) of codes z (S, B, K)."""
    samples = len(z)
    c = None if batch.c is None else batch.c.repeat(samples, 1)
    p = model.decode(z.flatten(0, 1), c)
    target = batch.target.expand(samples, *batch.target.shape).flatten(0, 1)
    return p.log_prob(target).view(samples, -1) + prior.log_prob(z) - q.log_prob(z)


def _prior(model: Autoencoder, batch: Batch, q: Distribution) -> Distribution:
    """p(z|c), or the reason why there is no bound."""
    if model.prior is None or isinstance(q, Delta):
        raise TypeError(
            "the ELBO needs a posterior with a density and a prior. For a plain autoencoder use the "
            'objective `reconstruction`; for a VAE build the model with posterior="gaussian"'
        )
    return model.prior(batch.c)


def kl_term(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """(B,) KL(q ‖ p) in nats: in closed form where torch has one, else log q(z) − log p(z) at a sample."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor:
    """(B, K) or (B, K, h, w): KL(q ‖ p) in nats of each dimension of the code, where both factorise.

    Raises:
        TypeError: one of them does not factorise, so no dimension has a KL of its own.
    """
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        raise TypeError(f"KL per dimension needs factorised distributions; got {q} and {p}")
    return kl_divergence(q.base_dist, p.base_dist)


def prediction(net: nn.Module, batch: Batch) -> Terms:
    """A classifier's objective: −log p(y|x), where `net(x)` is a distribution over y.

    A classifier is a network with a head, so `train` trains it too. Attributes that are not known
    (NaN) count nothing.

    Returns:
        {"loss"}, (B,).
    """
    if batch.y is None:
        raise ValueError("a classifier needs labels or attributes: these images have none")
    y = batch.y.float().reshape(len(batch), -1)
    p = net(batch.x)
    each = p.base_dist.log_prob(torch.nan_to_num(y)) if isinstance(p, Independent) else None
    if each is None:
        return {"loss": -p.log_prob(batch.y)}
    return {"loss": -torch.where(y.isnan(), 0.0, each).sum(1)}


def l1(z: Tensor) -> Tensor:
    """(B,) Σ |z| over each code: a penalty for `sparse`."""
    return z.abs().flatten(1).sum(1)


def to_rate(rate: float) -> Penalty:
    """Penalty for `sparse`: Σ over the units of KL(ρ ‖ ρ̂) in nats; ρ̂ is a unit's mean over the batch.

    KL(ρ ‖ ρ̂) = ρ log ρ/ρ̂ + (1 − ρ) log (1 − ρ)/(1 − ρ̂). It says how often a unit is active, not which
    units an image may use. The sum belongs to the batch, so every example is given the same number: their
    mean is the formula. (It is the one term of an example that changes with its neighbours, and the larger
    the batch the better is ρ̂.)

    Args:
        rate: ρ, the activation aimed at, between 0 and 1.

    Returns:
        (B, K) or (B, K, h, w), activations in [0, 1] → (B,).

    Raises:
        ValueError: a rate that is not between 0 and 1; activations that are not (on a CPU; elsewhere the
            check would wait for the device).

    Source: Ng, Sparse autoencoder, CS294A lecture notes, 2011, https://web.stanford.edu/class/cs294a.
    """
    if not 0 < rate < 1:
        raise ValueError(f"a rate of activation is between 0 and 1, as 0.05; got {rate}")

    def penalty(z: Tensor) -> Tensor:
        if z.device.type == "cpu" and not (z.min() >= 0 and z.max() <= 1):
            raise ValueError(
                f"a rate needs activations in [0, 1]; got {z.min().item():.3g} to {z.max().item():.3g}. "
                "Put nn.Sigmoid() before the encoder's head"
            )
        # a unit that is silent for all of a batch must still get a gradient
        mean = 1e-6 + (1 - 2e-6) * z.flatten(1).mean(0)
        kl = rate * (rate / mean).log() + (1 - rate) * ((1 - rate) / (1 - mean)).log()
        return kl.sum().expand(len(z))

    return penalty


def sparse(
    model: Autoencoder, batch: Batch, weight: float = 0.1, penalty: Penalty = l1, error: Error = nll
) -> Terms:
    """The objective of a sparse autoencoder: error + weight · penalty of the code.

    The penalty acts on *activations*, that is on z. (On weights it would be a weight decay, which makes no
    code sparse.) With a ReLU before the encoder's head, L1 gives codes that are zero for the most part.

    Args:
        weight: of the penalty, against nats.
        penalty: z → (B,): `l1`, or `to_rate(0.05)`.
        error: (p, target) → (B,).

    Returns:
        {"loss", "nll", "penalty"}, each (B,), where loss = nll + weight · penalty.
    """
    _, z, p = model(batch.x, batch.c)
    error_, penalty_ = error(p, batch.target), penalty(z)
    return {"loss": error_ + weight * penalty_, "nll": error_, "penalty": penalty_}


def contractive(
    model: Autoencoder, batch: Batch, weight: float = 0.1, error: Error = nll, probes: int | None = None
) -> Terms:
    """The objective of a contractive autoencoder: error + weight · ‖∂z/∂x‖²_F, of the code's mean.

    A code that must change little with x, and still tell images apart, follows the directions in which images
    differ and ignores the others. A code must depend on its own image alone (no batch statistics).

    Args:
        weight: of the penalty, against nats.
        error: (p, target) → (B,).
        probes: as in `squared_jacobian`.

    Returns:
        {"loss", "nll", "penalty"}, each (B,), where loss = nll + weight · penalty.

    Source: Rifai, Vincent, Muller, Glorot, Bengio, 2011, https://icml.cc/2011/papers/455_icmlpaper.pdf.
    """
    learning = torch.is_grad_enabled()
    with torch.enable_grad():  # a Jacobian is asked for in validation too
        x = batch.x.detach().requires_grad_()
        q = model.encode(x, batch.c)
        penalty = squared_jacobian(q.mean, x, probes, create_graph=learning)
    error_ = error(model.decode(q.rsample(), batch.c), batch.target)
    return {"loss": error_ + weight * penalty, "nll": error_, "penalty": penalty}


def squared_jacobian(z: Tensor, x: Tensor, probes: int | None = None, create_graph: bool = True) -> Tensor:
    """(B,) ‖∂z/∂x‖²_F of each example: the squared Frobenius norm of its Jacobian.

    Exactly: Σₖ |∂zₖ/∂x|², one backward pass for each of the K numbers of a code. Estimated: the mean of
    |vᵀ ∂z/∂x|² over random v of signs ±1, which is right in expectation, since E[v vᵀ] = 1.

    Args:
        z: (B, K) or (B, K, h, w), computed from x, each code from its own example alone.
        x: (B, …), which requires a gradient.
        probes: random directions v; 0: exactly; None: exactly up to K = 16, with one direction beyond.
        create_graph: so that the norm itself has a gradient.

    Source: Hutchinson, 1990, https://doi.org/10.1080/03610919008812866 (the estimate).
    """
    flat = z.flatten(1)
    n, k = flat.shape
    if probes is None:
        probes = 0 if k <= EXACT else 1
    if probes:
        rows = torch.randint(0, 2, (probes, n, k), device=z.device).to(z.dtype) * 2 - 1
    else:
        rows = torch.eye(k, device=z.device, dtype=z.dtype)[:, None].expand(k, n, k)
    total = flat.new_zeros(n)
    for v in rows:
        (gradient,) = torch.autograd.grad(flat, x, v, retain_graph=True, create_graph=create_graph)
        total = total + gradient.square().flatten(1).sum(1)
    return total / (probes or 1)


def vector_quantized(model: Autoencoder, batch: Batch, beta: float = 0.25, error: Error = nll) -> Terms:
    """The objective of a VQ-VAE: error + β · commitment, for an encoder that ends in a `VectorQuantizer`.

    Args:
        beta: weight of the commitment, which keeps the encoder near the codebook it is rounded to.
        error: (p, target) → (B,).

    Returns:
        {"loss", "nll", "commitment"}, each (B,).

    Raises:
        TypeError: the code is not quantised.

    Source: van den Oord, Vinyals, Kavukcuoglu, 2017, https://arxiv.org/abs/1711.00937.
    """
    q, _, p = model(batch.x, batch.c)
    if not isinstance(q, Quantized):
        raise TypeError(
            f"the encoder must end in a distributions.VectorQuantizer; its code is a {type(q).__name__}"
        )
    error_ = error(p, batch.target)
    return {"loss": error_ + beta * q.commitment, "nll": error_, "commitment": q.commitment}
