"""Checks of the data, before a network sees it: numbers, targets against inputs, conditions."""

from collections.abc import Callable
from functools import partial
from itertools import permutations, product

import torch
from torch import Tensor

from ..nets import Standardise
from .evidence import Evidence, Finding, explained, finds


@finds("NaN in the data")
def missing_numbers(p: Evidence) -> str:
    """NaN or infinity among the images, of which more are looked at here: one is enough to ruin weights."""
    for name in ("x", "target", "c"):
        bad = [1 - v.isfinite().float().mean().item() for b in p.many if (v := getattr(b, name)) is not None]
        if any(bad):
            return f"{sum(bad) / len(bad):.2g} of the numbers in {name} are NaN or infinite"
    return ""


@finds("images all alike")
def alike(p: Evidence) -> str:
    """Few different images."""
    distinct = len({image.tobytes() for image in p.batch.target.cpu().numpy()})
    return f"of {len(p.batch)} images only {distinct} are different" if distinct <= len(p.batch) / 2 else ""


@finds("pixels outside the likelihood's range")
def out_of_range(p: Evidence) -> str:
    """Pixels that the likelihood or the network are not made for."""
    low, high = p.batch.target.min().item(), p.batch.target.max().item()
    bernoulli = isinstance(getattr(p.outcome.p, "base_dist", None), torch.distributions.Bernoulli)
    sizes = [v.abs().max().item() for v in (p.batch.target, p.batch.x)]
    standardised = any(isinstance(m, Standardise) for m in p.model.modules())
    if not (bernoulli and not -1e-3 <= low <= high <= 1 + 1e-3):
        if standardised or 1 / 50 < min(sizes) <= max(sizes) <= 20:
            return ""
        bernoulli = False
    said = f"targets run from {low:.3g} to {high:.3g}, inputs up to {p.batch.x.max():.3g}"
    return said + ("; a Bernoulli likelihood needs [0, 1]" if bernoulli else "")


@finds("corruption that changes nothing")
def idle_corruption(p: Evidence) -> str:
    """Noise that is not there."""
    x, target = p.batch.x, p.batch.target
    if x is target or x.shape != target.shape or not x.equal(target):
        return ""
    return f"the data make an input of their own for {len(x)} images, equal to the target in every pixel"


@finds("noise in the target")
def noisy_target(p: Evidence) -> str:
    """An image made twice has targets that differ from pixel to pixel.

    A mirrored or a brighter picture differs from the first one smoothly, and a binarised one has no grey.
    """
    target, again = p.batch.target, p.again.target
    if target.ndim < 3 or target.equal(again) or bool(((target == 0) | (target == 1)).all()):
        return ""
    difference = again - target
    share = (difference.var() / target.var() / 2).item()
    a, b = difference[..., 1:], difference[..., :-1]
    smooth = ((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()).item()
    if share < 0.003 or smooth > 0.1:  # to spread 256 grey levels evenly takes a share of 0.0003 at most
        return ""
    where = "input and target get the same noise" if p.batch.x.equal(target) else "the target alone is noisy"
    return (
        f"{where}: made twice, an image's targets differ by noise, {share:.0%} of their variance, and "
        f"neighbouring pixels differ independently (correlation {smooth:.2f})"
    )


def other_target(p: Evidence) -> Finding | None:
    """A target that fits its input less well than it fits a turned, shifted or recoloured one, or another's.

    Squared distances of standardised pixels. Noise adds the same to all of them, so what wins by half of
    the distance for some images, or by five standard errors on average over all, is no chance.
    """
    x, target = p.batch.x[:, : p.batch.target.shape[1]], p.batch.target
    if p.batch.x is target or x.shape != target.shape or len(x) < 16 or x.equal(target):
        return None
    x, target = ((v - v.mean()) / v.std().clamp_min(1e-12) for v in (x, target))
    own = distance(x, target)
    others = {name: distance(f(x), target) for name, f in changes(x).items()}
    gains = {name: ((own - d).mean() / (own - d).std().clamp_min(1e-9)).item() for name, d in others.items()}
    between = torch.cdist(x.flatten(1), target.flatten(1)).square()  # (input, target)
    mutual = between.argmin(1)[between.argmin(0)] == torch.arange(len(x), device=x.device)
    others["that of another image"] = torch.where(mutual, between.amin(0), own)
    shares = {name: (d < 0.5 * own - 1e-6).float().mean().item() for name, d in others.items()}
    name, most = max(shares, key=lambda n: (shares[n], gains.get(n, 0))), max(gains, key=lambda n: gains[n])
    if shares[name] < 0.04:
        name = most
    x, target = ((v - v.mean(0)).flatten(1) for v in (x, target))
    like = x @ target.T
    chance = torch.stack([like.roll(k, 0).trace() for k in range(1, len(x))])
    score = ((like.trace() - chance.mean()) / chance.std().clamp_min(1e-12)).item()
    if shares[name] >= 0.04 or gains[most] * len(x) ** 0.5 > 5:
        evidence = (
            f"for {shares[name]:.0%} of the images {name} is nearer to the target by half: squared distance "
            f"{others[name].mean():.3g} on average, and {own.mean():.3g} to their own input"
        )
    elif score < 3:
        evidence = f"inputs are no more like their targets than like others ({score:.1f} standard deviations)"
    else:
        return None
    other = "another" in name or score < 3
    return Finding(
        "inputs and targets of different images" if other else "target is a changed input", evidence
    )


def distance(x: Tensor, target: Tensor) -> Tensor:
    """(B,) squared distances."""
    return (x - target).square().flatten(1).sum(1)


def changes(x: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is done to pictures by mistake."""
    out: dict[str, Callable[[Tensor], Tensor]] = {"the negative": torch.neg}
    if x.ndim == 4:
        out |= {"the mirrored input": lambda v: v.flip(-1), "the input upside down": lambda v: v.flip(-2)}
        angles = (1, 2, 3) if x.shape[-1] == x.shape[-2] else (2,)
        out |= {f"the input turned by {90 * k}°": partial(torch.rot90, k=k, dims=(-2, -1)) for k in angles}
        reach = min(4, min(x.shape[-2:]) // 4)
        for to in product(range(-reach, reach + 1), repeat=2):
            if any(to):
                out[f"the input moved by {to}"] = partial(torch.roll, shifts=to, dims=(-2, -1))
        if 1 < x.shape[1] <= 4:
            for to in list(permutations(range(x.shape[1])))[1:]:
                index = torch.tensor(to, device=x.device)
                out[f"the input with channels {to}"] = partial(torch.index_select, dim=1, index=index)
    return out


@finds("condition unrelated to the images")
def unrelated_condition(p: Evidence) -> str:
    """A condition that says nothing about its image: its relation is compared with that of permuted ones."""
    x, target, c = p.batch.x, p.batch.target, p.batch.c
    if c is None:
        return ""
    n, x = len(x), x[:, : target.shape[1]]
    x, target, c = (v.cpu() for v in (x, target, c))  # not every device has these decompositions
    u, s, _ = torch.linalg.svd((target - target.mean(0)).flatten(1), full_matrices=False)
    numbers = [x.flatten(1).mean(1), x.flatten(1).std(1), (x - target).square().flatten(1).mean(1)]
    said = torch.stack([(v - v.mean()) / (v - v.mean()).norm().clamp_min(1e-12) for v in numbers], 1)
    features = torch.cat([u[:, :20] * (s[:20] > 1e-6), said], 1)
    basis, size, _ = torch.linalg.svd(c - c.mean(0), full_matrices=False)
    basis = basis * (size > 1e-6)
    if (size > 1e-6).sum() > n / 2:
        return ""  # so many numbers explain any images
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randperm(n, generator=generator) for _ in range(50)]
    chance = torch.stack([(basis[r].T @ features).square().sum() for r in rows])
    related = (basis.T @ features).square().sum()
    score = ((related - chance.mean()) / chance.std().clamp_min(1e-9)).item()
    if score > 3:
        return ""
    return f"c explains no more of the images than permuted c do ({score:.1f} standard deviations above them)"


@finds("condition on another scale")
def condition_values(p: Evidence) -> str:
    """A condition in units that a network is not made for."""
    if p.batch.c is None:
        return ""
    low, high, size = p.batch.c.min().item(), p.batch.c.max().item(), p.batch.c.std(0).max().item()
    if max(-low, high) <= 10 and (size > 0.02 or not size):
        return ""
    return f"conditions run from {low:.3g} to {high:.3g}, with a standard deviation of {size:.3g} at most"


@finds("condition holds the picture")
def condition_holds_picture(p: Evidence) -> str:
    """A condition computed from the picture: a linear function, learnt on half, gives it for the others.

    (What people know of a picture, its class or an attribute, is no linear function of pixels.)
    """
    if p.batch.c is None or len(p.batch) < 64:
        return ""
    c, t = (torch.cat([getattr(b, k) for b in p.many]).flatten(1).cpu().double() for k in ("c", "target"))
    forth, back = predicted(t, c), predicted(c, t)
    if forth < 0.95 or back < 0.1:
        return ""
    return f"a linear function of the picture explains {forth:.1%} of c, one of c {back:.0%} of the picture"


def predicted(a: Tensor, b: Tensor) -> float:
    """The share of the variance of half of b that a ridge regression on a, fitted on the others, explains."""
    (a, of_a), (b, of_b) = ((v[::2], v[1::2]) for v in (a - a.mean(0), b - b.mean(0)))
    gram = a @ a.T
    ridge = 1e-4 * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(a)).double()
    return explained(of_a @ (a.T @ torch.linalg.solve(gram + ridge, b)), of_b)
