"""Figures: grids of images, learning curves. Each function returns a figure that shows itself."""

import io
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .datasets import Images
from .datasets.decoder import MADE_HERE

STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "figure.dpi": 100,
}  # fmt: skip
Pictures = Tensor | np.ndarray | Images


class Picture(Figure):
    """A matplotlib figure outside pyplot's list of open figures: it shows itself and never leaks."""

    alt = ""

    def described(self, alt: str) -> "Picture":
        """Itself, with a sentence on what it shows, for those who cannot see it."""
        self.alt = alt
        return self

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **({"layout": "constrained"} | keywords))
        if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
            # pyplot, which pandas imports, has one for every figure, and it knows no words for a picture
            shell.display_formatter.formatters["image/png"].for_type(Picture, Picture._repr_png_)

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        out = io.BytesIO()
        canvas = FigureCanvasAgg(self)
        canvas.draw()
        # without the alpha channel and with the slowest compression: a page of faces is a third smaller
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        picture.save(out, "PNG", optimize=True)
        return out.getvalue(), {"alt": self.alt} if self.alt else {}

    def __repr__(self) -> str:
        return "Picture"


def axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (4, 3), **keywords: Any) -> Any:
    """(figure, (rows, columns) array of axes) in the library's style, of panels of a size in inches."""
    with mpl.rc_context(STYLE):
        figure = Picture(figsize=(size[0] * columns, size[1] * rows), dpi=STYLE["figure.dpi"])
        return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def pixels(images: Pictures) -> np.ndarray:
    """(N, H, W, 3) uint8 of images (N, C, H, W), float in [0, 1], uint8 or uint16; more channels are grey."""
    if isinstance(images, Images):
        images = images.pixels
    a = images.detach().float().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    a = a / np.float32(65535) if a.dtype == np.uint16 else a
    a = a[None] if a.ndim == 3 else a
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
    rows = max(1, -(-len(a) // columns))
    a = np.pad(a, ((0, rows * columns - len(a)), (0, gap), (0, gap), (0, 0)), constant_values=255)
    h, w = a.shape[1:3]
    grid = a.reshape(rows, columns, h, w, 3).swapaxes(1, 2).reshape(rows * h, columns * w, 3)
    return grid[: rows * h - gap, : columns * w - gap]


def show(
    images: Pictures | Mapping[str, Pictures], columns: int | None = None, titles: Sequence[str] = (),
    width: float = 8.0,
) -> Picture:  # fmt: skip
    """Images as a grid; a dict of images as one row each, with its name at the left.

    Args:
        images: (N, C, H, W), or name → (N, C, H, W).
        columns: images in a row; as many as there are, at most 12, by default.
        titles: above the columns.
        width: wished for, in inches; images are enlarged by the whole factor that comes nearest to it.
    """
    if isinstance(images, Mapping):
        names, stacks = list(images), [pixels(v) for v in images.values()]
        columns = columns or max(1, *(len(s) for s in stacks))
        white = (np.full((columns, *s.shape[1:]), 255, np.uint8) for s in stacks)
        each = np.concatenate([np.concatenate([s, w])[:columns] for s, w in zip(stacks, white, strict=True)])
    else:
        names, each = [], pixels(images)
        columns = columns or max(1, min(12, len(each)))
    dpi, gap = 80, 2
    picture = tile(each.transpose(0, 3, 1, 2), columns, gap)
    high, wide = picture.shape[:2]
    h, w = each.shape[1:3]
    # every pixel of an image is a whole square of the screen's: nobody mistakes the screen's blur for ours
    zoom = max(1, round(width * dpi / wide))
    left, top = 7 * max(map(len, names), default=0) + 8, 20 * bool(titles) + 2
    total = left + wide * zoom, top + high * zoom
    with mpl.rc_context(STYLE):
        figure = Picture(figsize=(total[0] / dpi, total[1] / dpi), dpi=dpi, layout="none")
        ax = figure.add_axes((left / total[0], 0.0, wide * zoom / total[0], high * zoom / total[1]))
        ax.imshow(picture, interpolation="nearest", aspect="auto")
        ax.set_axis_off()
        words: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
        for i, name in enumerate(names):
            ax.annotate(name, (0, i * (h + gap) + h / 2), (-6, 0), ha="right", va="center", **words)
        for j, text in enumerate(titles):
            ax.annotate(text, (j * (w + gap) + w / 2, 0), (0, 3), ha="center", va="bottom", **words)
    return figure


def curves(history: Sequence[Mapping[str, float]], log: bool = False) -> Picture:
    """Learning curves: a panel for each term, training and validation in each, from epoch 1 on."""
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


def png(images: Pictures, columns: int = 1, zoom: int = 1) -> bytes:
    """A PNG of a grid of images, enlarged by a whole factor: what widgets show."""
    picture = Image.fromarray(tile(images, columns))
    if zoom > 1:
        picture = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    out, note = io.BytesIO(), PngInfo()
    # of many: so that nobody takes it for one of the photos it lies among
    note.add_text("Software" if len(images) > 1 else "Comment", MADE_HERE)
    picture.save(out, "PNG", compress_level=1, pnginfo=note)
    return out.getvalue()


def svg(figure: Figure) -> str:
    """A figure as an <svg> element for a page, whose lines and letters take the page's colour and font."""
    out = io.StringIO()
    for legend in filter(None, (ax.get_legend() for ax in figure.axes)):
        legend.set_frame_on(False)  # it is white
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    # without the ids too, each of which a page of several figures would have twice
    left_out = r'<metadata>.*?</metadata>|<!--.*?-->| id="[A-Za-z.]+_\d+"'
    text = re.sub(left_out, "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    return text.replace("#000000", "currentColor")
