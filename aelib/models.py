"""The one model class, and the one factory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from . import heads, nets, priors
from .datasets.graph import Graph
from .errors import unknown


class Output(NamedTuple):
    """What one pass gives: the posterior q(z|x, c), a sample z of it, the likelihood p(x|z, c)."""

    q: Distribution
    z: Tensor
    p: Distribution

    @property
    def x_hat(self) -> Tensor:
        """(B, C, H, W) the reconstruction: the mean of p."""
        return self.p.mean


class Autoencoder(nn.Module):
    """An encoder q(z|x, c), a decoder p(x|z, c) and a prior p(z|c); it knows no loss.

    Encoder and decoder are modules that return a `torch.distributions.Distribution`: a network with a
    head at its end. A plain autoencoder has the head `Deterministic` in its encoder and needs no prior.
    Nothing but z and c reaches the decoder.

    Args:
        encoder: (B, C, H, W) → distribution over (B, K) or (B, K, h, w).
        decoder: (B, K) or (B, K, h, w) → distribution over (B, C, H, W).
        prior: c → distribution over z, with batch shape () or (B,); zuko's flows fit as they are.

    >>> model = Autoencoder(
    ...     encoder=nn.Sequential(nets.MLP(64, 2 * 4), heads.Gaussian()),
    ...     decoder=nn.Sequential(nets.MLP(4, 64), nets.Reshape(1, 8, 8), heads.Bernoulli()),
    ...     prior=priors.StandardNormal(4),
    ... )
    >>> model(torch.rand(5, 1, 8, 8)).x_hat.shape, model.sample(3).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.prior = encoder, decoder, prior
        self.recipe: dict[str, Any] | None = None  # what `autoencoder` was called with, to make it again

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def encode(self, x: Tensor | Graph, c: Tensor | None = None) -> Distribution:
        """q(z|x, c) of images (B, C, H, W) in [0, 1], or q(z|x) of the nodes of a `Graph`."""
        if isinstance(x, Graph):
            if c is not None:
                raise TypeError("a graph takes no condition: give its nodes more features instead")
            return self.encoder(x)
        if not isinstance(x, Tensor):
            raise TypeError(f"encode takes a tensor of images, as data[:8].batch().x; got {type(x).__name__}")
        if x.ndim != 4:
            raise ValueError(f"images come as (B, C, H, W); got {tuple(x.shape)}. One image is x[None]")
        if not x.is_floating_point():
            raise TypeError(f"images are float in [0, 1]; got {x.dtype}. uint8 pixels are divided by 255")
        try:
            return self.encoder(join(x, c))
        except RuntimeError as e:
            e.add_note(_given("encoder", x, c))
            raise

    def decode(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """p(x|z, c) of codes (B, K) or (B, K, h, w)."""
        try:
            return self.decoder(join(z, c))
        except RuntimeError as e:
            e.add_note(_given("decoder", z, c))
            raise

    def forward(self, x: Tensor | Graph, c: Tensor | None = None) -> Output:
        """Encode, draw one code an image, decode it."""
        q = self.encode(x, c)
        z = q.rsample()
        return Output(q, z, self.decode(z, c))

    @torch.no_grad()
    def reconstruct(self, x: Tensor | Graph, c: Tensor | None = None) -> Tensor:
        """(B, C, H, W) the mean of p at the mean of q: for looking, without gradient."""
        return self.decode(self.encode(x, c).mean, c).mean

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """(n, C, H, W) means of p at codes drawn from the prior: for looking, without gradient.

        Raises:
            ValueError: there is no prior, or c has not n rows.
        """
        if self.prior is None:
            raise ValueError(
                "this model has no prior to draw codes from. Give it one, as in model.prior = "
                "priors.fit_prior(codes), which matches the codes of the training images"
            )
        if c is not None and len(c) != n:
            raise ValueError(f"{n} samples need {n} conditions; got {len(c)}")
        p = self.prior(c)
        return self.decode(p.sample() if p.batch_shape else p.sample((n,)), c).mean


def _given(part: str, x: Tensor, c: Tensor | None) -> str:
    """What a learner needs beside torch's message about matrices that do not fit."""
    condition = "no condition" if c is None else f"a condition of size {c.shape[1]}"
    return (
        f"The {part} was given shape {tuple(x.shape[1:])} an example on {x.device}, and {condition}. "
        "Was the model built for another shape or other conditions, or is it on another device?"
    )


def join(x: Tensor, c: Tensor | None) -> Tensor:
    """x with the condition beside it along dimension 1: as features, or as constant channels."""
    if c is None:
        return x
    if len(c) != len(x):
        raise ValueError(f"one condition an example: got {len(x)} examples and {len(c)} conditions")
    return torch.cat([x, c.reshape(*c.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])], 1)


POSTERIORS: dict[str, Callable[[], nn.Module]] = {
    "deterministic": heads.Deterministic,
    "gaussian": heads.Gaussian,
}
LIKELIHOODS: dict[str, Callable[[], nn.Module]] = {
    "bernoulli": heads.Bernoulli,
    "gaussian": lambda: heads.Gaussian(1.0),
    "gaussian-learnt": lambda: heads.Gaussian(0.1, learn=True),
    "gaussian-predicted": heads.Gaussian,
    "gaussian-optimal": heads.OptimalGaussian,
    "laplace": lambda: heads.Laplace(1.0),
    "laplace-learnt": lambda: heads.Laplace(0.1, learn=True),
}
NORMS: dict[str, Callable[[int], nn.Module]] = {"BatchNorm1d": nn.BatchNorm1d, "LayerNorm": nn.LayerNorm}
NETS = ("linear", "mlp", "conv", "fcn")


def autoencoder(
    shape: Sequence[int],
    latent: int,
    *,
    net: str = "conv",
    posterior: str = "gaussian",
    likelihood: str = "bernoulli",
    conditions: int = 0,
    hidden: Sequence[int] | None = None,
    norm: Callable[[int], nn.Module] | None = None,
) -> Autoencoder:
    """An `Autoencoder` by names: the product network × posterior × likelihood.

    Pixels are centred on the way in (`nets.Centre`), and the reconstruction starts grey. On faces the
    two together are worth more than a wider network.

    Args:
        shape: (C, H, W) of the images, any from (1, 1, 1) up.
        latent: size of the code; for "fcn" its channels, at each of ⌈H/8⌉ × ⌈W/8⌉ places.
        net: "linear" (one layer), "mlp", "conv" (convolutions and one linear layer) or "fcn"
            (convolutions only).
        posterior: "deterministic" (a plain autoencoder, no prior) or "gaussian" (with N(0, 1) as prior).
        likelihood: "bernoulli", "gaussian" (σ = 1: the squared error), "gaussian-learnt" (one σ),
            "gaussian-predicted" (a σ a pixel), "gaussian-optimal" (the best σ an image), "laplace"
            (b = 1), "laplace-learnt" (one b).
        conditions: size K of the condition c, 0 for none.
        hidden: widths of the hidden layers, from the image inwards: (512, 256) for "mlp", (32, 64, 128)
            for convolutions by default.
        norm: normalisation in "mlp", as `nn.BatchNorm1d`.

    Raises:
        ValueError: a name that is not known (the nearest is suggested), or a size below 1.

    >>> model = autoencoder((3, 25, 31), latent=16, net="conv")
    >>> model.reconstruct(torch.rand(2, 3, 25, 31)).shape
    torch.Size([2, 3, 25, 31])
    """
    for kind, name, known in (
        ("net", net, NETS), ("posterior", posterior, POSTERIORS), ("likelihood", likelihood, LIKELIHOODS),
    ):  # fmt: skip
        if name not in known:
            raise ValueError(unknown(kind, name, known))
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape is (C, H, W) with each at least 1; got {tuple(shape)}")
    if latent < 1 or conditions < 0:
        raise ValueError(f"latent is at least 1 and conditions at least 0; got {latent} and {conditions}")
    if min(hidden or (1,)) < 1:
        raise ValueError(f"hidden layers are at least 1 wide; got {list(hidden or ())}")
    if net == "linear" and hidden:
        raise ValueError('net="linear" has no hidden layers; use net="mlp"')
    q_head, p_head = POSTERIORS[posterior](), LIKELIHOODS[likelihood]()
    out, params = latent * cast(int, q_head.factor), cast(int, p_head.factor)
    channels, height, width = shape
    seen, made = (channels + conditions, height, width), (channels * params, height, width)
    code: tuple[int, ...] = (latent,)
    encoder: nn.Module
    decoder: nn.Module
    if net in ("linear", "mlp"):
        hidden = () if net == "linear" else tuple(hidden or (512, 256))
        encoder = nn.Sequential(
            nets.Features(channels), nets.MLP(math.prod(shape) + conditions, *hidden, out, norm=norm)
        )
        decoder = nn.Sequential(
            nets.MLP(latent + conditions, *reversed(hidden), math.prod(made), norm=norm), nets.Reshape(*shape)
        )
    else:
        hidden = tuple(hidden or (32, 64, 128))
        if net == "conv":
            encoder = nets.ConvEncoder(seen, out, hidden)
            decoder = nets.ConvDecoder(latent + conditions, made, hidden)
        else:
            encoder = nets.FCNEncoder(seen, out, hidden)
            decoder = nets.FCNDecoder(latent + conditions, made, hidden)
            strides = (2,) * len(hidden)
            code = (latent, nets.sides(height, strides)[-1], nets.sides(width, strides)[-1])
    if likelihood != "bernoulli":  # whose mean starts at ½ by itself; the others' start at 0, black
        last = [m for m in decoder.modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d)][-1]
        nn.init.constant_(cast(Tensor, last.bias)[: len(cast(Tensor, last.bias)) // params], 0.5)
    prior = None if posterior == "deterministic" else priors.StandardNormal(*code)
    encoder = nn.Sequential(nets.Centre(), encoder, q_head)
    model = Autoencoder(encoder, nn.Sequential(decoder, p_head), prior)
    named = next((name for name, layer in NORMS.items() if layer is norm), None)
    if norm is None or named:  # another layer of normalisation is code, which a file cannot hold
        model.recipe = {
            "shape": list(shape), "latent": latent, "net": net, "posterior": posterior,
            "likelihood": likelihood, "conditions": conditions, "hidden": list(hidden or ()) or None,
            "norm": named,
        }  # fmt: skip
    return model


def classifier(
    shape: Sequence[int], outputs: int, *, labels: bool = True, features: int = 64,
    hidden: Sequence[int] = (32, 64, 128),
) -> nn.Sequential:  # fmt: skip
    """A convolutional classifier to judge pictures by: images → distribution over labels or attributes.

    Its first part, `net[0]`, gives the features (B, features) in which `metrics.frechet_distance` measures.
    Train it with the objective `losses.prediction`.

    Args:
        shape: (C, H, W) of the images.
        outputs: classes, or attributes.
        labels: True: one of the classes (`Categorical`); False: each attribute by itself (`Bernoulli`).
        features: size of the last hidden layer.
        hidden: channels of the convolutions.

    >>> judge = classifier((1, 28, 28), 10)
    >>> judge(torch.rand(5, 1, 28, 28)).mode.shape, judge[0](torch.rand(5, 1, 28, 28)).shape
    (torch.Size([5]), torch.Size([5, 64]))
    """
    c, h, w = shape
    body = nn.Sequential(nets.Centre(), nets.ConvEncoder((c, h, w), features, hidden), nn.GELU())
    return nn.Sequential(
        body, nn.Linear(features, outputs), heads.Categorical() if labels else heads.Bernoulli()
    )
