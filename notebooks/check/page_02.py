"""Exercises of page 02. Their references are the course's own versions."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from aelib.contexts import seeded
from aelib.datasets import Batch
from torch import Tensor, nn

from .asking import predicted
from .descending import descend, forgetful
from .judging import compared, exercise, judged, numbers
from .variational import complaint_about, made, sampled

Answers = tuple[Tensor, dict[str, Tensor]]


@judged(
    reference=sampled(),
    mistakes={
        "the standard deviation is the square root of the variance": sampled(scale=1),
        "the argument is the logarithm of the variance": lambda m, v: m + v * torch.randn_like(m),
        "this is the mean itself": sampled(noise=torch.zeros_like),
        "no gradient reaches the mean": sampled(passes=False),
        "ε is to be normally distributed": sampled(noise=torch.rand_like),
        "every number of every code needs an ε of its own": sampled(noise=lambda m: torch.randn(1)),
    },
    by_hand=("aelib", "torch.distributions"),
)
def reparameterised(f: Callable) -> str | None:
    """(mean, log variance), both (B, K) → z (B, K), a sample through which a gradient passes."""
    with seeded(0):
        mean, log_var = (torch.full((20_000, 2), c, requires_grad=True) for c in (1.5, -2.0))
        z = f(mean, log_var)
    if not isinstance(z, Tensor) or z.shape != mean.shape:
        got = tuple(z.shape) if isinstance(z, Tensor) else f"a {type(z).__name__}"
        return f"of means (20000, 2) a tensor (20000, 2) is expected; yours is {got}"
    noise = ((z - mean) / math.exp(-1)).detach()
    if noise.abs().max() < 1e-6:
        return "this is the mean itself: add the standard deviation times ε"
    if noise.std(0).max() < 1e-3 or noise.std(1).max() < 1e-3:
        return "every number of every code needs an ε of its own: draw as many as there are means"
    if abs(noise.std() * math.exp(-1) - math.exp(-2)) < 0.01:
        return "the standard deviation is the square root of the variance: half of the logarithm, then exp"
    if abs(noise.std() * math.exp(-1) - 2) < 0.1:
        return "the argument is the logarithm of the variance: to the standard deviation leads exp"
    if noise.min() > 0:
        return "ε is to be normally distributed, with mean 0: torch.randn, not torch.rand"
    if abs(noise.std() - 1) > 0.05 or noise.mean().abs() > 0.05:
        return f"of N(1.5, {math.exp(-2):.3f}) mean and deviation are {z.mean():.3f} and {z.std():.3f}"
    slopes = torch.autograd.grad(z.sum(), (mean, log_var), allow_unused=True) if z.requires_grad else (None,)
    for k, (name, right) in enumerate({"mean": torch.ones_like(z), "log variance": (z - mean) / 2}.items()):
        if slopes[k] is None or not torch.allclose(slopes[k], right, atol=1e-4):
            return f"no gradient reaches the {name}, or a wrong one: ε alone is random, all else is a formula"
    return None


@exercise([numbers((5, k), (5, k)) for k in (3, 7)], by_hand=("aelib", "torch.distributions"))
def kl(m: Tensor, v: Tensor) -> Answers:
    """(mean, log_var), both (B, K) → (B,), KL(N(mean, var) ‖ N(0, 1)) in nats."""
    each = 0.5 * (m.square() + v.exp() - 1 - v)
    return each.sum(1), {
        "sum over the dimensions of the code, not their mean": each.mean(1),
        "the sign is turned round: a KL is never negative": -each.sum(1),
        "there is a factor ½ in front of all four": 2 * each.sum(1),
        "the argument is the logarithm of the *variance*, not of the standard deviation": (
            0.5 * (m.square() + (2 * v).exp() - 1 - 2 * v).sum(1)
        ),
    }


def _pictures(*shape: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, logits, mean, log_var = numbers(shape, shape, (shape[0], 3), (shape[0], 3))
    return x.sigmoid(), logits, mean, log_var


@exercise([(*_pictures(5, 1, 4, 3), 1.0), (*_pictures(4, 3, 2, 5), 0.3)], by_hand=("aelib",))
def negative_elbo(x: Tensor, logits: Tensor, mean: Tensor, log_var: Tensor, beta: float = 1.0) -> Answers:
    """x and logits (B, C, H, W), mean and log_var (B, K) → (B,), −ELBO, the KL weighed with beta, in nats."""
    each = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
    twice = nn.functional.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction="none")
    right = each.sum(1) + beta * kl
    return right, {
        "you took the mean over the pixels; sum over a picture": each.mean(1) + beta * kl,
        "the ELBO itself has − KL, so −ELBO has + KL": each.sum(1) - beta * kl,
        "this is the ELBO; minus it is what falls in training": -right,
        "one number per picture, (B,), not one for the batch": right.mean(),
        "the KL is missing": each.sum(1),
        "logits are passed through a sigmoid once, not twice": twice.flatten(1).sum(1) + beta * kl,
        "beta weighs the KL": each.sum(1) + kl,
        "beta weighs the KL alone": beta * right,
    }


@judged(
    reference=made(),
    mistakes={
        "is to decode a sample, not the mean": made(still=True),
        "decoder's last layer": made(squash=True),
        "log s² = 2 log s": made(twice=False),
        "the first half of the encoder's numbers is the mean": made(turn=True),
        "encoder's last layer": made(code=[nn.Softplus()]),
        "linear layers are": made(hidden=200),
        "go in as 4x − 2": made(centre=False),
    },
    by_hand=("aelib",),
)
def vae(make: type) -> str | None:
    """A class (shape, latent) → a VAE with a hidden layer of 256 units on either side of its code."""
    return complaint_about(make)


def _loop(
    zero: bool = True, step: bool = True, summed: bool = False, every: bool = True, weighed: bool = True,
    item: bool = True,
) -> Callable:  # fmt: skip
    """A loop with a mistake, or without."""

    def vae_training(vae: nn.Module, batches: Iterable, optimizer: Any, beta: float = 1.0) -> list:
        history = []
        for batch in batches:
            each = negative_elbo.reference(batch.x, *vae(batch.x), beta if weighed else 1.0)
            loss = each.sum() if summed else each.mean()
            descend(loss, optimizer, zero, step)
            history.append(loss.item() if item else loss)
        return history if every else history[-1:]

    return vae_training


@compared(
    [(0, 1.0), (1, 0.2)],
    reference=_loop(),
    mistakes=forgetful(_loop)
    | {
        "the mean over the batch is expected, not the sum": _loop(summed=True),
        "return the losses of all steps, not only the last one's": _loop(every=False),
        "beta weighs the KL: pass it to negative_elbo": _loop(weighed=False),
        "append loss.item(), a number: the tensor `loss` keeps all that it was calculated from": _loop(
            item=False
        ),
    },
    by_hand=("aelib",),
)
def vae_training(loop: Callable, seed: int, beta: float) -> Tensor | None:
    """(vae, batches, optimizer, beta) → the losses, a number for each batch, after a step on each."""
    with seeded(seed):
        model = made()((1, 3, 4), 2)
        batches = [Batch(torch.rand(6, 1, 3, 4)) for _ in range(4)]
        losses = loop(model, batches, torch.optim.SGD(model.parameters(), 0.01), beta)
    if losses is None or losses is ... or not len(losses):
        return None
    curve = torch.tensor([v.item() if isinstance(v, Tensor) else float(v) for v in losses])
    return curve[:, None] if isinstance(losses[0], Tensor) else curve


def _pictured(draw: Callable = torch.randn, squash: bool = True, one: bool = False) -> Callable:
    """Samples of a VAE, or with a mistake."""

    def sample(vae: Any, n: int, latent: int) -> Tensor:
        z = draw(1, latent).expand(n, latent) if one else draw(n, latent)
        logits = vae.decoder(z)
        return logits.sigmoid() if squash else logits

    return sample


class _Linear(nn.Module):
    """A decoder whose codes can be read off its pictures: 8 logits of a code of 4."""

    def forward(self, z: Tensor) -> Tensor:
        """(B, 4) → (B, 1, 2, 4)."""
        return torch.stack([z, 20 * z], 1).unsqueeze(1)


@judged(
    reference=_pictured(),
    mistakes={
        "these are logits": _pictured(squash=False),
        "the codes lie between 0 and 1. N(0, 1)": _pictured(draw=torch.rand),
        "the codes lie between 0 and 1, and these": _pictured(draw=torch.rand, squash=False),
        "all codes are the same": _pictured(one=True),
    },
    kind="debug",
    by_hand=("aelib",),
)
def sample(f: Callable) -> str | None:
    """(vae, n, latent) → (n, C, H, W), pixels from 0 to 1 of codes from N(0, 1)."""
    model = nn.Module()
    model.decoder = _Linear()
    with seeded(0), torch.no_grad():
        x = f(model, 4000, 4)
    if x is None or x is ...:
        return "your function returns nothing so far"
    if not isinstance(x, Tensor) or x.shape != (4000, 1, 2, 4):
        got = tuple(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
        return f"4000 pictures (1, 2, 4) are expected, (4000, 1, 2, 4); yours is {got}"
    outside = bool(x.min() < 0 or x.max() > 1)
    z = x[:, 0, 0] if outside else x[:, 0, 0].logit()
    if z.min() >= 0 and z.max() <= 1:
        more = ", and these are logits: there are two faults" if outside else ""
        return f"the codes lie between 0 and 1{more}. N(0, 1) has both signs: torch.randn"
    if outside:
        return "these are logits, from −∞ to ∞: a sigmoid makes pixels from 0 to 1 of them"
    if z.std(0).max() < 1e-3:
        return "all codes are the same: each picture needs a code of its own"
    if abs(z.mean()) > 0.1 or abs(z.std() - 1) > 0.1:
        return f"the codes have mean {z.mean():.2f} and deviation {z.std():.2f}; N(0, 1) has 0 and 1"
    return None


def _like(
    mean: bool = True, centre: bool = True, root: bool = True, whole: bool = True, turn: bool = False
) -> Callable:
    """Codes with the mean and the covariance of others, or with a mistake."""

    def like(codes: Tensor, epsilon: Tensor) -> Tensor:
        middle = codes.mean(0)
        c = codes - middle if centre else codes
        covariance = c.T @ c / (len(c) - 1)
        covariance = covariance if whole else covariance.diag().diag()
        factor = torch.linalg.cholesky(covariance) if root else covariance
        return (middle if mean else 0) + epsilon @ (factor if turn else factor.T)

    return like


@compared(
    [(*numbers((50, 3), (3, 3)), 1.0), (*numbers((40, 5), (5, 5)), 2.0)],
    reference=_like(),
    mistakes={
        "the mean of the codes is missing": _like(mean=False),
        "subtract the mean before you multiply: a covariance is about the mean": _like(centre=False),
        "ε is multiplied by the covariance; a factor L with L Lᵀ = covariance is needed": _like(root=False),
        "these are the deviations of each number alone: the correlations are missing": _like(whole=False),
        "for rows ε the product is ε Lᵀ, not ε L": _like(turn=True),
    },
    by_hand=("aelib", "torch.distributions"),
)
def like(f: Callable, noise: Tensor, mix: Tensor, shift: float) -> Tensor:
    """(codes (N, K), ε (n, K) from N(0, 1)) → (n, K), codes with the mean and the covariance of the first."""
    codes, k = noise @ mix + shift, mix.shape[0]
    zero, rows = f(codes, torch.zeros(1, k)), f(codes, torch.eye(k))
    root = rows - zero  # whatever the factor is, its square is the covariance
    return torch.cat([zero, root.T @ root])


@predicted(low=1e-4, high=1e4)
def hidden_beta() -> None:
    """With which β does a loss train that is the mean over 784 pixels plus the mean over a code of 20?"""


@exercise([(784,), (12288,)])
def beta_of_mean_squared_error(d: int) -> tuple[float, dict[str, float]]:
    """D pixels → the β that the mean squared error plus the sum of the KL trains."""
    return d / 2, {
        "nearly: −log p of a Gaussian with σ = 1 is *half* the squared error": d,
        "the wrong way up: the small term here is the error, so the KL weighs more": 2 / d,
        "the wrong way round: half, not twice": 2 * d,
    }
