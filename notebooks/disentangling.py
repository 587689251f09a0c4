"""Discs with independent factors, an objective against total correlation, and measures of disentanglement."""

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aelib.datasets import Images
from aelib.losses import Terms, kl_term, nll
from aelib.models import Autoencoder

RANGES = ((0.2, 0.8), (0.35, 0.65), (0.1, 0.2), (0.4, 1.0))  # from the lowest level of each to the highest
FACTORS = {"across": 8, "down": 8, "size": 5, "shade": 5}  # name: levels, all equally often


def discs(n: int, size: int = 32, seed: int = 0) -> Images:
    """n grey discs on black, (n, 1, size, size), whose four factors are drawn independently of each other.

    Attributes hold the level of each factor, from 0 on: the place of the centre from left to right and from
    top to bottom, the radius, and the grey level. Edges are soft by a pixel.
    """
    g = np.random.default_rng(seed)
    level = pd.DataFrame({name: g.integers(0, levels, n) for name, levels in FACTORS.items()})
    share = torch.tensor((level / (pd.Series(FACTORS) - 1)).to_numpy(), dtype=torch.float32)
    x0, y0, radius, shade = (
        a + (b - a) * v[:, None, None] for v, (a, b) in zip(share.T, RANGES, strict=True)
    )
    at = (torch.arange(size) + 0.5) / size
    inside = radius - ((at[None, None, :] - x0).square() + (at[None, :, None] - y0).square()).sqrt()
    pictures = shade * (size * inside + 0.5).clamp(0, 1)
    return Images((255 * pictures[:, None]).round().byte().numpy(), attributes=level)


def log_total(mean: Tensor, deviation: Tensor, z: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(B,) log q(z) and (B,) Σₖ log q(zₖ) in nats, of codes z (B, K); q(z) is the mean of n posteriors.

    Those of the batch, means and deviations (B, K), stand for all n: of the code of example i its own
    posterior counts 1/n, each other (n − 1) / (n (B − 1)).
    """
    b = len(z)
    share = torch.full((b, b), math.log((n - 1) / (n * max(b - 1, 1))))
    share.fill_diagonal_(-math.log(n))
    each = torch.distributions.Normal(mean, deviation, validate_args=False).log_prob(z[:, None])  # (B, B, K)
    share = share.to(z.device)
    return (share + each.sum(2)).logsumexp(1), (share[..., None] + each).logsumexp(1).sum(1)


def total_correlation(model: Autoencoder, batch: Any, n: int, beta: float = 6.0) -> Terms:
    """The objective of a β-TCVAE: the ELBO, in which the total correlation of the codes counts β times.

    On average over the examples KL(q(z|x) ‖ p(z)) is I(x; z) + TC + Σₖ KL(q(zₖ) ‖ p(zₖ)), where
    TC = KL(q(z) ‖ Πₖ q(zₖ)) is 0 if the coordinates of all codes together are independent. β-VAE makes all
    three cost more; here TC alone does.

    Args:
        n: examples that are trained on.

    Returns {"loss", "nll", "kl", "tc"}, each (B,), where loss = nll + kl + (β − 1) · tc; tc is an estimate.
    Source: Chen, Li, Grosse, Duvenaud, 2018, https://arxiv.org/abs/1802.04942, with the stratified weights.
    """
    q, z, p = model(batch.x, batch.c)
    error, kl = nll(p, batch.target), kl_term(q, model.prior(batch.c), z)
    together, apart = log_total(q.mean, q.stddev, z, n)
    tc = together - apart
    return {"loss": error + kl + (beta - 1) * tc, "nll": error, "kl": kl, "tc": tc}


def dci(codes: Any, factors: Any, new: Any, new_factors: Any, seed: int = 0) -> dict[str, float]:
    """{"disentanglement", "completeness", "informativeness"} of codes (N, K) for factors (N, F).

    A forest of trees predicts each factor from the codes; R (K, F) says how much it used which coordinate.
    Disentanglement: does a coordinate serve one factor? 1 − the entropy of its row of R, in units of log F;
    rows count by their sums. Completeness: is a factor served by one coordinate? The same of the columns.
    Informativeness: R² of the forests on new codes (M, K), the mean over the factors. 1 is the best of each.

    Source: Eastwood, Williams, 2018, https://openreview.net/forum?id=By-7dz-AZ.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    z, v, z_new, v_new = map(np.asarray, (codes, factors, new, new_factors))
    used, right = np.zeros((z.shape[1], v.shape[1])), []
    for k, factor in enumerate(v.T):
        forest = ExtraTreesRegressor(20, max_features=None, min_samples_leaf=5, random_state=seed)
        used[:, k] = forest.fit(z, factor).feature_importances_
        right.append(forest.score(z_new, v_new[:, k]))
    return {
        "disentanglement": float(_alone(used)), "completeness": float(_alone(used.T)),
        "informativeness": float(np.mean(right)),
    }  # fmt: skip


def _alone(used: np.ndarray) -> float:
    """1 − entropy / log(columns) of each row as shares, the mean weighted by the rows' sums."""
    shares = used / np.maximum(used.sum(1, keepdims=True), 1e-30)
    entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(1) / math.log(used.shape[1])
    return float(np.average(1 - entropy, weights=used.sum(1)))


def rotated(codes: Tensor, seed: int = 0) -> Tensor:
    """The codes (N, K) under a random rotation: all that a linear rule reads from them is still there."""
    g = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(codes.shape[1], codes.shape[1], generator=g))
    q = q * r.diagonal().sign()  # uniform over all turns and mirrored turns
    q[:, 0] *= torch.linalg.det(q).sign()
    return codes @ q.to(codes.dtype)
