"""Checks of the training and of its result."""

import copy
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..losses import reconstruction
from ..metrics import frechet_distance
from .evidence import STEPS, Evidence, Finding, explained, finds

FAR = 1.0  # of the prior's variance: each mean one standard deviation off, or codes of twice its size


@finds("stale batch statistics")
def stale_statistics(p: Evidence) -> str:
    """BatchNorm whose running statistics are not those of the data."""
    model = copy.deepcopy(p.model)
    norms = nn.ModuleList(m for m in model.modules() if isinstance(m, _BatchNorm)).train()
    own = explained(p.look(model, p.batch).x_hat, p.batch.target)
    if not norms or not own > p.explained + 0.05 or (p.lags and p.longer > own + 0.1):
        return ""
    return f"variance explained is {p.explained:.2f}, but {own:.2f} with the batch's own statistics"


@finds("weight decay too strong")
def shrunken_weights(p: Evidence) -> str:
    """Weights that decayed."""
    decay = max((group.get("weight_decay", 0.0) for _, group in p.groups), default=0.0)
    sizes = sorted(p.growth.values()) or [1.0]
    small, decayed = sizes[len(sizes) // 2], decay > 0 or not p.groups
    if decay < 1 and not (decayed and p.explained < 0.05 and small < 0.5 and sizes[-1] < 1):
        return ""
    said = f"the optimizer's weight decay is {decay:.3g}; " if p.groups else ""
    said += f"the median weight matrix has {small:.2f} of the size it starts with; "
    return said + f"variance explained is {p.explained:.2f}"


def hindered(p: Evidence) -> Finding | None:
    """Dropout, or a plain autoencoder's penalty, without which a start leads much further."""
    dropped = any(isinstance(m, _DropoutNd) and m.p > 0 for m in p.model.modules())
    penalised = p.given is not None and p.model.prior is None and p.weights is None
    for name, so, without in (
        ("dropout too strong", dropped, partial(p.trial, dropout=False)),
        ("penalty outweighs the error", penalised, partial(p.trial, objective=reconstruction)),
    ):
        if p.lags and so and (far := without(p.fresh)) > max(p.restarted, p.explained) + 0.2 * p.linear:
            said = f"variance explained is {p.explained:.2f}; {STEPS} steps from the start lead to "
            return Finding(name, f"{said}{p.restarted:.2f}, and without this to {far:.2f}")
    return None


@finds("learning rate too large")
def steps_too_large(p: Evidence) -> str:
    """A loss that rises, or weights that ran away to where a few steps from the start lead further."""
    losses = [r["train/loss"] for r in p.history if "train/loss" in r] or [0.0]
    name, times = max(p.growth.items(), key=lambda item: item[1], default=("", 1.0))
    fall = max(losses) - min(losses)
    if fall > 0.02 * abs(losses[0]) and losses[-1] > min(losses) + 0.5 * fall:
        return f"the training loss rose from {min(losses):.4g} to {losses[-1]:.4g} at the end"
    if not p.lags or times < 3 or p.explained > max(0.05, p.restarted - 0.1, p.longer - 0.1):
        return ""
    said = f"{name} is {times:.0f} times its start; variance explained is {p.explained:.2f}, a PCA explains "
    return f"{said}{p.linear:.2f}, and {STEPS} small steps lead to {max(p.restarted, p.longer):.2f}"


@finds("hardly trained")
def steps_too_small(p: Evidence) -> str:
    """A model that a few steps more make much better: what its training did not reach, not what it cannot."""
    if not p.lags or steps_too_large(p) or p.longer < p.explained + 0.2 * p.linear:
        return ""
    losses = [r["train/loss"] for r in p.history if "train/loss" in r]
    said = f"variance explained is {p.explained:.2f}, a PCA explains {p.linear:.2f}, and {STEPS} steps more "
    said += f"lead to {p.longer:.2f}"
    if len(losses) > 1:
        late = losses[len(losses) // 2] - losses[-1]
        said += f"; the loss fell by {losses[0] - losses[-1]:.3g}, by {late:.3g} in the second half"
    return said


@finds("dead units")
def dead_units(p: Evidence) -> str:
    """Units that no image moves; the layer nearest to the output is named: what lies before it starves.

    A model that reconstructs has enough others.
    """
    if not (dead := [(name, share) for name, share in p.dead.items() if share >= 0.9]) or not p.lags:
        return ""
    name, share = dead[-1]
    return f"{share:.0%} of the units of {name} get no gradient from any of {len(p.batch)} images"


@finds("vanishing gradient")
def vanishing_gradient(p: Evidence) -> str:
    """A first layer that learns a millionth of what the last one learns."""
    names = p.order("encoder")[:1] + p.order("decoder")[-1:]
    gradients = [p.fresh_gradients.get(f"{name}.weight") for name in names]
    ends = [0.0 if g is None else g.square().mean().sqrt().item() for g in gradients]
    if len(ends) < 2 or not ends[1] or not 0 < ends[0] / ends[1] < 1e-5:
        return ""
    return f"at the start, the first layer's gradient is {ends[0] / ends[1]:.1g} of the last layer's"


def collapse(p: Evidence) -> Finding | None:
    """A posterior that equals the prior, in all dimensions or in so many that the pictures suffer."""
    if p.kl is None:
        return None
    used, total = int(p.active.sum()), len(p.active)
    if used > total / 2 or (used and p.explained > 0.5):
        return None
    said = f"{used} of {total} units are active, KL {p.kl.sum():.2g} nats, "
    said += f"variance explained {p.explained:.2f}"
    return Finding("partial posterior collapse" if used else "posterior collapse", said)


@finds("condition ignored")
@torch.no_grad()
def ignored_condition(p: Evidence) -> str:
    """A condition that is wired, and changes next to nothing."""
    b, model = p.batch, p.model
    if b.c is None or b.c.equal(other := b.c.roll(1, 0)) or p.explained < 0.05:
        return ""
    unit = (b.target - b.target.mean(0)).square().mean().sqrt().item()
    others = model.decode(p.outcome.q.mean, other, model.sized(b.x)).mean, model.reconstruct(b.x, other)
    if (effect := max((v - p.outcome.x_hat).square().mean().sqrt().item() for v in others) / unit) > 0.01:
        return ""
    return f"exchanging conditions changes the pictures by {effect:.1%} of the images' standard deviation"


@finds("codes far from the prior")
@torch.no_grad()
def codes_off_the_prior(p: Evidence) -> str:
    """Codes that are not where the prior draws them: another mean, other sizes, or correlated."""
    if p.model.prior is None:
        return ""
    prior, n = p.model.prior(p.batch.c), len(p.batch)
    z = p.outcome.z.flatten(1)[:, : max(1, n // 4)]  # of more numbers so few images show no correlation
    of = () if prior.batch_shape else (n,)
    drawn, other = (prior.sample(of).flatten(1)[:, : z.shape[1]] for _ in "ab")
    gap = (frechet_distance(z, drawn) - frechet_distance(other, drawn)) / drawn.var(0).sum().item()
    if gap < FAR:
        return ""
    away = ((z.mean(0) - drawn.mean(0)).abs() / drawn.std(0)).max().item()
    size = [v.square().mean().sqrt().item() for v in (z, drawn)]
    said = f"codes have a root mean square of {size[0]:.2g}, draws from the prior of {size[1]:.2g}; "
    said += f"means are off by up to {away:.2g} standard deviations; "
    return f"{said}Fréchet distance {gap:.2g} of the prior's variance"


@finds("the same picture for every image")
def one_for_all(p: Evidence) -> str:
    """The last resort: no better than the mean image, and no cause found."""
    if p.explained > 0.05:
        return ""
    codes = p.outcome.codes.std(0).mean()
    return f"variance explained is {p.explained:.2f}, codes have a standard deviation of {codes:.2g}"
