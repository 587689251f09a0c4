"""What pages alone measure: identity after an edit, embeddings, codes (a gap, sparsity, use), a spectrum."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def mutual_information_gap(codes: Any, factors: Any, bins: int = 20) -> float:
    """Mutual information gap (MIG): does each factor have a dimension of the code for itself?

    For each factor v: (I(z₁; v) − I(z₂; v)) / H(v), where z₁ and z₂ are the two dimensions that know most of
    it, each cut into bins of equal counts; the mean over the factors. 1: one dimension knows all, the others
    nothing. 0: two know equally much.

    Args:
        codes: (N, K), K ≥ 2.
        factors: (N, F) discrete values; a factor with one value counts nothing.

    Source: Chen, Li, Grosse, Duvenaud, 2018, https://arxiv.org/abs/1802.04942.
    """
    from sklearn.metrics import mutual_info_score

    z, v = np.asarray(codes), np.asarray(factors)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v) or z.shape[1] < 2:
        raise ValueError(f"the gap needs codes (N, K), K ≥ 2, and factors (N, F); got {z.shape}, {v.shape}")
    ranks = z.argsort(0, kind="stable").argsort(0, kind="stable")
    cut = ranks * bins // len(z)
    gaps = []
    for factor in v.T:
        if entropy := mutual_info_score(factor, factor):
            known = sorted(mutual_info_score(factor, column) for column in cut.T)
            gaps.append((known[-1] - known[-2]) / entropy)
    if not gaps:
        raise ValueError("no factor varies: there is nothing for a code to know")
    return float(np.mean(gaps))


def power_spectrum(images: Tensor) -> Tensor:
    """(F,) mean power of images (N, C, H, W) at 0, 1, 2, … waves per picture: what a blur takes away.

    |FFT|² / (H·W), averaged over images, channels and the directions of a wave; its length is rounded to
    whole waves over the shorter side. White noise of variance σ² has power σ² at every frequency from 1 on;
    the mean of an image is the power at 0.

    >>> power_spectrum(torch.rand(2, 3, 9, 12)).shape
    torch.Size([7])
    """
    if images.ndim != 4:
        raise ValueError(f"images come as (N, C, H, W); got {tuple(images.shape)}")
    h, w = images.shape[-2:]
    power = torch.fft.fft2(images.double()).abs().square().mean((0, 1)) / (h * w)
    y, x = (torch.fft.fftfreq(n, dtype=torch.double, device=images.device) for n in (h, w))
    waves = ((y[:, None].square() + x.square()).sqrt() * min(h, w)).round().long().flatten()
    total = torch.bincount(waves, power.flatten())
    return (total / torch.bincount(waves).clamp_min(1)).float().cpu()


def sparsity(codes: Tensor) -> dict[str, float]:
    """{"hoyer", "zeros"} of codes (N, K), K ≥ 2, each from 0 to 1, averaged over the codes.

    Hoyer's: (√K − |z|₁ / |z|₂) / (√K − 1); 0 where all numbers are as large, 1 where a single one is not zero
    (or none is). It does not change with the codes' scale. "zeros": the share of numbers that are exactly 0.

    Source: Hoyer, 2004, https://www.jmlr.org/papers/v5/hoyer04a.html.
    """
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise ValueError(f"sparsity is of codes (N, K), K ≥ 2; got {tuple(codes.shape)}")
    z, root = codes.double(), codes.shape[1] ** 0.5
    ratio = z.norm(1, dim=1) / z.norm(dim=1).clamp_min(1e-30)
    hoyer = ((root - ratio) / (root - 1)).clamp(0, 1)
    return {"hoyer": hoyer.mean().item(), "zeros": (z == 0).double().mean().item()}


def embedding_quality(
    fitted: Any, labels: Any, new: Any, new_labels: Any, originals: Any = None, neighbours: int = 10
) -> dict[str, float]:
    """How much of the classes an embedding keeps, and how much of the neighbourhoods.

    Args:
        fitted, labels: (N, K) codes and (N,) classes to learn from.
        new, new_labels: (M, K) and (M,) to be judged on.
        originals: (M, D) what `new` are the codes of, for the trustworthiness.
        neighbours: k.

    Returns:
        {"knn"}: accuracy of k nearest neighbours; {"linear"}: of a logistic regression on standardised
        codes (linear probe); {"trustworthiness"}: from 0 to 1, how few of a code's neighbours were strangers
        before (Venna, Kaski, 2001), on the first 2,000.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.manifold import trustworthiness
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted, new = np.asarray(fitted), np.asarray(new)
    knn = KNeighborsClassifier(neighbours).fit(fitted, labels)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(fitted, labels)
    out = {"knn": knn.score(new, new_labels), "linear": probe.score(new, new_labels)}
    if originals is not None:
        flat = np.asarray(originals)[:2000].reshape(len(new[:2000]), -1)
        out["trustworthiness"] = trustworthiness(flat, new[:2000], n_neighbors=neighbours)
    return {name: float(value) for name, value in out.items()}


def perplexity(indices: Tensor) -> Tensor:
    """() how many vectors of a codebook are used, in effect: exp of the entropy of the indices.

    1: always the same vector; as many as there are vectors: all equally often.
    """
    share = torch.bincount(indices.flatten()) / indices.numel()
    return torch.special.entr(share).sum().exp()
