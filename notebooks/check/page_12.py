"""Exercises of page 12."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .asking import predicted
from .judging import judged


@predicted(options=("PCA", "from scratch", "as it came", "fine-tuned"))
def best_start() -> None:
    """Which redraws unseen photos best, if there are few to learn from?"""


def _square(x: Tensor, size: int, cut: str = "middle", smooth: bool = True) -> Tensor:
    """The square in the middle, or a mistake: another place, the whole photo, bars beside it, …"""
    height, width = x.shape[1:]
    side = size if cut == "small" else min(height, width)
    top, left = (0, 0) if cut == "corner" else ((height - side) // 2, (width - side) // 2)
    square = x if cut == "none" else x[:, top : top + side, left : left + side]
    if cut == "bars":
        more = max(height, width) - side
        bars = more // 2, more - more // 2
        square = F.pad(x, (*bars, 0, 0) if height > width else (0, 0, *bars))
    return F.interpolate(square[None], (size, size), mode="bilinear", antialias=smooth)[0]


@judged(
    reference=_square,
    mistakes={
        "is stretched": partial(_square, cut="none"),
        "not the middle": partial(_square, cut="corner"),
        "make the largest square small": partial(_square, cut="small"),
        "black bars": partial(_square, cut="bars"),
        "antialias": partial(_square, smooth=False),
        "the shape is": lambda x, size: _square(x, size)[None],
        "are exchanged": lambda x, size: _square(x, size).mT,
    },
)
def middle_square(f: Callable) -> str | None:
    """(a photo (C, H, W), size) → (C, size, size), the largest square in its middle, made small."""
    for height, width in ((160, 232), (231, 160)):
        rows, columns = torch.meshgrid(torch.arange(height) / 1.0, torch.arange(width) / 1.0, indexing="ij")
        noise = torch.rand(height, width, generator=torch.Generator().manual_seed(0))
        got = f(torch.stack([rows, columns, noise]), 16)
        if got is None or got is ...:
            return "your function returns nothing so far"
        if not isinstance(got, Tensor):
            return f"a tensor is expected; yours is a {type(got).__name__}"
        if got.shape != (3, 16, 16):
            return f"the shape is {tuple(got.shape)}, expected (3, 16, 16) for size 16"
        complaint = _cut(got[:, 2:-2, 2:-2].double(), height, width)
        if complaint:
            return f"{complaint} (of a photo {height} × {width})"
    return None


def _cut(inner: Tensor, height: int, width: int) -> str | None:
    """What is wrong with a small picture, without its rim, of row numbers, column numbers and noise."""
    down, across = (inner[0].diff(dim=0).mean().item(), inner[1].diff(dim=1).mean().item())
    if inner[0].diff(dim=1).abs().mean() > 1:
        return "rows and columns are exchanged, or the photo is turned"
    if inner[0].diff(dim=0).std() > 1 or inner[1].diff(dim=1).std() > 1:
        return "the sides have black bars, or pixels that are no part of the photo: cut, do not add"
    if abs(down / across - 1) > 0.05:
        return f"it is stretched: a pixel of yours is {down:.1f} pixels high and {across:.1f} wide"
    if down < 9.5:
        return (
            f"a pixel of yours is {down:.1f} pixels of the photo, expected 10: make the largest square small"
        )
    middle = inner[0].mean().item() - (height - 1) / 2, inner[1].mean().item() - (width - 1) / 2
    if max(map(abs, middle)) > 2:
        return f"not the middle: your square is off by {middle[0]:.0f} rows and {middle[1]:.0f} columns"
    if inner[2].std() > 0.07:
        return "most pixels of the photo are left out, which makes noise of fine lines: antialias=True"
    return None


def _deal(group: Tensor, share: float, seed: int, by: str = "group") -> Tensor:
    """Groups dealt, or something else."""
    g = torch.Generator().manual_seed(0 if by == "one seed" else seed)
    if by == "photo":
        return torch.rand(len(group), generator=g) < share
    names = group.unique()
    order = torch.arange(len(names)) if by == "order" else torch.randperm(len(names), generator=g)
    places = order[: round(share * len(names))]
    test = torch.isin(group, places if by == "places" else names[places])
    return {"training": ~test, "rows": test.nonzero()[:, 0]}.get(by, test)


@judged(
    reference=_deal,
    mistakes={
        "in both parts": partial(_deal, by="photo"),
        "True is for the *test* part": partial(_deal, by="training"),
        "one True or False for each photo": partial(_deal, by="rows"),
        "the same groups for every seed": partial(_deal, by="order"),
        "these are places in the list of groups": partial(_deal, by="places"),
        "nothing is in the test part": lambda group, share, seed: torch.zeros(len(group)) > 0,
    },
    by_hand=("aelib", "sklearn"),
    kind="debug",
)
def deal(f: Callable) -> str | None:
    """(the group of each photo (N,), share, seed) → (N,), True for the test part; no group is in both."""
    sizes = 1 + torch.arange(60) % 5
    group = (7 * torch.arange(60) + 3).repeat_interleave(sizes)[torch.arange(sizes.sum()).flip(0)]
    chosen = []
    for seed in (0, 1, 0):
        test = f(group.clone(), 0.25, seed)
        if test is None or test is ...:
            return "your function returns nothing so far"
        if not isinstance(test, Tensor) or test.shape != group.shape or test.dtype != torch.bool:
            kind = f"{test.dtype} {tuple(test.shape)}" if isinstance(test, Tensor) else type(test).__name__
            return f"one True or False for each photo is expected, ({len(group)},); yours is a {kind}"
        both = set(group[test].tolist()) & set(group[~test].tolist())
        if both:
            return f"{len(both)} of 60 groups are in both parts, such as group {min(both)}"
        share = len(group[test].unique()) / 60
        if share == 0:
            return "nothing is in the test part"
        if abs(share - 0.75) < 0.1:
            return f"True is for the *test* part: {share:.0%} of the groups are True, wanted were 25%"
        if share < 0.1:
            return "too few are in the test part: these are places in the list of groups, not their numbers"
        if abs(share - 0.25) > 0.1:
            return f"{share:.0%} of the groups are in the test part, wanted were 25%"
        chosen.append(test)
    if torch.equal(chosen[0], chosen[1]):
        return "the test part has the same groups for every seed: choose them at random, by the seed"
    return None if torch.equal(chosen[0], chosen[2]) else "the same seed is to choose the same groups again"
