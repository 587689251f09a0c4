"""Priors p(z): N(0, 1), distributions fitted to codes, and one that is learnt over the codes of a codebook.

Anything whose `forward(c)` returns a distribution over codes can be a model's prior; zuko's flows can.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributions as D

from .contexts import evaluating, seeded
from .distributions import Standard, exact
from .errors import unknown
from .heads import VectorQuantizer


class StandardNormal(nn.Module):
    """The prior N(0, 1) over a code of this shape; `forward(c)` returns it whatever the condition.

    `StandardNormal(16)` is of codes (K,), `StandardNormal(8, 4, 4)` of codes with places.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        # not saved with the weights: a fully convolutional model's must not depend on the image's size
        self.loc = nn.Buffer(torch.zeros(shape), persistent=False)

    def forward(self, c: Tensor | None = None) -> D.Independent:
        """Any c → distribution with batch shape () and the code's event shape."""
        loc = exact(self.loc)
        d = Standard(loc, torch.ones_like(loc), validate_args=False)
        return D.Independent(d, self.loc.ndim, validate_args=False)


def fixed(family: Any, **parameters: Any) -> nn.Module:
    """The prior `family(**parameters)`, whatever the condition; the parameters are its buffers."""
    from zuko.lazy import UnconditionalDistribution

    parameters = {k: torch.as_tensor(v).float() for k, v in parameters.items()}
    return UnconditionalDistribution(partial(_exactly, family), buffer=True, **parameters)


def _exactly(family: Any, **parameters: Tensor) -> D.Distribution:
    return family(**{k: exact(v) for k, v in parameters.items()})


def diagonal(codes: Tensor, seed: int = 0) -> nn.Module:
    """N(μ, diag σ²): every dimension by itself, without correlations."""
    from zuko.distributions import DiagNormal

    scale = codes.std(0, correction=min(1, len(codes) - 1)).clamp_min(1e-6)  # of one code too
    return fixed(DiagNormal, loc=codes.mean(0), scale=scale)


def full(codes: Tensor, seed: int = 0) -> nn.Module:
    """N(μ, Σ): one Gaussian with all correlations."""
    mean = codes.mean(0)
    centred = (codes - mean).double()
    sigma = centred.T @ centred / (len(codes) - 1)
    sigma += (1e-6 * sigma.diagonal().mean() + 1e-12) * torch.eye(len(sigma), dtype=torch.double)
    return fixed(D.MultivariateNormal, loc=mean, scale_tril=torch.linalg.cholesky(sigma.float()))


def mixture(codes: Tensor, seed: int = 0, components: int = 20) -> nn.Module:
    """A mixture of Gaussians with full covariances (scikit-learn's EM)."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(components, reg_covar=1e-4, random_state=seed).fit(codes.double().numpy())

    def family(weights: Tensor, means: Tensor, scale_tril: Tensor) -> D.Distribution:
        parts = D.MultivariateNormal(means, scale_tril=scale_tril)
        return D.MixtureSameFamily(D.Categorical(weights), parts)

    tril = np.linalg.cholesky(fitted.covariances_)
    return fixed(family, weights=fitted.weights_, means=fitted.means_, scale_tril=tril)


def flow(codes: Tensor, seed: int = 0, epochs: int = 20, transforms: int = 3) -> nn.Module:
    """A normalising flow (zuko's neural spline flow), fitted by maximum likelihood on whitened codes."""
    import zuko

    mean, scale = codes.mean(0), codes.std(0) + 1e-6

    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = zuko.flows.NSF(codes.shape[1], transforms=transforms, hidden_features=(256, 256))
            self.mean, self.scale = nn.Buffer(mean), nn.Buffer(scale)

        def forward(self, c: Tensor | None = None) -> D.Distribution:
            back = D.AffineTransform(self.mean, self.scale, event_dim=1)
            return D.TransformedDistribution(self.inner(), [back])

    with seeded(seed):
        model = Flow()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(codes)).split(256):
                loss = -model().log_prob(codes[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
    return model.eval().requires_grad_(False)


PRIORS: dict[str, Callable[..., nn.Module]] = {f.__name__: f for f in (diagonal, full, mixture, flow)}


def choose(
    codes: Tensor, own: Tensor | None = None, seed: int = 0
) -> tuple[str, dict[str, Any], float, bool]:
    """The kind of prior that fits codes (N, K) best, its options, log f(z) / p(z) in nats per code, "far".

    The kind f is the one that makes a fifth of the codes, held out, likeliest: a Gaussian, diagonal or full,
    or a mixture of up to 20, with 10 K codes for each. (A flow takes 30 times as long as the mixture, and
    makes codes held out less likely.) Another prior p is far if both hold:

    * Over them, Σ log f(z) / p(z) > log (100 · kinds). For codes from p, Π f(z) / p(z) is 1 on average, so a
      prior that fits is called far in at most 1 of 100 cases, for any N and K (Markov).
    * Its mean, which estimates KL(q(z) ‖ p(z)) from below, is above ½ nat. Up to there, who looks at one code
      cannot say more often than three times in four which of the two it is from (Pinsker).

    Args:
        codes: draws from q(z|x) of N examples.
        own: (N,) log p(z) in nats.

    Source: split likelihood ratio, Wasserman, Ramdas, Balakrishnan, 2020, https://arxiv.org/abs/1912.11436.
    """
    n, k = codes.shape
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held, rest = order.tensor_split([n // 5])
    if len(held) == 0:
        return "diagonal", {}, 0.0, False
    components = min(20, len(rest) // (10 * k))
    kinds: dict[str, dict[str, Any]] = {"diagonal": {}}
    kinds |= {"full": {}} if len(rest) > k else {}
    kinds |= {"mixture": {"components": components}} if components > 1 else {}
    fits = dict[str, Tensor]()
    for name, options in kinds.items():
        fits[name] = PRIORS[name](codes[rest], seed=seed, **options)(None).log_prob(codes[held]).double()
    kind = max(fits, key=lambda name: fits[name].mean().item())
    gain = fits[kind] - (fits[kind] if own is None else own[held])
    nats = gain.mean().item()
    return kind, kinds[kind], nats, gain.sum().item() > math.log(100 * len(kinds)) and nats > 0.5


def fit_prior(codes: Tensor, kind: str = "auto", seed: int = 0, **options: Any) -> nn.Module:
    """A prior fitted to codes (N, K) or (N, K, h, w): with `model.prior = fit_prior(codes)` a model samples.

    Args:
        kind: "diagonal" or "full" Gaussian, "mixture" of them, "flow", or "auto": what `choose` chooses.
        options: of that kind, as `components=50`.

    ValueError if the kind is not known (the nearest is suggested), or there are no codes.
    """
    if kind not in (*PRIORS, "auto"):
        raise ValueError(unknown("prior", kind, [*PRIORS, "auto"]))
    if codes.ndim < 2 or len(codes) == 0:
        raise ValueError(f"codes are (N, K) or (N, K, h, w), N at least 1; got {tuple(codes.shape)}")
    z = codes.flatten(1)
    if kind == "auto":
        kind, options, *_ = choose(z, seed=seed)
    prior = PRIORS[kind](z, seed=seed, **options)
    return prior if codes.ndim == 2 else Placed(prior, codes.shape[1:])


class Placed(nn.Module):
    """The prior `inner`, of codes (K,), for codes of another shape."""

    def __init__(self, inner: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.inner, self.shape = inner, shape

    def forward(self, c: Tensor | None = None) -> D.Distribution:
        """Any c → distribution with batch shape () and the code's event shape."""
        flat = torch.Size([self.shape.numel()])
        return D.TransformedDistribution(self.inner(c), [D.transforms.ReshapeTransform(flat, self.shape)])


class Indexed(D.Distribution):
    """Distribution over codes (K, …) made of vectors of a codebook, one index after the other.

    log P(z) = Σₙ log P(iₙ | i₁ … iₙ₋₁), in nats, where iₙ is the vector that part n of z is. It is a
    probability, not a density: over all codes it sums to 1. The prior says P(iₙ | …) and has the codebook.
    """

    arg_constraints = {}  # noqa: RUF012
    support = D.constraints.dependent(is_discrete=True)

    def __init__(self, prior: "Autoregressive") -> None:
        self.prior = prior
        super().__init__(event_shape=torch.Size(prior.shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…,) nats, of codes (…, K, …); each part counts as the vector nearest to it."""
        z = value.reshape(-1, *self.event_shape)
        indices = self.prior.indices(z)
        each = self.prior.following(indices[:, :-1]).log_softmax(-1).gather(2, indices[..., None])
        return each.sum((1, 2)).view(value.shape[: value.ndim - len(self.event_shape)])

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """(*sample_shape, K, …) codes."""
        n = math.prod(sample_shape)
        start = torch.zeros(n, 0, dtype=torch.long, device=self.prior.start.device)
        return self.prior.vectors(self.prior.complete(start)).view(*sample_shape, *self.event_shape)


class Autoregressive(nn.Module):
    """The prior over codes of a VQ-VAE: a causal transformer over their indices; `forward(c)` is `Indexed`.

    A code (K, h, w) is the sequence of its N = K / size · h · w indices: part after part of a vector, and in
    each the places row by row. Index n is predicted from those before it alone, so that
    P(i₁ … i_N) = Π P(iₙ | i₁ … iₙ₋₁). The condition is ignored.

    Train it when the codebook has come to rest, with the objective `losses.prior_likelihood`; then the
    model's `sample` draws from it and `losses.elbo` is the model's bound.

    Args:
        quantizer: the encoder's head. It stays the encoder's: it is neither trained nor saved here.
        shape: of one code, (K,) or (K, h, w).
        width, layers, heads: of the transformer.

    ValueError for a K that is no multiple of the vectors' size.

    Source: van den Oord, Vinyals, Kavukcuoglu, 2017, https://arxiv.org/abs/1711.00937 (there a PixelCNN).

    >>> prior = Autoregressive(VectorQuantizer(16, 2), 4, 3, 3)
    >>> prior().sample((5,)).shape, prior().log_prob(torch.randn(5, 4, 3, 3)).shape
    (torch.Size([5, 4, 3, 3]), torch.Size([5]))
    """

    def __init__(
        self, quantizer: VectorQuantizer, *shape: int, width: int = 64, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        self._quantizer = (quantizer,)  # in a tuple, or its codebook would be saved twice
        self.shape = shape
        codes, size = quantizer.codebook.shape
        if shape[0] % size:
            raise ValueError(f"a code of {shape[0]} is not made of vectors of {size}; take a multiple of it")
        self.parts = (shape[0] // size, *shape[1:])
        length = math.prod(self.parts)
        self.start = nn.Parameter(torch.randn(width) * 0.1)
        self.embedding = nn.Embedding(codes, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.1)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.logits = nn.Linear(width, codes)
        self.mask = nn.Buffer(torch.ones(length, length).triu(1).bool(), persistent=False)

    def forward(self, c: Tensor | None = None) -> Indexed:
        """Any c → distribution with batch shape () and the code's event shape."""
        return Indexed(self)

    @torch.no_grad()
    def indices(self, z: Tensor) -> Tensor:
        """(B, K, …) → (B, N), the vectors nearest to a code's parts."""
        with evaluating(self._quantizer[0]):
            return self._quantizer[0](z).indices.flatten(1)

    def vectors(self, indices: Tensor) -> Tensor:
        """(B, N) → (B, K, …), the code that has these indices."""
        codebook = exact(self._quantizer[0].codebook)
        return codebook[indices.unflatten(1, self.parts)].movedim(-1, 2).flatten(1, 2)

    def following(self, indices: Tensor) -> Tensor:
        """(B, n), the first n of N indices → (B, n + 1, codes), logits of each and of the one after them."""
        before = self.start.expand(len(indices), 1, -1)
        h = torch.cat([before, self.embedding(indices)], 1) + self.position[: indices.shape[1] + 1]
        n = h.shape[1]
        return exact(self.logits(self.body(h, self.mask[:n, :n], is_causal=True)))

    @torch.no_grad()
    def complete(self, indices: Tensor) -> Tensor:
        """(B, n), the first n indices of some codes → (B, N): the same, and the rest drawn one by one."""
        for _ in range(len(self.position) - indices.shape[1]):
            drawn = D.Categorical(logits=self.following(indices)[:, -1], validate_args=False).sample()
            indices = torch.cat([indices, drawn[:, None]], 1)
        return indices
