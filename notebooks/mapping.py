"""Explorer of a code of two numbers: a map of the codes, and what is decoded at a place on it."""

import io
import math
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from aelib import latent, plots
from aelib.errors import shown
from aelib.explorers.widgets import Explorer, Panel, grid, row
from aelib.models import Autoencoder

IN_LEGEND = 20  # classes; more are dots without names


def flat(codes: Tensor) -> Tensor:
    """The codes (N, 2), on the CPU; ValueError if they are anything else."""
    if codes.ndim != 2 or codes.shape[1] != 2 or len(codes) == 0:
        raise ValueError(f"a map needs codes of two numbers, (N, 2); got {tuple(codes.shape)}. Train a model "
                         "with latent=2, or look along the directions of a larger code with "
                         "explorers.latent_space")  # fmt: skip
    return codes.detach().cpu()


def manifold_images(model: Autoencoder, n: int, codes: Tensor | None = None) -> Tensor:
    """(n · n, C, H, W) images decoded on a grid over the plane of codes; the still of `manifold`.

    z₁ grows from left to right and z₂ from the bottom up, as on the map, through the quantiles (i + ½) / n of
    the codes (N, 2), or of N(0, 1) where none are given: every row and column stands for equally many codes.

    Raises ValueError: the codes are not (N, 2).
    """
    q = (torch.arange(n) + 0.5) / n
    axes = torch.special.ndtri(q)[:, None].expand(n, 2) if codes is None else flat(codes).quantile(q, dim=0)
    z2, z1 = torch.meshgrid(axes[:, 1].flip(0), axes[:, 0], indexing="ij")
    return latent.decode(model, torch.stack([z1, z2], -1).flatten(0, 1))


def colours(labels: np.ndarray) -> dict[Any, tuple[float, ...]]:
    """Class → its colour; there are twenty, used again where there are more classes."""
    names = np.unique(labels)
    some = mpl.colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: some(i % some.N) for i, name in enumerate(names)}


class Map:
    """A picture of the codes (N, 2), drawn once, on which a place is marked again and again."""

    def __init__(self, codes: np.ndarray, labels: np.ndarray | None) -> None:
        figure, ((ax,),) = plots.axes(1, 1, (4.4, 3.6))
        dots: dict[str, Any] = {"s": 6, "alpha": 0.6, "linewidths": 0}
        if labels is None:
            ax.scatter(*codes.T, **dots)
        else:
            for name, colour in colours(labels).items():
                ax.scatter(*codes[labels == name].T, color=colour, label=shown(name, "figure"), **dots)
            if len(np.unique(labels)) <= IN_LEGEND:
                figure.legend(loc="outside right upper", frameon=False, markerscale=2.5, handletextpad=0.1)
        ax.set(xlabel="z₁", ylabel="z₂")
        # drawing settles the layout, and with it where on the picture a code lies
        self.picture = Image.open(io.BytesIO(figure._repr_png_()[0])).convert("RGB")
        self._place = ax.transData

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where the code (x, y) lies on the picture: the pixel's column and row."""
        u, v = self._place.transform((x, y))
        return float(u), self.picture.height - float(v)

    def marked(self, x: float, y: float) -> np.ndarray:
        """(1, 3, H, W) uint8: the picture with a ring at (x, y)."""
        picture = self.picture.copy()
        pen = ImageDraw.Draw(picture)
        u, v = self.at(x, y)
        for r, colour, width in ((12, "white", 7), (10, "black", 3)):
            pen.ellipse((u - r, v - r, u + r, v + r), outline=colour, width=width)
        return np.asarray(picture).transpose(2, 0, 1)[None]


def manifold(model: Autoencoder, codes: Tensor, labels: Sequence[Any] | np.ndarray | None = None) -> Explorer:
    """Slide over the plane of a two-number code: its map at the left, the image decoded there at the right.

    Args:
        codes: (N, 2); the sliders reach from their 1st to their 99th percentile.
        labels: (N,) the class of each, which colours it.

    Raises ValueError: the codes are not (N, 2), or there are not as many labels.
    """
    codes = flat(codes)
    if labels is not None and len(labels) != len(codes):
        raise ValueError(f"{len(codes)} codes, but {len(labels)} labels: need one per code")
    sliders = []
    for k, name in enumerate(("z₁", "z₂")):
        low, high = np.percentile(codes[:, k].numpy(), (1, 99)).tolist()
        # a power of ten: 20 to 200 steps from end to end, at numbers that can be said
        digits = math.floor(math.log10(max(high - low, 1e-6) / 20))
        ends = math.floor(low / 10**digits) * 10**digits, math.ceil(high / 10**digits) * 10**digits
        sliders.append(
            widgets.FloatSlider(
                round(codes[:, k].mean().item(), -digits), min=round(ends[0], -digits),
                max=round(ends[1], -digits), step=10**digits, description=name,
                readout_format=f".{max(0, -digits)}f",
            )
        )  # fmt: skip
    centre = [slider.value for slider in sliders]
    chart = Map(codes.numpy(), None if labels is None else np.asarray(labels))
    where, decoded = Panel("codes", side=1), Panel("decoded")

    def draw() -> None:
        z = [slider.value for slider in sliders]
        where.show(chart.marked(*z))
        decoded.show(latent.decode(model, torch.tensor([z])))

    def back() -> None:
        for slider, value in zip(sliders, centre, strict=True):
            slider.value = value

    explorer = Explorer("manifold", draw, *sliders)
    (u, v), (right, _), (_, up) = (chart.at(*corner) for corner in ((0, 0), (1, 0), (0, 1)))
    explorer.parts = {
        "model": model, "start": torch.tensor([centre]),
        "map": np.asarray(chart.picture).transpose(2, 0, 1)[None], "place": [[right - u, u], [up - v, v]],
        "ranges": [[s.min, s.max, s.step, c] for s, c in zip(sliders, centre, strict=True)],
    }  # fmt: skip
    reset = explorer.button("reset", "the mean code", back)
    return explorer.of(row(grid(sliders, 280, "1 1 80%"), reset), row(where, decoded))
