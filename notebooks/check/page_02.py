"""Exercises of page 02."""

from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


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


@exercise([(784,), (12288,)])
def beta_of_mean_squared_error(d: int) -> tuple[float, dict[str, float]]:
    """D pixels → the β that the mean squared error plus the sum of the KL trains."""
    return d / 2, {
        "nearly: −log p of a Gaussian with σ = 1 is *half* the squared error": d,
        "the wrong way up: the small term here is the error, so the KL weighs more": 2 / d,
        "the wrong way round: half, not twice": 2 * d,
    }
