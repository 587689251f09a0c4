"""Link prediction: pairs of nodes, linked or not, and a split without a leak."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..datasets import Batch, Batches
from ..datasets.batch import kept
from ..datasets.graph import Graph


class Pairs(NamedTuple):
    """Pairs of nodes, and which of them are linked: a sample of the graph that a decoder is judged on.

    Args:
        nodes: (2, M) the two nodes of each pair, in any order.
        linked: (M,) float, 1 linked, 0 not.
    """

    nodes: Tensor
    linked: Tensor


def unlinked(graph: Graph, n: int, generator: torch.Generator | None = None, unique: bool = False) -> Tensor:
    """(2, n) pairs of two different nodes that have no link, drawn evenly at random; unique: no pair twice.

    Pairs are drawn and the linked ones drawn again, so that memory grows with n, not with N². ValueError if
    there are fewer such pairs than n (or none at all).
    """
    size = len(graph)
    there_are = size * (size - 1) // 2 - graph.links.shape[1]
    if n and there_are < (n if unique else 1):
        raise ValueError(f"{n} pairs without a link are wanted, but the graph has {there_are}")
    found = graph.links[:, :0].cpu()
    here = graph.to("cpu")
    while found.shape[1] < n:
        drawn = torch.randint(size, (2, 2 * (n - found.shape[1]) + 16), generator=generator)
        drawn = drawn[:, (drawn[0] != drawn[1]) & ~here.has(drawn)]
        found = torch.cat([found, drawn], 1)
        if unique:
            _, first = np.unique(here.key(found).numpy(), return_index=True)
            found = found[:, np.sort(first)]
    return found[:, :n]


@dataclass(frozen=True, eq=False)
class Links:
    """A graph, and the pairs that a model is asked about: what `train` draws its batches from.

    One batch is the whole graph: x the graph that the encoder sees, target the pairs. Its examples are the
    *nodes*: N of them, each with its KL and with half of −log p of each of its pairs, since a pair has two
    ends. So the objectives of `losses` serve as they are, and their mean times N is the sum over the graph.

    Args:
        graph: what the encoder sees.
        present: (2, M) the links that are asked for.
        absent: (2, M) pairs that are no links; None: M of them are drawn again for every batch, out of
            what is not linked *in this graph*. (To leave held-out links out would give away where they are.)
    """

    graph: Graph
    present: Tensor
    absent: Tensor | None = None

    def __len__(self) -> int:
        return len(self.graph)

    def __repr__(self) -> str:
        n, m = self.present.shape[1], 0 if self.absent is None else self.absent.shape[1]
        others = "as many others, drawn for each batch" if self.absent is None else f"{m:,} others"
        return f"Links({n:,} links and {others}; the encoder sees {self.graph.links.shape[1]:,})"

    def batches(
        self, size: int, seed: int | None = None, device: torch.device | str = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> Batches:  # fmt: skip
        """One batch, whatever size and part: a node's code depends on its neighbours, so all come together.

        The seed is of the pairs that are drawn; None: the same every time. The graph travels once.
        """
        device = torch.device(device)
        graph = kept(self).setdefault(device, self.graph.to(device))
        m, absent = self.present.shape[1], self.absent
        if absent is None:
            absent = unlinked(self.graph, m, torch.Generator().manual_seed(seed or 0))
        nodes = torch.cat([self.present.to(device), absent.to(device)], 1)
        target = Pairs(nodes, (torch.arange(nodes.shape[1], device=device) < m).float())
        batch = Batch(graph, target)  # type: ignore[arg-type]  # structure in place of pixels
        return Batches(iter([batch]), 1, len(self) * part[1])

    def batch(self, device: torch.device | str = "cpu") -> Batch:
        """The graph and the pairs, as one batch."""
        return next(self.batches(len(self), device=device))


@dataclass(frozen=True)
class LinkSplit:
    """Three sets of links that share none: to fit, to choose, and to report. All encode one graph."""

    train: Links
    valid: Links
    test: Links


def split(graph: Graph, valid: float = 0.05, test: float = 0.10, seed: int = 0) -> LinkSplit:
    """Hide a share of the links for validation and another for the test; the encoder sees the rest.

    Both hidden parts get as many pairs that are linked nowhere in the graph, all different.

    ValueError for shares that leave nothing to train on, or too few unlinked pairs.

    Source: Kipf, Welling, 2016, https://arxiv.org/abs/1611.07308, whose split is 85 / 5 / 10.
    """
    total = graph.links.shape[1]
    n_valid, n_test = round(valid * total), round(test * total)
    if min(n_valid, n_test) < 0 or n_valid + n_test >= total:
        raise ValueError(f"of {total} links {n_valid} + {n_test} are to be hidden: nothing is left")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(total, generator=generator).to(graph.device)
    hidden, seen = graph.links[:, order[: n_valid + n_test]], graph.links[:, order[n_valid + n_test :]]
    absent = unlinked(graph, n_valid + n_test, generator, unique=True)
    encoded = graph.linked(seen)
    return LinkSplit(
        Links(encoded, encoded.links),
        Links(encoded, hidden[:, :n_valid], absent[:, :n_valid]),
        Links(encoded, hidden[:, n_valid:], absent[:, n_valid:]),
    )
