"""Explorer of a learnt prior: how much of a picture's code is kept, and what the prior makes of the rest."""

import ipywidgets as widgets
import torch
from torch import Tensor

from aelib import latent, plots, priors
from aelib.contexts import evaluating, seeded
from aelib.explorers.widgets import SIDE, Explorer, Panel, row
from aelib.models import Autoencoder

DRAWS = 8  # rests that are shown beside each other


def _learnt(model: Autoencoder) -> priors.Autoregressive:
    if not isinstance(model.prior, priors.Autoregressive):
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

    def draw() -> None:
        x = torch.as_tensor(photos[number.value : number.value + 1])
        photo.show(x)
        rests = plots.tile(completion_images(model, x, kept.value, seed=explorer.seed), columns=DRAWS // 2)
        drawn.show(rests.transpose(2, 0, 1)[None])

    explorer = Explorer("completion", draw, number, kept)
    redraw = explorer.button("draw again", "another rest", explorer.again)
    return explorer.of(row(number, kept, redraw), row(photo, drawn))
