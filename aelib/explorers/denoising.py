"""Explorer of restoring: what was done to the picture, how much of it, what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets
import torch
from torch import Tensor

from .. import denoising as restoring
from .. import metrics
from ..contexts import seeded
from ..datasets import Images, noisy, occluded, salt_and_pepper
from ..datasets.batch import Transform
from ..models import Autoencoder
from .widgets import Explorer, Panel, row

CORRUPTIONS: dict[str, Callable[[float], Transform]] = {
    "noise": noisy, "salt and pepper": salt_and_pepper, "hole": occluded,
}  # fmt: skip


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
    models: Mapping[str, Autoencoder],
    data: Images,
    corruptions: Mapping[str, Callable[[float], Transform]] | None = None,
    strength: tuple[float, float] = (0.05, 0.5),
) -> Explorer:
    """Choose image, corruption and its strength; see the input, what each model makes of it, and the truth.

    Under each picture stands its PSNR in dB.

    Args:
        models: name → model.
        data: clean images.
        corruptions: name → function of the strength that returns a transform. By default noise (the strength
            is σ), salt and pepper and a hole (it is a share of the picture).
        strength: the least and the largest.

    Raises:
        ValueError: no models, images or corruptions, or a largest strength below the least.
    """
    corruptions = CORRUPTIONS if corruptions is None else corruptions
    if not models or not len(data) or not corruptions:
        raise ValueError(
            f"nothing to restore: {len(models)} models, {len(data)} images, {len(corruptions)} corruptions"
        )
    if not strength[0] < strength[1]:
        raise ValueError(f"strengths run from the least to the largest; got {strength}")
    number = widgets.IntSlider(0, 0, len(data) - 1, description="image")
    kind = widgets.Dropdown(options=list(corruptions), description="corruption")
    middle = round(sum(strength) / 2, 2)  # on a step of the slider, so that a way there leads back
    amount = widgets.FloatSlider(middle, min=strength[0], max=strength[1], step=0.01, description="strength")
    panels = [Panel(title, side=192) for title in ("input", *models, "truth")]
    says = [widgets.Label() for _ in panels]
    for panel, label in zip(panels, says, strict=True):
        panel.children = [panel.title, panel.image, label]
    seed = 0

    def again() -> None:
        nonlocal seed
        seed += 1

    def draw() -> None:
        i, corruption = number.value, corruptions[kind.value](amount.value)
        shots = [denoising_images(model, data[i : i + 1], corruption, seed) for model in models.values()]
        seen, _, truth = shots[0]
        for panel, label, x in zip(panels, says, [seen, *(s[1] for s in shots), truth], strict=True):
            panel.show(x)
            label.value = "" if panel is panels[-1] else f"{metrics.psnr(x, truth).item():.1f} dB"

    explorer = Explorer("denoising", draw, number, kind, amount)
    other = explorer.button("again", "the same strength, another random pattern", again)
    return explorer.of(row(number, kind, amount, other), row(*panels))
