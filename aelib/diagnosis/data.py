"""Checks of the data: what goes wrong before a network sees it."""

from __future__ import annotations

import torch

from ..datasets.store import pieces
from ..nets import Standardise
from .evidence import Evidence, Finding


def missing_numbers(p: Evidence) -> Finding | None:
    """NaN or infinity among the images."""
    values = {"x": p.batch.x, "target": p.batch.target, "c": p.batch.c}
    bad = {name: 1 - v.isfinite().float().mean().item() for name, v in values.items() if v is not None}
    worst = max(bad, key=lambda name: bad[name])
    if not bad[worst]:
        return None
    return Finding(
        "NaN in the data",
        f"{bad[worst]:.2%} of the numbers in the batch's {worst} are NaN or infinite",
        "look for a division by zero in the transforms, and for what is not known and was not filled",
    )


def alike(p: Evidence) -> Finding | None:
    """Few different images."""
    n = len(p.batch)
    distinct = len({image.tobytes() for image in p.batch.target.cpu().numpy()})
    if distinct > n / 2:
        return None
    return Finding(
        "images all alike",
        f"of {n} images only {distinct} are different",
        "look at the images; check how rows are chosen and files are read",
    )


def out_of_range(p: Evidence) -> Finding | None:
    """Pixels that the likelihood or the network are not made for."""
    t = p.batch.target
    low, high = t.min().item(), t.max().item()
    bernoulli = getattr(p.outcome.p, "base_dist", None)
    outside = isinstance(bernoulli, torch.distributions.Bernoulli) and not -1e-3 <= low <= high <= 1 + 1e-3
    largest = max(t.abs().max().item(), p.batch.x.abs().max().item())
    standardised = any(isinstance(m, Standardise) for m in p.model.modules())
    if not outside and (standardised or 1 / 50 < largest <= 20):
        return None
    return Finding(
        "pixels outside the likelihood's range",
        f"targets run from {low:.3g} to {high:.3g}, inputs up to {p.batch.x.max():.3g}"
        + ("; a Bernoulli likelihood needs [0, 1]" if outside else ""),
        "scale pixels to [0, 1] (divide uint8 by 255, once). Other numbers need a Gaussian likelihood, and a "
        "model that learns their scale: autoencoder(…, standardise=data)",
    )


def idle_corruption(p: Evidence) -> Finding | None:
    """Noise that is not there."""
    x, target = p.batch.x, p.batch.target
    if x is target or x.shape != target.shape or not x.equal(target):
        return None
    return Finding(
        "corruption that changes nothing",
        f"the data make an input of their own for {len(x)} images, and it equals the target in every pixel",
        "look at the corruption: a strength of zero, or a result that is thrown away? "
        "datasets.noisy(0.3) adds noise",
    )


def foreign_targets(p: Evidence) -> Finding | None:
    """Targets of other images: x is compared with its target, and with permuted ones."""
    x, target = p.batch.x[:, : p.batch.target.shape[1]], p.batch.target
    if p.batch.x is p.batch.target or x.shape != target.shape or len(x) < 16:
        return None
    x, target = ((v - v.mean(0)).flatten(1) for v in (x, target))
    alike = x @ target.T
    others = torch.stack([alike.roll(k, 0).trace() for k in range(1, len(x))])
    score = ((alike.trace() - others.mean()) / others.std().clamp_min(1e-12)).item()
    if score > 3:
        return None
    return Finding(
        "inputs and targets of different images",
        f"inputs are no more like their targets than like others ({score:.1f} standard deviations)",
        "change x and keep target in the same batch; never shuffle one without the other",
    )


def unrelated_condition(p: Evidence) -> Finding | None:
    """A condition that says nothing about its image: its relation is compared with that of permuted ones."""
    x, target, c = p.batch.x, p.batch.target, p.batch.c
    if c is None:
        return None
    n, x = len(x), x[:, : target.shape[1]]
    x, target, c = (v.cpu() for v in (x, target, c))  # not every device has these decompositions
    u, s, _ = torch.linalg.svd((target - target.mean(0)).flatten(1), full_matrices=False)
    numbers = [x.flatten(1).mean(1), x.flatten(1).std(1), (x - target).square().flatten(1).mean(1)]
    said = torch.stack([(v - v.mean()) / (v - v.mean()).norm().clamp_min(1e-12) for v in numbers], 1)
    features = torch.cat([u[:, :20] * (s[:20] > 1e-6), said], 1)
    basis, size, _ = torch.linalg.svd(c - c.mean(0), full_matrices=False)
    basis = basis * (size > 1e-6)
    if (size > 1e-6).sum() > n / 2:
        return None  # so many numbers explain any images
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randperm(n, generator=generator) for _ in range(50)]
    chance = torch.stack([(basis[r].T @ features).square().sum() for r in rows])
    related = (basis.T @ features).square().sum()
    score = ((related - chance.mean()) / chance.std().clamp_min(1e-9)).item()
    if score > 3:
        return None
    return Finding(
        "condition unrelated to the images",
        f"c explains no more of the images than permuted c do ({score:.1f} standard deviations above them)",
        "check that conditions and images are in the same order, and that c varies",
    )


def valid_prepared_differently(p: Evidence) -> Finding | None:
    """Validation images on another scale."""
    if p.valid is None:
        return None
    (m, s), (mv, sv) = ((b.x.mean().item(), b.x.std().item()) for b in (p.batch, p.valid))
    if abs(m - mv) < 0.5 * s and 2 / 3 < sv / max(s, 1e-12) < 1.5:
        return None
    return Finding(
        "validation prepared differently",
        f"training inputs have mean {m:.3g} and sd {s:.3g}, validation inputs {mv:.3g} and {sv:.3g}",
        "give both parts the same transforms, with the same numbers",
    )


def valid_among_train(p: Evidence) -> Finding | None:
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
