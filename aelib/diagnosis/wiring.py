"""Checks of the wiring: what no training can mend."""

import copy
from contextlib import ExitStack

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvTransposeNd

from .data import out_of_range
from .evidence import Evidence, Finding, finds, permuted, reinitialise


@finds("NaN in the weights")
def broken_weights(p: Evidence) -> str:
    """A weight that is no number."""
    bad = [name for name, w in p.model.state_dict().items() if not w.isfinite().all()]
    return f"{len(bad)} tensors hold NaN or infinity, the first is {bad[0]}" if bad else ""


@finds("NaN in the outputs")
def broken_outputs(p: Evidence) -> str:
    """NaN or infinity from finite weights and images; the first layer to give it is named."""
    first: list[str] = []

    def look(name: str, out: object) -> None:
        if isinstance(out, Tensor) and not out.isfinite().all():
            first.append(name)

    with ExitStack() as hooks:
        for name, m in p.model.named_modules():
            if not any(m.children()):
                hooks.enter_context(m.register_forward_hook(lambda _, __, out, name=name: look(name, out)))
        outcome = p.look(p.model, p.batch)
    bad = {"codes": outcome.z, "reconstructions": outcome.x_hat}
    shares = [
        f"{share:.2g} of the {k}" for k, v in bad.items() if (share := 1 - v.isfinite().float().mean().item())
    ]
    return (
        f"{' and '.join(shares)} are NaN or infinite, first after {(first or ['a head'])[0]}"
        if shares
        else ""
    )


@finds("NaN in the loss")
def broken_loss(p: Evidence) -> str:
    """NaN or infinity in the loss or its gradients, where outputs are finite."""
    with torch.no_grad():
        finite = p.objective(p.model, p.batch)["loss"].isfinite().all()
    bad = [n for n, g in p.trained_gradients.items() if g is not None and not g.isfinite().all()]
    if not finite:
        return "outputs are finite, but the loss holds NaN or infinity"
    return f"the loss is finite, but not the gradients of {len(bad)} parameters, as {bad[0]}" if bad else ""


@finds("random in evaluation")
@torch.no_grad()
def random_in_evaluation(p: Evidence) -> str:
    """A posterior or a reconstruction that is another one each time, in evaluation mode."""
    b, z = p.batch, p.outcome.q.mean
    codes = [p.model.encode(b.x, b.c).mean for _ in range(2)]
    pictures = [p.model.decode(z, b.c, p.model.sized(b.x)).mean for _ in range(2)]
    for part, (one, two) in (("encoder", codes), ("decoder", pictures)):
        if (gap := (one - two).abs().max().item()) > 1e-3 * one.abs().max().item():
            return f"the {part} gives another result for the same input each time, by up to {gap:.2g}"
    return ""


@finds("decoder sees more than the code")
@torch.no_grad()
def way_round_the_code(p: Evidence) -> str:
    """A decoder that sees more than z and c."""
    b = p.batch
    out = p.model(b.x, b.c)
    p.model.encode(permuted(b.x), b.c)
    again = p.model.decode(out.z, b.c, p.model.sized(b.x)).mean
    difference = (again - out.p.mean).abs().max().item()
    if difference <= 1e-3 * out.p.mean.abs().max().item():
        return ""
    return f"the same code, decoded after other images were encoded, gives other pixels, by {difference:.2g}"


@finds("neighbours change the result")
@torch.no_grad()
def neighbours(p: Evidence) -> str:
    """Results that depend on the other images of the batch."""
    few = max(1, len(p.batch) // 4)
    c = None if p.batch.c is None else p.batch.c[:few]
    alone = p.model.reconstruct(p.batch.x[:few], c)
    together = p.outcome.x_hat[:few]
    difference = (alone - together).abs().max().item()
    if difference <= 1e-3 * together.abs().max().item():
        return ""
    return f"with other neighbours in the batch, reconstructions change by up to {difference:.2g}"


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
    if not missing or (model.prior is None and len(missing) == 1 and not b.x.equal(b.target)):
        return None
    said = f"the output of the {missing[0]} is exactly the same under other conditions, whatever the weights"
    return Finding(f"condition missing in the {' and the '.join(missing)}", said)


@finds("outputs cannot reach the pixels")
def unreachable_pixels(p: Evidence) -> str:
    """An activation at the end of the decoder that cannot give the targets' values."""
    (low, high), t = p.reach, p.batch.target
    outside = ((t < low - 0.02) | (t > high + 0.02)).float().mean().item()
    if outside < 0.02 or out_of_range(p):
        return ""
    return (
        f"however its last layer is driven, the decoder gives {low:.2f} to {high:.2f}; {outside:.0%} of the "
        "target pixels lie outside"
    )


@finds("posterior cannot become a code")
def unreachable_codes(p: Evidence) -> str:
    """An activation at the end of the encoder that keeps the posterior away from what a code needs."""
    if p.kl is None or not isinstance(getattr(p.outcome.q, "base_dist", None), torch.distributions.Normal):
        return ""
    if (out := p.driven("encoder")) is None:
        return ""
    low, high, sharp = out.codes.min().item(), out.codes.max().item(), out.q.stddev.min().item()
    if low < -0.5 and high > 0.5 and sharp < 0.5:
        return ""
    return (
        f"however the encoder's last layer is driven, means are {low:.2g} to {high:.2g} and standard "
        f"deviations at least {sharp:.2g}"
    )


@finds("units all alike")
def stuck_together(p: Evidence) -> str:
    """Units that started alike, and so always get the same gradient."""
    for name in [*p.order("encoder")[:-1], *p.order("decoder")[:-1]]:
        w, g = p.model.get_parameter(f"{name}.weight").data, p.trained_gradients.get(f"{name}.weight")
        if g is None or len(w) < 2:
            continue
        if isinstance(p.model.get_submodule(name), _ConvTransposeNd):
            w, g = w.transpose(0, 1), g.transpose(0, 1)
        different = len(torch.cat([w.flatten(1), g.flatten(1)], 1).unique(dim=0))
        if different <= len(w) / 2:
            return f"of {len(w)} units of {name} {different} are different, in weights and gradient"
    return ""


@finds("parameters without gradient")
def no_gradient(p: Evidence) -> str:
    """Parameters that the loss does not reach, or that are frozen at their start while others learn."""
    named = {
        n: w for n, w in p.model.named_parameters() if w.ndim > 1 and n.startswith(("encoder", "decoder"))
    }
    start = dict(p.fresh.named_parameters())
    frozen = [n for n, w in named.items() if not w.requires_grad and same_law(w, start[n])]
    matrices = {n: g for n, g in p.fresh_gradients.items() if p.model.get_parameter(n).ndim > 1}
    silent = [n for n, g in matrices.items() if (p.given or n in named) and (g is None or not g.any())]
    if frozen and len(frozen) < len(named):
        return f"{len(frozen)} of {len(named)} weight matrices are frozen as they started: {frozen[0]}"
    return f"{len(silent)} of {len(matrices)} weight matrices get no gradient: {silent[0]}" if silent else ""


def same_law(w: Tensor, start: Tensor) -> bool:
    """Whether weights are distributed as at the start (Kolmogorov and Smirnov's test, at 1 %)."""
    a, b = (v.detach().flatten().sort().values for v in (w, start))
    each = torch.cat([a, b])
    gap = torch.searchsorted(a, each, right=True) / len(a) - torch.searchsorted(b, each, right=True) / len(b)
    return gap.abs().max().item() < 1.63 * (2 / len(a)) ** 0.5


@finds("parameters without an optimizer")
def no_optimizer(p: Evidence) -> str:
    """Parameters that no optimizer holds."""
    left = [n for n, w in p.model.named_parameters() if w.requires_grad and p.term_of[n] is None]
    if not p.groups or not left:
        return ""
    return f"{len(left)} of {len(p.term_of)} parameter tensors are in no optimizer, the first is {left[0]}"


@finds("hardly trained")
def idle_optimizer(p: Evidence) -> str:
    """A learning rate of zero."""
    rates = [group.get("initial_lr", group["lr"]) for _, group in p.groups]
    return f"the largest learning rate is {max(rates):.1g}" if rates and max(rates) <= 1e-7 else ""


@finds("encoder trained on the KL alone")
def encoder_without_error(p: Evidence) -> str:
    """An encoder whose gradient does not change with the decoder: it never hears of the error."""
    other = copy.deepcopy(p.fresh)
    reinitialise(other.decoder, seed=1)
    mine, theirs = p.fresh_gradients, p.gradients(other)
    pairs = [(g, theirs[n]) for n, g in mine.items() if n.startswith("encoder") and g is not None]
    if not pairs or any(not torch.equal(a, b) for a, b in pairs if b is not None):
        return ""
    return "the encoder's gradient stays exactly the same when the decoder is exchanged for another"
