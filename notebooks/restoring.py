"""Methods that restore pictures, a model's and classical ones, on the same images with the same noise.

A method is a function of (noisy images (B, C, H, W), their σ) that returns restored images in [0, 1].
Of points the best denoiser is known exactly: it is their `score`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from aelib import metrics
from aelib.contexts import seeded
from aelib.datasets import Batch, Images, noisy
from aelib.denoising import restore
from aelib.models import Autoencoder

Method = Callable[[Tensor, float], Tensor]


def by(model: Autoencoder, known: bool = False) -> Method:
    """A model as a method; where σ is `known`, it is given to the model as its condition (B, 1)."""

    def method(x: Tensor, sigma: float) -> Tensor:
        parts = [Batch(v, c=torch.full((len(v), 1), sigma) if known else None) for v in x.split(250)]
        return torch.cat([restore(model, part) for part in parts])

    return method


def median(side: int = 3) -> Method:
    """The median of side × side pixels, in each channel; it needs no σ.

    Raises:
        ValueError: an even side, which has no middle.
    """
    if side < 1 or side % 2 == 0:
        raise ValueError(f"a window has a pixel in its middle, so an odd side; got {side}")

    window = (1, 1, side, side)
    return lambda x, sigma: torch.from_numpy(median_filter(x.numpy(), window, mode="nearest"))


def non_local_means(strength: float = 0.6) -> Method:
    """Each pixel becomes a mean of pixels whose surroundings look alike; it needs σ.

    scikit-image's, in its fast form, with patches of 5×5 looked for up to 6 pixels away.

    Args:
        strength: h / σ; a larger one takes more dissimilar pixels in.

    Raises:
        ValueError: a strength that is not positive.

    Source: Buades, Coll, Morel, 2005, https://doi.org/10.1109/CVPR.2005.38; σ: Darbon et al., 2008.
    """
    if not strength > 0:
        raise ValueError(f"a strength is positive; got {strength}")

    def method(x: Tensor, sigma: float) -> Tensor:
        from skimage.restoration import denoise_nl_means

        keywords = {"patch_size": 5, "patch_distance": 6, "h": strength * sigma, "sigma": sigma}
        images = x.permute(0, 2, 3, 1).numpy()
        out = np.stack([denoise_nl_means(image, **keywords, channel_axis=-1) for image in images])
        out = out.reshape(images.shape)  # a single channel comes without its axis
        return torch.from_numpy(out).permute(0, 3, 1, 2).to(x.dtype).clamp(0, 1)

    return method


def chosen(candidates: Mapping[str, Method], data: Images, levels: Sequence[float], seed: int = 1) -> Method:
    """At each level, the candidate with the highest mean PSNR on these images: validation's, never test's.

    The method that is returned takes the choice of the nearest level.
    """
    table = compare(candidates, data, levels, seed).drop("noisy input", level="method")["psnr"].unstack(0)
    best = {sigma: candidates[str(table.loc[sigma].idxmax())] for sigma in table.index}
    return lambda x, sigma: best[min(best, key=lambda s: abs(s - sigma))](x, sigma)


def compare(
    methods: Mapping[str, Method], data: Images, levels: Sequence[float], seed: int = 0
) -> pd.DataFrame:
    """PSNR in dB and SSIM of each method at each noise level, all on the same images with the same noise.

    Noise is Gaussian of standard deviation σ, and cut to [0, 1], as `noisy` makes it.

    Args:
        methods: name → method; the noisy input itself is the first row of each level.
        data: clean images.
        levels: σ of each.
        seed: of the noise.

    Returns:
        A row a (method, sigma), with columns psnr and ssim, means over the images, and psnr_error and
        ssim_error, the standard errors of these means.

    Raises:
        ValueError: fewer than two images (no standard error), or no levels.
    """
    if len(data) < 2 or not len(levels):
        raise ValueError(f"at least two images and one level are needed; got {len(data)} and {len(levels)}")
    rows: list[dict[str, object]] = []
    for sigma in levels:
        with seeded(seed):
            batch = data.map(noisy(sigma)).batch()
        for name, method in {"noisy input": lambda x, sigma: x, **methods}.items():
            x_hat = method(batch.x, sigma)
            row: dict[str, object] = {"method": name, "sigma": float(sigma)}
            for quality, metric in (("psnr", metrics.psnr), ("ssim", metrics.ssim)):
                each = metric(x_hat, batch.target).double()
                row[quality] = each.mean().item()
                row[f"{quality}_error"] = each.std().item() / len(each) ** 0.5
            rows.append(row)
    return pd.DataFrame(rows).set_index(["method", "sigma"])


def score(points: Tensor, x: Tensor, scale: float) -> Tensor:
    """(B, D) ∇ log p_σ(x) at x (B, D), where p_σ is N points (N, D), blurred with Gaussian noise of scale σ.

    p_σ(x) = 1/N Σᵢ N(x; pᵢ, σ²), whose gradient is (E[p|x] − x) / σ²: the mean of the points, weighted by
    how likely each is to have become x, minus x. The best denoiser r(x) = E[p|x] so *is* the score:
    ∇ log p_σ(x) = (r(x) − x) / σ².

    Source: Robbins, 1956 (Tweedie's formula); Vincent, 2011, https://doi.org/10.1162/NECO_a_00142.
    """
    if not scale > 0:
        raise ValueError(f"points are blurred with a positive σ; got {scale}")
    weights = (-torch.cdist(x, points).square() / (2 * scale**2)).softmax(1)
    return (weights @ points - x) / scale**2
