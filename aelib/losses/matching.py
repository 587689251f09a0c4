"""Objectives that bring codes and prior together: the prior follows the codes, or the codes the prior."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..contexts import evaluating
from ..datasets import Batch
from ..models import Autoencoder
from .bounds import Error, Terms, error_term, nll


def prior_likelihood(model: Autoencoder, batch: Batch) -> Terms:
    """The prior's own objective: −log p(z) of codes z drawn from q(z|x), in nats, where only p learns.

    It fits the prior to what the encoder makes of the data, after the model is trained:
    `fit(model, data, losses.prior_likelihood, adam(model.prior))`. The encoder is in evaluation mode, and no
    gradient reaches it. For a VQ-VAE's prior it is the second half of the training.

    Returns {"loss"}, (B,).
    Raises TypeError: the model has no prior.
    """
    with torch.no_grad(), evaluating(model.encoder):
        z = model.encode(batch.x, batch.c).sample()
    if model.prior is None:
        raise TypeError("there is no prior to fit: set model.prior, for example to a flow, before training")
    return {"loss": -model.prior(batch.c).log_prob(z)}


def inverse_multiquadric(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) Σ over s of C / (C + |aᵢ − bⱼ|²), C = 2 K s, of codes a (N, K) and b (M, K): a kernel for `mmd`.

    2 K is the mean of |a − b|² for draws from N(0, 1), and s runs from 0.1 to 10, for near and far codes.
    Its tails are heavy: a code that is far away still has a gradient.

    Source: Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558, section 4, and its code (the scales).
    """
    squares = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    scales = (2 * a.shape[1] * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))
    return torch.stack([scale / (scale + squares) for scale in scales]).sum(0)


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """() squared maximum mean discrepancy of two sets (N, K) and (M, K), unbiased, so it may be below 0.

    MMD² = E k(a, a′) + E k(b, b′) − 2 E k(a, b), over pairs of different members; k is
    `inverse_multiquadric`. It is 0 on average if both sets are drawn from one distribution, else above.

    Raises ValueError: fewer than two members in a set, or sizes K that differ.

    Source: Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html, lemma 6.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"MMD compares sets (N, K) and (M, K), of two at least; got {a.shape} and {b.shape}")

    def among(z: Tensor) -> Tensor:
        k, n = inverse_multiquadric(z, z), len(z)
        return (k.sum() - k.diagonal().sum()) / (n * (n - 1))

    return among(a) + among(b) - 2 * inverse_multiquadric(a, b).mean()


def wae(model: Autoencoder, batch: Batch, weight: float = 1000.0, error: Error = nll) -> Terms:
    """The objective of a Wasserstein autoencoder: error + weight · MMD² between codes and prior.

    A VAE's KL pulls the code of *each* picture to the whole prior, so that codes of different pictures
    overlap. Here only *all codes together* are to look like the prior: a point for each picture will do
    (`posterior="deterministic"`, with a prior). The MMD belongs to the batch, so every example gets the
    same number: their mean is the formula. The larger the batch, the less noise is in it.

    Args:
        weight: of the MMD², against nats.

    Returns {"loss", "nll", "mmd"}, each (B,), where loss = nll + weight · mmd.
    Raises TypeError: the model has no prior.

    Source: Tolstikhin, Bousquet, Gelly, Schölkopf, 2018, https://arxiv.org/abs/1711.01558.
    """
    _, z, p = model(batch.x, batch.c)
    error_, sampled = error_term(error, p, batch), from_prior(model, batch)
    mmd_ = (mmd(z.flatten(1), sampled.flatten(1)) if len(z) > 1 else z.new_zeros(())).expand(len(z))
    return {"loss": error_ + weight * mmd_, "nll": error_, "mmd": mmd_}


def adversarial(
    model: Autoencoder, batch: Batch, critic: nn.Module, weight: float = 10.0, error: Error = nll
) -> Terms:
    """The objectives of an adversarial autoencoder: a critic tells codes from draws from the prior.

    The critic learns to say "code": discriminator = −log σ(d(z)) − log (1 − σ(d(z′))), z a code, z′ ~ p(z).
    The encoder learns not to be found out: loss = error + weight · fooled, fooled = −log (1 − σ(d(z))). The
    best critic is d(z) = log q(z) / p(z), q(z) being the distribution of all codes.

    Two losses need two optimizers, and `train` gives each its own gradient alone:
    `{"loss": adam(model), "discriminator": adam(critic)}`.

    Args:
        critic: (B, K) → (B, 1), logits, on the model's device. It belongs to the objective, not to the
            model: `partial(losses.adversarial, critic=critic)`.
        weight: of the encoder's part in the game, against nats.

    Returns {"loss", "nll", "fooled", "discriminator"}, each (B,).
    Raises TypeError: the model has no prior.

    Source: Makhzani, Shlens, Jaitly, Goodfellow, Frey, 2016, https://arxiv.org/abs/1511.05644.
    """
    _, z, p = model(batch.x, batch.c)
    error_, judged = error_term(error, p, batch), (z, z.detach(), from_prior(model, batch))
    code, fixed, sampled = (critic(v.flatten(1)).flatten() for v in judged)
    fooled, discriminator = softplus(code), softplus(-fixed) + softplus(sampled)
    return {"loss": error_ + weight * fooled, "nll": error_, "fooled": fooled, "discriminator": discriminator}


@torch.no_grad()
def from_prior(model: Autoencoder, batch: Batch) -> Tensor:
    """(B, K) or (B, K, h, w) as many codes as the batch has images, drawn from p(z|c)."""
    if model.prior is None:
        raise TypeError("the codes are to match a prior, and this model has none; set model.prior = "
                        "priors.StandardNormal(size)")  # fmt: skip
    p = model.prior(batch.c)
    return p.sample() if p.batch_shape else p.sample((len(batch),))
