"""The small pictures in the README's table of pages: `python notebooks/thumbnails.py [NN …]`.

A figure made small as a whole cannot be read. So each small picture is put together from a few cells of a
figure of its page, with words that can be read at the width at which the README shows it. `execute.py` makes
a page's again when it has written its figures.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FIGURES = Path(__file__).parent.parent / "materials" / "figures"
WIDTH = 320  # pixels of the README; the file has SHARP times as many, for screens that show them
SHARP = 2
GAP, WORDS = 2, 14  # between pictures; the height of a line of words
Box = tuple[float, float, float, float]  # left, top, right, bottom


class Row(NamedTuple):
    """Pictures side by side: cells of one row of a figure, or boxes of it as fractions of its size."""

    label: str = ""
    row: int = 0
    columns: Sequence[int] = ()
    boxes: Sequence[Box] = ()
    above: Sequence[str] = ()  # words above the first pictures


class Thumbnail(NamedTuple):
    """A figure, the rows to show of it, and the room for their labels."""

    figure: str
    rows: Sequence[Row]
    labels: int = 0


def labelled(figure: str, columns: Sequence[int], room: int, **named: int) -> Thumbnail:
    """Rows of a figure, each with a label at its left."""
    return Thumbnail(figure, [Row(k.replace("_", " "), i, columns) for k, i in named.items()], room)


def headed(figure: str, columns: Sequence[int], numbers: Sequence[int], *above: str) -> Thumbnail:
    """Rows of a figure, with words above the first."""
    return Thumbnail(figure, [Row("", i, columns, above=above if i == numbers[0] else ()) for i in numbers])


BOTH_CURVES = [(0.06, 0.08, 0.497, 0.86), (0.56, 0.08, 0.997, 0.86)]
BOTH_MAPS = [(0.04, 0.08, 0.48, 0.77), (0.54, 0.08, 0.98, 0.77)]
PAGES = {
    "00": labelled("start-here", (4, 7, 9, 10, 11), 60, face=0, decoded=1),
    "01a": labelled("scratch", range(6), 92, photo=0, linear=1, multilayer=2, convolutional=3),
    "01": labelled("sharpening", range(6), 62, epoch_1=0, epoch_40=4, photo=5),
    "01b": Thumbnail("exact-posterior", [Row("", 0, (), BOTH_CURVES, ("three points", "p(z|x) of each"))]),
    "02": labelled("hidden-beta", range(7), 62, **{"digit": 0, "β = 1": 1, "β = 39.2": 2}),
    "03": headed("manifold", range(3, 12), (4, 7, 10), "a plane of codes, decoded"),
    "04": headed("one-z", range(10), (0, 2, 5), "one code per row, asked for ten digits"),
    "05": labelled("restored", range(6), 62, noisy=0, restored=3, truth=4),
    "06": headed("who-looks-like", range(7), (1, 2), "query", "nearest"),
    "07": labelled("zoo", (0, 2, 3, 5, 7, 9), 88, picture=0, PCA=1, convolutional=4),
    "08": labelled("food", range(5), 60, photo=0, decoded=7),
    "09": Thumbnail(
        "graph-maps",
        [Row("", 0, (), BOTH_MAPS, ("papers, by their words", "by words and links"))],
    ),
    "10": labelled("learnt-prior", range(7), 86, uniform_prior=1, learnt_prior=2, real=3),
    "11": labelled("same-face", (0, 1, 5, 6, 8), 60, photo=0, decoded=1),
    "12": headed("own-search", range(6), (1, 3), "query", "found"),
    "13": labelled("outliers-maps", (0, 2, 3, 4, 5, 6, 8), 62, picture=0, decoded=1, where=2),
    "14": labelled(
        "tokens-faces", range(6), 80, **{"photo": 0, "8 tokens": 1, "32 tokens": 2, "128 tokens": 3}
    ),
    "15": labelled("diffusion-steps-of-a-face", range(6), 62, step_0=0, step_20=2, step_40=4, step_50=5),
}


def cells(ink: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each stretch with ink that is as long as most are: cells of a grid, not words."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ink, [False]]).astype(int)))
    stretches = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 20]
    length = max(Counter(b - a for a, b in stretches).items(), key=lambda item: item[1], default=(0, 0))[0]
    return [(a, b) for a, b in stretches if b - a == length]


def pieces(figure: Image.Image, row: Row) -> list[Image.Image]:
    """The pictures of one row.

    Raises:
        IndexError: the figure has fewer rows or columns than are asked for.
    """
    if row.boxes:
        w, h = figure.size
        return [figure.crop((int(a * w), int(b * h), int(c * w), int(d * h))) for a, b, c, d in row.boxes]
    ink = np.asarray(figure.convert("L")) < 250
    down, across = cells(ink.any(1)), cells(ink.any(0))
    if row.row >= len(down) or max(row.columns) >= len(across):
        raise IndexError(
            f"the figure has {len(down)} rows and {len(across)} columns of cells, too few for {row}: "
            "look at it, and choose again in notebooks/thumbnails.py"
        )
    return [
        figure.crop((across[j][0], down[row.row][0], across[j][1], down[row.row][1])) for j in row.columns
    ]


def draw(thumbnail: Thumbnail) -> Image.Image:
    """The small picture, WIDTH · SHARP pixels wide, of 256 colours."""
    figure = Image.open(FIGURES / f"{thumbnail.figure}.png").convert("RGB")
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 11 * SHARP)
    picture = Image.new("RGB", (WIDTH * SHARP, WIDTH * SHARP), "white")
    pen, left, y = ImageDraw.Draw(picture), thumbnail.labels * SHARP, 0
    for row in thumbnail.rows:
        pictures = pieces(figure, row)
        width = (picture.width - left - GAP * SHARP * (len(pictures) - 1)) / len(pictures)
        height = round(width * pictures[0].height / pictures[0].width)
        y += WORDS * SHARP * bool(row.above)
        for j, cell in enumerate(pictures):
            x = left + round(j * (width + GAP * SHARP))
            picture.paste(cell.resize((int(width), height), Image.Resampling.LANCZOS), (x, y))
            if j < len(row.above):
                pen.text((x, y - 4 * SHARP), row.above[j], "black", font, anchor="ls")
        pen.text((left - 6 * SHARP, y + height // 2), row.label, "black", font, anchor="rm")
        y += height + GAP * SHARP
    return picture.crop((0, 0, picture.width, y - GAP * SHARP)).quantize(256)


def write(page: str) -> None:
    """Draw the small picture of a page, by the number in its name, as "01a"."""
    (FIGURES / "thumbnails").mkdir(exist_ok=True)
    draw(PAGES[page]).save(FIGURES / "thumbnails" / f"{page}.png", optimize=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        write(name)
