"""Exercises of page 01a: networks from scratch. Their references are the course's own versions."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from aelib.contexts import seeded
from aelib.datasets import Batch
from torch import Tensor, nn

from .descending import descend, forgetful
from .judging import compared, exercise, judged
from .networks import (
    FLAT, ROUNDS_UP, Autoencoder, Convolutional, Linear, Multilayer, Shape, complaint_about, convolutional,
    linear, made, multilayer,
)  # fmt: skip
from .asking import measured, predicted


class Unregistered(Autoencoder):
    """Its layers are in lists, where `parameters()` does not find them."""

    def __init__(self, shape: Shape, latent: int) -> None:
        super().__init__()
        self.layers = [*linear(shape, latent)]

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        return self.layers[0][1](self.layers[0][0](x))


@judged(
    reference=Linear,
    mistakes={
        "a linear autoencoder has none": Convolutional,
        "come out as": made(linear, flat=True),
        FLAT: made(lambda s, k: (linear(s, k)[0][1:], linear(s, k)[1])),
        "is to be a module": Unregistered,
        "behind the encoder's last layer": made(linear, code=[nn.ReLU()]),
    },
)
def linear_autoencoder(make: type) -> str | None:
    """A class (shape, latent) → one linear layer from the picture to the code, and one back."""
    return complaint_about(make, [(3, 6, 5), (1, 4, 4)], straight=True)


@judged(
    reference=Multilayer,
    mistakes={
        "together one linear layer": made(multilayer, act=nn.Identity),
        "behind the decoder's last layer": made(multilayer, out=[nn.Sigmoid()]),
        "behind the encoder's last layer": made(multilayer, code=[nn.ReLU()]),
        "its linear layers are": made(multilayer, hidden=500),
    },
)
def multilayer_autoencoder(make: type) -> str | None:
    """A class (shape, latent) → hidden layers of 512 and 256 units, and the same mirrored."""
    complaint = complaint_about(make, [(3, 6, 5), (1, 4, 4)])
    if complaint:
        return complaint
    sizes = [
        (m.in_features, m.out_features) for m in make((1, 4, 4), 4).modules() if isinstance(m, nn.Linear)
    ]
    if sizes != [(16, 512), (512, 256), (256, 4), (4, 256), (256, 512), (512, 16)]:
        return (
            f"for 16 pixels and a code of 4 its linear layers are {sizes}; wanted: 16, 512, 256, 4 and back"
        )
    return None


def _steps(
    zero: bool = True, step: bool = True, mean: bool = False, every: bool = True, summed: bool = False,
    own: bool = False, item: bool = True,
) -> Callable:  # fmt: skip
    """A loop with a mistake, or without."""

    def loop(model: nn.Module, batches: Any, optimizer: torch.optim.Optimizer) -> list[float]:
        losses = []
        for batch in batches:
            error = (model(batch.x) - (batch.x if own else batch.target)).square().flatten(1)
            loss = (error.mean(1) if mean else error.sum(1)).mean()
            loss = loss * len(batch) if summed else loss
            descend(loss, optimizer, zero, step)
            losses.append(loss.item() if item else loss)
        return losses if every else losses[-1:]

    return loop


@compared(
    [(0,), (1,)],
    reference=_steps(),
    mistakes=forgetful(_steps)
    | {
        "you took the mean over the pixels; here, sum over a picture, mean over the batch": _steps(mean=True),
        "you summed over the batch too: sum over a picture, mean over the batch": _steps(summed=True),
        "return the losses of all steps, not only the last one's": _steps(every=False),
        "append loss.item(), a number: the tensor `loss` keeps all that it was calculated from": (
            _steps(item=False)
        ),
        "compare with batch.target, what is to come out; it need not be batch.x, what goes in": _steps(
            own=True
        ),
    },
    by_hand=("aelib",),
)
def training(loop: Callable, seed: int) -> Tensor | None:
    """(model, batches, optimizer) → the losses, a number for each batch, after a step on each."""
    with seeded(seed):
        model = Linear((1, 3, 4), 2)
        batches = [Batch(*torch.rand(2, 6, 1, 3, 4)) for _ in range(4)]
        losses = loop(model, batches, torch.optim.SGD(model.parameters(), 0.01))
    if losses is None or losses is ... or not len(losses):
        return None
    curve = torch.tensor([v.item() if isinstance(v, Tensor) else float(v) for v in losses])
    return curve[:, None] if isinstance(losses[0], Tensor) else curve


@exercise([(53, 7, 4, 3), (28, 3, 2, 1), (45, 3, 2, 1), (47, 5, 4, 2), (24, 5, 3, 1)])
def output_padding(n: int, kernel: int, stride: int, padding: int) -> tuple[int, dict[str, int]]:
    """(places n, kernel, stride, padding) of a convolution → the output_padding of its mirror."""
    m = (n + 2 * padding - kernel) // stride + 1
    back = (m - 1) * stride - 2 * padding + kernel
    bare = (n - kernel) // stride + 1
    return n - back, {
        "the sign is turned round: it is what is missing": back - n,
        "this is how many places come back; the padding is what is missing to n": back,
        "this is what the convolution makes of n places; now take the way back": m,
        "right for even n only: an odd n of stride 2 misses nothing": stride - 1,
        "right for kernel 3 and stride 2; the other two arguments are to count too": 1 - n % 2,
        "the padding counts on both sides: + 2·padding on the way there, − 2·padding on the way back": (
            n - ((bare - 1) * stride + kernel)
        ),
    }


@judged(
    reference=Convolutional,
    mistakes={
        "come out as": made(convolutional, even=True),
        ROUNDS_UP: made(convolutional, down=True),
        "together one linear layer": made(convolutional, act=nn.Identity),
        "there is no nn.Conv2d": Multilayer,
    },
)
def convolutional_autoencoder(make: type) -> str | None:
    """A class (shape, latent) → three convolutions of stride 2 and a linear layer, and the same mirrored."""
    sizes = (28, 28), (45, 45), (37, 53), (1, 1), (2, 65)
    shapes = [(channels, *size) for size in sizes for channels in (1, 3)]
    return complaint_about(make, shapes, layers=(nn.Conv2d, nn.Linear))


def _as_convolution(
    linear: nn.Linear, shape: Shape, bias: bool = True, last: bool = False, turn: bool = False
) -> nn.Conv2d:
    channels, *size = shape
    convolution = nn.Conv2d(channels, linear.out_features, tuple(size))
    weight = linear.weight.detach()
    if last:
        weight = weight.view(-1, *size, channels).movedim(3, 1)
    weight = weight.reshape(convolution.weight.shape)
    convolution.weight.data = weight.flip(2, 3) if turn else weight
    if bias:
        convolution.bias.data = linear.bias.detach()
    else:
        nn.init.zeros_(convolution.bias)
    return convolution


@compared(
    [((3, 4, 5), 6), ((2, 3, 3), 7)],
    reference=_as_convolution,
    mistakes={
        "the bias is missing": partial(_as_convolution, bias=False),
        "the weights are in another order: flatten runs over channels first, then rows, then columns": (
            partial(_as_convolution, last=True)
        ),
        "do not turn the kernel round: torch's convolution does not either": partial(
            _as_convolution, turn=True
        ),
        "the weights of the linear layer are not in it yet": lambda linear, shape: nn.Conv2d(
            shape[0], linear.out_features, shape[1:]
        ),
    },
)
def as_convolution(f: Callable, shape: Shape, latent: int) -> Tensor | None:
    """(nn.Linear of a flattened picture, its shape) → the nn.Conv2d that does the same."""
    with seeded(0):
        linear = nn.Linear(math.prod(shape), latent)
        nn.init.normal_(linear.bias)
        pictures = torch.randn(5, shape[0], shape[1] + 1, shape[2] + 1)
    with seeded(1):
        convolution = f(linear, shape)
    return None if convolution is None else convolution(pictures)


def _halves(way: str = "none") -> type[Autoencoder]:
    """A U-Net of one level, repaired, or with a mistake that is left."""

    class Halves(Autoencoder):
        def __init__(self, shape: Shape, latent: int) -> None:
            super().__init__()
            channels, *size = shape
            small = (16, *((n + 1) // 2 for n in size))
            extra = [1 - n % 2 for n in size]
            self.down = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1), nn.GELU())
            self.to_code = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(small), latent))
            self.from_code = nn.Sequential(nn.Linear(latent, math.prod(small)), nn.Unflatten(1, small))
            self.up = nn.ConvTranspose2d(16, channels, 3, 2, 1, output_padding=extra)

        def encode(self, x: Tensor) -> Any:
            """(B, C, H, W) → (B, K)."""
            seen = self.down(4 * x - 2)
            self.seen = seen if way == "kept" else 0
            return (self.to_code(seen), seen) if way == "beside" else self.to_code(seen)

        def decode(self, z: Any) -> Tensor:
            """(B, K) → (B, C, H, W)."""
            if way == "beside":
                return self.up(self.from_code(z[0]) + z[1])
            return self.up(self.from_code(0 * z if way == "zero" else z) + self.seen)

        def forward(self, x: Tensor) -> Tensor:
            """(B, C, H, W), the reconstruction."""
            z = self.encode(x)
            return self.decode(z) + self.up(self.down(4 * x - 2)) * (way == "forward")

    return Halves


@judged(
    reference=_halves(),
    mistakes={
        "still depends on the picture": _halves("kept"),
        "the code is one tensor": _halves("beside"),
        "whatever the code is": _halves("zero"),
        "is something else than decode": _halves("forward"),
    },
    kind="debug",
)
def nothing_but_the_code(make: type) -> str | None:
    """A class (shape, latent) → an autoencoder whose decoder sees the code alone."""
    with seeded(0), torch.no_grad():
        model = make((3, 9, 8), 4)
        a, b = torch.rand(2, 5, 3, 9, 8)
        z = model.encode(a)
        if not isinstance(z, Tensor) or z.shape != (5, 4):
            got = f"is {tuple(z.shape)}" if isinstance(z, Tensor) else f"gives a {type(z).__name__}"
            return f"encode {got}: the code is one tensor, (5, 4) for five pictures"
        before = model.decode(z)
        if before.shape != a.shape:
            return f"pictures {tuple(a.shape)} come out as {tuple(before.shape)}"
        other = model.encode(b)
        if not torch.equal(before, model.decode(z)):
            return "decode(z) still depends on the picture that was encoded last: something is kept of it"
        if torch.equal(before, model.decode(other)):
            return "decode gives the same pictures whatever the code is"
        if not torch.allclose(model(a), before, atol=1e-5):
            return "model(x) is something else than decode(encode(x)): a way round the code is left"
    return None


@predicted(near=0, low=1, high=100)
def size_that_comes_back() -> None:
    """How many of 45 pixels a side come back from three convolutions and their mirrors without padding?"""


@predicted(options=("none", "sigmoid", "tanh"))
def worst_output() -> None:
    """Behind the decoder's last layer: which activation leaves the largest error after a short training?"""


@measured(
    below="at this rate the faces still differ: try a larger one",
    above="nearer: there is a smaller rate at which all faces are the same",
)
def rate_of_one_face() -> None:
    """About the smallest learning rate after which every face is decoded as the same one."""
