"""The VAE of PyTorch's examples: 784-400-20 with ReLU, on the 60,000 images of Fashion-MNIST."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aelib import Autoencoder, elbo
from aelib.heads import Bernoulli, Gaussian
from aelib.nets import MLP, Reshape
from aelib.priors import StandardNormal
from benchmarks.cases import trainers
from benchmarks.cases.trainers import Plain, fashion, fashion_samples, tensor
from benchmarks.race import Case, Track

IMAGES, BATCH, LATENT = 60_000, 128, 20


class Example(nn.Module):
    """The layers as the example has them: two linear layers side by side for mean and log σ²."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 400)
        self.mean, self.log_var = nn.Linear(400, LATENT), nn.Linear(400, LATENT)
        self.back, self.out = nn.Linear(LATENT, 400), nn.Linear(400, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.hidden(x.view(-1, 784)).relu()
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.out(self.back(z).relu()).view_as(x), mean, log_var


def networks(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    there = MLP(784, 400, 2 * LATENT, activation=nn.ReLU)
    return there, nn.Sequential(MLP(LATENT, 400, 784, activation=nn.ReLU), Reshape(1, 28, 28))


def ours(device: str, track: Track) -> None:
    there, back = networks()
    vae = Autoencoder(
        encoder=nn.Sequential(there, Gaussian()),
        decoder=nn.Sequential(back, Bernoulli()),
        prior=StandardNormal(LATENT),
    )
    trainers.ours(vae, fashion(IMAGES), elbo, BATCH, device, track)


def example(device: str, track: Track) -> None:
    torch.manual_seed(0)
    trainers.example(Example(), fashion_samples(IMAGES), trainers.elbo_of_example, BATCH, device, track)


def pythae(device: str, track: Track) -> None:
    trainers.pythae(Plain(*networks()), tensor(fashion(IMAGES)), LATENT, BATCH, device, track)


def lightning(device: str, track: Track) -> None:
    trainers.lightning(Plain(*networks()), tensor(fashion(IMAGES)), trainers.elbo, BATCH, device, track)


def bare(device: str, track: Track) -> None:
    trainers.bare(Plain(*networks()), tensor(fashion(IMAGES)), trainers.elbo, BATCH, device, track)


CASE = Case(
    title="VAE 784-400-20, Fashion-MNIST, batch 128",
    unit="images",
    value="training loss of the epoch, in nats an image",
    contenders={
        "aelib": ours,
        "PyTorch's example": example,
        "pythae": pythae,
        "Lightning": lightning,
        "bare loop": bare,
    },
)
