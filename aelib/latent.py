"""The space of codes: encode a dataset, decode codes, move along a direction, write codes to a file."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .contexts import evaluating, seeded
from .datasets import Data, Examples, Split
from .errors import shown, unknown
from .evaluation import batches, check, each
from .files import write_file
from .models import Autoencoder
from .priors import Autoregressive, choose, fit_prior

SUFFIXES = (".npz", ".parquet")
FITTED = 5000  # codes that a prior is fitted to, at most: more bring little and take long
NAMES = {
    "diagonal": "a diagonal Gaussian", "full": "a Gaussian", "mixture": "a mixture of {components} Gaussians",
}  # fmt: skip


def encode(model: Autoencoder, data: Data, batch_size: int = 500) -> Tensor:
    """(N, K) codes of all examples, on the CPU: the posterior's means, flattened."""
    return each(lambda b: model.encode(b.x, b.c).mean.flatten(1), model, data, batch_size, seed=None)


@torch.no_grad()
def decode(model: Autoencoder, z: Tensor, c: Tensor | None = None, batch_size: int = 500) -> Tensor:
    """(N, C, H, W) images of codes (N, K), on the CPU: the likelihood's means."""
    rows, at = torch.arange(len(z)).split(batch_size), model.device
    with evaluating(model):
        images = [model.decode(z[r].to(at), None if c is None else c[r].to(at)).mean.cpu() for r in rows]
    return torch.cat(images)


@torch.no_grad()
def sample(
    model: Autoencoder, n: int, data: Examples | None = None, c: Tensor | None = None, seed: int = 0
) -> Tensor:
    """(n, …) decoded codes, on the CPU: drawn from the model's prior, or, with data, as `sampler` decides.

    Args:
        data: training examples, whose codes a prior is fitted to where there is none or they are far from it;
            None needs a model with a prior.
        c: (n, K) conditions, for a model that takes them.
        seed: of the codes.
    """
    drawn = model if data is None else sampler(model, data)[0]
    with seeded(seed, model.device), evaluating(model):
        return drawn.sample(n, c).cpu()


def sampler(model: Autoencoder, data: Examples) -> tuple[Autoencoder, str]:
    """The model with the prior to sample from, `matched` to codes of the data; and in words which and why."""
    return matched(model, *draws(model, data))


@torch.no_grad()
def draws(model: Autoencoder, data: Examples, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """(N, K) or (N, K, h, w) codes drawn from q(z|x), of up to 5,000 examples; and the conditions, if any.

    A prior is fitted to these, not to the means of q: it is these that the decoder was trained on.
    """
    rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:FITTED].sort().values
    some = batches(model, data[rows.numpy()], seed=seed)
    codes, c = zip(*((model.encode(b.x, b.c).sample().cpu(), b.c) for b in some), strict=True)
    return torch.cat(codes), None if c[0] is None else torch.cat(c)


@torch.no_grad()
def matched(model: Autoencoder, codes: Tensor, c: Tensor | None = None) -> tuple[Autoencoder, str]:
    """The model, with a prior fitted to the codes if its own is missing or far from them; and that in words.

    `priors.choose` says what is far. A prior over a codebook is kept: `losses.prior_likelihood` trains it.

    Args:
        codes: (N, K) or (N, K, h, w), of which the first 5,000 are used.
        c: (N, …) their conditions, for the model's own prior. A fitted one is of the codes of all conditions.
    """
    z = codes[:FITTED].detach().cpu()
    if not z.isfinite().all():
        raise ValueError("some codes are not finite numbers: aelib.diagnose(model, data) looks for the cause")
    if isinstance(model.prior, Autoregressive):
        return model, "the prior over the codebook"
    own = None
    if model.prior is not None:
        p = model.prior(None if c is None else c[:FITTED].to(model.device))
        z = z.reshape(-1, *p.event_shape)
        own = p.log_prob(z.to(model.device)).cpu().double()
    kind, options, nats, far = choose(z.flatten(1), own)
    if own is not None and not far:
        return model, "the model's prior, which its codes match"
    why = "the model has no prior" if own is None else f"the model's prior is {nats:.3g} nats per code away"
    said = f"{NAMES[kind].format(**options)} fitted to {len(z):,} training codes, since {why}"
    return Autoencoder(model.encoder, model.decoder, fit_prior(z, kind, **options)).to(model.device), said


def direction(codes: Tensor, present: np.ndarray | Tensor) -> Tensor:
    """(K,) the vector of an attribute: mean code of images that have it minus mean code of those without.

    v = mean(z | present) − mean(z | absent). It is *signed*: adding v to a code adds the attribute,
    subtracting it takes the attribute away. (Its absolute value, found in public code, points elsewhere.)

    Args:
        codes: (N, K).
        present: (N,) 1 present, 0 absent, NaN not known (left out); some of both.
    """
    has = torch.tensor(np.asarray(present)).float()
    if len(has) != len(codes):
        raise ValueError(f"{len(codes)} codes, but {len(has)} values of the attribute: need one per code")
    if not (has == 1).any() or not (has == 0).any():
        raise ValueError("a direction needs images with the attribute and images without it")
    return codes[has == 1].mean(0) - codes[has == 0].mean(0)


def in_deviations(v: Tensor, codes: Tensor) -> Tensor:
    """(K,) v as long as the standard deviation of codes (N, K) along it: 1 on the sliders of explorers."""
    return v * ((codes @ v).std() / v.square().sum())


def principal_directions(codes: Tensor, n: int) -> Tensor:
    """(n, K) where codes (N, K) spread most, each vector as long as their standard deviation along it.

    The eigenvectors of the codes' covariance times the roots of its eigenvalues, the largest first (PCA):
    mean + a · v is a standard deviations from the mean code. The largest entry of each is positive, since
    the sign is arbitrary.

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


def coded(model: Autoencoder, split: Split) -> dict[str, np.ndarray]:
    """codes (N, K), part (N,); if known labels (N,), classes, files (N,), attributes (N, A), names (A,)."""
    check(model, split.train)
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    out = {
        "codes": np.concatenate([encode(model, data).numpy() for data in parts.values() if len(data)]),
        "part": np.repeat(list(parts), [len(data) for data in parts.values()]),
    }
    for name in ("labels", "files", "attributes"):
        if getattr(split.train, name) is not None:
            out[name] = np.concatenate([np.asarray(getattr(data, name)) for data in parts.values()])
    if "labels" in out:
        out["classes"] = np.asarray(split.train.classes)
    if "attributes" in out:
        out["names"] = np.array(list(split.train.attributes), str)
    return out


def save(file: str | Path, model: Autoencoder, split: Split) -> dict[str, np.ndarray]:
    """Write the codes of all three parts to a .npz, or to a .parquet with a row per example; returns them.

    A file that is there is replaced.

    ValueError if the model cannot take the examples, or for another ending; ImportError for lack of pyarrow.
    """
    file, buffer = Path(file), io.BytesIO()
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"codes are written to a file that ends in {' or '.join(SUFFIXES)}; got {file}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError("a .parquet needs PyArrow: pip install pyarrow. A .npz does not")
    found = coded(model, split)
    if suffix == ".parquet":
        table = {"part": found["part"]}
        if "files" in found:
            table["file"] = np.array([shown(name, "file") for name in found["files"]])
        if "labels" in found:
            table["class"] = np.array([shown(c, "file") for c in found["classes"]])[found["labels"]]
        table |= dict(zip(found.get("names", []), found.get("attributes", np.empty(0)).T, strict=False))
        table |= {f"z{i}": z for i, z in enumerate(found["codes"].T)}
        pd.DataFrame(table).to_parquet(buffer, index=False)
    else:
        np.savez(buffer, **found)  # type: ignore[arg-type]  # its own keyword is taken for one of ours
    write_file(file, buffer.getvalue())
    return found
