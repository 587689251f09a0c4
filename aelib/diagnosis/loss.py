"""What a loss consists of, found out from its values: loss = a · error + b · KL + constant."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

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
        constant: a part that changes with the weights but with no image; None where there is none.
    """

    error: float
    kind: str
    kl: float | None
    constant: float | None


def _cross_entropy(p: Distribution, target: Tensor) -> Tensor:
    m = p.mean
    log, log_1 = (v.log().clamp_min(-100) for v in (m, 1 - m))
    return -(target * log + (1 - target) * log_1).flatten(1).sum(1)


ERRORS = {
    "(−log p)": nll, "(squared error)": squared_error, "(cross-entropy)": _cross_entropy,
    "(absolute error)": lambda p, target: (p.mean - target).abs().flatten(1).sum(1),
}  # fmt: skip


def loss_weights(
    objective: Objective, model: Autoencoder, fresh: Autoencoder, data: Batch
) -> LossWeights | None:
    """Fit the loss by its error and its KL; None if it is made of something else.

    The mean loss of each of many small batches is fitted, under two sets of weights: the model's and fresh
    ones. So it does not matter where the objective takes its means, and a constant that differs between the
    two sets is a penalty on weights.
    """
    old, new = (_means(objective, m, data) for m in (model, fresh))
    if old is None or new is None:
        return None
    for kind in ERRORS:
        names = [name for name in (kind, "kl") if name in old]
        tables = [torch.stack([means[name] for name in [*names, "loss"]], 1) for means in (old, new)]
        m = torch.cat([(t - t.mean(0)) / t[:, -1].std().clamp_min(1e-30) for t in tables])
        size = m[:, :-1].norm(dim=0)
        if not m.isfinite().all() or not (size > 0).all():
            continue
        x, y = m[:, :-1] / size, m[:, -1]
        w = torch.linalg.lstsq(x, y[:, None]).solution[:, 0] / size
        rest = (y - m[:, :-1] @ w).square().mean().sqrt()
        if rest > EXACT:
            continue
        doubt = rest * torch.linalg.pinv(x.T @ x).diagonal().sqrt() / size
        if doubt.max() > 0.02 * w.abs().max():
            continue  # a KL that is nearly nothing everywhere drowns in the rounding of the loss
        left = [(t[:, -1] - t[:, :-1] @ w).mean().item() for t in tables]
        constant = left[0] if abs(left[0] - left[1]) > 1e-3 * old["loss"].abs().mean() else None
        return LossWeights(w[0].item(), kind, w[1].item() if len(w) > 1 else None, constant)
    return None


@torch.no_grad()
def _means(objective: Objective, model: Autoencoder, data: Batch) -> dict[str, Tensor] | None:
    """Mean loss, errors and KL of each small batch, (N,); None where the objective decodes otherwise."""
    n = max(4, len(data) // 25)
    if len(data) < 2 * n:
        return None
    out: dict[str, list[Tensor]] = {}
    for rows in torch.arange(len(data), device=data.x.device).chunk(n):
        batch = replace(data, **{k: v[rows] for k, v in vars(data).items() if v is not None})
        qs: list[Distribution] = []
        ps: list[Distribution] = []
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
                terms["kl"] = kl_divergence(qs[0], model.prior(batch.c))
        for name, term in terms.items():
            out.setdefault(name, []).append(term.mean().cpu().double())
    return {name: torch.stack(each) for name, each in out.items()}
