"""Objectives that ask something of the code beside the error: sparse, contractive, quantised, hiding."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from ..datasets import Batch
from ..distributions import Quantized
from ..models import Autoencoder
from .bounds import Error, Objective, Terms, elbo, error_term, nll, prediction

Penalty = Callable[[Tensor], Tensor]
EXACT = 16  # up to so many numbers in a code, its Jacobian is computed row by row


def l1(z: Tensor) -> Tensor:
    """(B,) Σ |z| over each code: a penalty for `sparse`."""
    return z.abs().flatten(1).sum(1)


def to_rate(rate: float) -> Penalty:
    """Penalty for `sparse`: Σ over the units of KL(ρ ‖ ρ̂) in nats; ρ̂ is a unit's mean over the batch.

    KL(ρ ‖ ρ̂) = ρ log ρ/ρ̂ + (1 − ρ) log (1 − ρ)/(1 − ρ̂). It says how often a unit is active, not which
    units an image may use. The sum belongs to the batch, so every example gets the same number: their mean is
    the formula, and the larger the batch the better is ρ̂.

    Args:
        rate: ρ, the activation wanted, between 0 and 1.

    Returns a function: activations in [0, 1], (B, K) or (B, K, h, w), → (B,).

    ValueError for a rate that is not between 0 and 1; activations that are not (on a CPU; elsewhere the check
    would wait for the device).

    Source: Ng, Sparse autoencoder, CS294A lecture notes, 2011, https://web.stanford.edu/class/cs294a.
    """
    if not 0 < rate < 1:
        raise ValueError(f"a rate of activation is between 0 and 1, as 0.05; got {rate}")

    def penalty(z: Tensor) -> Tensor:
        if z.device.type == "cpu" and not (z.min() >= 0 and z.max() <= 1):
            raise ValueError(f"a rate needs activations in [0, 1]; got {z.min().item():.3g} to "
                             f"{z.max().item():.3g}. Put nn.Sigmoid() before the encoder's head")  # fmt: skip
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

    Returns {"loss", "nll", "penalty"}, each (B,), where loss = nll + weight · penalty.
    """
    _, z, p = model(batch.x, batch.c)
    error_, penalty_ = error_term(error, p, batch), penalty(z)
    return {"loss": error_ + weight * penalty_, "nll": error_, "penalty": penalty_}


def contractive(
    model: Autoencoder, batch: Batch, weight: float = 0.1, error: Error = nll, probes: int | None = None
) -> Terms:
    """The objective of a contractive autoencoder: error + weight · ‖∂z/∂x‖²_F, of the code's mean.

    A code that must change little with x, and still tell images apart, follows the directions in which images
    differ and ignores the others. A code must depend on its own image alone (no batch statistics).

    Args:
        weight: of the penalty, against nats.
        probes: as in `squared_jacobian`.

    Returns {"loss", "nll", "penalty"}, each (B,), where loss = nll + weight · penalty.

    Source: Rifai, Vincent, Muller, Glorot, Bengio, 2011, https://icml.cc/2011/papers/455_icmlpaper.pdf.
    """
    learning = torch.is_grad_enabled()
    with torch.enable_grad():  # a Jacobian is asked for in validation too
        x = batch.x.detach().requires_grad_()
        q = model.encode(x, batch.c)
        penalty = squared_jacobian(q.mean, x, probes, create_graph=learning)
    error_ = error_term(error, model.decode(q.rsample(), batch.c, model.sized(x)), batch)
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
    probes = int(k > EXACT) if probes is None else probes
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

    Returns {"loss", "nll", "commitment"}, each (B,).
    Raises TypeError: the code is not quantised.

    Source: van den Oord, Vinyals, Kavukcuoglu, 2017, https://arxiv.org/abs/1711.00937.
    """
    q, _, p = model(batch.x, batch.c)
    if not isinstance(q, Quantized):
        raise TypeError(f"the encoder must end in a heads.VectorQuantizer; its code is a {type(q).__name__}")
    error_ = error_term(error, p, batch)
    return {"loss": error_ + beta * q.commitment, "nll": error_, "commitment": q.commitment}


def hiding(
    model: Autoencoder, batch: Batch, reader: nn.Module, strength: float = 100.0,
    objective: Objective = elbo, **keywords: Any,
) -> Terms:  # fmt: skip
    """Another objective, with a code that hides y: objective + strength · surprise; beside it −log r(y|z).

    A decoder that finds a smile in z has no need of the condition, and does not obey it. Here a reader r
    learns to read the labels or attributes y from the code, and the encoder learns codes of which the reader
    would say the same whoever it is: surprise = −mean log r(y'|z) over the y' of the whole batch, in nats,
    is least where r(y|z) is their share. (A reversed gradient, −strength · read, has no least: a reader that
    is sure and wrong pays most.) What the decoder has to know of y is then in the condition alone, and all
    else about the picture still in z.

    Two losses need two optimizers: `{"loss": adam(model), "read": adam(reader)}`.

    Args:
        reader: (B, K) → distribution over y, on the model's device, as `nn.Sequential(nets.MLP(96, 256, 8),
            heads.Bernoulli())` of 8 attributes, with `heads.Categorical()` of labels. It belongs to the
            objective, not to the model: `partial(losses.hiding, reader=reader)`.
        strength: nats of the objective that one nat of surprise is worth; 0 is the objective.
        objective: any that encodes the batch; it gets the other keywords, as `beta=0.3`.

    Returns its terms and "read", each (B,); the sum over the attributes that are known.
    Raises ValueError: the examples have neither labels nor attributes.

    Source: surprise, as the confusion of domains: Tzeng et al., 2015, https://arxiv.org/abs/1510.02192; the
    reversed gradient: Ganin et al., 2016, https://arxiv.org/abs/1505.07818; of attributes in codes of faces:
    Lample et al., Fader networks, 2017, https://arxiv.org/abs/1706.00409.
    """
    made: list[Distribution] = []
    with model.encoder.register_forward_hook(lambda module, given, q: made.append(q)):  # encodes once
        terms = objective(model, batch, **keywords)
    z = made[0].rsample().flatten(1)
    read = prediction(reader, replace(batch, x=z.detach()))["loss"]
    return terms | {"loss": terms["loss"] + strength * _surprise(reader(z), batch.y), "read": read}


def _surprise(r: Distribution, y: Any) -> Tensor:
    """(B,) −log r(y') of each example, averaged over the y' of all that are known; (B,) labels or (B, K)."""
    if not isinstance(r, Independent):
        return -r.log_prob(y[:, None]).mean(0)
    y = y.float().reshape(len(y), -1)
    known = ~y.isnan()
    each = r.base_dist.log_prob(y.nan_to_num()[:, None]) * known[:, None]  # (B', B, K)
    return -(each.sum(0) / known.sum(0).clamp_min(1)).sum(1)
