"""Explorers of what comes back: of a picture, model beside model, and of a corrupted one."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets
import torch
from torch import Tensor

from .. import denoising as restoring
from .. import metrics
from ..contexts import evaluating, seeded
from ..datasets import Batch, Images, noisy, occluded, salt_and_pepper
from ..datasets.batch import Transform
from ..models import Autoencoder
from .widgets import Explorer, Panel, row

TIMES = 4  # differences are shown so many times as large
CORRUPTIONS: dict[str, Callable[[float], Transform]] = {
    "noise": noisy, "salt and pepper": salt_and_pepper, "hole": occluded,
}  # fmt: skip


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


def denoising_images(
    model: Autoencoder, data: Images, corruption: Transform, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Input, output and truth, each (N, C, H, W) on the CPU; the same seed is the same corruption."""
    with seeded(seed):
        batch = data.map(corruption).batch()
    return batch.x[:, : batch.target.shape[1]], restoring.restore(model, batch), batch.target


def denoising_strip(
    model: Autoencoder, image: Images, corruptions: Mapping[str, Transform], seed: int = 0
) -> dict[str, Tensor]:
    """Rows input, output and truth, each (S, C, H, W), of one image under S corruptions: for `plots.show`."""
    parts = [denoising_images(model, image, f, seed) for f in corruptions.values()]
    rows = zip(*parts, strict=True)
    return {name: torch.cat(row) for name, row in zip(("input", "output", "truth"), rows, strict=True)}


def denoising(
    models: Mapping[str, Autoencoder], data: Images,
    corruptions: Mapping[str, Callable[[float], Transform]] = CORRUPTIONS,
    strength: tuple[float, float] = (0.05, 0.5),
) -> Explorer:  # fmt: skip
    """Choose image, corruption and its strength; see the input, what each model makes of it, and the truth.

    Under each picture stands its PSNR in dB.

    Args:
        models: name → model.
        data: clean images.
        corruptions: name → function of the strength that returns a transform. By default noise (the strength
            is σ), salt and pepper and a hole (it is a share of the picture).
        strength: the least and the largest.

    Raises ValueError: no models, images or corruptions, or a largest strength below the least.
    """
    if not models or not len(data) or not corruptions:
        found = f"{len(models)} models, {len(data)} images, {len(corruptions)} corruptions"
        raise ValueError(f"nothing to restore: {found}")
    if not strength[0] < strength[1]:
        raise ValueError(f"strengths run from the least to the largest; got {strength}")
    number = widgets.IntSlider(0, 0, len(data) - 1, description="image")
    kind = widgets.Dropdown(options=list(corruptions), description="corruption")
    middle = round(sum(strength) / 2, 2)  # on a step of the slider, so that a way there leads back
    amount = widgets.FloatSlider(middle, min=strength[0], max=strength[1], step=0.01, description="strength")
    panels = [Panel(title, side=192, text=True) for title in ("input", *models, "truth")]

    def draw() -> None:
        i, corruption = number.value, corruptions[kind.value](amount.value)
        shots = [denoising_images(m, data[i : i + 1], corruption, explorer.seed) for m in models.values()]
        noised, _, truth = shots[0]
        for panel, x in zip(panels, [noised, *(s[1] for s in shots), truth], strict=True):
            panel.show(x)
            panel.text.value = "" if x is truth else f"{metrics.psnr(x, truth).item():.1f} dB"

    explorer = Explorer("denoising", draw, number, kind, amount)
    other = explorer.button("again", "the same strength, another random pattern", explorer.again)
    return explorer.of(row(number, kind, amount, other), row(*panels))
