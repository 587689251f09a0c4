"""Widgets for notebooks: each is a pure function (model, position → image) with a thin widget over it."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets as widgets
import torch
from torch import Tensor

from . import latent, plots
from .models import Autoencoder

ZOOM_TO = 256  # side in pixels at which a widget shows one image, at least


def edit(model: Autoencoder, z: Tensor, v: Tensor, strength: float) -> Tensor:
    """(N, C, H, W) images of the codes z (N, K) moved by strength · v: an attribute added or taken away."""
    return latent.decode(model, z + strength * v)


def attribute_strip(model: Autoencoder, z: Tensor, v: Tensor, strengths: list[float]) -> Tensor:
    """(N · S, C, H, W): each code (N, K) at each of S strengths, a face a row; the still of the widget."""
    s = torch.tensor(strengths)
    moved = z[:, None] + s[None, :, None] * v
    return latent.decode(model, moved.flatten(0, 1))


def attributes(
    model: Autoencoder, codes: Tensor, photos: Tensor, directions: Mapping[str, Tensor], strength: float = 1.0
) -> widgets.VBox:
    """Choose a face and an attribute, and slide its strength from −2 to 2 times the recommended one.

    Args:
        codes: (N, K) of the faces to choose from.
        photos: (N, C, H, W) the faces themselves, shown beside.
        directions: attribute → vector (K,), see `latent.direction`.
        strength: the recommended strength, which the slider shows as 1.

    Returns:
        A widget; its children take the keyboard (Tab, arrows). An error is shown below, and it goes on.
    """
    if not directions:
        raise ValueError("no attributes to choose from: directions is empty")
    zoom = max(1, -(-ZOOM_TO // photos.shape[-1]))
    face = widgets.IntSlider(0, 0, len(codes) - 1, description="face", continuous_update=True)
    name = widgets.Dropdown(options=list(directions), description="attribute")
    slider = widgets.FloatSlider(0.0, min=-2, max=2, step=0.1, description="strength", readout_format="+.1f")
    reset = widgets.Button(description="reset", tooltip="strength 0")
    side = widgets.Layout(width=f"{photos.shape[-1] * zoom}px")
    before, after = widgets.Image(format="png", layout=side), widgets.Image(format="png", layout=side)
    message = widgets.HTML()

    def draw(_: object = None) -> None:
        try:
            i = face.value
            before.value = plots.png(photos[i : i + 1], zoom=zoom)
            image = edit(model, codes[i : i + 1], directions[name.value], strength * slider.value)
            after.value = plots.png(image, zoom=zoom)
            message.value = ""
        except Exception as e:  # a widget that dies leaves a learner with a frozen picture
            message.value = f"<b>{type(e).__name__}</b>: {e}"

    for control in (face, name, slider):
        control.observe(draw, "value")
    reset.on_click(lambda _: setattr(slider, "value", 0.0))
    draw()
    titled = [
        widgets.VBox([widgets.Label(text), image]) for text, image in (("photo", before), ("decoded", after))
    ]
    return widgets.VBox(
        [widgets.HBox([face, name]), widgets.HBox([slider, reset]), widgets.HBox(titled), message]
    )
