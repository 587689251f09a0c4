"""Checks of the loss, the training and its result."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..training import assess
from .evidence import Evidence, Finding, explained, permuted


def hidden_beta(p: Evidence) -> Finding | None:
    """The weight of the KL that the loss really has, against one example's error in nats."""
    if (w := p.weights) is None:
        return None
    if w.error <= 0:
        name, cure = "error missing in the loss, or with the wrong sign", "loss = error + KL: both go down"
    elif w.kl is None or 0.1 <= w.kl / w.error <= 10:
        return None
    elif w.kl / w.error < -1e-3:
        name, cure = "KL with the wrong sign", "loss = error + KL; the KL is never negative"
    elif w.kl / w.error < 1e-3:
        name = "no KL in the loss"
        cure = "use the objective losses.elbo; without the KL nothing makes codes look like the prior"
    else:
        name = "hidden β"
        cure = "sum both terms over an example and take the mean over the batch only; then β = 1 is the ELBO"
    weights = f"loss = {w.error:.3g} · {w.kind}" + ("" if w.kl is None else f" + {w.kl:.3g} · KL")
    beta = "" if w.kl is None or w.error <= 0 else f": a β of {w.kl / w.error:.4g}"
    return Finding(name, f"example by example, {weights} (both summed over the example){beta}", cure)


def another_kl(p: Evidence) -> Finding | None:
    """A term called "kl" that is not KL(q ‖ p)."""
    if p.given is None or p.kl is None:
        return None
    with torch.no_grad():
        said = p.given(p.model, p.batch).get("kl")
    true = p.kl.sum().item()
    if said is None or abs(said.mean().item() - true) <= 0.01 * max(true, 0.1):
        return None
    return Finding(
        "KL miscalculated",
        f'the objective\'s term "kl" is {said.mean():.4g}; KL(q ‖ p) of these posteriors is {true:.4g} nats',
        "per dimension ½ (m² + s² − 1 − log s²), with s the standard deviation; or losses.kl_term",
    )


def penalty_on_weights(p: Evidence) -> Finding | None:
    """A part of the loss that no image changes, but the weights do."""
    if (w := p.weights) is None or w.constant is None:
        return None
    return Finding(
        "penalty that sees no image",
        f"a part of the loss, {w.constant:.3g}, is the same for all images and changes with the weights only",
        "a sparse code needs a penalty on activations, losses.sparse; on weights it is a weight decay",
    )


def other_validation(p: Evidence) -> Finding | None:
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
    """A loss that rises, or weights that ran away."""
    losses = [r["train/loss"] for r in p.history if "train/loss" in r]
    name, times = max(p.growth.items(), key=lambda item: item[1], default=("", 1.0))
    if len(losses) >= 2 and losses[-1] > min(losses) + 0.5 * (max(losses) - min(losses)):
        if max(losses) - min(losses) < 0.02 * abs(losses[0]):
            return None
        evidence = f"the training loss rose from {min(losses):.4g} to {losses[-1]:.4g} at the end"
    elif p.explained < 0.05 and times > 5:
        evidence = f"variance explained is {p.explained:.2f}, and {name} is {times:.0f} times its start"
    else:
        return None
    cure = "divide the learning rate by ten; schedule={'lr': cosine()} lets it start small"
    return Finding("learning rate too large", evidence, cure)


def steps_too_small(p: Evidence) -> Finding | None:
    """Weights where they started, or a loss that still falls in a straight line."""
    if steps_too_large(p):
        return None
    losses = [r["train/loss"] for r in p.history if "train/loss" in r] or [0.0]
    half = len(losses) // 2
    before, after = losses[0] - losses[half], losses[half] - losses[-1]
    moved = max((abs(math.log(max(r, 1e-12))) for r in p.growth.values()), default=0.0)
    if len(losses) >= 6 and before > 0 and after > 0.8 * before:
        evidence = f"the loss fell by {before:.3g} in the training's first half, by {after:.3g} in its second"
    elif p.explained < 0.05 and moved < 0.1:
        sizes = f"no weight matrix differs in size by more than {math.expm1(moved):.0%} from its start"
        evidence = f"variance explained is {p.explained:.2f}, and {sizes}"
    else:
        return None
    return Finding("hardly trained", evidence, "train it, or longer, or with a larger learning rate")


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


def codes_off_the_prior(p: Evidence) -> Finding | None:
    """Codes that are much longer or shorter than what the prior draws."""
    if p.model.prior is None:
        return None
    with torch.no_grad():
        prior, n = p.model.prior(p.batch.c), len(p.batch)
        drawn = prior.sample() if prior.batch_shape else prior.sample((n,))
    sizes = [v.flatten(1).square().mean().sqrt().item() for v in (p.outcome.z, drawn)]
    if 1 / 3 < sizes[0] / sizes[1] < 3:
        return None
    return Finding(
        "codes far from the prior",
        f"codes have a root mean square of {sizes[0]:.2g}, draws from the prior of {sizes[1]:.2g}",
        "samples are drawn where no code is: check the KL, or set model.prior = priors.fit_prior(codes)",
    )


def overfitting(p: Evidence) -> Finding | None:
    """Errors that are larger on validation images."""
    if p.valid is None:
        return None
    x_hat, target = p.look(p.model, p.valid).x_hat, p.valid.target
    train = (p.outcome.x_hat - p.batch.target).square().mean().item()
    valid = (x_hat - target).square().mean().item()
    if valid < 2 * train:
        return None
    return Finding(
        "overfitting",
        f"the squared error is {valid / train:.1f} times as large in validation; variance explained "
        f"{p.explained:.2f} in training, {explained(x_hat, target):.2f} in validation",
        "more images, data.map(flipped) or noise, weight decay, or stop where valid/loss is smallest",
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
