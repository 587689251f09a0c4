"""The zoo: one code size, one network and one budget in many variants, so that a table can compare them.

`python tests/benchmarks/zoo.py` trains every one from several seeds on Fashion-MNIST, and judges it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from projecting import pca_layers
from torch import Tensor, nn

from aelib import datasets, heads, latent, losses, models, priors, runs, training
from aelib.contexts import seeded
from aelib.datasets import Images
from aelib.datasets.batch import Transform
from aelib.losses import Objective
from aelib.models import Autoencoder

CODE, EPOCHS, BATCH_SIZE = 64, 8, 256
SIGMA = 0.1  # of the likelihood
NOISE = datasets.noisy(0.2)
# as in course.COLOURS, if a member is there; the others are Tol's, for colour-blind readers
COLOURS = {
    "PCA": "#E69F00", "vanilla": "#7FB3D8", "multilayer": "#0072B2", "convolutional": "#003F63",
    "sparse, L1": "#117733", "sparse, KL": "#44AA99", "top-k": "#999933", "contractive": "#882255",
    "denoising": "#AA4499", "VAE": "#D55E00", "convolutional VAE": "#7A3600", "VQ": "#332288",
}  # fmt: skip
Layers = Callable[[int], Sequence[nn.Module]]


class TopK(nn.Module):
    """Activation before the head `Deterministic`: the k largest numbers of a code stay, the others become 0.

    (B, K), or (B, K, h, w) where each place keeps its own k.

    Source: Makhzani, Frey, k-sparse autoencoders, 2014, https://arxiv.org/abs/1312.5663.

    >>> TopK(1)(torch.tensor([[3.0, -4.0, 1.0]]))
    tensor([[3., 0., 0.]])
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"at least one number of a code is kept; got k={k}")
        self.k = k

    def forward(self, h: Tensor) -> Tensor:
        """Same shape."""
        if self.k > h.shape[1]:
            raise ValueError(f"{self.k} numbers are to be kept of a code that has {h.shape[1]}")
        kept = h.topk(self.k, dim=1).indices
        return torch.zeros_like(h).scatter(1, kept, h.gather(1, kept))

    def extra_repr(self) -> str:
        """How many are kept."""
        return str(self.k)


def build(
    shape: Sequence[int],
    size: int = CODE,
    *,
    net: str = "mlp",
    posterior: str = "deterministic",
    end: Layers | None = None,
) -> Autoencoder:
    """One of the zoo, untrained. Its likelihood is a Gaussian with σ = 0.1 around a mean in [0, 1].

    So −log p(x) is 50 times the squared error, and a constant, in nats.

    Args:
        shape: (C, H, W).
        size: of the code.
        net: "linear" (one layer), "mlp" (one hidden layer of 128) or "conv" (16, 32, 64 channels).
        posterior: "deterministic" or "gaussian".
        end: size → the layers that end the encoder, in place of the posterior's head.
    """
    hidden = {"linear": None, "mlp": (128,), "conv": (16, 32, 64)}[net]
    # the Bernoulli head is taken off again; with it, the factory leaves the last bias at 0, which is grey
    options: Any = {"net": net, "posterior": posterior, "likelihood": "bernoulli", "hidden": hidden}
    model = models.autoencoder(shape, size, **options)
    encoder, decoder = (list(cast(nn.Sequential, part)) for part in (model.encoder, model.decoder))
    model.decoder = nn.Sequential(*decoder[:-1], nn.Sigmoid(), heads.Gaussian(SIGMA))
    if end is not None:
        model.encoder = nn.Sequential(*encoder[:-1], *end(size))
    return model


def optimizer(model: Autoencoder) -> training.Optimizers:
    """Muon for the matrices, Adam for the rest, that is for convolutions and biases."""
    optimizers = training.muon(model)
    for group in optimizers["loss"][-1].param_groups:
        group["lr"] = 3e-3
    return optimizers


@dataclass(frozen=True)
class Member:
    """How one of the zoo is built and trained.

    Args:
        build: shape, size → the model, untrained.
        objective: what descends.
        transform: of the images that it trains on.
    """

    build: Callable[..., Autoencoder] = build
    objective: Objective = losses.reconstruction
    transform: Transform | None = None

    def train(
        self, data: Images, size: int = CODE, *, epochs: int = EPOCHS, seed: int = 0, **noted: Any
    ) -> Autoencoder:
        """The trained model. `valid` and `history` are as in `training.train`; they do not change it."""
        with seeded(seed):
            model = self.build(data.shape, size)
        data = data if self.transform is None else data.map(self.transform)
        runs.fit(
            model, data, self.objective, optimizer(model), epochs=epochs, batch_size=BATCH_SIZE, seed=seed,
            schedule={"lr": training.cosine()}, **noted,
        )  # fmt: skip
        return model


# Optimizer, learning rates and weights were tried on validation images only. The sparse weights are such that
# the reconstruction stays below PCA's error.
MEMBERS = {
    "vanilla": Member(partial(build, net="linear")),
    "multilayer": Member(),
    "convolutional": Member(partial(build, net="conv")),
    "sparse, L1": Member(
        partial(build, end=lambda size: [nn.ReLU(), heads.Deterministic()]),
        partial(losses.sparse, weight=6.0),
    ),
    "sparse, KL": Member(
        partial(build, end=lambda size: [nn.Sigmoid(), heads.Deterministic()]),
        partial(losses.sparse, weight=70.0, penalty=losses.to_rate(0.03)),
    ),
    "top-k": Member(partial(build, end=lambda size: [TopK(size // 4), heads.Deterministic()])),
    "contractive": Member(objective=partial(losses.contractive, weight=5.0)),
    "denoising": Member(transform=NOISE),
    "VAE": Member(partial(build, posterior="gaussian"), losses.elbo),
    "convolutional VAE": Member(partial(build, net="conv", posterior="gaussian"), losses.elbo),
    "VQ": Member(
        partial(build, end=lambda size: [heads.VectorQuantizer(256, 4, decay=0.99)]),
        partial(losses.vector_quantized, beta=12.5),
    ),
}


def pca(data: Images, size: int = CODE) -> Autoencoder:
    """The line to beat: the projection on as many principal components, whitened, as an autoencoder."""
    from sklearn.decomposition import PCA

    x = data.pixels.reshape(len(data), -1) / np.float32(255)
    there, back = pca_layers(PCA(size, random_state=0).fit(x), size, data.shape)
    return Autoencoder(
        nn.Sequential(there, heads.Deterministic()), nn.Sequential(back, heads.Gaussian(SIGMA))
    )


def errors(history: training.History, pixels: int) -> list[float]:
    """The validation MSE of each epoch, from the recorded −log p(x|z): of a VAE with sampled codes."""
    nll = [record.get("valid/nll", record["valid/loss"]) for record in history]
    return [2 * SIGMA**2 * (v / pixels - math.log(SIGMA * math.sqrt(2 * math.pi))) for v in nll]


@torch.no_grad()
def sampled(model: Autoencoder, data: Images, n: int) -> Tensor:
    """(n, C, H, W) decoded from new codes: samples of a Gaussian fitted to codes of these images.

    It has all correlations. A sampled code then goes through the ReLU, the top-k or the codebook that ends
    the encoder, as codes do.
    """
    z = priors.fit_prior(latent.draws(model, data)[0], "full")(None).sample((n,))
    for layer in cast(nn.Sequential, model.encoder):
        if isinstance(layer, nn.ReLU | TopK):
            z = layer(z)
        elif isinstance(layer, heads.VectorQuantizer):
            z = layer(z).mean
    return model.decode(z).mean
