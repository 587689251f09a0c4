"""Autoencoders in plain torch: the references of page 01a, and what is looked at in a learner's."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from aelib.contexts import seeded
from torch import Tensor, nn

from .judging import NOTHING

Shape = tuple[int, int, int]
FLAT = "Its picture is to be flattened before it, and a flattened one has C·H·W numbers"
ROUNDS_UP = "A convolution of kernel 3, stride 2 and padding 1 makes (n + 1) // 2 places of n"


class Autoencoder(nn.Module):
    """Two networks: an encoder from centred pictures to codes, and a decoder back."""

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        return self.encoder(4 * x - 2)

    def decode(self, z: Tensor) -> Tensor:
        """(B, K) → (B, C, H, W)."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), the reconstruction."""
        return self.decode(self.encode(x))


def made(build: Callable[..., tuple[list[nn.Module], list[nn.Module]]], **options: Any) -> type[Autoencoder]:
    """Of a function (shape, latent, **options) → layers of encoder and decoder, a class (shape, latent)."""

    class Made(Autoencoder):
        def __init__(self, shape: Shape, latent: int) -> None:
            super().__init__()
            encoder, decoder = build(shape, latent, **options)
            self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    Made.__name__ = build.__name__.title()
    return Made


def linear(shape: Shape, latent: int, code: Sequence = (), flat: bool = False) -> Any:
    """One layer each way; with layers behind the code, or without the picture's shape, it is a mistake."""
    n = math.prod(shape)
    back = [] if flat else [nn.Unflatten(1, shape)]
    return [nn.Flatten(), nn.Linear(n, latent), *code], [nn.Linear(latent, n), *back]


def multilayer(
    shape: Shape, latent: int, act: Any = nn.GELU, code: Sequence = (), out: Sequence = (), hidden: int = 512
) -> Any:
    """Two hidden layers each way; with an activation behind the code or at the end it is a mistake."""
    n = math.prod(shape)
    there = [nn.Linear(n, hidden), act(), nn.Linear(hidden, 256), act(), nn.Linear(256, latent)]
    back = [nn.Linear(latent, 256), act(), nn.Linear(256, hidden), act(), nn.Linear(hidden, n)]
    return [nn.Flatten(), *there, *code], [*back, *out, nn.Unflatten(1, shape)]


def convolutional(
    shape: Shape, latent: int, act: Any = nn.GELU, even: bool = False, down: bool = False,
    widths: Sequence[int] = (16, 32, 64),
) -> Any:  # fmt: skip
    """Three convolutions of stride 2 and their mirror; `even` and `down` make the usual mistakes of sizes."""
    channels, *size = shape
    there: list[nn.Module] = []
    back: list[nn.Module] = []
    for a, b in zip((channels, *widths), widths, strict=False):
        extra = [1 if even else 1 - n % 2 for n in size]
        size = [n // 2 if down else (n + 1) // 2 for n in size]
        there += [nn.Conv2d(a, b, 3, stride=2, padding=1), act()]
        back = [act(), nn.ConvTranspose2d(b, a, 3, stride=2, padding=1, output_padding=extra), *back]
    small = (widths[-1], *size)
    last = nn.Linear(math.prod(small), latent)
    return [*there, nn.Flatten(), last], [nn.Linear(latent, math.prod(small)), nn.Unflatten(1, small), *back]


Linear, Multilayer, Convolutional = made(linear), made(multilayer), made(convolutional)


def complaint_about(
    make: type, shapes: Sequence[Shape], straight: bool = False, latent: int = 4, layers: tuple = (nn.Linear,)
) -> str | None:
    """What is wrong with a class (shape, latent) → autoencoder, or None."""
    for shape in shapes:
        with seeded(0):
            try:
                model = make(shape, latent)
            except AttributeError as e:
                if "before Module.__init__" not in str(e):
                    raise
                return "begin `__init__` with `super().__init__()`: it makes room for the layers"
            bare = isinstance(model, nn.Module) and vars(model).keys() == vars(nn.Module()).keys()
            if bare and not [*model.children()]:
                return NOTHING
            if not isinstance(model, nn.Module) or not callable(getattr(model, "decode", None)):
                return "write `class …(Autoencoder):`, so that it has encode, decode and forward"
            if complaint := _passing(model, torch.rand(5, *shape), latent, straight):
                return complaint
    for part, name in ((model.encoder, "encoder"), (model.decoder, "decoder")):
        for layer in layers:
            if not any(isinstance(m, layer) for m in part.modules()):
                return f"there is no nn.{layer.__name__} in the {name}"
        layers = tuple(nn.ConvTranspose2d if layer is nn.Conv2d else layer for layer in layers)
    return None


def _passing(model: Any, x: Tensor, latent: int, straight: bool) -> str | None:
    """What is wrong with what passes through a model, or None."""
    size = "×".join(map(str, x.shape[2:]))
    for name in ("encoder", "decoder"):
        if not isinstance(getattr(model, name, None), nn.Module):
            return (
                f"`self.{name}` is to be a module: `nn.Sequential(…)`. A list hides its layers from training"
            )
    try:
        z = model.encode(x)
    except RuntimeError as e:
        if "mat1 and mat2" not in str(e):
            raise
        why = ROUNDS_UP if any(isinstance(m, nn.Conv2d) for m in model.modules()) else FLAT
        return f"for pictures of {size} a linear layer does not fit what comes to it ({e}). {why}"
    if z.shape != (len(x), latent):
        return f"the code of 5 pictures of {size} is {tuple(z.shape)}, expected {(len(x), latent)}"
    x_hat = model(x)
    if x_hat.shape != x.shape:
        return f"pictures {tuple(x.shape)} come out as {tuple(x_hat.shape)}"
    x_hat.square().sum().backward()
    for name, p in model.named_parameters():
        if p.grad is None:
            return f"no gradient reaches `{name}`: is this layer used?"
    with torch.no_grad():
        wide = model.decode(1000 * torch.randn(64, latent))
        codes = model.encode(1000 * torch.randn(64, *x.shape[1:]))
        a, b = 10 * torch.randn(2, 5, *x.shape[1:], dtype=torch.double)
        f = model.double()
        bent = (f(a) + f(b) - 2 * f((a + b) / 2)).abs().max() > 1e-6
    if codes.min() > -1 or codes.max() < 1.01:
        return "an activation stands behind the encoder's last layer: a code may be any number"
    if wide.min() > -1 or wide.max() < 1.01:
        return "an activation stands behind the decoder's last layer: leave it out here"
    if straight and bent:
        return "there is an activation: a linear autoencoder has none"
    if not straight and not bent:
        return (
            "nothing is bent: without activations between them, linear layers are together one linear layer"
        )
    return None
