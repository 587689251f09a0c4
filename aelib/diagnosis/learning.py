"""Checks of the loss (what it sees, mixes and weighs), of the training, and of its result."""

import copy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.module import register_module_forward_hook

from ..losses import reconstruction
from ..metrics import frechet_distance
from ..nets.layers import WEIGHTED
from .evidence import STEPS, Evidence, Finding, explained, finds
from .loss import some_of

FAR = 1.0  # of the prior's variance: each mean one standard deviation off, or codes of twice its size


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
