"""Checks of the validation images, and of what is said about them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..datasets.store import pieces
from ..training import assess
from .data import changes
from .evidence import Evidence, Finding, explained


def prepared_differently(p: Evidence) -> Finding | None:
    """Validation images of another kind than the training images: how they are made, or what they show.

    A validation image is as far from its nearest training image as training images are from theirs, and in
    the same directions: the first half of the training images is compared with the second half and with
    the validation images, in mean, size, fineness and nearest distance.
    """
    if p.valid is None or min(len(p.valid), len(p.batch)) < 16:
        return None
    train, valid = p.batch.x, p.valid.x
    said = {name: (f(train), f(valid)) for name, f in TRAITS.items()}
    between = torch.cdist(train[::2].flatten(1), torch.cat([train[1::2], valid]).flatten(1)).amin(0)
    said["distance to the nearest training image"] = between[: len(train) // 2], between[len(train) // 2 :]
    gaps = {name: ((b.mean() - a.mean()) / a.std().clamp_min(1e-9)).item() for name, (a, b) in said.items()}
    name = max(gaps, key=lambda n: abs(gaps[n]))
    if abs(gaps[name]) < 1:
        return None
    a, b = said[name]
    tried = {
        k: torch.cdist(train[::2].flatten(1), f(valid).flatten(1)).amin(0) for k, f in changes(valid).items()
    }
    best = min(tried, key=lambda k: tried[k].mean())
    nearer = tried[best].mean() < 0.9 * between[len(train) // 2 :].mean()
    return Finding(
        "validation prepared differently",
        f"{name}: {a.mean():.3g} in training and {b.mean():.3g} in validation, {abs(gaps[name]):.1f} "
        "standard deviations apart" + (f"; {best} would be nearer" if nearer else ""),
        "split at random first, then give both parts the same transforms, with the same numbers",
    )


TRAITS: dict[str, Callable[[Tensor], Tensor]] = {  # (B, …) → (B,)
    "mean": lambda x: x.flatten(1).mean(1),
    "standard deviation": lambda x: x.flatten(1).std(1),
    "difference of neighbours": lambda x: x.diff(dim=-1).flatten(1).square().mean(1).sqrt(),
}


def among_train(p: Evidence) -> Finding | None:
    """Validation images that were trained on."""
    if p.valid_data is None:
        return None
    mine = p.valid_data[:256].values
    wanted = {image.tobytes() for image in mine}
    found = wanted & {image.tobytes() for some in pieces(p.data.store, p.data.rows) for image in some}
    share = sum(image.tobytes() in found for image in mine) / len(mine)
    if share < 0.05:
        return None
    return Finding(
        "validation images among the training images",
        f"{share:.0%} of the validation images looked at stand in the training set too",
        "split first, then transform; keep all pictures of one person in one part",
    )


def other_images(p: Evidence) -> Finding | None:
    """A validation number that these validation images do not give."""
    last = p.history[-1] if len(p.history) else {}
    if p.valid is None or p.valid_data is None or p.given is None or "valid/loss" not in last:
        return None
    said, train = last["valid/loss"], last.get("train/loss", math.nan)
    got = assess(p.model, p.valid_data, p.given, device=p.model.device.type)["loss"]
    with torch.no_grad():
        each = p.objective(p.model, p.valid)["loss"].std().item()
    if abs(said - got) <= 0.02 * each:
        return None
    return Finding(
        "validation scored on other images",
        f"the history's last valid/loss is {said:.4g} (train/loss {train:.4g}); these images give {got:.4g}",
        "score the validation set itself, as train(…, valid=split.valid) does; a leftover variable of the "
        "training loop is no validation. (Were other weights loaded since?)",
    )


def overfitting(p: Evidence) -> Finding | None:
    """Errors that are larger on validation images."""
    if p.valid is None:
        return None
    x_hat, target = p.look(p.model, p.valid).x_hat, p.valid.target
    train = (p.outcome.x_hat - p.batch.target).square().mean().item()
    valid = (x_hat - target).square().mean().item()
    if valid < 1.5 * train:
        return None
    return Finding(
        "overfitting",
        f"the squared error is {valid / train:.1f} times as large in validation; variance explained "
        f"{p.explained:.2f} in training, {explained(x_hat, target):.2f} in validation",
        "more images, data.map(flipped) or noise, weight decay, or stop where valid/loss is smallest",
    )
