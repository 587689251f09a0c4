"""What a loss consists of, found out from its values: loss = a · error + b · KL + constant."""

import contextlib
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from ..datasets import Batch
from ..distributions import Delta
from ..losses import Objective, nll, squared_error
from ..models import Autoencoder

EXACT = 1e-3  # a loss is understood if the fit leaves less than this share of its standard deviation


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of a loss, each term summed over an example.

    Args:
        error: of the error.
        kind: which error.
        kl: of the KL; None where there is none.
        wrong: how the KL is miscalculated; empty if it is right.
    """

    error: float
    kind: str
    kl: float | None
    wrong: str = ""


def _cross_entropy(p: Distribution, target: Tensor) -> Tensor:
    log, log_1 = (v.log().clamp_min(-100) for v in (p.mean, 1 - p.mean))
    return -(target * log + (1 - target) * log_1).flatten(1).sum(1)


ERRORS = {
    "(−log p)": nll, "(squared error)": squared_error, "(cross-entropy)": _cross_entropy,
    "(absolute error)": lambda p, target: (p.mean - target).abs().flatten(1).sum(1),
}  # fmt: skip


def _divergence(m: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (m.square() + log_var.exp() - 1 - log_var).flatten(1).sum(1)


WRONG = {  # from N(0, 1), as they are found in code: what takes the place of log σ²
    "with log σ for log σ²": lambda m, s: _divergence(m, s.log()),
    "with σ for log σ²": lambda m, s: _divergence(m, s),
    "with 4 log σ for log σ²": lambda m, s: _divergence(m, 4 * s.log()),
    "the wrong way round, KL(p ‖ q)": lambda m, s: _divergence(m / s, -2 * s.log()),
    "of the means alone": lambda m, s: _divergence(m, torch.zeros_like(s)),
}


def some_of(batch: Batch, rows: Tensor) -> Batch:
    """These rows of a batch."""
    return replace(batch, **{k: v[rows] for k, v in vars(batch).items() if v is not None})


def loss_weights(objective: Objective, old: Autoencoder, new: Autoencoder, data: Batch) -> LossWeights | None:
    """Fit the loss by its error and its KL; None if it is made of something else.

    The mean loss of each of ten small batches is fitted, under two sets of weights: the model's and new ones.
    So it does not matter where the objective takes its means.
    """
    one, two = (_means(objective, model, data) for model in (old, new))
    if one is None or two is None:
        return None
    kls: list[str | None] = [k for k in ("", *WRONG) if k in one and k in two]
    for wrong, kind in product(kls or [None], ERRORS):
        names = [kind, "loss"] if wrong is None else [kind, wrong, "loss"]
        tables = [torch.stack([means[name] for name in names], 1) for means in (one, two)]
        m = torch.cat([(t - t.mean(0)) / t[:, -1].std().clamp_min(1e-30) for t in tables])
        size = m[:, :-1].norm(dim=0)
        if not m.isfinite().all() or not (size > 0).all():
            continue
        x, y = m[:, :-1] / size, m[:, -1]
        w = torch.linalg.lstsq(x, y[:, None]).solution[:, 0] / size
        rest = (y - m[:, :-1] @ w).square().mean().sqrt()
        doubt = rest * torch.linalg.pinv(x.T @ x).diagonal().sqrt() / size
        # a KL that is nearly nothing everywhere drowns in the rounding of the loss
        if rest > EXACT or (wrong and abs(w[1]) < 1e-3 * abs(w[0])):
            continue
        if doubt.max() > 0.02 * w.abs().max():
            return None
        return LossWeights(w[0].item(), kind, w[1].item() if len(w) > 1 else None, wrong or "")
    return None


@torch.no_grad()
def _means(objective: Objective, model: Autoencoder, data: Batch) -> dict[str, Tensor] | None:
    """Mean loss, errors and KLs of each small batch, (N,); None where the objective decodes otherwise."""
    n = min(10, len(data) // 2)
    out: dict[str, list[Tensor]] = {}
    for rows in torch.arange(len(data), device=data.x.device).chunk(n):
        batch = some_of(data, rows)
        qs, ps = list[Distribution](), list[Distribution]()
        with (
            model.encoder.register_forward_hook(lambda _, __, out, qs=qs: qs.append(out)),
            model.decoder.register_forward_hook(lambda _, __, out, ps=ps: ps.append(out)),
        ):
            terms = {"loss": objective(model, batch)["loss"]}
        if len(qs) != 1 or len(ps) != 1 or ps[0].mean.shape != batch.target.shape:
            return None
        terms |= {kind: f(ps[0], batch.target) for kind, f in ERRORS.items()}
        if model.prior is not None and not isinstance(qs[0], Delta):
            with contextlib.suppress(NotImplementedError):
                terms[""] = kl_divergence(qs[0], model.prior(batch.c))
                terms |= {k: f(qs[0].mean, qs[0].stddev) for k, f in WRONG.items()}
        for name, term in terms.items():
            out.setdefault(name, []).append(term.mean().cpu().double())
    return {name: torch.stack(each) for name, each in out.items()} if n >= 4 else None
