"""Explorer of what comes back, model beside model."""

from collections.abc import Mapping

import ipywidgets as widgets
import torch
from torch import Tensor

from .. import metrics
from ..contexts import evaluating, seeded
from ..datasets import Batch, Images
from ..models import Autoencoder
from .widgets import Explorer, Panel, row

TIMES = 4  # differences are shown so many times as large


@torch.no_grad()
def reconstructions_images(model: Autoencoder, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstructions x̂ (B, C, H, W), differences 4 · |x̂ − target| of that shape, MSE (B,); on the CPU."""
    at, target = model.device, batch.target.cpu()
    with evaluating(model):
        x_hat = model.reconstruct(batch.x.to(at), None if batch.c is None else batch.c.to(at)).cpu()
    return x_hat, (TIMES * (x_hat - target).abs()).clamp(0, 1), metrics.mse(x_hat, target)


def reconstructions(models: Mapping[str, Autoencoder], data: Images) -> Explorer:
    """Leaf through the images: each model's reconstruction with its mean squared error over the pixels.

    Where the data change x (noise, a hole), that is shown too, and the error is still to the target.

    Args:
        models: name → model.
        data: the images, with the transforms and conditions that the models were trained with.

    Raises ValueError: no models or no images.
    """
    if not models or not len(data):
        raise ValueError(f"nothing to compare: {len(models)} models and {len(data)} images")
    number = widgets.IntSlider(0, 0, len(data) - 1, description="image")
    differences = widgets.Checkbox(description=f"difference × {TIMES}", indent=False)
    photo, given = Panel("photo", side=192), Panel("input", side=192)
    panels = [Panel(title, side=192, text=True) for title in models]

    def draw() -> None:
        i = number.value
        with seeded(i):  # an image's noise is always the same
            batch = data[i : i + 1].batch()
        photo.show(batch.target)
        given.layout.display = "none" if batch.x is batch.target else None
        given.show(batch.x)
        for model, panel in zip(models.values(), panels, strict=True):
            x_hat, difference, mse = reconstructions_images(model, batch)
            panel.show(torch.cat([x_hat, difference]) if differences.value else x_hat)
            panel.text.value = f"MSE {mse.item():.4f}"

    def step(by: int) -> None:
        number.value = (number.value + by) % len(data)

    explorer = Explorer("reconstructions", draw, number, differences)
    previous = explorer.button("previous", "the image before", lambda: step(-1))
    following = explorer.button("next", "the image after", lambda: step(1))
    return explorer.of(row(number, previous, following, differences), row(photo, given, *panels))
