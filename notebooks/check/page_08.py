"""Exercises of page 08."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .asking import predicted
from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]
C1, C2 = 0.01**2, 0.03**2


@predicted(near=0.05)
def variance_kept() -> None:
    """Which share of the variance of all pixels do 128 principal components keep?"""


def _ssim(a: Tensor, b: Tensor, light: bool = True, less: int = 0, centred: bool = True) -> Tensor:
    m, n = a.mean(-1), b.mean(-1)
    u, v = (a - m[..., None], b - n[..., None]) if centred else (a, b)
    count = a.shape[-1] - less
    spread = (u.square().sum(-1) + v.square().sum(-1)) / count
    structure = (2 * (u * v).sum(-1) / count + C2) / (spread + C2)
    return structure * ((2 * m * n + C1) / (m**2 + n**2 + C1) if light else 1)


@exercise(
    [
        (v.sigmoid() / 2, (v + w).sigmoid())
        for shape in ((4, 9), (2, 3, 5))
        for v, w in [numbers(shape, shape)]
    ],
    by_hand=("aelib", "skimage"),
)
def similarity(a: Tensor, b: Tensor) -> Answers:
    """Windows a and b, both (…, n) → (…), their SSIM."""
    m, n = a.mean(-1), b.mean(-1)
    deviations = a.std(-1, correction=0) * b.std(-1, correction=0)
    light = (2 * m * n + C1) / (m**2 + n**2 + C1)
    both = (2 * deviations + C2) / (a.var(-1, correction=0) + b.var(-1, correction=0) + C2)
    return _ssim(a, b), {
        "this is the structure alone; the means count too": _ssim(a, b, light=False),
        "this is the light alone; how the windows vary together counts too": light,
        "the covariance is a mean of products, σ_ab; it is not σ_a times σ_b": light * both,
        "variance and covariance are of what deviates from the mean: subtract it first": _ssim(
            a, b, centred=False
        ),
        "means over the n pixels; var and cov divide by n − 1 unless correction=0": _ssim(a, b, less=1),
        "one number per window, (…)": _ssim(a, b).mean(),
    }


def _numbers(h: int, w: int) -> Tensor:
    y, x = torch.fft.fftfreq(h), torch.fft.fftfreq(w)
    return ((y[:, None].square() + x.square()).sqrt() * min(h, w)).round().long().flatten()


@exercise(
    [(0.5 + 0.2 * numbers(s)[0].cumsum(3),) for s in ((3, 2, 8, 12), (2, 1, 9, 9))], by_hand=("measuring",)
)
def spectrum(images: Tensor) -> Answers:
    """Pictures (N, C, H, W) → (F,), mean power at 0, 1, 2, … waves per picture, under a window."""
    h, w = images.shape[-2:]
    window = torch.outer(torch.hann_window(h), torch.hann_window(w))
    scale = window.square().mean().sqrt()
    x = images - images.mean((2, 3), keepdim=True)
    number = _numbers(h, w)

    def of(x: Tensor, each: bool = True, power: int = 2) -> Tensor:
        p = torch.fft.fft2(x).abs().pow(power).mean((0, 1)) / (h * w)
        total = torch.bincount(number, p.flatten())
        return total / torch.bincount(number) if each else total

    right = of(x * window / scale)
    return right, {
        "no window is in it: the jumps at the borders count as fine waves": of(x),
        "neither a window nor the mean is taken care of": of(images),
        "the window takes power away: divide by the root of the mean of its square": of(x * window),
        "the mean is still in it, and the window spreads it over the lowest waves: subtract it first": of(
            images * window / scale
        ),
        "power is the square of |FFT|": of(x * window / scale, power=1),
        "an average over the waves of one length, not their sum": of(x * window / scale, each=False),
        "divide by the number of pixels, H·W": right * h * w,
        "the window fades the columns too, not the rows alone": of(
            x * torch.hann_window(h)[:, None] / torch.hann_window(h).square().mean().sqrt()
        ),
    }


@exercise([(x, w.softmax(0)) for x, w in (numbers((n, d), (n,)) for n, d in ((3, 4), (5, 2)))])
def best_answer(x: Tensor, w: Tensor) -> Answers:
    """possible pictures (N, D), their probabilities (N,) → (D,), the picture whose
    expected squared error is smallest.
    """
    return w @ x, {
        "weigh each picture with its probability": x.mean(0),
        "this is the likeliest picture: a sharp guess, and right too seldom": x[w.argmax()],
        "the weights sum to 1 already: do not divide again": w @ x / len(x),
        "this is the median, the best answer to the absolute error": x.median(0).values,
    }


@exercise([(torch.tensor([4.0, 1.0, 0.2, 0.01]), 0.5), (torch.tensor([9.0, 3.0, 2.0, 1.0, 0.5]), 1.2)])
def water_filling(
    variances: Tensor, sigma: float
) -> tuple[tuple[Tensor, Tensor], dict[str, tuple[Tensor, Tensor]]]:
    """The components' variances λ (K,), σ → (rate in bits, squared error), sums over the components."""
    level, kept = torch.tensor(sigma**2), variances > sigma**2
    each = (variances / level).log2() / 2
    bits, error = each[kept].sum(), variances.minimum(level).sum()
    return (bits, error), {
        "a component below σ² has no rate, not a negative one": (each.sum(), error),
        "½ log₂ is missing its ½: λ is a variance, not a deviation": (2 * bits, error),
        "these are nats; log₂ gives bits": (bits * torch.tensor(2.0).log(), error),
        "what is left out leaves its own variance λ, which is less than σ²": (bits, level * len(variances)),
        "what is kept leaves an error too: σ² for each component": (bits, variances[~kept].sum()),
        "what is left out leaves an error too: its variance λ": (bits, level * kept.sum()),
        "the level is σ², not σ": (
            (variances / sigma).log2().clamp_min(0).sum() / 2, variances.clamp_max(sigma).sum()
        ),
    }  # fmt: skip


@exercise([numbers((4, 3, 5, 6), (4, 3, 5, 6)), numbers((2, 7, 3, 3), (2, 7, 3, 3))], by_hand=("aelib",))
def feature_error(a: Tensor, b: Tensor) -> Answers:
    """Features, both (B, D, H, W) → (B,), the mean over places of |φ̂ − φ̂′|² / 4, where φ̂ = φ / |φ|."""

    def apart(u: Tensor, v: Tensor) -> Tensor:
        return (u - v).square().sum(1).mean((1, 2)) / 4

    right = apart(normalize(a, dim=1), normalize(b, dim=1))
    whole = (f / f.flatten(1).norm(dim=1)[:, None, None, None] for f in (a, b))
    return right, {
        "the features are to have length 1 at every place first": apart(a, b),
        "the length is that of the D features at one place, not of the whole picture": apart(*whole),
        "the sum over the D features, and the mean over places": right / a.shape[1],
        "divide by 4: opposite features are 2 apart, squared 4": 4 * right,
        "one number per picture: no mean over the batch": right.mean(),
        "the mean over the places, not their sum": right * a[0, 0].numel(),
    }
