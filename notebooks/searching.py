"""Explorer of an index: pick a photo, change its code, see who is nearest."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import torch
from torch import Tensor

from aelib import plots
from aelib.explorers.widgets import Explorer, Panel, checked, row
from aelib.retrieval import Answer, Index

SHOWN, COLUMNS, SIDE = 8, 4, 128  # answers, how many in a line, and pixels of each at least


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
