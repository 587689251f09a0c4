"""What page 05 alone has: a denoiser at full resolution, methods that restore pictures, and their explorer.

A method is a function of (noisy images (B, C, H, W), their σ) that returns restored images in [0, 1].
They are compared on the same images with the same noise. Of points the best denoiser is known exactly: it is
their `score`.
"""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from scipy.ndimage import median_filter
from torch import Tensor, nn

from aelib import heads, metrics, nets
from aelib.contexts import evaluating, seeded
from aelib.datasets import Batch, Images, noisy, occluded, salt_and_pepper
from aelib.datasets.batch import Transform
from aelib.explorers.widgets import Explorer, Panel, row
from aelib.models import Autoencoder

Method = Callable[[Tensor, float], Tensor]
CORRUPTIONS: dict[str, Callable[[float], Transform]] = {
    "noise": noisy, "salt and pepper": salt_and_pepper, "hole": occluded,
}  # fmt: skip


class Channels(nn.Module):
    """The first so many channels: (B, C + K, H, W) → (B, C, H, W), the picture without its condition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """A view of x."""
        return x[:, : self.channels]

    def extra_repr(self) -> str:
        """The channels."""
        return str(self.channels)


class UNet(nn.Module):
    """Full resolution in, full resolution out: (B, channels, H, W) → (B, out, H, W), for any H and W.

    Pixels are folded 2×2 into channels; then each level adds to its input what the next one makes of it at
    half the side: fine detail goes straight through, and the coarse levels look at large areas. Because
    detail passes by the narrowest layer it is no autoencoder: it serves inside an encoder or a decoder.

    Args:
        channels: of the input.
        out: channels of the output.
        widths: channels at ½, ¼, ⅛, … of the side; a side is padded to a whole number of these places.

    Source: Ronneberger, Fischer, Brox, 2015, https://arxiv.org/abs/1505.04597; added instead of concatenated:
    Zhang et al., DRUNet, 2021, https://arxiv.org/abs/2008.13751; folding: Zhang, Zuo, Zhang, FFDNet, 2018.

    >>> import torch
    >>> UNet(4, 3)(torch.zeros(2, 4, 25, 31)).shape
    torch.Size([2, 3, 25, 31])
    """

    def __init__(self, channels: int, out: int, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        self.whole = 2 ** len(widths)
        first = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        last = self._level(*widths), nn.Conv2d(widths[0], 4 * out, 3, padding=1)
        self.body = nn.Sequential(nn.PixelUnshuffle(2), first, *last, nn.PixelShuffle(2))

    def _level(self, width: int, *coarser: int) -> nn.Module:
        def block() -> nn.Module:
            layers = nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
            return nets.Residual(nn.Identity(), nn.Sequential(*layers))

        if not coarser:
            return block()
        less, more = nn.Conv2d(width, coarser[0], 2, 2), nn.ConvTranspose2d(coarser[0], width, 2, 2)
        inner = nets.Residual(nn.Identity(), nn.Sequential(less, self._level(*coarser), more))
        return nn.Sequential(block(), inner, block())

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width."""
        h, w = x.shape[-2:]
        return self.body(nn.functional.pad(x, (0, -w % self.whole, 0, -h % self.whole)))[..., :h, :w]


def restorer(channels: int, seen: int | None = None, widths: Sequence[int] = (32, 64, 128)) -> Autoencoder:
    """An autoencoder whose code is the restored picture: z = x + f(x), with f a `UNet`, and x̂ = z.

    It has no bottleneck, so it loses no detail to one; only corruption keeps it from copying x. f starts at
    zero: before training x̂ = x. Nothing but z reaches the decoder, which is the identity. Its head is
    `OptimalGaussian`: −log p = D/2 · log MSE + constant, so training with `losses.reconstruction` raises the
    mean PSNR itself, and an image with little noise counts as much as one with much.

    Args:
        channels: C, those of the picture.
        seen: channels that the encoder is given, C (the default) or more: one more for a known σ
            (`noisy(…, known=True)`, a condition) or a known hole (`masked`, a channel of x).
        widths: of the network.

    Source: Zhang et al., Beyond a Gaussian Denoiser, 2017, https://arxiv.org/abs/1608.03981 (the residual).

    >>> import torch
    >>> x = torch.rand(2, 3, 25, 31)
    >>> bool((restorer(3).reconstruct(x) == x).all())
    True
    """
    seen = channels if seen is None else seen
    if not 1 <= channels <= seen:
        raise ValueError(f"at least the picture's {channels} channels are seen; got seen={seen}")
    f = nn.Sequential(nets.Centre(), UNet(seen, channels, widths))
    encoder = nn.Sequential(nets.Residual(Channels(channels), f), heads.Deterministic())
    return Autoencoder(encoder, nn.Sequential(Channels(channels), heads.OptimalGaussian()))


def restore(model: Autoencoder, batch: Batch) -> Tensor:
    """(B, C, H, W) reconstructions of x, cut to [0, 1], in which pixels are known to lie; on the CPU."""
    at, c = model.device, batch.c
    with evaluating(model):
        return model.reconstruct(batch.x.to(at), None if c is None else c.to(at)).clamp(0, 1).cpu()


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


def denoising_images(
    model: Autoencoder, data: Images, corruption: Transform, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Input, output and truth, each (N, C, H, W) on the CPU; the same seed is the same corruption."""
    with seeded(seed):
        batch = data.map(corruption).batch()
    return batch.x[:, : batch.target.shape[1]], restore(model, batch), batch.target


def denoising_strip(
    model: Autoencoder, image: Images, corruptions: Mapping[str, Transform], seed: int = 0
) -> dict[str, Tensor]:
    """Rows input, output and truth, each (S, C, H, W), of one image under S corruptions: for `plots.show`."""
    parts = [denoising_images(model, image, f, seed) for f in corruptions.values()]
    rows = zip(*parts, strict=True)
    return {name: torch.cat(row) for name, row in zip(("input", "output", "truth"), rows, strict=True)}


def denoising(
    models: Mapping[str, Autoencoder], data: Images,
    corruptions: Mapping[str, Callable[[float], Transform]] = CORRUPTIONS,
    strength: tuple[float, float] = (0.05, 0.5),
) -> Explorer:  # fmt: skip
    """Choose image, corruption and its strength; see the input, what each model makes of it, and the truth.

    Under each picture stands its PSNR in dB.

    Args:
        models: name → model.
        data: clean images.
        corruptions: name → function of the strength that returns a transform. By default noise (the strength
            is σ), salt and pepper and a hole (it is a share of the picture).
        strength: the least and the largest.

    Raises ValueError: no models, images or corruptions, or a largest strength below the least.
    """
    if not models or not len(data) or not corruptions:
        found = f"{len(models)} models, {len(data)} images, {len(corruptions)} corruptions"
        raise ValueError(f"nothing to restore: {found}")
    if not strength[0] < strength[1]:
        raise ValueError(f"strengths run from the least to the largest; got {strength}")
    number = widgets.IntSlider(0, 0, len(data) - 1, description="image")
    kind = widgets.Dropdown(options=list(corruptions), description="corruption")
    middle = round(sum(strength) / 2, 2)  # on a step of the slider, so that a way there leads back
    amount = widgets.FloatSlider(middle, min=strength[0], max=strength[1], step=0.01, description="strength")
    panels = [Panel(title, side=192, text=True) for title in ("input", *models, "truth")]

    def draw() -> None:
        i, corruption = number.value, corruptions[kind.value](amount.value)
        shots = [denoising_images(m, data[i : i + 1], corruption, explorer.seed) for m in models.values()]
        noised, _, truth = shots[0]
        for panel, x in zip(panels, [noised, *(s[1] for s in shots), truth], strict=True):
            panel.show(x)
            panel.text.value = "" if x is truth else f"{metrics.psnr(x, truth).item():.1f} dB"

    explorer = Explorer("denoising", draw, number, kind, amount)
    other = explorer.button("again", "the same strength, another random pattern", explorer.again)
    return explorer.of(row(number, kind, amount, other), row(*panels))
