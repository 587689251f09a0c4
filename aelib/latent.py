"""The space of codes: encode a dataset, give the codes a distribution, move along a direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)

from .datasets import Images
from .errors import unknown
from .models import Autoencoder, evaluating, seeded


@torch.no_grad()
def encode(model: Autoencoder, data: Images, batch_size: int = 500) -> Tensor:
    """(N, K) codes of all images, on the CPU: the posterior's means, flattened."""
    with evaluating(model):
        batches = data.batches(batch_size, device=model.device)
        return torch.cat([model.encode(b.x, b.c).mean.flatten(1).cpu() for b in batches])


@torch.no_grad()
def decode(model: Autoencoder, z: Tensor, c: Tensor | None = None, batch_size: int = 500) -> Tensor:
    """(N, C, H, W) images of codes (N, K), on the CPU: the likelihood's means."""
    rows, at = torch.arange(len(z)).split(batch_size), model.device
    with evaluating(model):
        images = [model.decode(z[r].to(at), None if c is None else c[r].to(at)).mean.cpu() for r in rows]
    return torch.cat(images)


def direction(codes: Tensor, present: np.ndarray | Tensor) -> Tensor:
    """(K,) the vector of an attribute: mean code of images that have it minus mean code of those without.

    v = mean(z | present) − mean(z | absent). It is *signed*: adding v to a code adds the attribute,
    subtracting it takes the attribute away. (Its absolute value, seen in public code, points elsewhere.)

    Args:
        codes: (N, K).
        present: (N,) 1 present, 0 absent, NaN not known (left out).

    Raises:
        ValueError: the attribute is present in all or in none.
    """
    has = torch.tensor(np.asarray(present)).float()
    if len(has) != len(codes):
        raise ValueError(f"{len(codes)} codes, but {len(has)} values of the attribute: need one per code")
    if not (has == 1).any() or not (has == 0).any():
        raise ValueError("a direction needs images with the attribute and images without it")
    return codes[has == 1].mean(0) - codes[has == 0].mean(0)


def principal_directions(codes: Tensor, n: int) -> Tensor:
    """(n, K) where the codes spread most, each vector as long as their standard deviation along it.

    The eigenvectors of the codes' covariance times the roots of its eigenvalues, the largest first (PCA):
    mean + a · v is a standard deviations from the mean code. The largest entry of each is positive, since
    the sign is arbitrary.

    Args:
        codes: (N, K).
        n: from 1 to K.

    Raises:
        ValueError: fewer than two codes, or n outside 1 … K.
    """
    if codes.ndim != 2 or len(codes) < 2:
        raise ValueError(f"principal directions need codes (N, K), at least two; got {tuple(codes.shape)}")
    if not 1 <= n <= codes.shape[1]:
        raise ValueError(f"codes of {codes.shape[1]} numbers have 1 to {codes.shape[1]} directions; not {n}")
    centred = (codes - codes.mean(0)).double()
    variances, vectors = torch.linalg.eigh(centred.T @ centred / (len(codes) - 1))
    v = (vectors * variances.clamp_min(0).sqrt()).T.flip(0)[:n]
    return (v * v.gather(1, v.abs().argmax(1, keepdim=True)).sign()).to(codes.dtype)


def nearest(codes: Tensor, z: Tensor) -> Tensor:
    """(M,) for each code z (M, K) the row of codes (N, K) that is nearest to it, by Euclidean distance."""
    return torch.cdist(z, codes, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)


def interpolate(a: Tensor, b: Tensor, t: Sequence[float] | Tensor, kind: str = "linear") -> Tensor:
    """(…, S, K) codes on the way from a (…, K) at t = 0 to b (…, K) at t = 1, at S positions t.

    "linear": (1 − t) a + t b. "spherical" (slerp): the *direction* turns evenly along the great circle and
    the *norm* changes evenly, with ω the angle between a and b:

        z = |z| · (sin((1 − t) ω) a / |a| + sin(t ω) b / |b|) / sin ω,    |z| = (1 − t) |a| + t |b|.

    Half way between two draws from N(0, 1) in many dimensions the line passes nearer to 0 than any draw
    does; the arc keeps their norm. Parallel codes have the line as their arc; so it is taken for opposite
    ones and for zero too, which have no arc.

    Raises:
        ValueError: shapes that differ, or a kind that is not known (the nearest is suggested).

    Source: Shoemake, 1985, https://doi.org/10.1145/325165.325242; on codes: White, 2016,
    https://arxiv.org/abs/1609.04468.

    >>> interpolate(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]), [0.5], "spherical")
    tensor([[1.4142, 1.4142]])
    """
    if kind not in ("linear", "spherical"):
        raise ValueError(unknown("interpolation", kind, ("linear", "spherical")))
    if a.shape != b.shape:
        raise ValueError(f"interpolation needs codes of one shape; got {tuple(a.shape)} and {tuple(b.shape)}")
    s = torch.as_tensor(t, dtype=torch.double)[:, None]
    a64, b64 = a[..., None, :].double(), b[..., None, :].double()
    z = (1 - s) * a64 + s * b64
    if kind == "spherical":
        ra, rb = a64.norm(dim=-1, keepdim=True), b64.norm(dim=-1, keepdim=True)
        ua, ub = nn.functional.normalize(a64, dim=-1), nn.functional.normalize(b64, dim=-1)
        # by its half: the arc cosine of ua · ub knows nothing of small angles
        half = torch.atan2((ua - ub).norm(dim=-1, keepdim=True), (ua + ub).norm(dim=-1, keepdim=True))
        angle, sine = 2 * half, (2 * half).sin()
        turned = (((1 - s) * angle).sin() * ua + (s * angle).sin() * ub) / sine.clamp_min(1e-6)
        z = torch.where((sine > 1e-6) & (ra * rb > 0), ((1 - s) * ra + s * rb) * turned, z)
    return z.to(a.dtype)


def identity_kept(before: np.ndarray, after: np.ndarray) -> float:
    """Share of rows of `after` whose nearest row of `before` is their own, by cosine similarity.

    With features of N faces before and after an edit it says how many are still themselves, among N. NaN
    where there are none.

    Args:
        before: (N, D) features of the faces.
        after: (N, D) features of the same faces, edited.
    """
    a, b = (torch.as_tensor(v, dtype=torch.float32) for v in (before, after))
    if len(a) == 0:
        return float("nan")
    a, b = nn.functional.normalize(a, dim=1), nn.functional.normalize(b, dim=1)
    return ((b @ a.T).argmax(1) == torch.arange(len(a))).float().mean().item()


# What can stand in for the prior of a plain autoencoder: distributions fitted to its codes.


class Fixed(nn.Module):
    """A distribution that `forward(c)` returns whatever c is; its parameters move with the module.

    Args:
        family: called with the parameters, as `MultivariateNormal`.
        parameters: tensors, kept as buffers.
    """

    def __init__(self, family: Any, **parameters: Tensor) -> None:
        super().__init__()
        self.family = family
        for name, value in parameters.items():
            self.register_buffer(name, value.float())

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Any c → the distribution."""
        return self.family(**dict(self.named_buffers()))


def diagonal(codes: Tensor, seed: int = 0) -> Fixed:
    """N(μ, diag σ²): every dimension by itself, without correlations."""

    def family(loc: Tensor, scale: Tensor) -> Distribution:
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)

    return Fixed(family, loc=codes.mean(0), scale=codes.std(0))


def full(codes: Tensor, seed: int = 0) -> Fixed:
    """N(μ, Σ): one Gaussian with all correlations."""
    return Fixed(MultivariateNormal, loc=codes.mean(0), scale_tril=torch.linalg.cholesky(_covariance(codes)))


def mixture(codes: Tensor, seed: int = 0, components: int = 20) -> Fixed:
    """A mixture of Gaussians with full covariances (scikit-learn's EM)."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(components, reg_covar=1e-4, random_state=seed).fit(codes.double().numpy())

    def family(weights: Tensor, means: Tensor, scale_tril: Tensor) -> Distribution:
        parts = MultivariateNormal(means, scale_tril=scale_tril)
        return MixtureSameFamily(Categorical(weights), parts)

    tril = np.linalg.cholesky(fitted.covariances_)
    parameters = {"weights": fitted.weights_, "means": fitted.means_, "scale_tril": tril}
    return Fixed(family, **{k: torch.as_tensor(v) for k, v in parameters.items()})


def flow(codes: Tensor, seed: int = 0, epochs: int = 20, transforms: int = 3) -> nn.Module:
    """A normalising flow (zuko's neural spline flow), fitted by maximum likelihood on whitened codes."""
    import zuko

    mean, scale = codes.mean(0), codes.std(0) + 1e-6

    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = zuko.flows.NSF(codes.shape[1], transforms=transforms, hidden_features=(256, 256))
            self.register_buffer("mean", mean)
            self.register_buffer("scale", scale)

        def forward(self, c: Tensor | None = None) -> Distribution:
            back = AffineTransform(self.get_buffer("mean"), self.get_buffer("scale"), event_dim=1)
            return TransformedDistribution(self.inner(), [back])

    with seeded(seed):
        model = Flow()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(codes)).split(256):
                loss = -model().log_prob(codes[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
    return model.eval().requires_grad_(False)


def _covariance(codes: Tensor) -> Tensor:
    centred = (codes - codes.mean(0)).double()
    sigma = centred.T @ centred / (len(codes) - 1)
    return (sigma + 1e-6 * sigma.diagonal().mean() * torch.eye(len(sigma), dtype=torch.double)).float()


PRIORS: dict[str, Callable[..., nn.Module]] = {
    "diagonal": diagonal,
    "full": full,
    "mixture": mixture,
    "flow": flow,
}


def fit_prior(codes: Tensor, kind: str = "full", seed: int = 0, **options: Any) -> nn.Module:
    """A prior fitted to codes (N, K): `model.prior = fit_prior(codes)` lets a plain autoencoder sample.

    Args:
        kind: "diagonal" or "full" Gaussian, "mixture" of them, or "flow".
        options: of that kind, as `components=50`.

    Raises:
        ValueError: the kind is not known (the nearest is suggested).
    """
    if kind not in PRIORS:
        raise ValueError(unknown("prior", kind, PRIORS))
    if codes.ndim != 2:
        raise ValueError(f"codes are (N, K); got {tuple(codes.shape)}")
    return PRIORS[kind](codes, seed=seed, **options)
