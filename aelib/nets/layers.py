"""Fully connected layers, and what stands before, beside and behind the layers that learn."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..datasets.batch import Data

Layer = Callable[[], nn.Module]
Norm = Callable[[int], nn.Module]  # called with the size of the layer
CONVOLUTIONS: dict[int, tuple[Any, Any]] = {  # by the number of axes: forth, and back
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}
WEIGHTED = (nn.Linear, *(layer for pair in CONVOLUTIONS.values() for layer in pair))


def check(x: Tensor, size: Sequence[int | None]) -> None:
    """Raise ValueError if x is not (B, C, *size); where `size` has None, any number will do."""
    if x.ndim == len(size) + 2 and all(n in (None, m) for n, m in zip(size, x.shape[2:], strict=True)):
        return
    letters = {0: "", 1: "T", 2: "HW", 3: "DHW"}.get(len(size), "?" * len(size))
    wanted = ["B", "C" if size else "D", *(str(n or letter) for n, letter in zip(size, letters, strict=True))]
    one = ". One example is x[None]" if x.ndim == len(size) + 1 else ""
    raise ValueError(f"the network was built for ({', '.join(wanted)}); got {tuple(x.shape)}{one}")


def last(net: nn.Module) -> Any:
    """The last layer that has weights."""
    return [m for m in net.modules() if isinstance(m, WEIGHTED)][-1]


class MLP(nn.Sequential):
    """Fully connected layers: (B, …) is flattened to (B, sizes[0]) and ends as (B, sizes[-1]).

    Args:
        sizes: of input, hidden layers and output; two sizes are one linear layer.
        activation: after every hidden layer, as `nn.GELU`.
        norm: before the activation, as `nn.BatchNorm1d`; None has none.
        dropout: probability, after every hidden activation.

    >>> MLP(784, 256, 32)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 32])
    """

    def __init__(
        self, *sizes: int, activation: Layer = nn.GELU, norm: Norm | None = None, dropout: float = 0.0
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs the sizes of its input and its output; got {sizes}")
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in pairwise(sizes[:-1]):
            layers += [nn.Linear(a, b, bias=norm is None), *([norm(b)] if norm else []), activation()]
            layers += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Reshape(nn.Unflatten):
    """(B, D) → (B, D / (H·W), H, W), or another shape; C is worked out, as heads take more than one each."""

    def __init__(self, *shape: int) -> None:
        super().__init__(1, (-1, *shape[1:]))


class Features(nn.Module):
    """(B, C + K, H, W) → (B, C·H·W + K): the numbers, and a condition's constant channels once each.

    A multilayer network then pays K weights a unit for a condition, and not K·H·W equal ones.

    `shape` is (C, H, W) of an example, or any other; C alone for a table. Others are refused.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """The example first, then the condition."""
        channels, *size = self.shape
        check(x, size)
        if x.shape[1] == channels:
            return x.flatten(1)
        once = x[:, channels:].flatten(2)[..., 0] if size else x[:, channels:]
        return torch.cat([x[:, :channels].flatten(1), once], 1)

    def extra_repr(self) -> str:
        """The shape."""
        return str(self.shape)


class Centre(nn.Module):
    """(x − ½) · 4: pixels in [0, 1] as numbers of both signs and about unit size.

    Without it the grey that all images share is the largest part of a first layer's input, and much of the
    training goes into it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x.mul(4).sub_(2)  # the same bits in half of the memory


class Standardise(nn.Module):
    """(x − mean) / scale, each (C,), by channel; of a table (B, D) by variable. In the place of `Centre`.

    Mean and scale are learnt from data, not trained, and saved with the weights; see `models.autoencoder`. In
    bfloat16, x = 1013.25 is 1012 before its mean is subtracted: numbers of large units want float32.
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = nn.Buffer(mean), nn.Buffer(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        along = (-1, *[1] * (x.ndim - 2))
        return (x - self.mean.view(along)) / self.scale.view(along)


class Residual(nn.Module):
    """base(h) + f(h), where f starts at zero, so that training starts at `base` and improves on it.

    Args:
        base: what is known to work, for example a projection on principal components.
        f: a network that ends in a linear layer or a convolution, whose weights are set to zero here.
    """

    def __init__(self, base: nn.Module, f: nn.Module) -> None:
        super().__init__()
        self.base, self.f = base, f
        for p in last(f).parameters(recurse=False):
            nn.init.zeros_(p)

    def forward(self, h: Tensor, *size: Any) -> Tensor:
        """Same shape as base(h); where both make any size, of the size that is wanted."""
        return self.base(h, *size) + self.f(h, *size)


def fitting(data: Data, shape: Sequence[int], name: str) -> None:
    """Raise TypeError if what is given as `name` is no set of examples; ValueError if none has this shape."""
    if not hasattr(data, "batches"):
        raise TypeError(f"{name}= takes data to learn from, as split.train; got {type(data).__name__}")
    found = tuple(next(data.batches(1)).target.shape[1:]) if len(data) else "none"
    if found != tuple(shape):
        raise ValueError(f"the model is for examples {tuple(shape)}, but those to learn from are {found}")


def learnt(data: Data | bool, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(C,), (C,) mean and standard deviation of each channel of a set's targets, over what is known of them.

    A channel that does not vary, or of which nothing is known, has scale 1.

    Args:
        data: to learn from; True: zeros and ones.
        shape: that an example must have, (D,) or (C, …); see `fitting`.
    """
    if isinstance(data, bool):
        return torch.zeros(shape[0]), torch.ones(shape[0])
    fitting(data, shape, "standardise")

    def average(f: Callable[[Tensor], Tensor]) -> Tensor:
        total = n = torch.zeros(shape[0], dtype=torch.double)
        for batch in data.batches(500):
            x = batch.target.double().reshape(len(batch), shape[0], -1)
            known = torch.ones_like(x).bool() if batch.known is None else batch.known.reshape(x.shape)
            n = n + known.sum((0, 2))
            total = total + torch.where(known, f(x), 0.0).sum((0, 2))
        return total / n.clamp_min(1)

    mean = average(lambda x: x)
    scale = average(lambda x: (x - mean[:, None]).square()).sqrt()
    varies = scale > torch.finfo(torch.float).eps * mean.abs()
    return mean.float(), torch.where(varies, scale, 1.0).float()
