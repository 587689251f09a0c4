"""Checks of the loss: which pixels it sees, how it mixes the images of a batch, what it weighs."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.module import register_module_forward_hook

from ..nets.layers import WEIGHTED
from .evidence import Evidence, Finding, finds
from .loss import some_of


@finds("target not used")
@torch.no_grad()
def unused_target(p: Evidence) -> str:
    """A loss that compares with the input, where the data have a target of its own."""
    b = p.batch
    if p.given is None or b.x is b.target or b.x.equal(b.target):
        return ""
    if not p.loss(p.fresh, b).equal(p.loss(p.fresh, replace(b, target=b.target.roll(1, 0) / 2))):
        return ""
    return "other targets give exactly the same loss, and the data make targets that are not the inputs"


@finds("pixels that the loss does not see")
@torch.enable_grad()
def unseen_pixels(p: Evidence) -> str:
    """Pixels whose reconstruction has no part in the loss, and images: no gradient reaches them."""
    held: dict[int, Tensor] = {}  # what the decoder's distributions are made of
    shape = p.batch.target.shape[1:]

    def keep(_: nn.Module, __: object, out: Distribution) -> None:
        values = vars(getattr(out, "base_dist", out)).values()
        mine = [v for v in values if isinstance(v, Tensor) and v.requires_grad and v.shape[1:] == shape]
        held.update({id(v): v for v in mine})

    with p.fresh.decoder.register_forward_hook(keep):
        loss = p.objective(p.fresh, some_of(p.batch, torch.arange(min(64, len(p.batch)))))["loss"].mean()
    if p.given is None or not held or not loss.requires_grad:
        return ""
    found = torch.autograd.grad(loss, list(held.values()), allow_unused=True)
    sizes = [g.abs().reshape(-1, *shape) for g in found if g is not None]
    if not sizes:
        return ""
    each = torch.stack(sizes).sum(0)  # (N, …)
    most, known = each.amax(0), p.batch.known
    unseen = most < 1e-4 * most.mean()
    pixels = (unseen if known is None else unseen[known.any(0)]).float().mean().item()
    images = (each.flatten(1).amax(1) == 0).float().mean().item()
    if max(pixels, images) < 0.05:
        return ""
    where = f"{pixels:.0%} of the pixels" if pixels >= 0.05 else f"{images:.0%} of the images of a batch"
    return f"the loss has no gradient at {where} of the reconstruction"


@finds("loss mixes the images of a batch")
@torch.no_grad()
def mixed_images(p: Evidence) -> str:
    """A loss of one image that hangs on the others of its batch, or that grows with the batch.

    The mean loss of 64 images is the same in any order of theirs; it is another when the decoder gets the
    codes of other images; and the same for a batch that holds each image twice. In double precision, and
    with means for samples, that is exact.
    """
    if (objective := p.given) is None or len(p.batch) < 8 or error_missing(p):
        return ""
    rows = torch.arange(min(64, len(p.batch)))
    model, batch = copy.deepcopy(p.fresh).double(), some_of(p.batch, rows)
    doubles = {k: v.double() for k in ("x", "target", "c") if (v := getattr(batch, k)) is not None}
    batch = replace(batch, **doubles)

    def quiet(_: nn.Module, __: object, q: Distribution) -> Distribution:
        q = copy.copy(q)
        vars(q)["rsample"] = vars(q)["sample"] = lambda shape=(): q.mean.expand(*shape, *q.mean.shape)
        return q

    def mean(rows: Tensor, seed: int = 0) -> float:
        torch.manual_seed(seed)
        return objective(model, some_of(batch, rows))["loss"].mean().item()

    try:
        with model.encoder.register_forward_hook(quiet):
            first = mean(rows)
            noise = max(abs(mean(rows, seed) - first) for seed in range(1, 7)) + 1e-9 * abs(first)
            turned = max(abs(mean(rows.roll(k)) - first) for k in (1, 7, 20))
            with model.decoder.register_forward_pre_hook(lambda _, args: (args[0].roll(1, 0), *args[1:])):
                exchanged = abs(mean(rows) - first)
            spread = model.reconstruct(batch.x, batch.c).std(0).max().item()
            twice, four = mean(rows.repeat(2)), mean(rows.repeat(4))
    except (RuntimeError, TypeError):  # code that knows float32 alone
        return ""
    if turned > 5 * noise:
        return f"the loss changes by {turned:.3g} when the same images come in another order"
    if exchanged < 1e-12 * abs(first) and spread > 1e-6:
        return "the loss stays the same when every image gets the reconstruction of another"
    more, much = twice - first, four - twice
    if abs(more) > 1e-3 * abs(first) and abs(much - 2 * more) < 0.1 * abs(more):
        return f"the loss is {first:.4g}, and {twice:.4g} when each image comes twice: a sum over the batch"
    return ""


@finds("error missing in the loss, or with the wrong sign")
def error_missing(p: Evidence) -> str:
    """A loss without an error, or that rewards one."""
    if (w := p.weights) is None or w.error > 1e-5 * abs(w.kl or 0):
        return ""
    return f"example by example, the error weighs {w.error:.3g} in the loss, the KL {w.kl or 0:.3g}"


def hidden_beta(p: Evidence) -> Finding | None:
    """The weight of the KL that the loss really has, against one example's error in nats."""
    w = p.weights
    if w is None or w.kl is None or error_missing(p) or 0.1 <= (beta := w.kl / w.error) <= 10:
        return None
    name = "KL with the wrong sign" if beta < -1e-3 else "no KL in the loss" if beta < 1e-3 else "hidden β"
    weights = f"loss = {w.error:.3g} · {w.kind} + {w.kl:.3g} · KL"
    return Finding(name, f"example by example, {weights} (both summed over the example): a β of {beta:.4g}")


@finds("KL miscalculated")
@torch.no_grad()
def another_kl(p: Evidence) -> str:
    """A KL that is not KL(q ‖ p): in the term "kl", or in the loss."""
    if p.given is None or p.kl is None:
        return ""
    said, true = p.given(p.model, p.batch).get("kl"), p.kl.sum().item()
    if p.weights is not None and p.weights.wrong:
        return f"example by example, the loss holds a KL {p.weights.wrong}"
    if said is None or abs(said.mean().item() - true) <= 0.01 * max(true, 0.1):
        return ""
    return f'the objective\'s term "kl" is {said.mean():.4g}; KL(q ‖ p) of its posteriors is {true:.4g} nats'


@finds("code without noise")
def no_noise(p: Evidence) -> str:
    """A VAE whose loss is the same with every noise."""
    if p.given is None or p.kl is None or not p.loss(p.fresh, p.batch).equal(p.loss(p.fresh, p.batch, 1)):
        return ""
    return "the loss is exactly the same with other random numbers, though the posteriors have a deviation"


@finds("penalty that sees no image")
@torch.enable_grad()
def penalty_on_weights(p: Evidence) -> str:
    """A gradient that reaches weights although no layer passes any: the loss takes the weights themselves."""
    layers = {m: n for n, m in p.model.named_modules() if isinstance(m, WEIGHTED) and m.weight.requires_grad}
    if p.given is None or not layers:
        return ""
    try:
        with register_module_forward_hook(lambda m, _, out: out.detach() if m in layers else None):
            loss = p.given(p.model, p.batch)["loss"].mean()
    except RuntimeError:  # an objective that needs gradients itself
        return ""
    if not loss.requires_grad:
        return ""
    found = torch.autograd.grad(loss, [m.weight for m in layers], allow_unused=True)
    direct = {n: 0.0 if g is None else g.norm().item() for n, g in zip(layers.values(), found, strict=True)}
    name, size = max(direct.items(), key=lambda item: item[1])
    whole = p.trained_gradients.get(f"{name}.weight")
    if whole is None or size <= 0.01 * whole.norm().item():
        return ""
    return f"the gradient at {name}.weight is {whole.norm():.3g}, of which {size:.3g} without any image"
