"""Exercises of page 05."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from aelib.contexts import seeded
from aelib.datasets import Batch

from .asking import predicted
from .descending import descend, forgetful
from .judging import compared, exercise, judged, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=2, low=0, high=100)
def decibels() -> None:
    """How many dB is the PSNR of clothes with noise of σ = 0.1?"""


def _gaussian(batch: Batch, sigma: float) -> Batch:
    x = batch.x + sigma * torch.randn_like(batch.x)
    return Batch(x.clamp(0, 1), batch.target, batch.c, batch.y)


def _both(batch: Batch, sigma: float) -> Batch:
    return Batch(_gaussian(batch, sigma).x)


@judged(
    reference=_gaussian,
    mistakes={
        "the target is noisy too": _both,
        "x is what it was": lambda batch, sigma: _gaussian(batch, 0 * sigma),
        "cut x to [0, 1]": lambda b, sigma: Batch(b.x + sigma * torch.randn_like(b.x), b.target, b.c, b.y),
        "a batch is expected": lambda batch, sigma: _gaussian(batch, sigma).x,
        "from N(0, 1), as torch.randn_like gives it": lambda b, sigma: Batch(
            (b.x + sigma * torch.rand_like(b.x)).clamp(0, 1), b.target, b.c, b.y
        ),
        "multiply the noise by σ, its standard deviation": lambda b, sigma: _gaussian(b, sigma**2),
        "all pictures get the same noise": lambda b, sigma: Batch(
            (b.x + sigma * torch.randn_like(b.x[:1])).clamp(0, 1), b.target, b.c, b.y
        ),
        "its labels": lambda batch, sigma: Batch(_gaussian(batch, sigma).x, batch.target),
    },
    by_hand=("aelib.datasets.noisy", "aelib.datasets.transforms"),
)
def gaussian(f: Callable) -> str | None:
    """A batch, σ → the same batch with noise on x, cut to [0, 1]."""
    sigma, before = 0.1, torch.full((50, 3, 8, 8), 0.5)
    before[:, :, :4] = 0.02
    batch = Batch(before.clone(), y=torch.arange(50))
    with seeded(0):
        out = f(batch, sigma)
    if out is None:
        return "your function returns nothing so far"
    if not isinstance(out, Batch):
        return f"a batch is expected, made by replace; yours is a {type(out).__name__}"
    if not torch.equal(out.target, before):
        return "the target is noisy too: what the reconstruction is compared with stays clean"
    if torch.equal(out.x, before):
        return "x is what it was: no noise is on it"
    if out.x.min() < 0 or out.x.max() > 1:
        return "cut x to [0, 1] once the noise is on it"
    if out.y is None or not torch.equal(out.y, batch.y):
        return "the batch lost its labels: replace(batch, x=…) keeps all that is not named"
    noise = (out.x - before)[:, :, 4:]
    if (noise - noise[:1]).abs().max() == 0:
        return "all pictures get the same noise: it is of the shape of the batch"
    if noise.mean().abs() > sigma / 5:
        return "the noise has a mean; it is from N(0, 1), as torch.randn_like gives it"
    if not 0.9 < noise.std() / sigma < 1.1:
        return (
            f"for σ = {sigma} your noise has the standard deviation {noise.std():.3g}: "
            "multiply the noise by σ, its standard deviation"
        )
    return None


def _specks(x: Tensor, share: float, channels: int = 1, black: float = 0.5, pictures: int = 0) -> Tensor:
    hit, colour = torch.rand(2, pictures or len(x), channels, *x.shape[2:])
    return torch.where(hit < share, (colour > black).to(x.dtype), x)


def _in_place(x: Tensor, share: float) -> Tensor:
    hit = (torch.rand(len(x), 1, *x.shape[2:]) < share).expand_as(x)
    x[hit] = torch.rand_like(x[:, :1]).round().expand_as(x)[hit]
    return x


@judged(
    reference=_specks,
    mistakes={
        "the pictures that came in are changed": _in_place,
        "in all its channels at once": lambda x, share: _specks(x, share, channels=3),
        "all specks are white": lambda x, share: _specks(x, share, black=0),
        "all specks are black": lambda x, share: _specks(x, share, black=1),
        "of the pixels are hit": lambda x, share: _specks(x, 1 - share),
        "black or white, 0 or 1": lambda x, share: torch.where(
            torch.rand(len(x), 1, *x.shape[2:]) < share, torch.rand(len(x), 1, *x.shape[2:]), x
        ),
        "in every picture": lambda x, share: _specks(x, share, pictures=1),
    },
    kind="debug",
    by_hand=("aelib",),
)
def speckled(f: Callable) -> str | None:
    """Pictures x (B, C, H, W), a share → the same, where this share of the pixels is black or white."""
    share = 0.2
    with seeded(0):
        before = 0.2 + 0.6 * torch.rand(20, 3, 16, 16)
        x = before.clone()
        out = f(x, share)
    if not isinstance(out, Tensor):
        return "your function returns nothing so far" if out is None else "a tensor is expected"
    if not torch.equal(x, before):
        return "the pictures that came in are changed: make new ones, torch.where(…) does"
    if out.shape != x.shape:
        return f"the shape is {tuple(out.shape)}, expected {tuple(x.shape)}"
    changed = out != before
    if not torch.equal(changed.any(1), changed.all(1)):
        return "a pixel is hit in all its channels at once: one random number per pixel"
    if abs(changed.float().mean() - share) > 0.03:
        return f"for a share of {share} {changed.float().mean():.0%} of the pixels are hit"
    if not ((out == 0) | (out == 1))[changed].all():
        return "a speck is black or white, 0 or 1"
    if not torch.equal(out.amin(1)[changed.any(1)], out.amax(1)[changed.any(1)]):
        return "a speck is black or white in all its channels at once, not coloured"
    if (changed == changed[:1]).all():
        return "the same pixels are hit in every picture: the random numbers are of the batch"
    white = out[changed].mean()
    if not 0.4 < white < 0.6:
        share_of = {0: "all specks are black", 1: "all specks are white"}
        return share_of.get(white.item(), f"{white:.0%} of the specks are white") + "; half are expected"
    return None


def _step(
    seen: str = "corrupted", target: str = "clean", zero: bool = True, step: bool = True, mean: bool = False,
    summed: bool = False,
) -> Callable:  # fmt: skip
    """The step with a mistake, or without."""

    def f(
        model: nn.Module, clean: Tensor, corrupt: Callable, optimizer: torch.optim.Optimizer
    ) -> float | Tensor:
        x = {"clean": clean, "corrupted": corrupt(clean)}
        error = (model(x[seen]) - x[target]).square().flatten(1)
        each = error.mean(1) if mean else error.sum(1)
        loss = each.sum() if summed else each.mean()
        descend(loss, optimizer, zero, step)
        return loss.item()

    return f


@compared(
    [(3, 0), (2, 1)],
    reference=_step(),
    mistakes={
        "compare with the clean pictures; with the corrupted ones it learns to keep the damage": (
            _step(target="corrupted")
        ),
        "the network sees the clean pictures: corrupt(clean) goes in": _step(seen="clean"),
        "you took the mean over the pixels; here, sum over a picture, mean over the batch": _step(mean=True),
        "you summed over the batch too: sum over a picture, mean over the batch": _step(summed=True),
    }
    | forgetful(_step),
    by_hand=("aelib",),
)
def denoising_step(f: Callable, channels: int, seed: int) -> Any:
    """(model, clean pictures, x → corrupted x, optimizer) → the loss, a number, after one step."""
    with seeded(seed):
        pixels = channels * 12
        model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, pixels), nn.Unflatten(1, (channels, 3, 4)))
        clean, damage = torch.rand(2, 6, channels, 3, 4)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        losses = [f(model, clean.clone(), lambda x: (x + damage) / 2, optimizer) for _ in range(4)]
        if any(v is None or v is ... for v in losses):
            return None
        return torch.stack([torch.as_tensor(v).detach().float() for v in losses])


@exercise(
    [
        (v.sigmoid(), (v + 0.3 * w).sigmoid())
        for s in ((4, 3, 5, 6), (3, 1, 7, 2))
        for v, w in [numbers(s, s)]
    ],
    by_hand=("aelib", "skimage"),
)
def psnr(x: Tensor, clean: Tensor) -> Answers:
    """Pictures x and the clean ones, both (B, C, H, W) → (B,), the PSNR in dB."""
    error = (x - clean).square().flatten(1)
    each = error.mean(1)
    right = -10 * each.log10()
    return right, {
        "one number per picture: the mean is over its pixels, not over the batch": -10 * error.mean().log10(),
        "the sign is turned round: a small error is many dB": -right,
        "the logarithm is to the base of 10": -10 * each.log(),
        "it is the mean squared error, not its root: 10 log₁₀, not 20 or 5": 2 * right,
        "pixels are in [0, 1]; 255 is the largest of bytes": right + 20 * math.log10(255),
        "the mean over the pixels, not the sum": -10 * error.sum(1).log10(),
        "first the mean of the squares, then the logarithm": -10 * error.log10().mean(1),
    }


@exercise([(*numbers((5, d), (5, d)), s) for d, s in ((2, 0.5), (7, 2))], by_hand=("aelib", "restoring"))
def score(x: Tensor, r: Tensor, s: float) -> Answers:
    """noisy x and its denoised r, both (B, D), σ → (B, D), (r − x) / σ²."""
    return (r - x) / s**2, {
        "the sign is turned round: the score points from the noisy point to the data": (x - r) / s**2,
        "divide by the variance σ², not by σ": (r - x) / s,
        "right direction, but its length is missing: divide by σ²": r - x,
        "divide by σ², do not multiply": (r - x) * s**2,
    }


def _langevin(up: float = 1.0, power: float = 0.5, twice: float = 2.0, rows: int = 0) -> Callable:
    def f(x: Tensor, score_at: Callable, tau: float) -> Tensor:
        noise = torch.randn_like(x[:rows] if rows else x)
        return x + up * tau * score_at(x) + twice**0.5 * tau**power * noise

    return f


@judged(
    reference=_langevin(),
    mistakes={
        "downhill": _langevin(up=-1),
        "there is no noise": _langevin(twice=0),
        "all points get the same noise": _langevin(rows=1),
        "the 2 under the root is missing": _langevin(twice=1),
        "the root is missing": _langevin(power=1, twice=4),
        "the noise alone": _langevin(up=0),
        "multiply the score by τ": lambda x, score_at, tau: _langevin()(x, score_at, tau) + 0.9 * score_at(x),
    },
)
def langevin(f: Callable) -> str | None:
    """Points x (B, D), x → their score (B, D), a step τ → (B, D), after one step of Langevin's dynamics."""
    tau, slope, n = 0.1, torch.tensor([3.0, -4.0]), 20000
    with seeded(0):
        x = torch.tensor([1.0, -2.0]).repeat(n, 1)
        out = f(x.clone(), lambda x: slope.expand_as(x), tau)
    if not isinstance(out, Tensor):
        return "your function returns nothing so far" if out is None else "a tensor is expected"
    if out.shape != x.shape:
        return f"the shape is {tuple(out.shape)}, expected {tuple(x.shape)}"
    moved, spread = (out - x).mean(0), (out - x).std(0).mean().item()
    if spread < 1e-3:
        if (moved - tau * slope).abs().max() < 1e-3:
            return "there is no noise: all points would end on the nearest top"
        if (moved + tau * slope).abs().max() >= 1e-3:
            return "all points get the same noise: it is of the shape of x"
    along = ((moved @ slope) / (slope @ slope)).item()  # how much of the score is in the move
    if along < -0.02:
        return "this goes downhill: the score points to where the data are, so add it"
    if abs(along) < 0.02:
        return "this is the noise alone: it does not follow the score"
    if abs(along - tau) > 0.02:
        return f"the points move by {along:.2f} times the score for τ = {tau}: multiply the score by τ"
    for wrong, hint in {tau**0.5: "the 2 under the root is missing", 2 * tau: "the root is missing"}.items():
        if abs(spread - wrong) < 0.01:
            return f"the noise is {spread:.2f} wide, √(2τ) is {math.sqrt(2 * tau):.2f}: {hint}"
    if abs(spread - math.sqrt(2 * tau)) > 0.02:
        return f"the noise is {spread:.2f} wide; √(2τ) is {math.sqrt(2 * tau):.2f}"
    return None
