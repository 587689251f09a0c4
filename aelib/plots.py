"""Figures: grids of images, learning curves. Each function returns a figure that shows itself."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .datasets import Images

STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "figure.dpi": 100,
}  # fmt: skip
Pictures = Tensor | np.ndarray | Images


class Picture(Figure):
    """A matplotlib figure outside pyplot's list of open figures: it shows itself and never leaks."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **({"layout": "constrained"} | keywords))
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=self.dpi)
        return out.getvalue()

    def __repr__(self) -> str:
        return "Picture"


def axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (4, 3), **keywords: Any) -> Any:
    """A figure and its axes, in the library's style: (figure, (rows, columns) array of axes).

    Args:
        size: width and height of one panel, in inches.
    """
    with mpl.rc_context(STYLE):
        figure = Picture(figsize=(size[0] * columns, size[1] * rows), dpi=STYLE["figure.dpi"])
        return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def pixels(images: Pictures) -> np.ndarray:
    """(N, H, W, 3) uint8 of images (N, C, H, W), float in [0, 1] or uint8; more channels show as grey."""
    if isinstance(images, Images):
        images = images.pixels
    a = images.detach().float().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if a.ndim == 3:
        a = a[None]
    if a.ndim != 4:
        raise ValueError(f"images come as (N, C, H, W); got {a.shape}")
    if a.dtype != np.uint8:
        a = np.round(np.clip(np.nan_to_num(a), 0, 1) * 255).astype(np.uint8)
    if a.shape[1] != 3:
        a = np.repeat(np.round(a.mean(1, keepdims=True)).astype(np.uint8), 3, axis=1)
    return a.transpose(0, 2, 3, 1)


def tile(images: Pictures, columns: int, gap: int = 2) -> np.ndarray:
    """One (H', W', 3) uint8 picture of a grid of images on white."""
    a = pixels(images)
    n, h, w, _ = a.shape
    rows = -(-n // columns)
    out = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for i in range(n):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        out[y : y + h, x : x + w] = a[i]
    return out


def show(
    images: Pictures | Mapping[str, Pictures],
    columns: int | None = None,
    titles: Sequence[str] = (),
    title: str = "",
    width: float = 9.0,
) -> Picture:
    """Images as a grid; a dict of images as one row each, with its name at the left.

    Args:
        images: (N, C, H, W), or name → (N, C, H, W).
        columns: images in a row; as many as there are, at most 12, by default.
        titles: above the columns.
        title: above the figure.
        width: of the figure, in inches.
    """
    if isinstance(images, Mapping):
        names, stacks = list(images), [pixels(v) for v in images.values()]
        columns = columns or max(len(s) for s in stacks)
        per_row = np.concatenate([_padded(s[:columns], columns) for s in stacks])
    else:
        names, per_row = [], pixels(images)
        columns = columns or min(12, len(per_row))
    gap = 2
    picture = tile(per_row.transpose(0, 3, 1, 2), columns, gap)
    h, w = per_row.shape[1:3]
    left = 0.085 * max(map(len, names), default=0) + 0.12  # inches: about the width of a letter of 9 points
    inches = (width - left) / picture.shape[1]
    top = 0.25 * (bool(titles) + bool(title)) + 0.03
    with mpl.rc_context(STYLE):
        figure = Picture(figsize=(width, picture.shape[0] * inches + top), dpi=80, layout="none")
        bottom = 1 - top / figure.get_figheight()
        ax = figure.add_axes((left / width, 0.0, 1 - left / width, bottom))
        # pixels stay pixels: enlarged without smoothing, so that nobody mistakes the screen's blur
        ax.imshow(picture, interpolation="nearest", aspect="auto")
        ax.set_axis_off()
        for i, name in enumerate(names):
            y = i * (h + gap) + h / 2
            ax.annotate(
                name, (0, y), (-6, 0), textcoords="offset points", ha="right", va="center", fontsize=9
            )
        for j, text in enumerate(titles):
            x = j * (w + gap) + w / 2
            ax.annotate(text, (x, 0), (0, 3), textcoords="offset points", ha="center", va="bottom")
        if title:
            figure.suptitle(title, fontsize=10, y=1.0, va="top")
    return figure


def _padded(stack: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([stack, np.full((n - len(stack), *stack.shape[1:]), 255, np.uint8)])


def curves(history: Sequence[Mapping[str, float]], log: bool = False) -> Picture:
    """Learning curves: a panel for each term, training and validation in each."""
    if not history:
        raise ValueError("the history is empty: nothing was trained yet")
    terms = list(dict.fromkeys(k.split("/", 1)[1] for k in history[0] if "/" in k))
    figure, panels = axes(1, len(terms), (3.6, 2.6))
    for ax, term in zip(panels[0], terms, strict=True):
        for part, style in (("train", "--"), ("valid", "-")):
            points = [(r["epoch"], r[f"{part}/{term}"]) for r in history if f"{part}/{term}" in r]
            if points:
                ax.plot(*zip(*points, strict=True), style, marker="." if len(points) < 40 else "", label=part)
        ax.set(title=term, xlabel="epoch", ylabel="mean over images", yscale="log" if log else "linear")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    return figure


def scatter(
    ax: Axes, points: Tensor | np.ndarray, labels: np.ndarray | None = None, names: Sequence[str] = ()
) -> None:
    """Points (N, 2) in an axes, coloured by label."""
    points = np.asarray(points)
    if labels is None:
        ax.scatter(points[:, 0], points[:, 1], s=3, alpha=0.5, linewidths=0)
        return
    for i, label in enumerate(np.unique(labels)):
        here = labels == label
        name = names[int(label)] if len(names) else str(label)
        ax.scatter(
            points[here, 0], points[here, 1], s=3, alpha=0.6, linewidths=0, color=f"C{i % 10}", label=name
        )
    ax.legend(markerscale=4, fontsize=8)


def png(images: Pictures, columns: int = 1, zoom: int = 1) -> bytes:
    """A PNG of a grid of images, enlarged by a whole factor: what widgets show."""
    picture = Image.fromarray(tile(images, columns))
    if zoom > 1:
        picture = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def save(figure: Figure, path: str) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=figure.dpi)
