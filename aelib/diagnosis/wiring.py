"""Checks of the wiring, which no training can mend: what gets through, and which parameters learn."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from .data import out_of_range
from .evidence import Evidence, Finding, finds, reinitialise
from .loss import some_of

PROBES = 32  # images, numbers of the code, and directions that are looked at


@finds("NaN in the weights")
def broken_weights(p: Evidence) -> str:
    """A weight that is no number."""
    bad = [name for name, w in p.model.state_dict().items() if not w.isfinite().all()]
    return f"{len(bad)} tensors hold NaN or infinity, the first is {bad[0]}" if bad else ""


@finds("NaN in the outputs")
def broken_outputs(p: Evidence) -> str:
    """NaN or infinity from finite weights and images; the first layer to give it is named."""
    names, first = {m: name for name, m in p.model.named_modules()}, []

    def look(m: nn.Module, _: object, out: object) -> None:
        if isinstance(out, Tensor) and not out.isfinite().all():
            first.append(names.get(m, "a layer"))

    with register_module_forward_hook(look):
        outcome = p.look(p.model, p.batch)
    made = {"codes": outcome.z, "reconstructions": outcome.x_hat}
    shares = {k: 1 - v.isfinite().float().mean().item() for k, v in made.items()}
    said = " and ".join(f"{share:.2g} of the {k}" for k, share in shares.items() if share)
    return f"{said} are NaN or infinite, first after {[*first, 'a head'][0]}" if said else ""


@finds("NaN in the loss")
def broken_loss(p: Evidence) -> str:
    """NaN or infinity in the loss or its gradients, where outputs are finite."""
    with torch.no_grad():
        finite = p.objective(p.model, p.batch)["loss"].isfinite().all()
    bad = [n for n, g in p.trained_gradients.items() if g is not None and not g.isfinite().all()]
    if not finite:
        return "outputs are finite, but the loss holds NaN or infinity"
    return f"the loss is finite, but not the gradients of {len(bad)} parameters, as {bad[0]}" if bad else ""


@torch.no_grad()
def unsteady(p: Evidence) -> Finding | None:
    """A result that hangs, in evaluation mode, on chance, on images encoded since, or on neighbours."""
    b, z, few = p.batch, p.outcome.q.mean, some_of(p.batch, torch.arange(max(1, len(p.batch) // 4)))

    def decode(z: Tensor) -> Tensor:
        return p.model.decode(z, b.c, p.model.sized(b.x)).mean

    codes, pictures = [p.model.encode(b.x, b.c).mean for _ in range(2)], [decode(z) for _ in range(2)]
    own = p.model(b.x, b.c)
    p.model.encode(b.x.roll(1, 0), b.c)
    later = decode(own.z)
    alone, together = p.model.reconstruct(few.x, few.c), p.outcome.x_hat[: len(few)]
    pairs: list[tuple[str, str, Tensor, Tensor]] = [
        ("random in evaluation", "the same input gets another code each time", codes[0], codes[1]),
        ("random in evaluation", "the same code gives other pixels each time", pictures[0], pictures[1]),
        ("decoder sees more than the code", "pixels change when others were encoded", own.p.mean, later),
        ("neighbours change the result", "pixels change with the rest of the batch", together, alone),
    ]
    for name, said, one, two in pairs:
        if (gap := (one - two).abs().max().item()) > 1e-3 * one.abs().max().item():
            return Finding(name, f"{said}, by up to {gap:.2g}")
    return None


@torch.no_grad()
def lost_condition(p: Evidence) -> Finding | None:
    """A condition that is not wired to a part that needs it."""
    b, model = p.batch, p.fresh
    if b.c is None or b.c.equal(other := b.c.roll(1, 0)):
        return None
    code = model.encode(b.x, b.c).mean
    codes = code, model.encode(b.x, other).mean
    pictures = model.decode(code, b.c).mean, model.decode(code, other).mean
    missing = [part for part, (one, two) in (("encoder", codes), ("decoder", pictures)) if one.equal(two)]
    # without a prior nothing is sampled under c: one part alone may need it, as a denoiser the noise level
    if not missing or (model.prior is None and len(missing) == 1 and not b.x.equal(b.target)):
        return None
    said = f"the output of the {missing[0]} is exactly the same under other conditions, whatever the weights"
    return Finding(f"condition missing in the {' and the '.join(missing)}", said)


@finds("outputs cannot reach the pixels")
def unreachable_pixels(p: Evidence) -> str:
    """An activation at the end of the decoder that cannot give the targets' values."""
    if (out := p.driven("decoder")) is None or out_of_range(p):
        return ""
    low, high, t = out.x_hat.min().item(), out.x_hat.max().item(), p.batch.target
    if (outside := ((t < low - 0.02) | (t > high + 0.02)).float().mean().item()) < 0.02:
        return ""
    said = f"however its last layer is driven, the decoder gives {low:.2f} to {high:.2f}; "
    return f"{said}{outside:.0%} of the target pixels lie outside"


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
    said = f"however the encoder's last layer is driven, means are {low:.2g} to {high:.2g} and "
    return f"{said}standard deviations at least {sharp:.2g}"


@finds("units all alike")
def stuck_together(p: Evidence) -> str:
    """Units that started alike, and so always get the same gradient."""
    for name in [*p.order("encoder")[:-1], *p.order("decoder")[:-1]]:
        if (g := p.trained_gradients.get(f"{name}.weight")) is None or len(g) < 2:
            continue
        w, g = (p.by_unit(name, v) for v in (p.model.get_parameter(f"{name}.weight").data, g))
        if (different := len(torch.cat([w, g], 1).unique(dim=0))) <= len(w) / 2:
            return f"of {len(w)} units of {name} {different} are different, in weights and gradient"
    return ""


@finds("parameters without gradient")
def no_gradient(p: Evidence) -> str:
    """Parameters that the loss does not reach, or that are frozen at their start while others learn."""
    parts = "encoder", "decoder"
    named = {n: w for n, w in p.model.named_parameters() if w.ndim > 1 and n.startswith(parts)}
    frozen = [n for n, w in named.items() if not w.requires_grad and same_law(w, p.fresh.get_parameter(n))]
    if frozen and len(frozen) < len(named):
        return f"{len(frozen)} of {len(named)} weight matrices are frozen as they started: {frozen[0]}"
    matrices = {n: g for n, g in p.fresh_gradients.items() if p.model.get_parameter(n).ndim > 1}
    if silent := [n for n, g in matrices.items() if (p.given or n in named) and (g is None or not g.any())]:
        return f"{len(silent)} of {len(matrices)} weight matrices get no gradient: {silent[0]}"
    z = (p.outcome.q.mean + 3 * torch.randn_like(p.outcome.q.mean)).requires_grad_()
    with torch.enable_grad():
        one, two = (p.fresh.decode(v, p.batch.c, p.model.sized(p.batch.x)).mean for v in (z, z.roll(1, 0)))
        (g,) = torch.autograd.grad(one.square().sum(), z, allow_unused=True) if one.requires_grad else (None,)
    if one.equal(two) or (g is not None and g.any()):
        return ""
    return "the code moves the pixels, but no gradient comes back from the pixels to the code"


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
    """A learning rate of zero, for all or for some that are as they started."""
    rates = {id(w): g.get("initial_lr", g["lr"]) for _, g in p.groups for w in g["params"]}
    if rates and max(rates.values()) <= 1e-7:
        return f"the largest learning rate is {max(rates.values()):.1g}"
    matrices = {n: w for n, w in p.model.named_parameters() if w.ndim > 1}
    idle = [n for n, w in matrices.items() if rates.get(id(w), 1.0) <= 1e-7]
    if not any(same_law(matrices[n], p.fresh.get_parameter(n)) for n in idle):
        return ""
    return f"the learning rate is 0 for {len(idle)} of {len(matrices)} weight matrices, as {idle[0]}"


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


# what gets through an encoder or a decoder, whatever its weights: pixels, code numbers, directions


class Passing(NamedTuple):
    """What passes.

    Args:
        live: of `numbers` of the code, how many any image moves ("encoder") or any pixel shows ("decoder").
        rank: of the Jacobian at one image; `possible` is the most that it can be.
        blind: the share of the pixels that do not move the code, or that pass no gradient to it.
    """

    live: int
    numbers: int
    rank: int
    possible: int
    blind: float


@torch.enable_grad()
def passing(p: Evidence, part: str, seed: int) -> Passing:
    """Of a part whose weights are a start, in double precision: what passes at all is far above rounding."""
    model = copy.deepcopy(p.model).double()
    reinitialise(model, seed)
    x, c = p.batch.x[:PROBES].double(), None if p.batch.c is None else p.batch.c[:PROBES].double()

    def f(h: Tensor, one: bool = False) -> Tensor:
        its = None if c is None else (c[:1] if one else c)[torch.arange(len(h)) % (1 if one else len(c))]
        out = model.encode(h, its) if part == "encoder" else model.decode(h, its, model.sized(x))
        return out.mean.flatten(1)

    noise = torch.randn_like(x if part == "encoder" else model.encode(x, c).mean)
    h = (torch.cat([x, x + 3 * noise]) if part == "encoder" else noise).detach().requires_grad_()
    out = f(h)
    v = torch.randn_like(out).requires_grad_()
    (g,) = torch.autograd.grad(out, h, v, create_graph=True)
    varies = out.std(0) > 1e-9 * out.std()
    if part == "encoder":
        live, first = varies, p.batch.target.shape[1]
        g = g.detach()[:, :first].flatten(2) if g.ndim > 2 else g.detach()[:, None]
        least = 1e-9 * g.abs().max()
        blind = (g.abs().amax(0) < least) | (g.std(2).max() < least)  # an average is no look
    else:
        numbers = torch.linspace(0, h[0].numel() - 1, min(h[0].numel(), PROBES)).long()
        z = h[:1].detach().flatten(1).repeat(len(numbers) + 1, 1)
        z[range(len(numbers)), numbers] += 3  # more than a rounding to whole numbers takes away
        changed = f(z.view(-1, *h.shape[1:]), one=True).detach()
        live = (changed[:-1] - changed[-1]).abs().amax(1) > 1e-9 * changed.abs().max()
        (moved,) = torch.autograd.grad((g * torch.randn_like(g)).sum(), v)  # how pixels move with the code
        blind = varies & (moved.abs().amax(0) == 0) & moved.any()  # all of them: another matter
    one = h[:1].detach().expand(PROBES, *h.shape[1:]).clone().requires_grad_()
    out = f(one, one=True)
    v = torch.randn_like(out).requires_grad_()
    (g,) = torch.autograd.grad(out, one, v, create_graph=True)
    (moved,) = torch.autograd.grad((g * torch.randn_like(g)).sum(), v)
    sizes = torch.linalg.svdvals(g.detach().flatten(1))
    # a sparse code has few numbers at a time
    possible = min(int(live.sum()), PROBES, int((moved != 0).any(0).sum()), g[0].numel())
    rank = int((sizes > 1e-11 * sizes[0]).sum()) if sizes[0] > 0 else possible  # no gradient: another matter
    return Passing(int(live.sum()), len(live), rank, possible, blind.double().mean().item())


def narrow(p: Evidence) -> Finding | None:
    """What does not get through, at any of three starts."""
    for part, verb, unseen, how in (
        ("encoder", "written", "encoder does not see all of the picture", "have no effect of their own"),
        ("decoder", "read", "pixels that the loss does not see", "pass no gradient to the code"),
    ):
        try:
            some = [passing(p, part, seed) for seed in range(3)]
        except (RuntimeError, TypeError, NotImplementedError):  # code that knows float32 alone
            continue
        live, n = max(some)[:2]
        rank, possible = max(((s.rank, s.possible) for s in some), key=lambda r: r[0] / max(r[1], 1))
        if (blind := min(s.blind for s in some)) > 0.1:
            name, said = unseen, f"{blind:.0%} of the pixels {how}"
        elif live <= n / 2:
            cut = not live and part == "decoder"
            name = "code does not reach the decoder" if cut else f"code numbers that are not {verb}"
            said = f"{n - live} of {n} numbers of the code are not {verb}"
        elif rank < possible / 2:
            name = f"narrow layer in the {part}"
            said = f"{rank} of {possible} directions get through at one image"
        else:
            continue
        return Finding(name, f"{said}, whatever the weights")
    return None
