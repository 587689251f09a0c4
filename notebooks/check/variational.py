"""A VAE in plain torch: the reference of page 02, and what is looked at in a learner's."""

import math
from collections.abc import Callable
from typing import Any

import torch
from aelib.contexts import seeded
from torch import Tensor, nn

from .judging import NOTHING
from .networks import Shape


def sampled(scale: float = 0.5, noise: Callable = torch.randn_like, passes: bool = True) -> Callable:
    """A sample of N(mean, variance), or one with a mistake."""

    def reparameterised(mean: Tensor, log_var: Tensor) -> Tensor:
        z = mean + (scale * log_var).exp() * noise(mean)
        return z if passes else z.detach()

    return reparameterised


def made(
    still: bool = False, squash: bool = False, twice: bool = True, turn: bool = False, code: Any = None,
    hidden: int = 256, centre: bool = True,
) -> type[nn.Module]:  # fmt: skip
    """A class (shape, latent) → a VAE, or one with a mistake."""

    class VAE(nn.Module):
        def __init__(self, shape: Shape, latent: int) -> None:
            super().__init__()
            n, ends = math.prod(shape), [nn.Sigmoid()] if squash else []
            there = nn.Linear(n, hidden), nn.GELU(), nn.Linear(hidden, 2 * latent), *(code or ())
            self.encoder = nn.Sequential(nn.Flatten(), *there)
            back = nn.Linear(latent, hidden), nn.GELU(), nn.Linear(hidden, n), *ends
            self.decoder = nn.Sequential(*back, nn.Unflatten(1, shape))

        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            """(B, C, H, W) → mean and log variance, (B, K) each."""
            parts = self.encoder(4 * x - 2 if centre else x).chunk(2, dim=1)
            mean, log_s = parts[::-1] if turn else parts
            return mean, (2 if twice else 1) * log_s

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """(B, C, H, W) → logits (B, C, H, W), mean and log variance."""
            mean, log_var = self.encode(x)
            z = mean if still else sampled()(mean, log_var)
            return self.decoder(z), mean, log_var

    return VAE


def complaint_about(make: type) -> str | None:
    """What is wrong with a class (shape, latent) → VAE, or None."""
    shape, x = (2, 3, 4), torch.linspace(0, 1, 120).view(5, 2, 3, 4)
    with seeded(0):
        model = make(shape, 3)
        if isinstance(model, nn.Module) and not [*model.children()]:
            return NOTHING
        for name in ("encoder", "decoder"):
            if not isinstance(getattr(model, name, None), nn.Module):
                return f"`self.{name}` is to be a module: `nn.Sequential(…)`"
        parts = model.encoder, model.decoder
        layers = [[m for m in part.modules() if isinstance(m, nn.Linear)] for part in parts]
        sizes = [[(m.in_features, m.out_features) for m in part] for part in layers]
        if sizes != [[(24, 256), (256, 6)], [(3, 256), (256, 24)]]:
            wanted = "24, 256, 6, and back 3, 256, 24"
            return f"for 24 pixels and a code of 3 its linear layers are {sizes}; wanted: {wanted}"
        if not all(any(isinstance(m, nn.GELU) for m in part.modules()) for part in parts):
            return "there is no nn.GELU between the two linear layers of the encoder, or of the decoder"
        if complaint := _passing(model, x):
            return complaint
        return _halves(model, x)


def _passing(model: Any, x: Tensor) -> str | None:
    """What is wrong with the shapes and the ranges of what passes through a VAE, or None."""
    code = model.encode(x)
    if not isinstance(code, tuple | list) or [tuple(part.shape) for part in code] != [(5, 3)] * 2:
        return "encode is to return two tensors (B, K): the mean, and the log variance"
    out = model(x)
    if not isinstance(out, tuple | list) or len(out) != 3:
        return "forward is to return three tensors: logits, mean, log variance"
    if out[0].shape != x.shape:
        return f"of pictures {tuple(x.shape)} the logits are {tuple(out[0].shape)}"
    if torch.equal(out[0], model(x)[0]):
        return "forward is to decode a sample, not the mean: twice the same picture gives the same logits"
    out[0].square().sum().backward()
    for name, p in model.named_parameters():
        if p.grad is None:
            return f"no gradient reaches `{name}`: is this layer used, and does a gradient pass the sample?"
    with torch.no_grad():
        wide, far = (
            model.decoder(1000 * torch.randn(64, 3)),
            model.encoder(1000 * torch.randn(64, *x.shape[1:])),
        )
    if wide.min() > -1 or wide.max() < 1.01:
        return "an activation stands behind the decoder's last layer: logits may be any number"
    if far.min() > -1 or far.max() < 1.01:
        return "an activation stands behind the encoder's last layer: mean and log s may be any number"
    return None


def _halves(model: Any, x: Tensor) -> str | None:
    """What is wrong with mean and log variance, beside the encoder's two halves, or None."""
    (mean, log_var), (first, second) = model.encode(x), model.encoder(4 * x - 2).chunk(2, dim=1)
    if torch.allclose(mean, second, atol=1e-5):
        return "the first half of the encoder's numbers is the mean, the second half is log s"
    if not torch.allclose(mean, first, atol=1e-5):
        return "the mean is not the first half of the encoder's numbers; pictures go in as 4x − 2"
    if not torch.allclose(log_var, 2 * second, atol=1e-5):
        return "the second half is log s; the log variance is log s² = 2 log s"
    return None
