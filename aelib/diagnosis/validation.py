"""Checks of the validation images, and of what is said about them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..datasets.store import pieces
from ..training import assess
from .data import changes
from .evidence import Evidence, explained, finds

TRAITS: dict[str, Callable[[Tensor], Tensor]] = {  # (B, …) → (B,)
    "mean": lambda x: x.flatten(1).mean(1),
    "standard deviation": lambda x: x.flatten(1).std(1),
    "difference of neighbours": lambda x: x.diff(dim=-1).flatten(1).square().mean(1).sqrt(),
}


@finds("validation prepared differently")
def prepared_differently(p: Evidence) -> str:
    """Validation images of another kind than the training images: how they are made, or what they show.

    A validation image has the mean, size and fineness of a training image, and is as far from the nearest
    training image as that is from its nearest other one.
    """
    if p.valid is None or min(len(p.valid), len(p.batch)) < 16:
        return ""
    train, valid = p.batch.x, p.valid.x
    known = torch.cat([b.x for b in p.many]).flatten(1)
    said = {name: (f(train), f(valid)) for name, f in TRAITS.items()}
    near = torch.cdist(valid.flatten(1), known).amin(1)
    said["distance to the nearest training image"] = (
        torch.cdist(train.flatten(1), known).kthvalue(2, 1).values,
        near,
    )
    gaps = {k: ((b.mean() - a.mean()) / a.std().clamp_min(1e-9)).abs().item() for k, (a, b) in said.items()}
    name = max(gaps, key=lambda n: gaps[n])
    if gaps[name] < 0.6 + 2 * (1 / len(train) + 1 / len(valid)) ** 0.5:
        return ""
    tried = {k: torch.cdist(f(valid).flatten(1), known).amin(1).mean() for k, f in changes(valid).items()}
    best = min(tried, key=lambda k: tried[k])
    return (
        f"{name}: {said[name][0].mean():.3g} in training and {said[name][1].mean():.3g} in validation, "
        f"{gaps[name]:.1f} standard deviations apart"
    ) + (f"; nearer would be {best}" if tried[best] < 0.9 * near.mean() else "")


@finds("validation images among the training images")
def among_train(p: Evidence) -> str:
    """Validation images that were trained on."""
    if p.valid_data is None:
        return ""
    mine = p.valid_data[:256].values
    wanted = {image.tobytes() for image in mine}
    found = wanted & {image.tobytes() for some in pieces(p.data.store, p.data.rows) for image in some}
    share = sum(image.tobytes() in found for image in mine) / len(mine)
    return f"{share:.0%} of the validation images stand in the training set too" if share >= 0.05 else ""


@finds("validation scored on other images")
def other_images(p: Evidence) -> str:
    """A validation number that these validation images do not give."""
    last = p.history[-1] if len(p.history) else {}
    if p.valid is None or p.valid_data is None or p.given is None or "valid/loss" not in last:
        return ""
    said, train = last["valid/loss"], last.get("train/loss", math.nan)
    got = assess(p.model, p.valid_data, p.given, device=p.model.device.type)["loss"]
    if abs(said - got) <= 0.02 * p.loss(p.model, p.valid).std().item():
        return ""
    return (
        f"the history's last valid/loss is {said:.4g} (train/loss {train:.4g}); these images give {got:.4g}"
    )


@finds("overfitting")
def overfitting(p: Evidence) -> str:
    """Errors that are larger on validation images."""
    if p.valid is None:
        return ""
    x_hat, target = p.look(p.model, p.valid).x_hat, p.valid.target
    train = (p.outcome.x_hat - p.batch.target).square().mean().item()
    valid = (x_hat - target).square().mean().item()
    if valid < 1.5 * train:
        return ""
    return (
        f"the squared error is {valid / train:.1f} times as large in validation; variance explained "
        f"{p.explained:.2f} in training, {explained(x_hat, target):.2f} in validation"
    )
