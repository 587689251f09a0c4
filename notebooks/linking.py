"""What page 09 alone has: what a split gives away; an explorer of the links that a model believes in.

The explorer: pick a node, take links away from it, see whom it is linked with.
"""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from aelib import plots
from aelib.contexts import evaluating
from aelib.explorers.widgets import Explorer, Panel, row
from aelib.graphs import BernoulliLinks, Graph, LinkSplit
from aelib.models import Autoencoder
from mapping import Map, colours, flat

SHOWN = 6  # answers


def leaks(split: LinkSplit) -> list[str]:
    """What a split gives away, a sentence each; empty: nothing.

    It looks for hidden links that an encoder sees (in either direction), links that are in two parts, pairs
    called unlinked that are links of some part, and unlinked pairs that validation and test share.
    """
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    graph = split.train.graph
    known = {name: graph.linked(part.present) for name, part in parts.items()}
    everything = graph.linked(torch.cat([part.present for part in parts.values()], 1))
    found, looks = [], []  # what is said, and (which pairs are leaks, what it then says)
    for name, before in (("valid", ["train"]), ("test", ["train", "valid"])):
        hidden, absent = known[name].links, parts[name].absent
        looks += [
            (part.graph.has(hidden), f"{name} links are in the graph that is encoded for {other}")
            for other, part in parts.items()
        ]
        looks += [(known[other].has(hidden), f"{name} links are also {other} links") for other in before]
        if absent is None:
            found.append(f"the unlinked pairs of {name} are drawn again at every look")
        else:
            looks.append((everything.has(absent), f"unlinked {name} pairs are links"))
    if split.valid.absent is not None and split.test.absent is not None:
        shared = graph.linked(split.valid.absent).has(split.test.absent)
        looks.append((shared, "unlinked test pairs are also unlinked valid pairs"))
    return found + [f"{int(leak.sum())} of {len(leak)} {what}" for leak, what in looks if leak.any()]


class Answers(NamedTuple):
    """Whom a node is most probably linked with, and where its true links stand among all others.

    Args:
        nodes: (k,) the most probable first.
        logits: (k,) zᵢᵀ zⱼ: the logarithm of the odds of a link.
        kind: (k,) "seen": a link that the encoder was shown; "hidden": one that it was not; "": no link.
        links: (L,) the nodes that it is linked with, those that the encoder was shown first.
        ranks: (L,) their places in the order of all N − 1 others, from 1.
        seen: how many of the L the encoder was shown.
    """

    nodes: Tensor
    logits: Tensor
    kind: list[str]
    links: Tensor
    ranks: Tensor
    seen: int


@torch.no_grad()
def links_answers(model: Autoencoder, graph: Graph, node: int, seen: int, k: int = SHOWN) -> Answers:
    """The k nodes most probably linked with a node, of whose links the encoder sees the first `seen` only.

    All other links are seen. Codes are the posterior's means; scores are of this node's N − 1 pairs alone.

    Raises:
        TypeError: the model does not decode links.
        ValueError: there is no such node.
    """
    if not 0 <= node < len(graph):
        raise ValueError(f"nodes are numbered 0 to {len(graph) - 1}; got {node}")
    mine = (graph.links == node).any(0).nonzero().flatten()
    kept = torch.ones(graph.links.shape[1], dtype=torch.bool)
    kept[mine[seen:]] = False
    shown = graph.linked(graph.links[:, kept])
    with evaluating(model):
        p = model.decode(model.encode(shown.to(model.device)).mean)
    if not isinstance(p, BernoulliLinks):
        raise TypeError(f"a decoder of links is needed, as graphs.InnerProduct; got {type(p).__name__}")
    others = torch.arange(len(graph))
    others = others[others != node]
    pairs = torch.stack([torch.full_like(others, node), others])
    score = p.logits(pairs.to(model.device)).cpu()
    order = score.argsort(descending=True)
    first = order[: min(k, len(others))]
    known, whole = shown.has(pairs[:, first]), graph.has(pairs[:, first])
    kind = ["seen" if a else "hidden" if b else "" for a, b in zip(known, whole, strict=True)]
    friends = graph.links[:, mine].sum(0) - node  # the other end of each
    place = torch.empty(len(graph), dtype=torch.int64)
    place[others[order]] = torch.arange(1, len(graph))
    return Answers(others[first], score[first], kind, friends, place[friends], len(mine[:seen]))


def links_picture(graph: Graph, node: int, answers: Answers) -> np.ndarray:
    """(1, 3, H, W) uint8: a bar for each answer, as long as its log-odds, in the colour of its class.

    Below, the ranks of the node's true links: filled what the encoder was shown, hollow what it was not.
    """
    figure, ((ax,), (below,)) = plots.axes(2, 1, (4.4, 1.6), gridspec_kw={"height_ratios": (5, 1.2)})
    names = graph.names
    bars = answers.logits.clamp_min(0).numpy()
    shades: Any = (0.7, 0.8, 0.9)
    if names is not None:  # the map's colours, light enough to read black letters on them
        known = colours(names)
        shades = [0.45 * np.array(known[names[i]][:3]) + 0.55 for i in answers.nodes.tolist()]
    ax.barh(range(len(bars)), bars, color=shades, height=0.75)
    for i, (other, kind) in enumerate(zip(answers.nodes.tolist(), answers.kind, strict=True)):
        what = str(other) if names is None else f"{other} · {names[other]}"
        mark = {"seen": " · link, seen", "hidden": " · LINK, HIDDEN", "": ""}[kind]
        ax.text(0.05, i, what + mark, va="center", fontsize=8, color="black")
    ax.set(yticks=[], xlabel="log-odds of a link, nats", ylim=(len(bars) - 0.4, -0.6))
    topic = "" if names is None else f" · {names[node]}"
    ax.set_title(f"node {node}{topic} · {answers.seen} of {len(answers.links)} links seen", fontsize=8)
    ranks, shown = answers.ranks.numpy(), np.arange(len(answers.ranks)) < answers.seen
    below.plot(ranks[shown], 0 * ranks[shown], "o", color="C0", clip_on=False)
    below.plot(ranks[~shown], 0 * ranks[~shown], "o", color="C0", markerfacecolor="none", clip_on=False)
    below.set(xscale="log", xlim=(0.8, len(graph)), yticks=[], xlabel="rank of its true links (1: first)")
    return np.asarray(Image.open(io.BytesIO(figure._repr_png_()[0])).convert("RGB")).transpose(2, 0, 1)[None]


def links_strip(
    model: Autoencoder, graph: Graph, node: int, seen: Sequence[int], k: int = SHOWN
) -> np.ndarray:
    """(S, 3, H, W): the answers for a node of whose links so many are seen. The still of `links`."""
    found = [links_answers(model, graph, node, n, k) for n in seen]
    return np.concatenate([links_picture(graph, node, answers) for answers in found])


def links(
    model: Autoencoder, graph: Graph, places: Tensor, nodes: Sequence[int] | Tensor | None = None
) -> Explorer:
    """Choose a node and how many of its links the encoder sees; look at the links it is believed to have.

    Args:
        graph: with all its links.
        places: (N, 2) where each node is on the map.
        nodes: that can be chosen; all that have two links or more, where none are given.

    Raises:
        ValueError: places that are not (N, 2), or no node to choose.
    """
    places = flat(places)
    if len(places) != len(graph):
        raise ValueError(f"{len(graph)} nodes, but {len(places)} places: need one per node")
    chosen = ((graph.degrees >= 2).nonzero().flatten() if nodes is None else torch.as_tensor(nodes)).tolist()
    if not chosen:
        raise ValueError("there is no node to choose: none has two links")
    which = widgets.IntSlider(0, 0, len(chosen) - 1, description="node", readout=False)
    degree = int(graph.degrees[chosen[0]])
    seen = widgets.IntSlider(degree, 0, degree, description="links seen")
    chart = Map(places.numpy(), graph.names)
    where, answers = Panel("lines to the answers: thick where there is a link", side=1), Panel("", side=1)

    def draw() -> None:
        node = chosen[which.value]
        found = links_answers(model, graph, node, seen.value)
        where.show(_joined(chart, places, node, found))
        answers.show(links_picture(graph, node, found))

    def other() -> None:
        seen.max = int(graph.degrees[chosen[which.value]])
        seen.value = seen.max

    explorer = Explorer("links", draw, seen)
    explorer.follow(which, action=other)
    none = explorer.button("words only", "all its links are hidden", lambda: setattr(seen, "value", 0))
    every = explorer.button("reset", "it sees all of them", lambda: setattr(seen, "value", seen.max))
    return explorer.of(row(which, seen, none, every), row(where, answers))


def _joined(chart: Map, places: Tensor, node: int, answers: Answers) -> np.ndarray:
    """(1, 3, H, W): the map with a ring at the node and a line to each answer."""
    x, y = places[node].tolist()
    picture = Image.fromarray(chart.marked(x, y)[0].transpose(1, 2, 0))
    pen = ImageDraw.Draw(picture)
    for other, kind in zip(answers.nodes.tolist(), answers.kind, strict=True):
        u, v = chart.at(*places[other].tolist())
        pen.line([chart.at(x, y), (u, v)], fill="black", width=3 if kind else 1)
        pen.ellipse((u - 4, v - 4, u + 4, v + 4), outline="black", width=2)
    return np.asarray(picture).transpose(2, 0, 1)[None]
