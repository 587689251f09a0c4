"""Checks of the data: numbers, targets against inputs, conditions; validation and what is said about it."""

import math
from collections.abc import Callable
from functools import partial
from itertools import permutations, product

import torch
from torch import Tensor
from torch.nn import functional as F

from ..datasets.store import pieces
from ..nets import Standardise
from ..training import assess
from .evidence import SAMPLE, Evidence, Finding, explained, finds, sample, spread

TRAITS: dict[str, Callable[[Tensor], Tensor]] = {  # (B, …) → (B,)
    "mean": lambda x: x.flatten(1).mean(1),
    "standard deviation": lambda x: x.flatten(1).std(1),
    "difference of neighbours": lambda x: x.diff(dim=-1).flatten(1).square().mean(1).sqrt(),
}


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
    said = f"targets run from {low:.3g} to {high:.3g}, inputs up to {p.batch.x.max():.3g}"
    bernoulli = isinstance(getattr(p.outcome.p, "base_dist", None), torch.distributions.Bernoulli)
    if bernoulli and not -1e-3 <= low <= high <= 1 + 1e-3:
        return said + "; a Bernoulli likelihood needs [0, 1]"
    sizes = [v.abs().max().item() for v in (p.batch.target, p.batch.x)]
    standardised = any(isinstance(m, Standardise) for m in p.model.modules())
    return "" if standardised or 1 / 50 < min(sizes) <= max(sizes) <= 20 else said


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
    target, again = p.batch.target, sample(p.data, p.model.device, seed=1).target
    if target.ndim < 3 or target.equal(again) or bool(((target == 0) | (target == 1)).all()):
        return ""
    difference = again - target
    share = (difference.var() / target.var() / 2).item()
    a, b = difference[..., 1:], difference[..., :-1]
    smooth = ((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()).item()
    if share < 0.003 or smooth > 0.1:  # to spread 256 grey levels evenly takes a share of 0.0003 at most
        return ""
    where = "input and target get the same noise" if p.batch.x.equal(target) else "the target alone is noisy"
    said = f"{where}: made twice, an image's targets differ, by {share:.0%} of their variance, and "
    return f"{said}neighbouring pixels differ independently (correlation {smooth:.2f})"


def other_target(p: Evidence) -> Finding | None:
    """A target that fits its input less well than it fits a turned, shifted or recoloured one, or another's.

    Squared distances of standardised pixels. Noise adds the same to all of them, so what wins by half of
    the distance for some images, or by five standard errors on average over all, is no chance.
    """
    x, target = p.batch.x[:, : p.batch.target.shape[1]], p.batch.target
    if p.batch.x is target or x.shape != target.shape or len(x) < 16 or x.equal(target):
        return None
    x, target = ((v - v.mean()) / v.std().clamp_min(1e-12) for v in (x, target))
    others = {name: (f(x) - target).square().flatten(1).sum(1) for name, f in changes(x).items()}
    own = (x - target).square().flatten(1).sum(1)
    gains = {name: ((own - d).mean() / (own - d).std().clamp_min(1e-9)).item() for name, d in others.items()}
    between = torch.cdist(x.flatten(1), target.flatten(1)).square()  # (input, target)
    mutual = between.argmin(1)[between.argmin(0)] == torch.arange(len(x), device=x.device)
    others["that of another image"] = torch.where(mutual, between.amin(0), own)
    shares = {name: (d < 0.5 * own - 1e-6).float().mean().item() for name, d in others.items()}
    name, most = max(shares, key=lambda n: (shares[n], gains.get(n, 0))), max(gains, key=lambda n: gains[n])
    name = most if shares[name] < 0.04 else name
    x, target = ((v - v.mean(0)).flatten(1) for v in (x, target))
    like = x @ target.T
    chance = torch.stack([like.roll(k, 0).trace() for k in range(1, len(x))])
    score = ((like.trace() - chance.mean()) / chance.std().clamp_min(1e-12)).item()
    if shares[name] >= 0.04 or gains[most] * len(x) ** 0.5 > 5:
        said = f"for {shares[name]:.0%} of the images {name} is nearer to the target by half: squared "
        said += f"distance {others[name].mean():.3g} on average, and {own.mean():.3g} to their own input"
    elif score < 3:
        said = f"inputs are no more like their targets than like others ({score:.1f} standard deviations)"
    elif lost := p.batch.x.ndim == 4 and filtered(p):
        said = lost
    else:
        return None
    changed = "another" not in name and score >= 3
    return Finding("target is a changed input" if changed else "inputs and targets of different images", said)


def filtered(p: Evidence) -> str:
    """A target that inputs give exactly, but that does not give them: blurred, coarser, without colours.

    Each pixel is fitted, on half of the images, by the 5×5 pixels around its place in the other picture.
    """
    pairs = [(b.x[:, : b.target.shape[1]], b.target) for b in p.many]
    x, target = (torch.cat(v).cpu().double() for v in zip(*pairs, strict=True))
    (n, channels, h, w), half = x.shape, len(x) // 2
    places = [divmod(k, w) for k in torch.linspace(0, h * w - 1, min(100, h * w)).long().tolist()]

    def rest(a: Tensor, b: Tensor) -> float:
        a = F.pad(a, (2, 2, 2, 2), "replicate")
        near = torch.stack([a[..., i : i + 5, j : j + 5].flatten(1) for i, j in places])  # (places, B, …)
        near, b = (v - v.mean(1, True) for v in (near, torch.stack([b[..., i, j] for i, j in places])))
        some, of = near[:, :half], b[:, :half]
        fitted = torch.linalg.solve(some.mT @ some + 1e-9 * half * torch.eye(near.shape[2]), some.mT @ of)
        left, all_ = (v[:, half:].square().sum().item() for v in (b - near @ fitted, b))
        return left / max(all_, 1e-30)

    if n < 100 * channels or (back := rest(target, x)) < 0.05 or (there := rest(x, target)) > 0.02 * back:
        return ""
    said = "the input around a pixel explains the target's there up to a share of its variance of "
    return f"{said}{there:.1g}, and the target the input's up to {back:.2g}: what it lacks is lost"


def turned(x: Tensor, scale: float, angle: float) -> Tensor:
    """Pictures, larger and turned; each pixel is the nearest one, since means would take noise away."""
    h, w = x.shape[-2:]
    c, s = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    there = torch.tensor([[[c, -s * h / w, 0], [s * w / h, c, 0]]], device=x.device)
    grid = F.affine_grid(there, [1, *x.shape[1:]], align_corners=False).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, "nearest", "border", align_corners=False)


def changes(x: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is done to pictures by mistake."""
    out: dict[str, Callable[[Tensor], Tensor]] = {"the negative": torch.neg}
    if x.ndim < 4:
        return out
    out |= {"the mirrored input": lambda v: v.flip(-1), "the input upside down": lambda v: v.flip(-2)}
    angles = (1, 2, 3) if x.shape[-1] == x.shape[-2] else (2,)
    out |= {f"the input turned by {90 * k}°": partial(torch.rot90, k=k, dims=(-2, -1)) for k in angles}
    reach = min(4, min(x.shape[-2:]) // 4)
    moves = [to for to in product(range(-reach, reach + 1), repeat=2) if any(to)]
    out |= {f"the input moved by {to}": partial(torch.roll, shifts=to, dims=(-2, -1)) for to in moves}
    scales, turns = (0.5, 0.6, 0.7, 0.8, 1.2, 1.4, 1.7, 2), (-30, -15, 15, 30)
    out |= {f"the input {s} times as large": partial(turned, scale=s, angle=0) for s in scales}
    out |= {f"the input turned by {a}°": partial(turned, scale=1, angle=a) for a in turns}
    orders = list(permutations(range(x.shape[1])))[1:] if x.shape[1] <= 4 else []
    return out | {f"the input with channels {to}": lambda v, to=to: v[:, to] for to in orders}


@finds("condition unrelated to the images")
def unrelated_condition(p: Evidence) -> str:
    """A condition that says nothing about its image: its relation is compared with that of permuted ones."""
    if p.batch.c is None:
        return ""
    x, target, c = (v.cpu() for v in (p.batch.x, p.batch.target, p.batch.c))  # not every device can decompose
    n, x = len(x), x[:, : target.shape[1]]
    u, s, _ = torch.linalg.svd((target - target.mean(0)).flatten(1), full_matrices=False)
    numbers = [x.flatten(1).mean(1), x.flatten(1).std(1), (x - target).square().flatten(1).mean(1)]
    said = torch.stack([(v - v.mean()) / (v - v.mean()).norm().clamp_min(1e-12) for v in numbers], 1)
    features = torch.cat([u[:, :20] * (s[:20] > 1e-6), said], 1)
    basis, size, _ = torch.linalg.svd(c - c.mean(0), full_matrices=False)
    basis = basis * (size > 1e-6)
    if (size > 1e-6).sum() > n / 2:
        return ""  # so many numbers explain any images
    torch.manual_seed(0)
    chance = torch.stack([(basis[torch.randperm(n)].T @ features).square().sum() for _ in range(50)])
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


# validation


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
    itself = torch.from_numpy(spread(p.data)[:, None] == spread(p.data, 4 * SAMPLE))  # in other noise
    usual = torch.cdist(train.flatten(1), known).masked_fill(itself.to(known.device), math.inf).amin(1)
    said["distance to the nearest training image"] = (usual, near)
    gaps = {k: ((b.mean() - a.mean()) / a.std().clamp_min(1e-9)).abs().item() for k, (a, b) in said.items()}
    name = max(gaps, key=lambda n: gaps[n])
    if gaps[name] < 0.6 + 2 * (1 / len(train) + 1 / len(valid)) ** 0.5:
        return ""
    tried = {k: torch.cdist(f(valid).flatten(1), known).amin(1).mean() for k, f in changes(valid).items()}
    best = min(tried, key=lambda k: tried[k])
    means = f"{said[name][0].mean():.3g} in training and {said[name][1].mean():.3g} in validation"
    nearer = f"; nearer would be {best}" if tried[best] < 0.9 * near.mean() else ""
    return f"{name}: {means}, {gaps[name]:.1f} standard deviations apart{nearer}"


@finds("validation images among the training images")
def among_train(p: Evidence) -> str:
    """Validation images that were trained on."""
    if p.valid_data is None:
        return ""
    mine = [image.tobytes() for image in p.valid_data[:256].values]
    every = (image for some in pieces(p.data.store, p.data.rows) for image in some)
    found = {image.tobytes() for image in every}.intersection(mine)
    share = sum(image in found for image in mine) / len(mine)
    return f"{share:.0%} of the validation images stand in the training set too" if share >= 0.05 else ""


@finds("validation scored on other images")
def other_images(p: Evidence) -> str:
    """A validation number that these validation images do not give."""
    last = p.history[-1] if len(p.history) else {}
    if p.valid is None or p.valid_data is None or p.given is None or "valid/loss" not in last:
        return ""
    said, got = last["valid/loss"], assess(p.model, p.valid_data, p.given, device=p.model.device.type)["loss"]
    if abs(said - got) <= 0.02 * p.loss(p.model, p.valid).std().item():
        return ""
    where = f"{said:.4g} (train/loss {last.get('train/loss', math.nan):.4g})"
    return f"the history's last valid/loss is {where}; these images give {got:.4g}"


@finds("overfitting")
def overfitting(p: Evidence) -> str:
    """Errors that are larger on validation images."""
    if p.valid is None:
        return ""
    pairs = (p.outcome.x_hat, p.batch.target), (p.look(p.model, p.valid).x_hat, p.valid.target)
    train, valid = ((x_hat - target).square().mean().item() for x_hat, target in pairs)
    if valid < 1.5 * train:
        return ""
    said = f"the squared error is {valid / train:.1f} times as large in validation; variance explained "
    return f"{said}{p.explained:.2f} in training, {explained(*pairs[1]):.2f} in validation"
