"""Checks of the loss: what it weighs, which pixels it sees, and how it mixes the images of a batch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import torch

from ..nets.layers import WEIGHTED
from .evidence import Evidence, Finding, permuted
from .loss import mixing, reached, some_of


def hidden_beta(p: Evidence) -> Finding | None:
    """The weight of the KL that the loss really has, against one example's error in nats."""
    if (w := p.weights) is None:
        return None
    if w.error < 1e-5 * abs(w.kl or 0) or w.error <= 0:
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
    """A KL that is not KL(q ‖ p): in the term "kl", or in the loss."""
    if p.given is None or p.kl is None:
        return None
    with torch.no_grad():
        said = p.given(p.model, p.batch).get("kl")
    true = p.kl.sum().item()
    if p.weights is not None and p.weights.wrong:
        evidence = f"example by example, the loss holds a KL {p.weights.wrong}"
    elif said is not None and abs(said.mean().item() - true) > 0.01 * max(true, 0.1):
        evidence = f'the objective\'s term "kl" is {said.mean():.4g}; KL(q ‖ p) of these is {true:.4g} nats'
    else:
        return None
    cure = "per dimension ½ (m² + s² − 1 − log s²), with s the standard deviation; or losses.kl_term"
    return Finding("KL miscalculated", evidence, cure)


@torch.enable_grad()
def penalty_on_weights(p: Evidence) -> Finding | None:
    """A gradient that reaches weights although no layer passes any: the loss takes the weights themselves."""
    if p.given is None:
        return None
    layers = {n: m for n, m in p.model.named_modules() if isinstance(m, WEIGHTED) and m.weight.requires_grad}
    with ExitStack() as hooks:
        for m in layers.values():
            hooks.enter_context(m.register_forward_hook(lambda _, __, out: out.detach()))
        try:
            loss = p.given(p.model, p.batch)["loss"].mean()
        except RuntimeError:  # an objective that needs gradients itself
            return None
    if not loss.requires_grad:
        return None
    found = torch.autograd.grad(loss, [m.weight for m in layers.values()], allow_unused=True)
    direct = {n: g.norm().item() for n, g in zip(layers, found, strict=True) if g is not None}
    name = max(direct, key=lambda n: direct[n], default="")
    whole = p.trained_gradients.get(f"{name}.weight")
    if whole is None or direct[name] < 0.01 * whole.norm().item():
        return None
    return Finding(
        "penalty that sees no image",
        f"of the gradient at the weights of {name}, {whole.norm():.3g}, no image has a part in {direct[name]:.3g}",
        "a sparse code needs a penalty on activations, losses.sparse; on weights it is a weight decay",
    )


def no_noise(p: Evidence) -> Finding | None:
    """A VAE whose loss is the same with every noise."""
    if p.given is None or p.kl is None:
        return None
    losses = []
    with torch.no_grad():
        for seed in range(2):
            torch.manual_seed(seed)
            losses.append(p.given(p.fresh, p.batch)["loss"])
    if not losses[0].equal(losses[1]):
        return None
    return Finding(
        "no noise in the code",
        "the loss is exactly the same whatever the seed, though codes have a posterior with a deviation",
        "decode a sample, z = q.rsample(), not the mean: without noise the KL prices what costs no error",
    )


def mixed_images(p: Evidence) -> Finding | None:
    """A loss of one image that hangs on the others of its batch, or that grows with the batch."""
    if p.given is None or len(p.batch) < 8:
        return None
    how, w, half = "", p.weights, p.weights_of_halves
    if w is not None and half is not None and w.kind == half.kind:
        for name, one, two in (("error", w.error, half.error), ("KL", w.kl, half.kl)):
            if one and two and one / two > 1.6:
                how = f"the {name} weighs {one:.3g}, in batches of half the size {two:.3g}: a sum over them"
    else:
        try:
            how = mixing(p.given, p.fresh, p.batch)
        except (RuntimeError, TypeError):  # code that knows float32 alone
            return None
    if not how:
        return None
    return Finding(
        "loss mixes the images of a batch",
        f"the loss hangs on the batch: {how}",
        "one number per image, (B,), from its own target and its own posterior: sum over dimension 1 and up, "
        "never over dimension 0; look at the shapes before each subtraction",
    )


def unseen_pixels(p: Evidence) -> Finding | None:
    """Pixels whose reconstruction has no part in the loss, and images."""
    each = reached(p.objective, p.fresh, some_of(p.batch, torch.arange(min(64, len(p.batch)))))
    if p.given is None or each is None:
        return None
    most = each.amax(0)
    wanted = torch.ones_like(most).bool() if p.batch.known is None else p.batch.known.any(0)
    pixels = (most < 1e-4 * most.mean())[wanted].float().mean().item()
    images = (each.flatten(1).amax(1) == 0).float().mean().item()
    if max(pixels, images) < 0.05:
        return None
    where = f"{pixels:.0%} of the pixels" if pixels >= 0.05 else f"{images:.0%} of the images of a batch"
    return Finding(
        "pixels that the loss does not see",
        f"the loss has no gradient at {where} of the reconstruction",
        "look for an index, a mask or a weight of zero in the error; all pixels of all images belong in it",
    )


@torch.no_grad()
def unused_target(p: Evidence) -> Finding | None:
    """A loss that compares with the input, where the data have a target of its own."""
    b = p.batch
    if p.given is None or b.x is b.target or b.x.equal(b.target):
        return None
    torch.manual_seed(0)
    loss = p.given(p.fresh, b)["loss"].mean()
    torch.manual_seed(0)
    if not loss.equal(p.given(p.fresh, replace(b, target=permuted(b.target) / 2))["loss"].mean()):
        return None
    evidence = "other targets give exactly the same loss, and the data make targets that are not the inputs"
    return Finding(
        "target not used", evidence, "compare the reconstruction with batch.target, not with batch.x"
    )
