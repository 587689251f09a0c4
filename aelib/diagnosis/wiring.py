"""Checks of the wiring: what no training can mend."""

from __future__ import annotations

import copy
from contextlib import ExitStack

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvTransposeNd

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
def broken_outputs(p: Evidence) -> Finding | None:
    """NaN or infinity from finite weights and images: the first module to give it is named."""
    first: list[str] = []
    with ExitStack() as hooks:
        for name, m in p.model.named_modules():
            if not any(m.children()):
                hooks.enter_context(
                    m.register_forward_hook(
                        lambda _, __, out, n=name: (
                            first.append(n) if isinstance(out, Tensor) and not out.isfinite().all() else None
                        )
                    )
                )
        values = {"codes": p.outcome.z, "reconstructions": p.outcome.x_hat}
    bad = {k: 1 - v.isfinite().float().mean().item() for k, v in values.items()}
    if any(bad.values()):
        said = ", ".join(f"{share:.2g} of the {k}" for k, share in bad.items()) + " are NaN or infinite"
        return Finding(
            "NaN in the outputs",
            said + (f", first after {first[0]}" if first else ""),
            "look for exp, log, a square root or a division there: clamp what goes in, or add a small number",
        )
    loss = p.objective(p.model, p.batch)["loss"]
    gradients = [n for n, g in p.trained_gradients.items() if g is not None and not g.isfinite().all()]
    if loss.isfinite().all() and not gradients:
        return None
    what = f"the gradients of {len(gradients)} parameters, as {gradients[0]}," if gradients else "the loss"
    return Finding(
        "NaN in the loss",
        f"outputs are finite, but {what} hold NaN or infinity",
        "look for log(0), a division by zero, or a square root at 0 in the objective: add 1e-6 inside",
    )


@torch.no_grad()
def random_in_evaluation(p: Evidence) -> Finding | None:
    """A posterior or a reconstruction that is another one each time, in evaluation mode."""
    q = p.outcome.q
    for part, f in (
        ("encoder", lambda: p.model.encode(p.batch.x, p.batch.c).mean),
        ("decoder", lambda: p.model.decode(q.mean, p.batch.c, p.model.sized(p.batch.x)).mean),
    ):
        a, b = f(), f()
        if (gap := (a - b).abs().max().item()) > 1e-3 * a.abs().max().item():
            return Finding(
                "random in evaluation",
                f"the {part} gives another result for the same input each time, by up to {gap:.2g}",
                "dropout and noise end with training: nn.Dropout knows model.eval(), F.dropout wants training=False",
            )
    return None


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
    """Units that started alike, and so always get the same gradient."""
    for name in [*p.order("encoder")[:-1], *p.order("decoder")[:-1]]:
        w, g = p.model.get_parameter(f"{name}.weight"), p.trained_gradients.get(f"{name}.weight")
        if g is None or len(w) < 2:
            continue
        if isinstance(p.model.get_submodule(name), _ConvTransposeNd):
            w, g = w.transpose(0, 1), g.transpose(0, 1)
        different = len(torch.cat([w.flatten(1), g.flatten(1)], 1).unique(dim=0))
        if different <= len(w) / 2:
            return Finding(
                "units all alike",
                f"of {len(w)} units of {name} {different} are different, in weights and gradient",
                "start from random weights, not from zeros or a constant, nor from copies of one unit",
            )
    return None


def narrow(p: Evidence) -> Finding | None:
    """What does not get through a part, whatever its weights: pixels, numbers of the code, directions."""
    for part, verb in (("encoder", "written"), ("decoder", "read")):
        some = p.passes(part)
        if not some:
            continue
        live, n = max(some)[:2]
        rank, possible = max((s.rank, s.possible) for s in some)
        blind = min(s.blind for s in some)
        follow = f"follow the {part} layer by layer: is something cut off, overwritten or multiplied by zero?"
        name = evidence = ""
        if blind > 0.1:
            name = (
                "encoder does not see all of the picture" if part == "encoder" else "pixels without gradient"
            )
            evidence = f"{blind:.0%} of the pixels "
            evidence += (
                "do not change the code, or all in the same way"
                if part == "encoder"
                else "pass no gradient to the code"
            )
        elif live <= n / 2:
            name = (
                f"code numbers that are not {verb}"
                if live or part == "encoder"
                else "code does not reach the decoder"
            )
            evidence = f"{n - live} of {n} numbers of the code are not {verb}"
        elif rank < possible / 2:
            name = f"narrow layer in the {part}"
            evidence = f"{rank} of {possible} directions get through at one image"
        if name:
            return Finding(name, f"{evidence}, whatever the weights", follow)
    return None


def no_gradient(p: Evidence) -> Finding | None:
    """Parameters that the loss does not reach, or that are frozen at their start while others learn."""
    named = {
        n: w for n, w in p.model.named_parameters() if w.ndim > 1 and n.startswith(("encoder", "decoder"))
    }
    start = dict(p.fresh.named_parameters())
    frozen = [n for n, w in named.items() if not w.requires_grad and same_law(w, start[n])]
    matrices = {n: g for n, g in p.fresh_gradients.items() if p.model.get_parameter(n).ndim > 1}
    silent = [
        n for n, g in matrices.items() if (p.given is not None or n in named) and (g is None or not g.any())
    ]
    if frozen and len(frozen) < len(named):
        evidence = f"{len(frozen)} of {len(named)} weight matrices are frozen as they started: {frozen[0]}"
    elif silent:
        whole = [part for part in ("encoder", "decoder") if any(n.startswith(part) for n in matrices)
                 and all(n in silent for n in matrices if n.startswith(part))]  # fmt: skip
        what = f"the whole {whole[0]}" if whole else silent[0]
        evidence = f"{len(silent)} of {len(matrices)} weight matrices get no gradient: {what}"
    else:
        return None
    return Finding(
        "parameters without gradient",
        evidence,
        "look for requires_grad, detach(), no_grad(), .data, sample() for rsample(), or layers never called",
    )


def same_law(w: Tensor, start: Tensor) -> bool:
    """Whether weights are distributed as at the start (Kolmogorov and Smirnov's test, at 1 %)."""
    a, b = (v.detach().flatten().sort().values for v in (w, start))
    each = torch.cat([a, b])
    gap = torch.searchsorted(a, each, right=True) / len(a) - torch.searchsorted(b, each, right=True) / len(b)
    return gap.abs().max().item() < 1.63 * (2 / len(a)) ** 0.5


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
