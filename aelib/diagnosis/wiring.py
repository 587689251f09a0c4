"""Checks of the wiring: what no training can mend."""

from __future__ import annotations

import copy

import torch

from .data import out_of_range
from .evidence import Evidence, Finding, permuted, reinitialise


def broken_weights(p: Evidence) -> Finding | None:
    """A weight that is no number."""
    if not (bad := [name for name, w in p.model.state_dict().items() if not w.isfinite().all()]):
        return None
    return Finding(
        "NaN in the weights",
        f"{len(bad)} tensors hold NaN or infinity, the first is {bad[0]}",
        "start again, with a learning rate ten times smaller or clip=1.0; weights that broke stay broken",
    )


@torch.no_grad()
def deaf_decoder(p: Evidence) -> Finding | None:
    """A decoder that is not given the code."""
    z = torch.randn_like(p.look(p.fresh, p.batch).z)
    a, b = (p.fresh.decode(v, p.batch.c).mean for v in (z, permuted(z)))
    if not a.equal(b):
        return None
    return Finding(
        "code does not reach the decoder",
        "a copy with new weights decodes other codes to exactly the same pixels",
        "follow z through the decoder: is it overwritten, multiplied by zero, or never used?",
    )


@torch.no_grad()
def way_round_the_code(p: Evidence) -> Finding | None:
    """A decoder that sees more than z and c."""
    b = p.batch
    out = p.model(b.x, b.c)
    p.model.encode(permuted(b.x), b.c)
    again = p.model.decode(out.z, b.c).mean
    difference = (again - out.p.mean).abs().max().item()
    if difference <= 1e-3 * out.p.mean.abs().max().item():
        return None
    return Finding(
        "decoder sees more than the code",
        f"the same code, decoded after other images were encoded, gives other pixels, by {difference:.2g}",
        "nothing but z and c may pass: no skip connections, no pooling indices kept from the encoder",
    )


@torch.no_grad()
def neighbours(p: Evidence) -> Finding | None:
    """Results that depend on the other images of the batch."""
    few = max(1, len(p.batch) // 4)
    c = None if p.batch.c is None else p.batch.c[:few]
    alone = p.model.reconstruct(p.batch.x[:few], c)
    together = p.outcome.x_hat[:few]
    difference = (alone - together).abs().max().item()
    if difference <= 1e-3 * together.abs().max().item():
        return None
    return Finding(
        "neighbours change the result",
        f"with other neighbours in the batch, reconstructions change by up to {difference:.2g}",
        "no statistics over the batch in evaluation: keep BatchNorm's running statistics, or use LayerNorm",
    )


@torch.no_grad()
def lost_condition(p: Evidence) -> Finding | None:
    """A condition that is not wired to a part that needs it."""
    b, model = p.batch, p.fresh
    if b.c is None or b.c.equal(other := permuted(b.c)):
        return None
    code = model.encode(b.x, b.c).mean
    missing = []
    if code.equal(model.encode(b.x, other).mean):
        missing.append("encoder")
    if model.decode(code, b.c).mean.equal(model.decode(code, other).mean):
        missing.append("decoder")
    # without a prior nothing is sampled under c: one part alone may need it, as a denoiser the noise level
    if not missing or (model.prior is None and len(missing) == 1):
        return None
    return Finding(
        f"condition missing in the {' and the '.join(missing)}",
        f"the output of the {missing[0]} is exactly the same under other conditions, whatever the weights",
        "both parts need c: models.join(x, c) before the encoder, models.join(z, c) before the decoder, "
        "and no layer that drops it",
    )


def unreachable_pixels(p: Evidence) -> Finding | None:
    """An activation at the end of the decoder that cannot give the targets' values."""
    if out_of_range(p):
        return None
    low, high = p.reach
    t = p.batch.target
    outside = ((t < low - 0.02) | (t > high + 0.02)).float().mean().item()
    if outside < 0.02:
        return None
    return Finding(
        "outputs cannot reach the pixels",
        f"however its last layer is driven, the decoder gives {low:.2f} to {high:.2f}; "
        f"{outside:.0%} of the target pixels lie outside",
        "take away the activation before the head: Bernoulli applies a sigmoid by itself",
    )


def unreachable_codes(p: Evidence) -> Finding | None:
    """An activation at the end of the encoder that keeps the posterior away from what a code needs."""
    if p.kl is None or not isinstance(getattr(p.outcome.q, "base_dist", None), torch.distributions.Normal):
        return None
    if (out := p.driven("encoder")) is None:
        return None
    low, high, sharp = out.codes.min().item(), out.codes.max().item(), out.q.stddev.min().item()
    if low < -0.5 and high > 0.5 and sharp < 0.5:
        return None
    return Finding(
        "posterior cannot become a code",
        f"however the encoder's last layer is driven, means are {low:.2g} to {high:.2g} and standard "
        f"deviations at least {sharp:.2g}",
        "take away the activation before the head: means have both signs, and log σ must fall below 0",
    )


def stuck_together(p: Evidence) -> Finding | None:
    """Units that all started alike, and so always get the same gradient."""
    for name in [*p.order("encoder")[:-1], *p.order("decoder")[:-1]]:
        w = p.model.get_parameter(f"{name}.weight")
        g = p.trained_gradients.get(f"{name}.weight")
        if g is not None and len(w) > 1 and all(v.equal(v[:1].expand_as(v)) for v in (w, g)):
            return Finding(
                "units all alike",
                f"all {len(w)} units of {name} have the same weights and the same gradient",
                "start from random weights, not from zeros or a constant",
            )
    return None


def no_gradient(p: Evidence) -> Finding | None:
    """Parameters that the loss does not reach, or that are frozen while others learn."""
    parts = {name: list(getattr(p.model, name).parameters()) for name in ("encoder", "decoder")}
    trainable = {name: any(w.requires_grad for w in ws) for name, ws in parts.items() if ws}
    frozen = [name for name, is_so in trainable.items() if not is_so]
    matrices = {n: g for n, g in p.fresh_gradients.items() if p.model.get_parameter(n).ndim > 1}
    silent = [n for n, g in matrices.items() if g is None or not g.any()]
    if p.given is None:
        silent = [n for n in silent if n.startswith(("encoder", "decoder"))]
    if frozen and any(trainable.values()):
        evidence = f"no parameter of the {frozen[0]} asks for a gradient"
    elif silent:
        whole = [part for part in parts if all(n in silent for n in matrices if n.startswith(part))]
        what = f"the whole {whole[0]}" if whole and trainable.get(whole[0]) else silent[0]
        evidence = f"{len(silent)} of {len(matrices)} weight matrices get no gradient: {what}"
    else:
        return None
    return Finding(
        "parameters without gradient",
        evidence,
        "look for detach(), no_grad(), .data, sample() for rsample(), or layers that forward never calls",
    )


def no_optimizer(p: Evidence) -> Finding | None:
    """Parameters that no optimizer holds."""
    left = [n for n, w in p.model.named_parameters() if w.requires_grad and p.term_of[n] is None]
    if not p.groups or not left:
        return None
    return Finding(
        "parameters without an optimizer",
        f"{len(left)} of {len(p.term_of)} parameter tensors are in no optimizer, the first is {left[0]}",
        "give the optimizer all of model.parameters()",
    )


def idle_optimizer(p: Evidence) -> Finding | None:
    """A learning rate of zero."""
    rates = [group.get("initial_lr", group["lr"]) for _, group in p.groups]
    if not rates or max(rates) > 1e-7:
        return None
    evidence = f"the largest learning rate is {max(rates):.1g}"
    return Finding("hardly trained", evidence, "start with adam(model, lr=1e-3)")


def encoder_without_error(p: Evidence) -> Finding | None:
    """An encoder whose gradient does not change with the decoder: it never hears of the error."""
    other = copy.deepcopy(p.fresh)
    reinitialise(other.decoder, seed=1)
    mine, theirs = p.fresh_gradients, p.gradients(other)
    pairs = [(g, theirs[n]) for n, g in mine.items() if n.startswith("encoder") and g is not None]
    if not pairs or any(not torch.equal(a, b) for a, b in pairs if b is not None):
        return None
    return Finding(
        "encoder trained on the KL alone",
        "the encoder's gradient stays exactly the same when the decoder is exchanged for another",
        "both parts descend the whole loss, error + KL, through z = q.rsample(), never detached",
    )
