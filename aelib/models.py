"""The one model class, and the one factory."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from . import heads, nets, priors
from .datasets.batch import Data
from .datasets.graph import Graph
from .errors import unknown
from .nets.layers import Norm


class Output(NamedTuple):
    """What one pass gives: the posterior q(z|x, c), a sample z of it, the likelihood p(x|z, c)."""

    q: Distribution
    z: Tensor
    p: Distribution

    @property
    def x_hat(self) -> Tensor:
        """(B, …) the reconstruction: the mean of p."""
        return self.p.mean


class Autoencoder(nn.Module):
    """An encoder q(z|x, c), a decoder p(x|z, c) and a prior p(z|c); it knows no loss.

    Encoder and decoder are modules that return a `torch.distributions.Distribution`: a network with a
    head at its end. A plain autoencoder has the head `Deterministic` in its encoder and needs no prior.
    Nothing but z and c reaches the decoder; one that makes any size (`nets.Sized`) also gets the size of x.

    It works in the precision of its parameters, to which x, z and c are cast: `model.double()` computes in
    float64. Of a model in half precision the networks do; its distributions, and so z, x̂ and densities, are
    float32.

    Args:
        encoder: (B, …) → distribution over (B, K) or (B, K, h, w).
        decoder: (B, K) or (B, K, h, w) → distribution over (B, …).
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
        self._recipe: dict[str, Any] | None = None  # what `autoencoder` was called with

    @property
    def recipe(self) -> dict[str, Any] | None:
        """What `autoencoder` was called with, if that makes a model like this one; else None.

        Whoever puts another head, encoder or prior in makes a model that the call does not.
        """
        if self._recipe is None:
            return None
        with torch.device("meta"):  # costs no memory and no random numbers
            return self._recipe if _structure(from_recipe(self._recipe)) == _structure(self) else None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def encode(self, x: Tensor | Graph, c: Tensor | None = None) -> Distribution:
        """q(z|x, c) of examples (B, …), as pictures (B, C, H, W); or q(z|x) of the nodes of a `Graph`.

        TypeError or ValueError if x is no batch of floats, or not of the size that the network is for.
        """
        if isinstance(x, Graph):
            if c is not None:
                raise TypeError("a graph takes no condition: give its nodes more features instead")
            return self.encoder(x)
        if not isinstance(x, Tensor):
            raise TypeError(f"encode takes a tensor, as data[:8].batch().x; got {type(x).__name__}")
        if x.ndim < 2:
            raise ValueError(f"examples come as (B, …); got {tuple(x.shape)}. One example is x[None]")
        if not x.is_floating_point():
            raise TypeError(f"examples are floats; got {x.dtype}. uint8 pixels are divided by 255")
        return self._through("encoder", x, c)

    def decode(self, z: Tensor, c: Tensor | None = None, size: Sequence[int] | None = None) -> Distribution:
        """p(x|z, c) of codes (B, K) or (B, K, h, w); a decoder of any size takes that of x: see `nets.Up`."""
        return self._through("decoder", z, c, *([] if size is None else [size]))

    def _through(self, name: str, h: Tensor, c: Tensor | None, *size: Sequence[int]) -> Distribution:
        """What a part makes of h, in the precision of its parameters; an error says what was put in."""
        part = getattr(self, name)
        p = next(part.parameters(), h)
        try:
            return part(join(h, c).to(p.dtype), *size)
        except RuntimeError as e:
            condition = "no condition" if c is None else f"a condition of size {c.shape[1]}"
            given = f"shape {tuple(h.shape[1:])} an example on {h.device}, and {condition}"
            e.add_note(f"The {name} was given {given}. Was the model built for another shape or other "
                       "conditions, or is it on another device?")  # fmt: skip
            raise

    def sized(self, x: Any) -> Sequence[int] | None:
        """The size to ask of `decode` for reconstructions as large as x; None where the decoder makes one."""
        return x.shape[2:] if isinstance(self.decoder, nets.Sized) else None

    def forward(self, x: Tensor | Graph, c: Tensor | None = None) -> Output:
        """Encode, sample one code per example, decode it."""
        q = self.encode(x, c)
        z = q.rsample()
        return Output(q, z, self.decode(z, c, self.sized(x)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor | Graph, c: Tensor | None = None) -> Tensor:
        """(B, …) the mean of p at the mean of q: for looking, without gradient."""
        return self.decode(self.encode(x, c).mean, c, self.sized(x)).mean

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """(n, …) means of p at codes drawn from the prior: for looking, without gradient.

        ValueError if there is no prior, or c has not n rows.
        """
        if self.prior is None:
            raise ValueError("this model has no prior to draw codes from. Give it one, as in model.prior = "
                             "priors.fit_prior(codes), which matches the codes of the training "
                             "images")  # fmt: skip
        if c is not None and len(c) != n:
            raise ValueError(f"{n} samples need {n} conditions; got {len(c)}")
        p = self.prior(c)
        return self.decode(p.sample() if p.batch_shape else p.sample((n,)), c).mean


def _structure(model: nn.Module) -> list[Any]:
    """What two models must have in common, so that the weights of one make the other of it."""
    plain = bool, int, float, str, tuple, type(None)
    parts = [
        (name, type(m), {k: v for k, v in vars(m).items()
                         if isinstance(v, plain) and k != "training" and not k.startswith("_")})
        for name, m in model.named_modules(remove_duplicate=False)
    ]  # fmt: skip
    return parts + [(k, v.shape) for k, v in chain(model.named_parameters(), model.named_buffers())]


def join(x: Tensor, c: Tensor | None) -> Tensor:
    """x with the condition beside it along dimension 1: as features, or as constant channels."""
    if c is None:
        return x
    if len(c) != len(x):
        raise ValueError(f"one condition an example: got {len(x)} examples and {len(c)} conditions")
    return torch.cat([x, c.reshape(*c.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])], 1)


POSTERIORS: dict[str, Callable[[], Any]] = {"deterministic": heads.Deterministic, "gaussian": heads.Gaussian}
LIKELIHOODS: dict[str, Callable[[], Any]] = {
    "bernoulli": heads.Bernoulli,
    "gaussian": lambda: heads.Gaussian(1.0),
    "gaussian-learnt": lambda: heads.Gaussian(0.1, learn=True),
    "gaussian-predicted": heads.Gaussian,
    "gaussian-optimal": heads.OptimalGaussian,
    "laplace": lambda: heads.Laplace(1.0),
    "laplace-learnt": lambda: heads.Laplace(0.1, learn=True),
}
NORMS: dict[str, Norm] = {"BatchNorm1d": nn.BatchNorm1d, "LayerNorm": nn.LayerNorm}
NETS = ("linear", "mlp", "conv", "fcn")


def autoencoder(
    shape: Sequence[int], latent: int, *, net: str = "conv", posterior: str = "gaussian",
    likelihood: str = "bernoulli", conditions: int = 0, hidden: Sequence[int] | None = None,
    norm: Norm | None = None, standardise: Data | bool = False, start: Data | bool = False,
) -> Autoencoder:  # fmt: skip
    """An `Autoencoder` by names: the product network × posterior × likelihood.

    Pixels are centred on the way in (`nets.Centre`), and the reconstruction starts grey. On faces the
    two together are worth more than a wider network. Numbers in units of their own are standardised instead:
    `autoencoder(shape, latent, net="mlp", likelihood="gaussian-learnt", standardise=split.train)` computes
    with u = (x − mean) / scale, and its likelihood, and so every reconstruction and sample, is in the units
    of x (see `heads.Restored`). A "gaussian" σ of 1 is one standard deviation of the variable.

    Args:
        shape: of one example: (D,) of a table, (C, T) of series, (C, H, W) of pictures, (C, D, H, W) of
            volumes, with every number at least 1.
        latent: size of the code; for "fcn" its channels, at each of ⌈H/8⌉ × ⌈W/8⌉ places.
        net: "linear" (one layer), "mlp", "conv" (convolutions and one linear layer) or "fcn" (convolutions
            only: it takes examples of any size, and returns that size). A table has no neighbours to
            convolve over.
        posterior: "deterministic" (a plain autoencoder, no prior) or "gaussian" (with N(0, 1) as prior).
        likelihood: "bernoulli", "gaussian" (σ = 1: the squared error), "gaussian-learnt" (one σ),
            "gaussian-predicted" (a σ per variable), "gaussian-optimal" (the best σ per example), "laplace"
            (b = 1), "laplace-learnt" (one b).
        conditions: size K of the condition c, 0 for none.
        hidden: widths of the hidden layers, from the example inwards: (512, 256) for "mlp", (32, 64, 128)
            for convolutions by default.
        norm: normalisation in "mlp", as `nn.BatchNorm1d`.
        standardise: data whose mean and standard deviation, of each channel (of a table: of each variable),
            are learnt here, over what is known of them, and kept with the weights; True leaves them 0 and 1
            until weights are loaded.
        start: data whose principal components the model starts as: of whole examples, or for "fcn" of their
            patches. "linear" is one layer each way, which is trained; others learn what is to be added
            to such layers (`nets.Residual`), which stay. A Gaussian posterior starts as that of probabilistic
            PCA (see `nets.start`). True starts at zero, until weights are loaded.

    ValueError for a name that is not known (the nearest is suggested), a size below 1, or what does not go
    together.

    >>> model = autoencoder((3, 25, 31), latent=16, net="conv")
    >>> model.reconstruct(torch.rand(2, 3, 25, 31)).shape
    torch.Size([2, 3, 25, 31])
    """
    for kind, name, known in (
        ("net", net, NETS), ("posterior", posterior, POSTERIORS), ("likelihood", likelihood, LIKELIHOODS),
    ):  # fmt: skip
        if name not in known:
            raise ValueError(unknown(kind, name, known))
    if not 1 <= len(shape) <= 4 or min(shape) < 1:
        raise ValueError(f"shape is (D,), (C, T), (C, H, W) or (C, D, H, W), each ≥ 1; got {tuple(shape)}")
    if len(shape) == 1 and net in ("conv", "fcn"):
        raise ValueError(f'net="{net}" convolves over neighbours, which a table has not; use net="mlp"')
    if latent < 1 or conditions < 0:
        raise ValueError(f"latent is at least 1 and conditions at least 0; got {latent} and {conditions}")
    if min(hidden or (1,)) < 1:
        raise ValueError(f"hidden layers are at least 1 wide; got {list(hidden or ())}")
    if net == "linear" and hidden:
        raise ValueError('net="linear" has no hidden layers; use net="mlp"')
    if start is not False and likelihood == "bernoulli":
        raise ValueError('the mean of likelihood="bernoulli" is not linear in the code, so it cannot start '
                         'as principal components; take "gaussian-learnt", or leave start= out')  # fmt: skip
    q_head, p_head = POSTERIORS[posterior](), LIKELIHOODS[likelihood]()
    enter: nn.Module = nets.Centre()
    if standardise is not False:
        mean, scale = nets.learnt(standardise, shape)
        beside = torch.zeros(conditions)  # a condition comes as it is
        enter = nets.Standardise(torch.cat([mean, beside]), torch.cat([scale, beside + 1]))
        p_head = heads.Restored(p_head, mean, scale)
    hidden = tuple(hidden or {"linear": (), "mlp": (512, 256)}.get(net, (32, 64, 128)))
    channels, *size = shape
    given, made = (channels + conditions, *size), (channels * p_head.factor, *size)
    out, back, code = latent * q_head.factor, latent + conditions, [latent]
    encoder: nn.Module
    decoder: nn.Module
    if net == "conv":
        encoder, decoder = nets.ConvEncoder(given, out, hidden), nets.ConvDecoder(back, made, hidden)
    elif net == "fcn":
        encoder, decoder = nets.FCNEncoder(given, out, hidden), nets.FCNDecoder(back, made, hidden)
        code += nets.sizes(size, (2,) * len(hidden))[-1]
    else:
        there = nets.MLP(math.prod(shape) + conditions, *hidden, out, norm=norm)
        encoder = nn.Sequential(nets.Features(*shape), there)
        back_again = nets.MLP(back, *reversed(hidden), math.prod(made), norm=norm)
        decoder = nn.Sequential(back_again, nets.Reshape(*shape))
    if likelihood != "bernoulli":  # whose mean starts at ½ by itself; the others' start at 0, black
        bias = nets.last(decoder).bias
        nn.init.constant_(bias[: len(bias) // p_head.factor], 0.5 if standardise is False else 0.0)
    if start is not False:
        stride = 2 ** len(hidden) if net == "fcn" else 0
        linear = nets.linear(given, out, back, made, shape, stride)
        if not isinstance(start, bool):
            before = nets.Centre() if standardise is False else nets.Standardise(mean, scale)
            nets.principal(*linear, start, before, p_head, latent, shape, stride)
        parts = zip(linear, (encoder, decoder), strict=True)  # steps that fit a network would undo the layers
        residual = (nets.Residual(base.requires_grad_(False), f) for base, f in parts)
        encoder, decoder = linear if net == "linear" else residual
    prior = None if posterior == "deterministic" else priors.StandardNormal(*code)
    whole = nets.Sized if net == "fcn" else nn.Sequential
    model = Autoencoder(nn.Sequential(enter, encoder, q_head), whole(decoder, p_head), prior)
    named = next((name for name, layer in NORMS.items() if layer is norm), None)
    if norm is None or named:  # another layer of normalisation is code, which a file cannot hold
        model._recipe = {
            "shape": list(shape), "latent": latent, "net": net, "posterior": posterior,
            "likelihood": likelihood, "conditions": conditions, "hidden": list(hidden) or None,
            "norm": named, **({} if standardise is False else {"standardise": True}),
            **({} if start is False else {"start": True}),
        }  # fmt: skip
    return model


def from_recipe(recipe: Mapping[str, Any]) -> Autoencoder:
    """The model that `autoencoder(**recipe)` makes, with a layer of normalisation given by its name."""
    norm = recipe.get("norm")
    return autoencoder(**dict(recipe) | {"norm": NORMS[norm] if norm else None})
