"""Restoring pictures: a denoiser at full resolution."""

from collections.abc import Sequence

from torch import Tensor, nn

from . import heads, nets
from .contexts import evaluating
from .datasets import Batch
from .models import Autoencoder


def restorer(channels: int, seen: int | None = None, widths: Sequence[int] = (32, 64, 128)) -> Autoencoder:
    """An autoencoder whose code is the restored picture: z = x + f(x), with f a `nets.UNet`, and x̂ = z.

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
    f = nn.Sequential(nets.Centre(), nets.UNet(seen, channels, widths))
    encoder = nn.Sequential(nets.Residual(nets.Channels(channels), f), heads.Deterministic())
    return Autoencoder(encoder, nn.Sequential(nets.Channels(channels), heads.OptimalGaussian()))


def restore(model: Autoencoder, batch: Batch) -> Tensor:
    """(B, C, H, W) reconstructions of x, cut to [0, 1], in which pixels are known to lie; on the CPU."""
    at, c = model.device, batch.c
    with evaluating(model):
        return model.reconstruct(batch.x.to(at), None if c is None else c.to(at)).clamp(0, 1).cpu()
