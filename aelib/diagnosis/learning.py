"""Checks of the loss, the training and its result."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..losses import reconstruction
from ..metrics import frechet_distance
from .evidence import STEPS, Evidence, Finding, explained, permuted

FAR = 0.3  # of the prior's variance: all means half a standard deviation off are 0.25, twice its size is 1


def stale_statistics(p: Evidence) -> Finding | None:
    """BatchNorm whose running statistics are not those of the data."""
    model = copy.deepcopy(p.model)
    norms = nn.ModuleList(m for m in model.modules() if isinstance(m, _BatchNorm)).train()
    if not norms or not (own := explained(p.look(model, p.batch).x_hat, p.batch.target)) > p.explained + 0.05:
        return None
    return Finding(
        "stale batch statistics",
        f"variance explained is {p.explained:.2f}, but {own:.2f} with the batch's own statistics",
        "BatchNorm's running statistics lag behind: train longer, raise the momentum, or use LayerNorm",
    )


def steps_too_large(p: Evidence) -> Finding | None:
    """A loss that rises, or weights that ran away to where a few steps from the start lead further."""
    losses = [r["train/loss"] for r in p.history if "train/loss" in r]
    name, times = max(p.growth.items(), key=lambda item: item[1], default=("", 1.0))
    fall = max(losses) - min(losses) if losses else 0.0
    if fall > 0.02 * abs(losses[0] if losses else 0) and losses[-1] > min(losses) + 0.5 * fall:
        evidence = f"the training loss rose from {min(losses):.4g} to {losses[-1]:.4g} at the end"
    elif p.lags and times > 3 and (p.explained < 0.05 or max(p.anew, p.longer) > p.explained + 0.1):
        evidence = (
            f"{name} is {times:.0f} times its start, and variance explained {p.explained:.2f}; a PCA "
            f"explains {p.linear:.2f}, and {STEPS} small steps lead to {max(p.anew, p.longer):.2f}"
        )
    else:
        return None
    cure = "start again with a learning rate ten times smaller; schedule={'lr': cosine()} lets it start small"
    return Finding("learning rate too large", evidence, cure)


def steps_too_small(p: Evidence) -> Finding | None:
    """A model that a few steps more make much better: what its training did not reach, not what it cannot."""
    if not p.lags or steps_too_large(p) or p.longer < p.explained + 0.2 * p.linear:
        return None
    losses = [r["train/loss"] for r in p.history if "train/loss" in r]
    evidence = (
        f"variance explained is {p.explained:.2f}, a PCA explains {p.linear:.2f}, and {STEPS} steps more "
        f"lead to {p.longer:.2f}"
    )
    if len(losses) > 1:
        late = losses[len(losses) // 2] - losses[-1]
        evidence += (
            f"; the loss went from {losses[0]:.4g} to {losses[-1]:.4g}, in the second half by {late:.3g}"
        )
    return Finding("hardly trained", evidence, "train it, or longer, or with a larger learning rate")


def dropout_too_strong(p: Evidence) -> Finding | None:
    """Dropout without which a few steps more lead much further."""
    shares = [m.p for m in p.model.modules() if isinstance(m, _DropoutNd) and m.p > 0]
    if not shares or not p.lags or (without := p.trial(p.model, dropout=False)) < p.longer + 0.1 * p.linear:
        return None
    return Finding(
        "dropout too strong",
        f"dropout is {max(shares):.2g}; variance explained is {p.explained:.2f}, after {STEPS} steps more "
        f"{p.longer:.2f}, after as many without dropout {without:.2f}",
        "an autoencoder's code is its regulariser: dropout=0 first, then at most 0.1",
    )


def penalty_too_strong(p: Evidence) -> Finding | None:
    """A plain autoencoder whose objective keeps it from what the error alone leads to."""
    if p.given is None or p.model.prior is not None or not p.lags or p.weights is not None:
        return None
    alone = p.trial(p.fresh, objective=reconstruction)
    if alone < max(p.anew, p.explained) + 0.2 * p.linear:
        return None
    return Finding(
        "penalty too strong",
        f"variance explained is {p.explained:.2f}; from the start {STEPS} steps lead to {p.anew:.2f} with this "
        f"objective, to {alone:.2f} with the error alone",
        "divide the weight of the penalty by ten, until the error is no more than a little larger",
    )


def shrunken_weights(p: Evidence) -> Finding | None:
    """Weights that decayed."""
    decay = max((group.get("weight_decay", 0.0) for _, group in p.groups), default=0.0)
    sizes = sorted(p.growth.values())
    small = sizes[len(sizes) // 2] if sizes else 1.0
    decayed = decay > 0 or not p.groups
    if decay < 1 and not (decayed and p.explained < 0.05 and small < 0.5 and sizes[-1] < 1):
        return None
    said = f"the optimizer's weight decay is {decay:.3g}; " if p.groups else ""
    return Finding(
        "weight decay too strong",
        f"{said}the median weight matrix has {small:.2f} of the size it starts with, "
        f"and variance explained is {p.explained:.2f}",
        "weight_decay=0 first; then at most 0.1 with AdamW",
    )


def dead_units(p: Evidence) -> Finding | None:
    """Units that no image moves; the layer nearest to the output is named: what lies before it starves."""
    if not (dead := [(name, share) for name, share in p.dead.items() if share >= 0.9]):
        return None
    name, share = dead[-1]
    return Finding(
        "dead units",
        f"{share:.0%} of the units of {name} get no gradient from any of {len(p.batch)} images",
        "ReLUs that never fire or sigmoids that are full: start again with a smaller learning rate, or GELU",
    )


def vanishing_gradient(p: Evidence) -> Finding | None:
    """A first layer that learns a millionth of what the last one learns."""
    names = p.order("encoder")[:1] + p.order("decoder")[-1:]
    gradients = [p.fresh_gradients.get(f"{name}.weight") for name in names]
    ends = [0.0 if g is None else g.square().mean().sqrt().item() for g in gradients]
    if len(ends) < 2 or not ends[1] or not 0 < ends[0] / ends[1] < 1e-5:
        return None
    return Finding(
        "vanishing gradient",
        f"at the start, the first layer's gradient is {ends[0] / ends[1]:.1g} of the last layer's",
        "fewer layers, GELU in place of sigmoid or tanh, normalisation, or residual connections",
    )


def collapse(p: Evidence) -> Finding | None:
    """A posterior that equals the prior, in all dimensions or in so many that the pictures suffer."""
    if p.kl is None:
        return None
    used, total = int(p.active.sum()), len(p.active)
    if used > total / 2 or (used and p.explained > 0.5):
        return None
    return Finding(
        "posterior collapse" if not used else "partial posterior collapse",
        f"{used} of {total} units are active, KL {p.kl.sum():.2g} nats, variance explained {p.explained:.2f}",
        "check β and the scale of the likelihood (a Gaussian of σ = 1 finds all errors small: learn σ); then "
        "warm up β, or leave free bits",
    )


@torch.no_grad()
def ignored_condition(p: Evidence) -> Finding | None:
    """A condition that is wired, and changes next to nothing."""
    b = p.batch
    if b.c is None or b.c.equal(other := permuted(b.c)) or p.explained < 0.05:
        return None
    unit = (b.target - b.target.mean(0)).square().mean().sqrt().item()
    changed = [p.model.decode(p.outcome.q.mean, other).mean, p.model.reconstruct(b.x, other)]
    effect = max((v - p.outcome.x_hat).square().mean().sqrt().item() for v in changed) / unit
    if effect > 0.01:
        return None
    return Finding(
        "condition ignored",
        f"exchanging the conditions changes the pictures by {effect:.1%} of the images' standard deviation",
        "the code says it all already: a smaller code, or a β that starts high and comes down",
    )


@torch.no_grad()
def codes_off_the_prior(p: Evidence) -> Finding | None:
    """Codes that are not where the prior draws them: another mean, other sizes, or correlated."""
    if p.model.prior is None:
        return None
    prior, n = p.model.prior(p.batch.c), len(p.batch)
    drawn, other = (
        (prior.sample() if prior.batch_shape else prior.sample((n,))).flatten(1) for _ in range(2)
    )
    z = p.outcome.z.flatten(1)
    few = slice(None, max(1, n // 4))  # of more numbers so few images show no correlation
    unit = drawn[:, few].var(0).sum().item()
    gap = (frechet_distance(z[:, few], drawn[:, few]) - frechet_distance(other[:, few], drawn[:, few])) / unit
    if gap < FAR:
        return None
    away = ((z.mean(0) - drawn.mean(0)).abs() / drawn.std(0)).max().item()
    wide = [v.square().mean().sqrt().item() for v in (z, drawn)]
    return Finding(
        "codes far from the prior",
        f"the codes' means are off by up to {away:.2g} of the prior's standard deviations, their root mean "
        f"square is {wide[0]:.2g} and the prior's {wide[1]:.2g}; Fréchet distance {gap:.2g} of the prior's variance",
        "samples are drawn where no code is: check the KL, or set model.prior = priors.fit_prior(codes)",
    )


def saturated(p: Evidence) -> Finding | None:
    """Outputs that are black or white where they should not be."""
    x_hat = p.outcome.x_hat
    if not -0.02 <= p.reach[0] <= p.reach[1] <= 1.02:
        return None  # where nothing ends at black and white, nothing saturates there
    wrong = ((x_hat < 1e-3) | (x_hat > 1 - 1e-3)) & ((x_hat - p.batch.target).abs() > 0.5)
    share = wrong.float().mean().item()
    if share < 0.05:
        return None
    return Finding(
        "saturated outputs",
        f"{share:.0%} of the pixels are drawn black or white and are off by more than half of the range",
        "start again with a smaller learning rate, and inputs of about unit size",
    )


def one_for_all(p: Evidence) -> Finding | None:
    """The last resort: no better than the mean image, and no cause found."""
    if p.explained > 0.05:
        return None
    part = "decoder" if p.outcome.codes.std(0).mean() > 0.01 else "encoder"
    return Finding(
        "the same picture for every image",
        f"variance explained is {p.explained:.2f}, no better than the mean image; outputs vary {p.spread:.2f}"
        f" times as much as images, codes have a standard deviation of {p.outcome.codes.std(0).mean():.2g}",
        f"the {part} tells no images apart: try it on ten images, which it should learn by heart",
    )
