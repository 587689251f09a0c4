"""Functions of a batch for `Examples.map`: what changes the input is data."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .batch import Batch, Transform
from .examples import Examples


def flipped(batch: Batch) -> Batch:
    """Mirror each picture, and its target with it, left to right with probability ½."""
    _pictures(batch, "flipped")
    heads = torch.rand(len(batch), 1, 1, 1, device=batch.x.device) < 0.5

    def turned(v: Tensor) -> Tensor:
        return torch.where(heads, v.flip(-1), v)

    x = turned(batch.x)
    target = x if batch.target is batch.x else turned(batch.target)
    return replace(batch, x=x, target=target, known=None if batch.known is None else turned(batch.known))


def noisy(scale: float | tuple[float, float], known: bool = False) -> Transform:
    """Add Gaussian noise of standard deviation σ to x; the target stays clean.

    Pictures and volumes are clamped to [0, 1] afterwards; tables and series, whose numbers have no limits,
    are not.

    Args:
        scale: σ of every example, or (low, high): each example's own, uniform in between, each time another.
        known: σ is passed to the model too, as one more column of c (B, 1). Else the model is blind to it.

    ValueError for a σ that is not positive, or a range that is not (low, high).

    >>> noisy((0.05, 0.5), known=True)(Batch(torch.rand(8, 3, 64, 64))).c.shape
    torch.Size([8, 1])
    """
    low, high = _range(scale, "noise of standard deviation")

    def f(batch: Batch) -> Batch:
        x, rest = _parted(batch)
        sigma = _uniform(x, low, high)
        c = batch.c
        if known:
            c = torch.cat([sigma.view(-1, 1)] if c is None else [c, sigma.view(-1, 1)], 1)
        x = x + sigma * torch.randn_like(x)
        return replace(batch, x=torch.cat([x.clamp(0, 1) if x.ndim > 3 else x, *rest], 1), c=c)

    return f


def salt_and_pepper(share: float | tuple[float, float]) -> Transform:
    """Make this share of the pixels of x black or white, as likely as each other; the target stays clean.

    A pixel is hit in all its channels at once, as by a dead cell of a sensor.

    Args:
        share: from 0 to 1, or (low, high): each picture's own, uniform in between, each time another.

    ValueError for a share that is not above 0 and at most 1; no pictures (on the first batch).
    """
    low, high = _range(share, "salt and pepper on a share of", most=1)

    def f(batch: Batch) -> Batch:
        _pictures(batch, "salt_and_pepper")
        x, rest = _parted(batch)
        hit = torch.rand_like(x[:, :1]) < _uniform(x, low, high)
        return replace(batch, x=torch.cat([torch.where(hit, torch.rand_like(x[:, :1]).round(), x), *rest], 1))

    return f


def occluded(share: float | tuple[float, float], fill: float | None = 0.5, known: bool = False) -> Transform:
    """Cover a rectangle of x, at a random place and of random proportions; the target stays whole.

    Args:
        share: of the picture's area that is covered, from 0 to 1, or (low, high): each image's own,
            uniform in between. Sides are whole pixels, at least one, so on small images it is met roughly.
        fill: the grey level of the cover; None: uniform noise.
        known: where the hole is is passed too, as one more channel of x (1 in the hole, 0 elsewhere): the
            encoder then takes C + 1 channels. (A condition c cannot say it: it is one number for all pixels.)

    ValueError for a share that is not above 0 and at most 1, or a fill outside [0, 1]; no pictures (on the
    first batch).

    Source: Zhong et al., Random Erasing Data Augmentation, 2020, https://arxiv.org/abs/1708.04896.
    """
    low, high = _range(share, "covering a share of", most=1)
    _check_fill(fill)

    def f(batch: Batch) -> Batch:
        _pictures(batch, "occluded")
        h, w = batch.x.shape[-2:]
        area = _uniform(batch.x, low, high) * (h * w)
        # proportions from 1 : 2 to 2 : 1 of the picture's own, unless its sides or whole pixels forbid them
        tall = (area / (h * w)).sqrt() * h * 2 ** _uniform(batch.x, -0.5, 0.5)
        tall = tall.minimum(area).maximum((area / w).ceil()).round().clamp(1, h)
        wide = (area / tall).round().clamp(1, w)
        top = (torch.rand_like(tall) * (h - tall + 1)).floor()
        left = (torch.rand_like(wide) * (w - wide + 1)).floor()
        y = torch.arange(h, device=batch.x.device).view(1, 1, h, 1)
        x = torch.arange(w, device=batch.x.device).view(1, 1, 1, w)
        hole = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
        return _covered(batch, hole, fill, known)

    return f


def masked(hole: Tensor, fill: float | None = 0.5) -> Transform:
    """Cover the same places of every example, and show the model which: a scratch, a caption, a lost column.

    x gets one more channel, 1 in the hole and 0 elsewhere, as from `occluded(…, known=True)`: a model
    trained on random rectangles can be tried on a hole of another form. A table gets one more column for
    each of its own.

    Args:
        hole: true where something is missing: (H, W) for pictures, (T,) for series, (D, H, W) for volumes,
            (D,) for tables.
        fill: what stands in the hole, in [0, 1]; None: uniform noise.

    ValueError for no hole in it, a hole of another size than the examples (on the first batch), or a fill
    outside [0, 1].
    """
    if not 1 <= hole.ndim <= 3 or not hole.any():
        raise ValueError(f"a hole is (H, W), (T,) or (D,), at least one true pixel; got {tuple(hole.shape)}")
    _check_fill(fill)

    def f(batch: Batch) -> Batch:
        shape = batch.target.shape[2:] or batch.target.shape[1:]
        if hole.shape != shape:
            raise ValueError(f"the hole is of {tuple(hole.shape)} pixels, the examples of {tuple(shape)}")
        here = hole.to(batch.x.device, torch.bool)
        return _covered(batch, here.expand(len(batch), *[1] * (batch.x.ndim > 2), *shape), fill, True)

    return f


def _covered(batch: Batch, hole: Tensor, fill: float | None, known: bool) -> Batch:
    x, rest = _parted(batch)
    cover = torch.rand_like(x) if fill is None else x.new_tensor(fill)
    where = [hole.to(x.dtype)] if known else []
    return replace(batch, x=torch.cat([torch.where(hole, cover, x), *rest, *where], 1))


def _pictures(batch: Batch, name: str) -> None:
    if batch.x.ndim != 4:
        raise ValueError(f"{name} is for pictures (C, H, W); these examples are {tuple(batch.x.shape[1:])}. "
                         "For other shapes there are noisy and masked")  # fmt: skip


def _parted(batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The example in x, and the channels that say where a hole is: noise is for the example alone."""
    channels = batch.target.shape[1]
    return batch.x[:, :channels], [batch.x[:, channels:]] if batch.x.shape[1] > channels else []


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """(B, 1, …) one number an example; no randomness is used up where there is no choice."""
    each = x.new_full((len(x), *[1] * (x.ndim - 1)), low)
    return each if low == high else low + (high - low) * torch.rand_like(each)


def _range(value: float | tuple[float, float], what: str, most: float = math.inf) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple | list) else (value, value)
    if not 0 < low <= high <= most:
        limit = "positive" if most == math.inf else f"above 0 and at most {most}"
        hint = "changes nothing" if low == high == 0 else "makes no sense"
        raise ValueError(f"{what} {value} {hint}: give a number {limit}, or (low, high) of such")
    return low, high


def _check_fill(fill: float | None) -> None:
    if fill is not None and not 0 <= fill <= 1:
        raise ValueError(f"a cover is a grey level from 0 to 1, or None for noise; got {fill}")


def binarised(batch: Batch) -> Batch:
    """Every pixel becomes 1 with its grey level as probability, else 0, each time again; target = x.

    Dynamic binarisation, for likelihoods of MNIST that compare with published ones.

    Source: Salakhutdinov, Murray, 2008; Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519.
    """
    x = torch.rand_like(batch.x).lt_(batch.x)  # torch.bernoulli takes four times as long on a CPU
    return replace(batch, x=x, target=x)


def conditioned(classes: int | None = None, like: Examples | None = None) -> Transform:
    """Make what is known about each example its condition c (B, K).

    Labels become one-hot vectors. Attributes: 1 (present) stays 1, 0 or −1 (absent) becomes −1, and what is
    not known 0. With `like`, numbers become (y − mean) / standard deviation, unless the largest |y| is
    between ½ and 1: then they stay as they are.

    Args:
        classes: size of the one-hot vectors; None: attributes.
        like: the training examples, which say for all parts what each attribute holds.

    ValueError if there are no labels or attributes, or some are neither −1, 0 nor 1 and there is no `like`.
    """
    if like is not None:
        if like.attributes is None or classes is not None:
            raise ValueError("like= is for attributes: training examples that have them, and no classes")
        y = like.attributes.replace([np.inf, -np.inf], np.nan)
        yes_no, stays = y.isin([0, 1, np.nan]).all(), y.abs().max().between(0.5, 1)
        centre = y.mean().mask(stays, 0).mask(yes_no, 0.5).to_numpy(np.float32)
        width = y.std(ddof=0).replace(0, 1).mask(stays, 1).mask(yes_no, 0.5).to_numpy(np.float32)

    def f(batch: Batch) -> Batch:
        y = batch.y
        if y is None:
            raise ValueError("these examples have neither labels nor attributes to be a condition")
        if classes is not None and y.ndim != 1:
            raise ValueError("these examples have attributes, not labels: use conditioned() without a number")
        if classes is None and y.ndim != 2:
            raise ValueError("these examples have labels: say how many classes, as conditioned(10)")
        if classes is not None:
            return replace(batch, c=one_hot(y, classes).float())
        if like is not None and y.shape[1] != len(centre):
            raise ValueError(f"{y.shape[1]} attributes, but like= has {len(centre)}: the same, in one order")
        if like is not None:
            y = (y - torch.from_numpy(centre).to(y)) / torch.from_numpy(width).to(y)
        elif not (y.isnan() | (y == 0) | (y.abs() == 1)).all() or ((y < 0).any(0) & (y == 0).any(0)).any():
            raise ValueError("some attributes are neither 0 and 1 nor −1 and 1, but numbers: standardise "
                             "them by the training examples, as "
                             "data.map(conditioned(like=split.train))")  # fmt: skip
        else:
            y = torch.where(y == 0, -1, y)
        return replace(batch, c=torch.nan_to_num(y, 0, 0, 0))

    f.columns = [] if like is None else [*like.attributes]  # type: ignore  # which Examples compares
    return f
