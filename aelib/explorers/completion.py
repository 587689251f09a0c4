"""Explorer of a learnt prior over indices: keep the beginning of a picture's code, draw the rest."""

from __future__ import annotations

import ipywidgets as widgets
import torch
from torch import Tensor

from .. import latent, plots
from ..contexts import evaluating, seeded
from ..models import Autoencoder
from ..priors import Autoregressive
from .widgets import SIDE, Explorer, Panel, Stage, number_slider, row

DRAWS = 8  # rests that are shown beside each other


@torch.no_grad()
def completion_images(model: Autoencoder, x: Tensor, kept: int, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """(B · draws, C, H, W): of each picture's code the first `kept` indices stay, the others are drawn.

    Args:
        model: a VQ-VAE whose prior is `priors.Autoregressive`.
        x: (B, C, H, W), a picture's draws come one after the other.
        kept: from 0 (drawn from the prior altogether) to N (the reconstruction).
        seed: of the draws.

    Raises:
        TypeError: the model's prior is another.
    """
    prior = model.prior
    if not isinstance(prior, Autoregressive):
        raise TypeError(f"only priors.Autoregressive completes a code; this model's prior is {prior}")
    with evaluating(model), seeded(seed, model.device):
        indices = prior.indices(model.encode(x.to(model.device)).mean)
        z = prior.vectors(prior.complete(indices[:, :kept].repeat_interleave(draws, 0)))
    return latent.decode(model, z)


def completion(model: Autoencoder, photos: plots.Pictures) -> Explorer:
    """Choose a picture and how many indices of its code are kept; the prior draws the rest, again and again.

    Args:
        model: a VQ-VAE whose prior is `priors.Autoregressive`.
        photos: (N, C, H, W) in [0, 1].

    Raises:
        TypeError: the model's prior is another.
    """
    if not isinstance(model.prior, Autoregressive):
        raise TypeError(f"only priors.Autoregressive completes a code; this model's prior is {model.prior}")
    number = number_slider(len(photos), "picture")
    n = len(model.prior.position)
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

    stage = Stage(draw)
    stage.follow(number, kept)
    redraw = stage.button("draw again", "another rest", again)
    stage.run()
    rows = [row(number, kept, redraw), row(photo, drawn), stage.message]
    return Explorer("completion", rows)
