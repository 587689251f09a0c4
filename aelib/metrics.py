"""How good a model is: its reconstructions, its likelihood, its code, its samples.

A metric of reconstructions is a function of (x_hat, target) that returns (B,). One with a third parameter,
`known`, leaves out the numbers of the target that are not known. What is said in nats is a sum over an
example and a mean over the examples.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .contexts import evaluating
from .datasets import Data
from .evaluation import batches, device_of, each
from .losses import bounds, elbo, log_weights
from .models import Autoencoder

Metric = Callable[..., Tensor]
C1, C2 = 0.01**2, 0.03**2  # SSIM's, which keep it from dividing by 0


def _mean(each: Tensor, known: Tensor | None) -> Tensor:
    """(B,) mean over each example of its known numbers; NaN where none is."""
    if known is None:
        return each.flatten(1).mean(1)
    return torch.where(known, each, 0.0).flatten(1).sum(1) / known.flatten(1).sum(1)


def mse(x_hat: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
    """(B,) mean squared error over the (known) numbers of each example; grey levels run from 0 to 1."""
    return _mean((x_hat - target).square(), known)


def psnr(x_hat: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
    """(B,) peak signal-to-noise ratio in dB: −10 log₁₀ MSE of pixels in [0, 1]; infinite for equal images."""
    return -10 * mse(x_hat, target, known).log10()


def ssim(x_hat: Tensor, target: Tensor) -> Tensor:
    """(B,) structural similarity, from −1 to 1: the mean over windows of 11×11, Gaussian with σ = 1.5.

    Only windows that lie inside the image count. In images below 11 pixels the window shrinks.

    Source: Wang, Bovik, Sheikh, Simoncelli, 2004.
    """
    radius = min(5, (min(target.shape[-2:]) - 1) // 2)
    offset = torch.arange(-radius, radius + 1, dtype=target.dtype, device=target.device)
    line = torch.exp(-((offset / (0.3 * radius or 1)) ** 2) / 2)
    line = (line / line.sum())[None]
    window = (line.T @ line).expand(target.shape[1], 1, -1, -1)
    x_hat = x_hat.to(target)  # of a model in double precision
    parts = torch.cat((x_hat, target, x_hat * x_hat, target * target, x_hat * target))
    means = nn.functional.conv2d(parts, window, groups=target.shape[1])
    a, b, aa, bb, ab = means.split(len(target))
    spread = (aa - a.square()).clamp_min(0) + (bb - b.square()).clamp_min(0)
    alike = (2 * a * b + C1) * (2 * (ab - a * b) + C2) / ((a.square() + b.square() + C1) * (spread + C2))
    return alike.flatten(1).mean(1)


def ssim_error(p: Distribution, target: Tensor) -> Tensor:
    """(B,) Σ over the pixels of (1 − SSIM) / 2: an `error=` for objectives, from 0 to the number of pixels.

    As a *mean* over the pixels it would be at most 1, and any KL in nats would silence it: the usual reason
    why an autoencoder with SSIM "does not train".
    """
    return (1 - ssim(p.mean, target)) / 2 * target[0].numel()


def pearson(x_hat: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
    """(B,) Pearson's correlation over each example's (known) numbers, from −1 to 1.

    NaN where the target's numbers are all equal; 0 where only the reconstruction's are, which then says
    nothing of the target.
    """
    parts = []
    for v in (x_hat, target):
        mean = _mean(v, known)[:, None]
        each = v.flatten(1) - mean
        each = each if known is None else torch.where(known.flatten(1), each, 0.0)
        # what is less than a millionth of them is rounding
        parts.append(torch.where(each.abs().amax(1, keepdim=True) <= 1e-6 * mean.abs(), 0.0, each))
    a, b = parts
    r = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return torch.where((a == 0).all(1) & (b != 0).any(1), 0.0, r)


@torch.no_grad()
def evaluate(
    model: Autoencoder, data: Data, metrics: dict[str, Metric] | None = None, batch_size: int = 500
) -> dict[str, float]:
    """Metrics of the model's reconstructions (at the posterior's mean), averaged over all examples.

    Numbers that are not known (`Batch.known`) are left out. An example of which a metric would be NaN for a
    perfect reconstruction too is left out of its average: a constant one from Pearson's, for instance.

    Args:
        metrics: name → function of (x_hat, target) or (x_hat, target, known). By default MSE and Pearson, and
            of pictures PSNR, and SSIM too where all their pixels are known: SSIM compares whole windows.

    ValueError if there are no examples; TypeError if numbers are missing, and a metric that was asked for, as
    `ssim`, cannot leave them out.

    >>> from aelib import datasets, models
    >>> data = datasets.load("digits").test
    >>> sorted(evaluate(models.autoencoder(data.shape, 4), data))
    ['mse', 'pearson', 'psnr', 'ssim']
    """
    if len(data) == 0:
        raise ValueError("there are no images to judge the model on")
    if not metrics:
        first = next(batches(model, data, 1))
        metrics = {"mse": mse}
        if first.target.ndim == 4:
            metrics |= {"psnr": psnr} | ({"ssim": ssim} if first.known is None else {})
        metrics |= {"pearson": pearson}
    totals, counts = dict.fromkeys(metrics, 0.0), dict.fromkeys(metrics, 0)
    for batch in batches(model, data, batch_size):
        x_hat = model.reconstruct(batch.x, batch.c)
        for name, f in metrics.items():
            values = bounds.error_term(f, x_hat, batch)
            if values.isnan().any():
                values = values[~bounds.error_term(f, batch.target, batch).isnan()]
            totals[name] += values.cpu().double().sum().item()
            counts[name] += len(values)
    return {name: total / counts[name] if counts[name] else math.nan for name, total in totals.items()}


@torch.no_grad()
def fraction_of_variance(model: Autoencoder, data: Data) -> float:
    """The share of the numbers' variance that reconstructions explain: 1 − Σ(x̂ − x)² / Σ(x − mean example)².

    1 is perfect, 0 is the mean example for everybody; NaN if all examples are equal. Sums and mean are over
    the numbers that are known.
    """
    total = count = torch.zeros(())
    for b in batches(model, data):
        known = torch.ones_like(b.target) if b.known is None else b.known
        total, count = total + (b.target.double() * known).sum(0), count + known.double().sum(0)
    mean = total / count.clamp_min(1)

    def error(x_hat: Tensor, x: Tensor, known: Tensor | None = None) -> Tensor:
        return mse(x_hat, x if known is None else torch.where(known, x, x_hat))

    parts = {"left": error, "all": lambda x_hat, x, known=None: error(mean, x.double(), known)}
    sums = evaluate(model, data, parts)
    return 1 - sums["left"] / sums["all"] if sums["all"] else math.nan


@torch.no_grad()
def log_likelihood(
    model: Autoencoder, data: Data, samples: int = 5000, rows: int = 1024, seed: int = 0
) -> Tensor:
    """(N,) log p(x) in nats, by importance sampling: log 1/S Σ p(x, zₛ) / q(zₛ|x), zₛ ~ q(z|x).

    A lower bound in expectation, which rises with S to log p(x). Sums are taken in logarithms, piece by
    piece, so neither underflow nor memory limits S.

    Args:
        samples: S, codes drawn for each image.
        rows: decoded at a time: images × samples. Memory grows with it alone; few stay in a CPU's cache.
        seed: of the samples, and of the data's own noise.

    Raises TypeError: the posterior is a point, or there is no prior.

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519.
    """
    if samples < 1 or rows < 1:
        raise ValueError(f"samples and rows are at least 1; got {samples} and {rows}")
    piece = min(samples, rows, 256)  # the encoder runs once a piece
    out = []
    for batch in batches(model, data, max(1, rows // piece), seed):
        total = torch.full((len(batch),), -torch.inf, device=batch.x.device)
        for start in range(0, samples, piece):
            w = log_weights(model, batch, min(piece, samples - start))
            total = torch.logaddexp(total, w.logsumexp(0))
        out.append(total.cpu() - math.log(samples))
    return torch.cat(out)


@torch.no_grad()
def kl_per_dimension(model: Autoencoder, data: Data) -> Tensor:
    """(K,) KL(q(z|x) ‖ p(z)) of each dimension of the code, in nats, averaged over the images.

    Raises TypeError: posterior or prior do not factorise.
    """
    if model.prior is None:
        raise TypeError("a rate needs a prior, and this model has none: it is a plain autoencoder")
    prior = model.prior
    kl = each(lambda b: bounds.kl_per_dimension(model.encode(b.x, b.c), prior(b.c)).flatten(1), model, data)
    return kl.double().mean(0)


@torch.no_grad()
def active_units(model: Autoencoder, data: Data, threshold: float = 0.01) -> Tensor:
    """(K,) which dimensions of the code are used: where the posterior's mean varies over the images.

    Variance over x of E[z|x] above the threshold; a collapsed dimension has 0.

    Source: Burda, Grosse, Salakhutdinov, 2016, section 5.2.
    """
    means = each(lambda b: model.encode(b.x, b.c).mean.flatten(1), model, data)
    return means.double().var(0) > threshold


@torch.no_grad()
def rate_distortion(model: Autoencoder, data: Data) -> dict[str, float]:
    """{"rate", "distortion"} in nats: KL(q(z|x) ‖ p(z)) and E[−log p(x|z)]; their sum is the negative ELBO.

    Raises TypeError: the posterior is a point, or there is no prior.

    Source: Alemi et al., Fixing a Broken ELBO, 2018, https://arxiv.org/abs/1711.00464.
    """
    rate = distortion = 0.0
    for b in batches(model, data):
        terms = elbo(model, b)
        rate += terms["kl"].double().sum().item()
        distortion += terms["nll"].double().sum().item()
    return {"rate": rate / len(data), "distortion": distortion / len(data)}


@torch.no_grad()
def features(net: nn.Module, images: Data | Tensor) -> Tensor:
    """(N, D) what a network makes of all images, on the CPU: a classifier's features, `judge[0]`."""
    if isinstance(images, Tensor):
        at = device_of(net)
        with evaluating(net):
            return torch.cat([net(x.to(at)).flatten(1).cpu() for x in images.split(500)])
    return each(lambda b: net(b.x).flatten(1), net, images)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Fréchet distance between two sets of features (N, D) and (M, D), each taken for a Gaussian.

    d² = |μₐ − μᵦ|² + tr(Σₐ + Σᵦ − 2 (Σₐ Σᵦ)^½); this is d². 0 for equal means and covariances. Numbers
    compare only within one feature space and one N: small sets give larger distances.

    Source: Heusel et al., 2017, https://arxiv.org/abs/1706.08500 (FID, there with Inception's features).
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"two sets of features (N, D), N ≥ 2, are compared; got {a.shape} and {b.shape}")
    a, b = a.double(), b.double()
    # Σₐ Σᵦ has the eigenvalues of L'ᵀ Σᵦ L', symmetric and so safe to take roots of
    values, vectors = torch.linalg.eigh(torch.atleast_2d(a.T.cov()))
    half = vectors * values.clamp_min(0).sqrt()
    cross = torch.linalg.eigvalsh(half.T @ torch.atleast_2d(b.T.cov()) @ half).clamp_min(0).sqrt().sum()
    trace = a.var(0).sum() + b.var(0).sum() - 2 * cross
    return ((a.mean(0) - b.mean(0)).square().sum() + trace).clamp_min(0).item()
