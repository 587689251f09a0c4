"""A model whose every number is known in closed form, for tests to compare with."""

import torch
from torch import nn
from torch.distributions import MultivariateNormal

from aelib import heads, models, nets, priors
from aelib.datasets import Batch, Batches

torch.manual_seed(0)
DIM, LATENT, NOISE = 7, 3, 0.4


def linear_gaussian():
    """x = W z + b + noise, with the true posterior as encoder: N(S Wᵀ(x − b)/σ², S), where
    S = (I + WᵀW/σ²)⁻¹. Orthogonal columns make S diagonal, as the head's is."""
    w = (
        torch.linalg.qr(torch.randn(DIM, LATENT, dtype=torch.double))[0]
        * torch.tensor([1.5, 0.8, 0.3]).double()
    )
    b = torch.randn(DIM, dtype=torch.double)
    s = 1 / (1 + w.square().sum(0) / NOISE**2)
    encoder, decoder = nets.MLP(DIM, 2 * LATENT).double(), nets.MLP(LATENT, DIM).double()
    with torch.no_grad():
        decoder[1].weight.copy_(w), decoder[1].bias.copy_(b)
        encoder[1].weight.zero_()
        encoder[1].weight[:LATENT] = s[:, None] * w.T / NOISE**2
        encoder[1].bias[:LATENT] = -encoder[1].weight[:LATENT] @ b
        encoder[1].bias[LATENT:] = s.sqrt().log()
    model = models.Autoencoder(
        nn.Sequential(encoder, heads.Gaussian()),
        nn.Sequential(decoder, nets.Reshape(1, 1, DIM), heads.Gaussian(NOISE)),
        priors.StandardNormal(LATENT),
    ).double()
    marginal = MultivariateNormal(b, w @ w.T + NOISE**2 * torch.eye(DIM, dtype=torch.double))
    return model, marginal


class Rows:
    """Float images as data: what `metrics` and `train` ask of `Images`."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def batches(self, size, seed=None, device="cpu", part=(0, 1)):
        pieces = self.x.split(size)
        return Batches((Batch(x) for x in pieces), len(pieces), len(self))
