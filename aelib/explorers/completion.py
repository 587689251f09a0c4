"""Explorer of a learnt prior over indices: keep the beginning of a picture's code, sample the rest."""

from __future__ import annotations

import ipywidgets as widgets
import torch
from torch import Tensor

from .. import latent, plots
from ..contexts import evaluating, seeded
from ..models import Autoencoder
from ..priors import Autoregressive
from .widgets import SIDE, Explorer, Panel, row

DRAWS = 8  # rests that are shown beside each other


def _learnt(model: Autoencoder) -> Autoregressive:
    if not isinstance(model.prior, Autoregressive):
        raise TypeError(f"only priors.Autoregressive completes a code; this model's prior is {model.prior}")
    return model.prior


@torch.no_grad()
def completion_images(model: Autoencoder, x: Tensor, kept: int, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """(B · draws, C, H, W): of each picture's code the first `kept` indices stay, the others are sampled.

    Args:
        model: a VQ-VAE whose prior is `priors.Autoregressive`.
        x: (B, C, H, W), a picture's draws come one after the other.
        kept: from 0 (all are sampled) to N (the reconstruction).
        seed: of the draws.

    Raises:
        TypeError: the model's prior is another.
    """
    prior = _learnt(model)
    with evaluating(model), seeded(seed, model.device):
        indices = prior.indices(model.encode(x.to(model.device)).mean)
        z = prior.vectors(prior.complete(indices[:, :kept].repeat_interleave(draws, 0)))
    return latent.decode(model, z)


def completion(model: Autoencoder, photos: plots.Pictures) -> Explorer:
    """Choose a picture and how many indices of its code are kept; the prior samples the rest.

    Args:
        model: a VQ-VAE whose prior is `priors.Autoregressive`.
        photos: (N, C, H, W) in [0, 1].

    Raises:
        TypeError: the model's prior is another.
    """
    n = len(_learnt(model).position)
    number = widgets.IntSlider(0, 0, len(photos) - 1, description="picture")
    kept = widgets.IntSlider(n // 2, 0, n, description="kept")
    photo, drawn = Panel("picture"), Panel("completed", side=2 * SIDE)
    seed = 0

    def again() -> None:
        nonlocal seed
        seed += 1

    def draw() -> None:
        x = torch.as_tensor(photos[number.value : number.value + 1])
        photo.show(x)
        grid = plots.tile(completion_images(model, x, kept.value, seed=seed), columns=DRAWS // 2)
        drawn.show(grid.transpose(2, 0, 1)[None])

    explorer = Explorer("completion", draw, number, kept)
    redraw = explorer.button("draw again", "another rest", again)
    return explorer.of(row(number, kept, redraw), row(photo, drawn))
