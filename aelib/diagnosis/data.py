"""Checks of the data: what goes wrong before a network sees it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import torch
from torch import Tensor

from ..nets import Standardise
from .evidence import Evidence, Finding, explained


def missing_numbers(p: Evidence) -> Finding | None:
    """NaN or infinity among the images, of which more are looked at here: one is enough to ruin weights."""
    for name in ("x", "target", "c"):
        bad = [1 - v.isfinite().float().mean().item() for b in p.many if (v := getattr(b, name)) is not None]
        if any(bad):
            return Finding(
                "NaN in the data",
                f"{sum(bad) / len(bad):.2g} of the numbers in {name} are NaN or infinite",
                "look for a division by zero in the transforms, and for what is not known and was not filled",
            )
    return None


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
    sizes = [v.abs().max().item() for v in (t, p.batch.x)]
    standardised = any(isinstance(m, Standardise) for m in p.model.modules())
    if not outside and (standardised or 1 / 50 < min(sizes) <= max(sizes) <= 20):
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


def same_noise(p: Evidence) -> Finding | None:
    """Noise in the target: an image made twice has targets that differ from pixel to pixel.

    A mirrored or a brighter picture differs from the first one smoothly, and a binarised one has no grey.
    """
    target, again = p.batch.target, p.again.target
    if target.ndim < 3 or target.equal(again) or bool(((target == 0) | (target == 1)).all()):
        return None
    difference = again - target
    share = (difference.var() / target.var() / 2).item()
    a, b = difference[..., 1:], difference[..., :-1]
    smooth = ((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()).item()
    if share < 0.003 or smooth > 0.1:  # to spread 256 grey levels evenly takes a share of 0.0003 at most
        return None
    where = "input and target get the same noise" if p.batch.x.equal(target) else "the target is noisy"
    return Finding(
        "noise in the target",
        f"{where}: of two targets made of one image {share:.0%} of the variance is noise, "
        f"whose neighbouring pixels correlate by {smooth:.2f}",
        "the target stays clean: replace(batch, x=noisy, target=batch.target), as datasets.noisy(0.3) does",
    )


def other_target(p: Evidence) -> Finding | None:
    """A target that fits its input less well than it fits a turned, shifted or recoloured one, or another's.

    Squared distances of standardised pixels. Noise adds the same to all of them, so what wins by half of
    the distance for some images, or by five standard errors on average over all, is no chance.
    """
    b = p.batch
    x, target = b.x[:, : b.target.shape[1]], b.target
    if b.x is target or x.shape != target.shape or len(x) < 16 or x.equal(target):
        return None
    x, target = ((v - v.mean()) / v.std().clamp_min(1e-12) for v in (x, target))
    own = distance(x, target)
    others = {name: distance(f(x), target) for name, f in changes(x).items()}
    between = torch.cdist(x.flatten(1), target.flatten(1)).square()  # (input, target)
    giver, taker = between.argmin(0), between.argmin(1)
    mutual = taker[giver] == torch.arange(len(x), device=x.device)
    others["another image"] = torch.where(mutual, between.amin(0), own)
    share, gain = {}, {}
    for name, other in others.items():
        g = own - other
        share[name] = (other < 0.5 * own - 1e-6).float().mean().item()
        gain[name] = 0.0 if name == "another image" else (g.mean() / g.std().clamp_min(1e-9)).item()
    name = max(share, key=lambda n: (share[n], gain[n]))
    if share[name] < 0.04:
        name = max(gain, key=lambda n: gain[n])
        if gain[name] * len(x) ** 0.5 < 5:
            return unlike_targets(x, target)
    return Finding(
        "inputs and targets of different images" if name == "another image" else "target is a changed input",
        f"the targets of {max(share[name], 0.01):.0%} of the images or more are nearer to {name}: squared "
        f"distance {others[name].mean():.3g} on average, to their own input {own.mean():.3g}",
        "change x and target together, or x alone by what the model is to undo; never shuffle or turn one of "
        "them by itself",
    )


def distance(x: Tensor, target: Tensor) -> Tensor:
    """(B,) squared distances."""
    return (x - target).square().flatten(1).sum(1)


def changes(x: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is done to pictures by mistake."""
    out: dict[str, Callable[[Tensor], Tensor]] = {"the negative": torch.neg}
    if x.ndim == 4:
        out |= {"the mirrored input": lambda v: v.flip(-1), "the input upside down": lambda v: v.flip(-2)}
        out |= {"the input turned by 180°": lambda v: v.flip(-1, -2)}
        if x.shape[-1] == x.shape[-2]:
            out |= {
                f"the input turned by {90 * k}°": partial(torch.rot90, k=k, dims=(-2, -1)) for k in (1, 3)
            }
            out["the transposed input"] = lambda v: v.mT
        reach = range(-min(4, x.shape[-1] // 4), min(4, x.shape[-1] // 4) + 1)
        out |= {
            f"the input shifted by {(i, j)}": partial(torch.roll, shifts=(i, j), dims=(-2, -1))
            for i in reach for j in reach if (i, j) != (0, 0)
        }  # fmt: skip
        if 1 < x.shape[1] <= 4:
            orders = [o for o in permutations(range(x.shape[1])) if o != tuple(range(x.shape[1]))]
            out |= {f"the input with channels {o}": lambda v, o=o: v[:, list(o)] for o in orders}
    return out


def unlike_targets(x: Tensor, target: Tensor) -> Finding | None:
    """Targets of images that are not among these: x is compared with its target, and with permuted ones."""
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


def condition_values(p: Evidence) -> Finding | None:
    """A condition in units that a network is not made for."""
    if p.batch.c is None:
        return None
    low, high = p.batch.c.min().item(), p.batch.c.max().item()
    sizes = p.batch.c.std(0)
    if max(-low, high) <= 10 and (sizes.max() > 0.02 or not sizes.any()):
        return None
    return Finding(
        "condition on another scale",
        f"conditions run from {low:.3g} to {high:.3g}, the largest standard deviation is {sizes.max():.3g}",
        "standardise what is continuous; classes are one-hot, attributes −1 and 1: data.map(conditioned())",
    )


def condition_holds_picture(p: Evidence) -> Finding | None:
    """A condition from which alone the picture can be told: half of the images predict the others'."""
    if p.batch.c is None or len(p.batch) < 64:
        return None
    c, t = ((v - v.mean(0)).flatten(1).cpu().double() for v in (p.batch.c, p.batch.target))
    (a, b), (s, u) = ((v[::2], v[1::2]) for v in (c, t))
    gram = a @ a.T
    ridge = 1e-3 * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(a)).double()
    told = explained(b @ (a.T @ torch.linalg.solve(gram + ridge, s)), u)
    if told < 0.8:
        return None
    return Finding(
        "condition holds the picture",
        f"a linear function of c, fitted on half of the images, explains {told:.0%} of the others' variance",
        "the code has nothing left to say: give as c what is known when there is no picture",
    )
