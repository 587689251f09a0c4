"""Convolutional networks over one, two or three axes, for examples of any size.

They go over as many axes as an example has behind its channels: a series (C, T), a picture (C, H, W), a
volume (C, D, H, W). A strided convolution with odd kernel k = 2s − 1 and padding s − 1 maps n places to
⌈n / s⌉, and a transposed one with the right `output_padding` undoes it, for every n, divisible or not.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .layers import CONVOLUTIONS, Layer, check


def sizes(size: Sequence[int], strides: Sequence[int]) -> list[tuple[int, ...]]:
    """The places along each axis before, between and after layers of these strides.

    >>> sizes((25, 31), (2, 2, 2))
    [(25, 31), (13, 16), (7, 8), (4, 4)]
    """
    out = [tuple(size)]
    for s in strides:
        out.append(tuple(-(-n // s) for n in out[-1]))
    return out


def down(
    channels: int, widths: Sequence[int], strides: Sequence[int], activation: Layer = nn.GELU, axes: int = 2
) -> nn.Sequential:
    """Strided convolutions: (B, channels, H, W) → (B, widths[-1], ⌈H / Πs⌉, ⌈W / Πs⌉); or of other axes."""
    layers: list[nn.Module] = []
    for a, b, s in zip([channels, *widths], widths, strides, strict=False):
        layers += [CONVOLUTIONS[axes][0](a, b, _kernel(s), s, _kernel(s) // 2), activation()]
    return nn.Sequential(*layers)


class Up(nn.Sequential):
    """Undoes `down`: (B, widths[-1], *grid) → (B, *shape), without activation at the end.

    Args:
        shape: (C, …) of what is made, where nothing else is asked for.
    """

    def __init__(
        self, shape: Sequence[int], widths: Sequence[int], strides: Sequence[int], activation: Layer = nn.GELU
    ) -> None:
        channels, *size = shape
        steps, outs, up = sizes(size, strides), [channels, *widths], CONVOLUTIONS[len(size)][1]
        layers: list[nn.Module] = []
        for i, s in reversed(list(enumerate(strides))):
            extra = tuple(n - 1 - (m - 1) * s for n, m in zip(steps[i], steps[i + 1], strict=True))
            k = _kernel(s)
            layers += [activation(), up(widths[i], outs[i], k, s, k // 2, output_padding=extra)]
        super().__init__(*layers)
        self.size, self.strides = tuple(size), tuple(strides)

    def forward(self, h: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """(B, widths[-1], …) → (B, C, *size); ValueError if an example of this size has other places than h.

        Without a size it is the shape's, or, where h has other places, the largest with these.
        """
        places = tuple(h.shape[2:])
        if size is None:
            own, stride = sizes(self.size, self.strides)[-1], math.prod(self.strides)
            size = self.size if places == own else [n * stride for n in places]
        *steps, wanted = sizes(size, self.strides)
        if places != wanted:
            raise ValueError(f"the code of size {tuple(size)} has {wanted} places; got one of {places}")
        if tuple(size) == self.size:
            return super().forward(h)
        layers = list(self)
        for activation, up, step in zip(layers[::2], layers[1::2], reversed(steps), strict=True):
            h = up(activation(h), output_size=step)
        return h


def _kernel(stride: int) -> int:
    return max(3, 2 * stride - 1)


def stem(shape: Sequence[int], layers: int) -> tuple[int, ...]:
    """Strides for so many layers: the first is 4 from 48 pixels on.

    A convolution over a large picture is slow: at 64×64 a first layer of stride 4 costs a quarter of one of
    stride 2, and so do the layers after it.
    """
    return ((4 if min(shape[1:]) >= 48 else 2), *[2] * (layers - 1))


class ConvEncoder(nn.Sequential):
    """Convolutions, then one linear layer: (B, *shape) → (B, out).

    Args:
        shape: (C, T), (C, H, W) or (C, D, H, W) of the input, any from (1, 1) up.
        out: features delivered.
        widths: channels after each layer.
        strides: of each layer; None chooses by the example's size (see `stem`).
        activation: after each convolution.

    ValueError at `forward`, examples of another size.
    """

    def __init__(
        self, shape: Sequence[int], out: int, widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] | None = None, activation: Layer = nn.GELU,
    ) -> None:  # fmt: skip
        strides = strides or stem(shape, len(widths))
        channels, *size = shape
        convolutions = down(channels, widths, strides, activation, len(size))
        flat = widths[-1] * math.prod(sizes(size, strides)[-1])
        super().__init__(convolutions, nn.Flatten(), nn.Linear(flat, out))
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) → (B, out)."""
        check(x, self.size)
        return super().forward(x)


class ConvDecoder(nn.Sequential):
    """One linear layer, then transposed convolutions: (B, latent) → (B, *shape).

    Arguments as `ConvEncoder`, with the shape of the output.
    """

    def __init__(
        self, latent: int, shape: Sequence[int], widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] | None = None, activation: Layer = nn.GELU,
    ) -> None:  # fmt: skip
        strides = strides or stem(shape, len(widths))
        small = (widths[-1], *sizes(shape[1:], strides)[-1])
        first = nn.Linear(latent, math.prod(small))
        super().__init__(first, nn.Unflatten(1, small), Up(shape, widths, strides, activation))


class FCNEncoder(nn.Sequential):
    """Convolutions of stride 2 only: (B, C, H, W) → (B, out, h, w), for any H and W at run time.

    Arguments as `ConvEncoder`; of the size in `shape` only the number of axes counts.
    """

    def __init__(self, shape: Sequence[int], out: int, widths: Sequence[int] = (32, 64, 128)) -> None:
        axes = len(shape) - 1
        convolutions = down(shape[0], widths, (2,) * len(widths), axes=axes)
        super().__init__(convolutions, CONVOLUTIONS[axes][0](widths[-1], out, 1))
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) → (B, out, …)."""
        check(x, [None] * self.axes)
        return super().forward(x)


class FCNDecoder(nn.Sequential):
    """Transposed convolutions only: (B, latent, h, w) → (B, *shape), or another size that is asked for.

    The weights do not depend on the shape: those learnt at one size load into a decoder of another.
    """

    def __init__(self, latent: int, shape: Sequence[int], widths: Sequence[int] = (32, 64, 128)) -> None:
        first = CONVOLUTIONS[len(shape) - 1][0](latent, widths[-1], 1)
        super().__init__(first, Up(shape, widths, (2,) * len(widths)))

    def forward(self, h: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """(B, latent, …) → (B, C, *size); see `Up`."""
        return self[1](self[0](h), size)


class Sized(nn.Sequential):
    """Layers of which the first takes the size that is wanted: a decoder for examples of any size.

    `models.Autoencoder` passes it the size of x, which no code can hold: 25 and 32 pixels both have 4 places.
    """

    def forward(self, h: Tensor, size: Sequence[int] | None = None) -> Any:
        """As `nn.Sequential`; None: the first layer's own size."""
        first, *rest = self
        h = first(h, size)
        for layer in rest:
            h = layer(h)
        return h
