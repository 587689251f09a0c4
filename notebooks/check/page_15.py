"""Exercises of page 15."""

from collections.abc import Callable

import torch
from torch import Tensor

from .asking import predicted
from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=10, low=1, high=1000)
def steps_enough() -> None:
    """How many steps does DDIM need until its samples are about as near to digits as with 100?"""


def _schedule(t: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cos(t * torch.pi / 2), torch.sin(t * torch.pi / 2)


def _at_times(n: int, k: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two tensors (n, k), and n times."""
    a, b = numbers((n, k), (n, k), seed=seed)
    return a, b, torch.linspace(0.1, 0.9, n)


@exercise([_at_times(5, 3, 0), _at_times(7, 2, 1)], by_hand=("diffusing",))
def noising(x: Tensor, e: Tensor, t: Tensor) -> Answers:
    """Codes x and noise e, both (B, K), times t (B,) → z (B, K), the codes with noise."""
    alpha, sigma = (a[:, None] for a in _schedule(t))
    return alpha * x + sigma * e, {
        "the other way round: at t = 0 there is no noise": sigma * x + alpha * e,
        "the angle is π t / 2: at t = 1 the cosine is 0": (
            (torch.pi * t).cos()[:, None] * x + (torch.pi * t).sin()[:, None] * e
        ),
        "this mixes with 1 − t and t, and does not keep the variance": (1 - t)[:, None] * x + t[:, None] * e,
        "noise that is subtracted has the wrong sign": alpha * x - sigma * e,
        "α² + σ² = 1 already: no roots, no squares": alpha**2 * x + sigma**2 * e,
    }


@exercise([_at_times(5, 3, 2), _at_times(7, 2, 3)], by_hand=("diffusing",))
def clean(z: Tensor, v: Tensor, t: Tensor) -> Answers:
    """Noisy codes z and v = α ε − σ x, both (B, K), times t (B,) → x (B, K), the codes without noise."""
    alpha, sigma = (a[:, None] for a in _schedule(t))
    return alpha * z - sigma * v, {
        "this is the noise ε, not the code": sigma * z + alpha * v,
        "a sign is wrong: put z and v in, and see that ε must cancel": alpha * z + sigma * v,
        "α and σ are the wrong way round": sigma * z - alpha * v,
        "v is not the noise: it is α ε − σ x": (z - sigma * v) / alpha,
    }


def _field(z: Tensor, t: Tensor) -> Tensor:
    """Some v that depends on both."""
    return 0.5 * z.flip(1) + 0.3 * t


def _walked(
    v_at: Callable, z: Tensor, times: Tensor, noise: str = "then", end: int | None = None, turn: float = 1.0
) -> Tensor:
    """DDIM, or what a mistake makes of it."""
    for now, then in zip(times[:-1][:end], times[1:][:end], strict=True):
        (alpha, sigma), (alpha_then, sigma_then) = _schedule(now), _schedule(then)
        v = v_at(z, now)
        x, e = alpha * z - turn * sigma * v, sigma * z + alpha * v
        z = {
            "then": alpha_then * x + sigma_then * e, "now": alpha_then * x + sigma * e,
            "same": alpha * x + sigma * e, "none": x, "shrunk": alpha_then * x,
        }[noise]  # fmt: skip
    return z


@exercise(
    [(_field, numbers((4, 3))[0], torch.tensor([0.9, 0.6, 0.3, 0.05])),
     (_field, numbers((6, 2), seed=1)[0], torch.linspace(0.95, 0.1, 9))],
    by_hand=("diffusing",),
)  # fmt: skip
def ddim(v_at: Callable, z: Tensor, times: Tensor) -> Answers:
    """v_at(z, t), noise z (B, K), times that fall (T,) → z (B, K) at the last time."""
    return _walked(v_at, z, times), {
        "the last step is missing: one step from each time to the next": _walked(v_at, z, times, end=-1),
        "no step was made: α and σ must be those of the earlier time": _walked(v_at, z, times, "same"),
        "there is too much noise: the σ of the earlier time": _walked(v_at, z, times, "now"),
        "this jumps to the guess each time: mix it with the noise of the earlier time": (
            _walked(v_at, z, times, "none")
        ),
        "the noise is missing: without it the points are nearer to 0 than they should be at this time": (
            _walked(v_at, z, times, "shrunk")
        ),
        "a sign is wrong in the guess at the code": _walked(v_at, z, times, turn=-1.0),
    }


@exercise([(*numbers((4, 3), (4, 3)), 3.0), (*numbers((5, 2), (5, 2), seed=1), 1.5)], by_hand=("diffusing",))
def guided(free: Tensor, told: Tensor, w: float) -> Answers:
    """v without and with the condition, both (B, K), w → (B, K), v guided: w = 0 is free, w = 1 is told."""
    return free + w * (told - free), {
        "w = 0 is without the condition, w = 1 with it: yours is the other way round": told
        + w * (free - told),
        "w = 1 should be the condition alone: yours counts from there": told + w * (told - free),
        "this is between the two, and guidance goes on beyond": free + (told - free) / w,
        "only the difference is multiplied by w": w * told,
    }
