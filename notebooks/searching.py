"""What page 06 alone searches with: pixels as lines, how good answers are, and an explorer of an index."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from aelib import plots
from aelib.explorers.widgets import Explorer, Panel, checked, row
from aelib.retrieval import Answer, Index

SHOWN, COLUMNS, SIDE = 8, 4, 128  # answers, how many in a line, and pixels of each at least


class Contrast(nn.Module):
    """(B, C, H, W) → (B, 1, H, W): how each grey pixel differs from its surroundings, in their deviations.

        (x − m) / (s + 0.03),  m and s: mean and standard deviation over a square around the pixel.

    It takes the light away and leaves the lines: as an encoder's first layer, or on a batch's target. The
    square has an odd width in pixels, of which those inside the image count.
    """

    def __init__(self, width: int = 13) -> None:
        super().__init__()
        if width < 3 or width % 2 == 0:
            raise ValueError(f"the width of the surroundings is odd and at least 3; got {width}")
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Images → images of lines, of both signs."""
        x = x.mean(1, keepdim=True)
        x = x - self._mean(x)
        return x / (self._mean(x * x).sqrt() + 0.03)

    def _mean(self, x: Tensor) -> Tensor:
        half = self.width // 2  # rows, then columns: 2 · width additions a pixel in place of width²
        x = avg_pool2d(x, (1, self.width), 1, (0, half), count_include_pad=False)
        return avg_pool2d(x, (self.width, 1), 1, (half, 0), count_include_pad=False)


def precision_at(
    codes: Tensor, labels: np.ndarray, k: Sequence[int] = (1, 5, 10), metric: str = "cosine"
) -> dict[int, float]:
    """Precision at k: the share of the k nearest other images that show the same person, from 0 to 1.

    Queries are the images of everybody with two or more. Who has few images cannot fill k places: the
    precision of one-hot codes of the labels is the most there is to reach.

    Args:
        codes: (N, K).
        labels: (N,) who it is.

    Raises:
        ValueError: nobody has two images, or lengths that differ.
    """
    who = torch.as_tensor(np.asarray(labels))
    if len(who) != len(codes):
        raise ValueError(f"{len(codes)} codes, but {len(who)} labels: need one per code")
    _, person, counts = who.unique(return_inverse=True, return_counts=True)
    queries = (counts[person] > 1).nonzero().flatten()
    if not len(queries):
        raise ValueError("nobody has two images: there is nobody to find again")
    rows = Index(codes, metric).ask(codes[queries], max(k), leave_out=queries).rows
    right = (who[rows] == who[queries][:, None]).double()
    return {n: right[:, :n].mean().item() for n in k}


def search_answers(
    index: Index, codes: Tensor, rows: Sequence[int], v: Tensor, strengths: Sequence[float], k: int
) -> Answer:
    """The k nearest to each of the codes of these rows, moved by each of S strengths of v: (R · S, k).

    A photo is no answer to itself.

    Args:
        index: of the codes.
        codes: (N, K).
        rows: R of them.
        v: (K,), see `latent.direction`.
    """
    z = codes[list(rows)][:, None] + torch.tensor(strengths)[:, None] * v
    return index.ask(z.flatten(0, 1), k, leave_out=torch.tensor(rows).repeat_interleave(len(strengths)))


def search_strip(
    index: Index,
    codes: Tensor,
    photos: plots.Pictures,
    photo: int,
    v: Tensor,
    strengths: Sequence[float],
    k: int = 7,
) -> plots.Pictures:
    """(S · (1 + k), C, H, W): a photo, and the k nearest to its code moved by a strength, a strength a line.

    The still of `search`.
    """
    rows = search_answers(index, codes, [photo], v, strengths, k).rows
    return photos[torch.cat([torch.full((len(rows), 1), photo), rows], 1).flatten().tolist()]


def search(
    index: Index,
    codes: Tensor,
    photos: plots.Pictures,
    directions: Mapping[str, Tensor],
    names: Sequence[str] = (),
) -> Explorer:
    """Choose a photo, slide an attribute into its code ("but smiling"), see the photos that are then nearest.

    Args:
        index: of the codes.
        codes: (N, K) of the photos, at least two.
        photos: (N, C, H, W).
        directions: attribute → vector (K,), see `latent.direction`: the slider counts in multiples of it.
        names: (N,) who is on each photo, to be said below.

    Raises:
        ValueError: lengths that differ, one photo alone, or no directions.
    """
    codes = checked(codes, photos)
    if len(index) != len(codes) or len(names) not in (0, len(codes)):
        raise ValueError(
            f"{len(codes)} codes, but an index of {len(index)} and {len(names)} names: need one per code"
        )
    if len(codes) < 2 or not directions:
        raise ValueError(f"search needs two photos and a direction; got {len(codes)} and {len(directions)}")
    number = widgets.IntSlider(0, 0, len(codes) - 1, description="photo")
    k = min(SHOWN, len(codes) - 1)
    name = widgets.Dropdown(options=list(directions), description="but")
    slider = widgets.FloatSlider(0.0, min=-3, max=3, step=0.25, description="strength", readout_format="+.2f")
    query, nearest, said = Panel("this person"), Panel("nearest, most similar first"), widgets.HTML()

    def draw() -> None:
        i = number.value
        rows, closeness = (
            v[0] for v in search_answers(index, codes, [i], directions[name.value].cpu(), [slider.value], k)
        )
        query.show(photos[i : i + 1])
        if len(names):
            query.title.value = f"this person: {names[i]}"
        shown = [r for r in rows.tolist() if r >= 0]  # an approximate index may find fewer
        zoom = max(1, -(-SIDE // photos.shape[-1]))
        nearest.image.value = plots.png(photos[shown], COLUMNS, zoom)
        called = [names[r] if len(names) else f"photo {r}" for r in shown]
        each = zip(called, closeness.tolist(), strict=False)
        said.value = " · ".join(f"{html.escape(str(who))} {value:.2f}" for who, value in each)

    explorer = Explorer("search", draw, number, name, slider)
    reset = explorer.button("reset", "strength 0", lambda: setattr(slider, "value", 0.0))
    return explorer.of(row(number, name), row(slider, reset), row(query, nearest), said)
