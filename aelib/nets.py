"""Networks: plain tensor → tensor modules, for images of any size and number of channels.

They know nothing of losses, distributions or conditions. A strided convolution with odd kernel k = 2s − 1
and padding s − 1 maps n pixels to ⌈n / s⌉, and a transposed one with the right `output_padding` undoes
it, for every n: no size needs to be divisible by anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

Layer = Callable[[], nn.Module]


class MLP(nn.Sequential):
    """Fully connected layers: (B, …) is flattened to (B, sizes[0]) and ends as (B, sizes[-1]).

    Args:
        sizes: of input, hidden layers and output; two sizes are one linear layer.
        activation: after every hidden layer, as `nn.GELU`.
        norm: before the activation, as `nn.BatchNorm1d`, called with the layer's size; None has none.
        dropout: probability, after every hidden activation.

    >>> MLP(784, 256, 32)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        *sizes: int,
        activation: Layer = nn.GELU,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs the sizes of its input and its output; got {sizes}")
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in pairwise(sizes[:-1]):
            layers.append(nn.Linear(a, b, bias=norm is None))
            layers += [norm(b)] if norm else []
            layers.append(activation())
            layers += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Reshape(nn.Module):
    """(B, C·H·W) → (B, C, H, W); C is worked out, so a head may ask for several parameters a pixel."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, h: Tensor) -> Tensor:
        """(B, D) → (B, D / (H·W), H, W)."""
        return h.reshape(h.shape[0], -1, *self.shape[1:])  # len(h) would fix the batch size in an export

    def extra_repr(self) -> str:
        """The shape."""
        return str(self.shape)


class Features(nn.Module):
    """(B, C + K, H, W) → (B, C·H·W + K): the pixels, and a condition's constant channels once each.

    A multilayer network then pays K weights a unit for a condition, and not K·H·W equal ones.

    Args:
        channels: C, those of the image.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Pixels first, then the condition."""
        if x.shape[1] == self.channels:
            return x.flatten(1)
        return torch.cat([x[:, : self.channels].flatten(1), x[:, self.channels :, 0, 0]], 1)

    def extra_repr(self) -> str:
        """The channels."""
        return str(self.channels)


class Centre(nn.Module):
    """(x − ½) · 4: pixels in [0, 1] as numbers of both signs and about unit size.

    Without it the grey that all images share is the largest thing a first layer sees, and much of the
    training goes into it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x.mul(4).sub_(2)  # the same bits in half of the memory


class Residual(nn.Module):
    """base(h) + f(h), where f starts at zero, so that training starts at `base` and improves on it.

    Args:
        base: what is known to work, for example a projection on principal components.
        f: a network that ends in a linear layer or a convolution, whose weights are set to zero here.
    """

    def __init__(self, base: nn.Module, f: nn.Module) -> None:
        super().__init__()
        self.base, self.f = base, f
        last = [m for m in f.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)][-1]
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    def forward(self, h: Tensor) -> Tensor:
        """Both branches see h."""
        return self.base(h) + self.f(h)


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

    Pixels are folded 2×2 into channels; then each level adds to what it was given what the next one makes of
    it at half the side, so fine detail goes straight through and coarse form is seen as a whole. Those ways
    round its narrowest place make it no autoencoder: it serves inside an encoder or a decoder, not as both.

    Args:
        channels: of the input.
        out: channels of the output.
        widths: channels at ½, ¼, ⅛, … of the side; a side is padded to a whole number of these places.

    Source: Ronneberger, Fischer, Brox, 2015, https://arxiv.org/abs/1505.04597; added instead of concatenated:
    Zhang et al., DRUNet, 2021, https://arxiv.org/abs/2008.13751; folding: Zhang, Zuo, Zhang, FFDNet, 2018.

    >>> UNet(4, 3)(torch.zeros(2, 4, 25, 31)).shape
    torch.Size([2, 3, 25, 31])
    """

    def __init__(self, channels: int, out: int, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        self.whole = 2 ** len(widths)
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, widths[0], 3, padding=1),
            self._level(*widths),
            nn.Conv2d(widths[0], 4 * out, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def _level(self, width: int, *coarser: int) -> nn.Module:
        def block() -> nn.Module:
            layers = nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
            return Residual(nn.Identity(), nn.Sequential(*layers))

        if not coarser:
            return block()
        less, more = nn.Conv2d(width, coarser[0], 2, 2), nn.ConvTranspose2d(coarser[0], width, 2, 2)
        inner = Residual(nn.Identity(), nn.Sequential(less, self._level(*coarser), more))
        return nn.Sequential(block(), inner, block())

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width."""
        h, w = x.shape[-2:]
        return self.body(nn.functional.pad(x, (0, -w % self.whole, 0, -h % self.whole)))[..., :h, :w]


def sides(n: int, strides: Sequence[int]) -> list[int]:
    """The side of an image before, between and after layers of these strides.

    >>> sides(25, (2, 2, 2))
    [25, 13, 7, 4]
    """
    out = [n]
    for s in strides:
        out.append(-(-out[-1] // s))
    return out


def down(
    channels: int, widths: Sequence[int], strides: Sequence[int], activation: Layer = nn.GELU
) -> nn.Sequential:
    """Strided convolutions: (B, channels, H, W) → (B, widths[-1], ⌈H / Πs⌉, ⌈W / Πs⌉)."""
    layers: list[nn.Module] = []
    for a, b, s in zip([channels, *widths], widths, strides, strict=False):
        layers += [nn.Conv2d(a, b, _kernel(s), s, _kernel(s) // 2), activation()]
    return nn.Sequential(*layers)


def up(
    shape: tuple[int, int, int], widths: Sequence[int], strides: Sequence[int], activation: Layer = nn.GELU
) -> nn.Sequential:
    """Undoes `down`: (B, widths[-1], h, w) → (B, *shape), without activation at the end."""
    heights, lengths = sides(shape[1], strides), sides(shape[2], strides)
    layers: list[nn.Module] = []
    for i, s in reversed(list(enumerate(strides))):
        extra = tuple(n[i] - 1 - (n[i + 1] - 1) * s for n in (heights, lengths))
        width = widths[i - 1] if i else shape[0]
        k = _kernel(s)
        layers += [
            activation(),
            nn.ConvTranspose2d(widths[i], width, k, s, k // 2, output_padding=(extra[0], extra[1])),
        ]
    return nn.Sequential(*layers)


def _kernel(stride: int) -> int:
    return max(3, 2 * stride - 1)


def stem(shape: tuple[int, int, int], layers: int) -> tuple[int, ...]:
    """Strides for so many layers: the first is 4 from 48 pixels on.

    Where the picture is large a convolution is dear: at 64×64 a first layer of stride 4 costs a quarter
    of one of stride 2, and the layers after it too.
    """
    return ((4 if min(shape[1:]) >= 48 else 2), *[2] * (layers - 1))


class ConvEncoder(nn.Sequential):
    """Convolutions, then one linear layer: (B, C, H, W) → (B, out).

    Args:
        shape: (C, H, W) of the input, any from (1, 1, 1) up.
        out: features delivered.
        widths: channels after each layer.
        strides: of each layer; None chooses by the image's size (see `stem`).
        activation: after each convolution.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        out: int,
        widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] | None = None,
        activation: Layer = nn.GELU,
    ) -> None:
        strides = strides or stem(shape, len(widths))
        flat = widths[-1] * sides(shape[1], strides)[-1] * sides(shape[2], strides)[-1]
        super().__init__(down(shape[0], widths, strides, activation), nn.Flatten(), nn.Linear(flat, out))


class ConvDecoder(nn.Sequential):
    """One linear layer, then transposed convolutions: (B, latent) → (B, C, H, W) = (B, *shape).

    Arguments as `ConvEncoder`, with the shape of the output.
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, int, int],
        widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] | None = None,
        activation: Layer = nn.GELU,
    ) -> None:
        strides = strides or stem(shape, len(widths))
        small = (widths[-1], sides(shape[1], strides)[-1], sides(shape[2], strides)[-1])
        super().__init__(
            nn.Linear(latent, math.prod(small)),
            nn.Unflatten(1, small),
            up(shape, widths, strides, activation),
        )


class FCNEncoder(nn.Sequential):
    """Convolutions only: (B, C, H, W) → (B, out, ⌈H / Πs⌉, ⌈W / Πs⌉), for any H and W at run time."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        out: int,
        widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] | None = None,
        activation: Layer = nn.GELU,
    ) -> None:
        strides = strides or (2,) * len(widths)
        super().__init__(down(shape[0], widths, strides, activation), nn.Conv2d(widths[-1], out, 1))


class FCNDecoder(nn.Sequential):
    """Transposed convolutions only: (B, latent, h, w) → (B, *shape).

    The weights do not depend on the shape: those learnt at one size load into a decoder of another.
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, int, int],
        widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] | None = None,
        activation: Layer = nn.GELU,
    ) -> None:
        strides = strides or (2,) * len(widths)
        super().__init__(nn.Conv2d(latent, widths[-1], 1), up(shape, widths, strides, activation))


def pca_layers(pca: Any, n: int, shape: tuple[int, int, int]) -> tuple[nn.Sequential, nn.Sequential]:
    """A fitted scikit-learn PCA as two frozen linear maps: to n whitened coordinates, and back.

    z = V(x − mean) / s and x = mean + Vᵀ(s z), where s is the standard deviation along each component.

    Returns:
        (B, *shape) → (B, n), and (B, n) → (B, *shape).

    Raises:
        ValueError: the PCA has fewer than n components.
    """
    if n > len(pca.components_):
        raise ValueError(f"the PCA has {len(pca.components_)} components; {n} were asked for")
    v = torch.as_tensor(pca.components_[:n], dtype=torch.float32)
    s = torch.as_tensor(pca.explained_variance_[:n], dtype=torch.float32).sqrt()
    mean = torch.as_tensor(pca.mean_, dtype=torch.float32)
    there, back = nn.Linear(v.shape[1], n), nn.Linear(n, v.shape[1])
    there.weight.data, there.bias.data = v / s[:, None], -(v @ mean) / s
    back.weight.data, back.bias.data = (v * s[:, None]).T.contiguous(), mean
    layers = nn.Sequential(nn.Flatten(), there), nn.Sequential(back, nn.Unflatten(1, shape))
    for layer in layers:
        layer.requires_grad_(False)
    return layers
