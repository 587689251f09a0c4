"""Objectives that bound or equal a likelihood: reconstruction, ELBO, importance-weighted, prediction."""

import copy
import inspect
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, kl_divergence
from torch.nn.functional import normalize

from ..datasets import Batch
from ..distributions import LOG_SCALE, Delta, OptimalNormal, Quantized, per_example
from ..models import Autoencoder

Terms = dict[str, Tensor]
Objective = Callable[..., Terms]
Error = Callable[..., Tensor]  # (p, target) → (B,); with a third parameter `known` it can leave numbers out


def nll(p: Distribution, target: Tensor, known: Tensor | None = None) -> Tensor:
    """(B,) the negative log-likelihood −log p(target), in nats.

    Args:
        known: (B, …) bool: of these variables alone; the others are integrated out, whatever `target` holds
            there, NaN too. Given the code, p must be a density of each variable by itself.

    Raises TypeError: some variables are not known, and p is no such density.
    """
    if known is None:
        return -p.log_prob(target)
    target = torch.where(known, target, 0.0)
    if isinstance(p, OptimalNormal):
        return -p.log_prob(target, known)
    each = p.base_dist.log_prob(target) if isinstance(p, Independent) else None
    if each is None or each.shape != target.shape:
        raise TypeError(f"missing values need a likelihood of each variable by itself; got {p}")
    return -torch.where(known, each, 0.0).flatten(1).sum(1)


def profile_nll(p: Distribution, target: Tensor, known: Tensor | None = None) -> Tensor:
    """(B,) −log p(target), in nats, of a normal whose σ is multiplied so that the batch is likeliest.

    A learnt σ is that of the training examples. Where they are few it is too small for others, whose `nll`
    then says more of σ than of their reconstructions. This one does not depend on it (profile likelihood).
    """
    e = (target - p.mean) / p.stddev
    squares = e.square() if known is None else e.square()[known]
    scale = p.stddev * squares.mean().sqrt().clamp_min(math.exp(LOG_SCALE[0]))
    return nll(per_example(Normal(p.mean, scale, validate_args=False)), target, known)


def squared_error(p: Distribution, target: Tensor, known: Tensor | None = None) -> Tensor:
    """(B,) Σ (mean − target)² over each example; over its `known` variables, if given."""
    x_hat = p.mean
    if known is not None:
        x_hat, target = torch.where(known, x_hat, 0.0), torch.where(known, target, 0.0)
    return (x_hat - target).square().flatten(1).sum(1)


def perceptual(*stages: nn.Module) -> Error:
    """An `error=` for objectives: how far the mean of p and the target lie apart for a network's features.

    The stages run one after the other, and the output of each is compared. At every place the features are
    divided by their length, φ̂ = φ / |φ|, so no layer outweighs another by its scale:

        error = n · mean over stages and places of |φ̂(x̂) − φ̂(x)|² / 4,    n = C·H·W,

    from 0 (the same features everywhere) to n (opposite ones), a sum over an example like every other error
    (see `metrics.ssim_error`). What the features do not show has no effect on it: add `nll`, as in
    `lambda p, x: losses.nll(p, x) + judge(p, x)`.

    The stages are copied, and the copies frozen, in evaluation mode: they judge and are not trained.

    Args:
        stages: (B, C, H, W) → (B, D, h, w) or (B, D); each takes what the one before it made. For
            `judges.classifier` of the pages they are the parts of `judge[0]`; any network in stages will do.

    Returns (p, target) → (B,).
    Raises ValueError: there are no stages.

    Source: Dosovitskiy, Brox, 2016, https://arxiv.org/abs/1602.02644; for VAEs: Hou, Shen, Sun, Qiu, 2017,
    https://arxiv.org/abs/1610.00291; features of unit length: Zhang et al., 2018,
    https://arxiv.org/abs/1801.03924.

    >>> error = perceptual(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2)))
    >>> p = torch.distributions.Normal(torch.rand(5, 3, 16, 16), 1.0)
    >>> error(p, torch.rand(5, 3, 16, 16)).shape
    torch.Size([5])
    """
    if not stages:
        raise ValueError("a perceptual error needs a network to compare by: perceptual(stage, …)")
    net = copy.deepcopy(nn.ModuleList(stages)).eval().requires_grad_(False)

    def error(p: Distribution, target: Tensor) -> Tensor:
        net.to(target.device)
        a, b, total = p.mean, target, target.new_zeros(len(target))
        for stage in net:
            a, b = stage(a), stage(b)
            # features that are all zero at a place stay zero
            u, v = (normalize(f.reshape(*f.shape[:2], -1), eps=1e-6) for f in (a, b))
            total = total + (u - v).square().sum(1).mean(1)
        return target[0].numel() * total / (4 * len(net))

    return error


def error_term(error: Error, p: Distribution | Tensor, batch: Batch) -> Tensor:
    """(B,) error(p, target), which leaves out what is not known of the target (`Batch.known`).

    An error is of a distribution; a metric, of a reconstruction x̂.

    Raises TypeError: some of it is not known, and this error has no parameter `known`.
    """
    if batch.known is None:
        return error(p, batch.target)
    if "known" not in inspect.signature(error).parameters:
        name = getattr(error, "__name__", error)
        raise TypeError(f"{name} compares whole examples, and these have missing values. losses.nll and "
                        "losses.squared_error leave them out, and so do the metrics mse, psnr and pearson, "
                        "as may any function with a third parameter `known`")  # fmt: skip
    return error(p, batch.target, known=batch.known)


def reconstruction(model: Autoencoder, batch: Batch, error: Error = nll) -> Terms:
    """A plain autoencoder's objective: {"loss"}, (B,), the error of the reconstruction."""
    return {"loss": error_term(error, model(batch.x, batch.c).p, batch)}


def elbo(
    model: Autoencoder, batch: Batch, beta: float = 1.0, error: Error = nll, free_bits: float = 0.0
) -> Terms:
    """The negative evidence lower bound: −log p(x) ≤ E_q[−log p(x|z)] + KL(q(z|x) ‖ p(z)).

    Args:
        beta: weight of the KL term; 1 is the bound.
        free_bits: nats each dimension of the code may carry at no cost: in the loss, the KL of a
            dimension counts as at least this much. The term "kl" stays the true one.

    Returns {"loss", "nll", "kl"}, each (B,), where loss = nll + beta · kl.

    For a VQ-VAE with a prior over its codes (`priors.Autoregressive`) q is one code with probability 1, so
    the KL is −log P(z), and the bound as true as a VAE's.

    TypeError if the posterior is a point, whose KL is infinite, or there is no prior; ValueError if the prior
    is of codes of another shape.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114; β: Higgins et al., 2017; free bits:
    Kingma et al., 2016, https://arxiv.org/abs/1606.04934.
    """
    q, z, p = model(batch.x, batch.c)
    prior = _prior(model, batch, q)
    error_, kl = error_term(error, p, batch), kl_term(q, prior, z)
    paid = kl_per_dimension(q, prior).clamp_min(free_bits).flatten(1).sum(1) if free_bits else kl
    return {"loss": error_ + beta * paid, "nll": error_, "kl": kl}


def iwae(model: Autoencoder, batch: Batch, samples: int = 5) -> Terms:
    """The negative importance-weighted bound: −log p(x) ≤ −E[log 1/S Σ wₛ], wₛ = p(x, zₛ) / q(zₛ|x).

    One sample is the ELBO; more samples come nearer to log p(x). The gradient is the doubly reparameterised
    one: unbiased as the plain one, with less noise for the encoder, and none where q is the true posterior.

    Args:
        samples: S, codes drawn for each image; time and memory grow with it.

    Returns {"loss", "elbo"}, each (B,): "elbo" is the negative ELBO, averaged over the same samples.
    Raises TypeError: the posterior is a point, or there is no prior.

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519; the gradient: Tucker et
    al., 2019, https://arxiv.org/abs/1810.04152.
    """
    q, z, joint = _joint(model, batch, samples)
    w = joint - _constant(q).log_prob(z)
    share = w.detach().softmax(0)  # (S, B)
    if z.requires_grad:  # decoder and prior weigh sample s by its share, the encoder by the share squared
        share = share.view(*share.shape, *[1] * (z.ndim - 2))  # a hook that knew z would keep it for ever
        z.register_hook(lambda gradient: gradient * share)
    return {"loss": math.log(samples) - w.logsumexp(0), "elbo": -w.mean(0)}


def log_weights(model: Autoencoder, batch: Batch, samples: int) -> Tensor:
    """(S, B) log p(x, z) − log q(z|x) in nats, for S codes z drawn from q for each image."""
    q, z, joint = _joint(model, batch, samples)
    return joint - q.log_prob(z)


def _constant(q: Distribution) -> Distribution:
    """The same factorised distribution, whose parameters let no gradient through."""
    if not isinstance(q, Independent):
        raise TypeError(f"the importance-weighted objective needs a factorised posterior; got {q}")
    base = q.base_dist
    parameters = {name: getattr(base, name).detach() for name in base.arg_constraints}
    constant = type(base)(**parameters, validate_args=False)
    return Independent(constant, q.reinterpreted_batch_ndims, validate_args=False)


def _joint(model: Autoencoder, batch: Batch, samples: int) -> tuple[Distribution, Tensor, Tensor]:
    """q(z|x), S codes z of each image drawn from it (S, B, K), and their log p(x, z), (S, B)."""
    q = model.encode(batch.x, batch.c)
    prior = _prior(model, batch, q)
    z = q.rsample((samples,))
    c, target, known = (
        v if v is None else v.expand(samples, *v.shape).flatten(0, 1)
        for v in (batch.c, batch.target, batch.known)
    )
    p = model.decode(z.flatten(0, 1), c, model.sized(batch.x))
    log_p = -nll(p, cast(Tensor, target), known).view(samples, -1)
    return q, z, log_p + prior.log_prob(z)


def _prior(model: Autoencoder, batch: Batch, q: Distribution) -> Distribution:
    """p(z|c), or the reason why there is no bound."""
    if model.prior is None or (isinstance(q, Delta) and not isinstance(q, Quantized)):
        raise TypeError("the ELBO needs a posterior with a density and a prior. For a plain autoencoder take "
                        '`reconstruction`; for a VAE build the model with posterior="gaussian"')  # fmt: skip
    p = model.prior(batch.c)
    if isinstance(q, Quantized) and not p.support.is_discrete:  # a probability over a density is no ratio
        raise TypeError("codes from a codebook need a prior of probabilities, as priors.Autoregressive; this "
                        f"one has a density: {p}")  # fmt: skip
    if p.event_shape != q.event_shape:
        raise ValueError(f"the prior is of codes {tuple(p.event_shape)}, and these are "
                         f"{tuple(q.event_shape)}: give the model one of this shape, as model.prior = "
                         "priors.StandardNormal(8, 4, 4)")  # fmt: skip
    return p


def kl_term(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """(B,) KL(q ‖ p) in nats: in closed form where torch has one, else log q(z) − log p(z) at a sample."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor:
    """(B, K) or (B, K, h, w): KL(q ‖ p) in nats of each dimension of the code, where both factorise.

    Raises TypeError: one of them does not factorise, so no dimension has a KL of its own.
    """
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        raise TypeError(f"KL per dimension needs factorised distributions; got {q} and {p}")
    return kl_divergence(q.base_dist, p.base_dist)


def prediction(net: nn.Module, batch: Batch) -> Terms:
    """A classifier's objective: −log p(y|x), where `net(x)` is a distribution over y.

    A classifier is a network with a head, so `train` trains it too. Attributes that are not known
    (NaN) count nothing. Returns {"loss"}, (B,).
    """
    if batch.y is None:
        raise ValueError("a classifier needs labels or attributes: these images have none")
    p = net(batch.x)
    if not isinstance(p, Distribution):
        raise TypeError("a classifier ends in a head, as heads.Bernoulli() or heads.Categorical()")
    if not isinstance(p, Independent):
        return {"loss": -p.log_prob(batch.y)}
    y = batch.y.float().reshape(len(batch), -1)
    return {"loss": nll(p, y, known=~y.isnan())}
