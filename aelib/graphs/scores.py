"""How well links are told from pairs that are none: AUC and AP."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contexts import evaluating
from ..models import Autoencoder
from .links import Links
from .nets import BernoulliLinks


@torch.no_grad()
def scores(model: Autoencoder, links: Links) -> tuple[Tensor, Tensor]:
    """((M,), (M,)): zᵢᵀ zⱼ of each pair that is asked for, at the posterior's mean; and linked, 1 or 0."""
    with evaluating(model):
        batch = links.batch(model.device)
        p = model.decode(model.encode(batch.x).mean)
    if not isinstance(p, BernoulliLinks):
        raise TypeError(f"links are scored by a decoder of links, as InnerProduct; got {type(p).__name__}")
    return p.logits(batch.target.nodes).cpu(), batch.target.linked.cpu()  # type: ignore[attr-defined]


def judge(model: Autoencoder, links: Links) -> dict[str, float]:
    """{"auc", "ap"}, from 0 to 1, of a model on pairs, by the scores at the posterior's mean.

    AUC: the probability that a linked pair scores higher than an unlinked one (½: a coin). AP, the average
    precision: the mean, over the linked pairs from the highest score down, of the share of linked pairs
    among all that score as high. Both depend on how many unlinked pairs there are to each linked one only
    through AP: here as many.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    score, linked = scores(model, links)
    return {
        "auc": float(roc_auc_score(linked, score)),
        "ap": float(average_precision_score(linked, score)),
    }
