"""A graph: nodes that have features, and links between them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

SPARSE = 0.1  # share of features that are not 0, up to which a sparse layout pays


@dataclass(frozen=True, eq=False)
class Graph:
    """N nodes and E links without direction: what a graph autoencoder's encoder sees.

    A link is kept once, with the smaller number first. So both of its directions always go together: no
    split can leave one of them behind. Loops and repetitions are dropped.

    As `Batch.x` a graph is a batch of N examples: its nodes.

    Args:
        features: (N, D) float, one row a node.
        links: (2, E) integers, the two ends of each link, in any order.
        labels: (N,) integers, one class a node; −1: not known. Never given to a model.
        classes: what the labels mean: `classes[labels[i]]` is a name.

    ValueError for shapes or types that do not fit, or a link to a node that does not exist.

    >>> Graph(torch.eye(3), torch.tensor([[1, 0, 2], [0, 1, 2]])).links.tolist()
    [[0], [1]]
    """

    features: Tensor
    links: Tensor
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        x, links = self.features, self.links
        if x.ndim != 2 or not x.is_floating_point():
            raise ValueError(f"features are (N, D) of float; got {tuple(x.shape)} of {x.dtype}")
        if links.ndim != 2 or len(links) != 2 or links.dtype != torch.int64:
            raise ValueError(f"links are (2, E) of int64; got {tuple(links.shape)} of {links.dtype}")
        low, high = (int(links.min()), int(links.max())) if links.numel() else (0, -1)
        if low < 0 or high >= len(x):
            raise ValueError(f"links join nodes 0 to {len(x) - 1}; got numbers from {low} to {high}")
        if self.labels is not None and len(self.labels) != len(x):
            raise ValueError(f"{len(x)} nodes, but {len(self.labels)} labels: need one per node")
        keys = torch.unique(self.key(links[:, links[0] != links[1]]))
        object.__setattr__(self, "links", torch.stack([keys // len(x), keys % len(x)]))

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        known = f", {len(self.classes)} classes" if len(self.classes) else ""
        n, d = self.features.shape
        return f"Graph({n:,} nodes, {self.links.shape[1]:,} links, {d:,} features{known})"

    def key(self, pairs: Tensor) -> Tensor:
        """(M,) one number for each pair of nodes (2, M), the same in both directions: u · N + v, u ≤ v."""
        return pairs.amin(0) * len(self) + pairs.amax(0)

    def has(self, pairs: Tensor) -> Tensor:
        """(M,) of bool: is there a link between the two nodes of each pair (2, M)?"""
        return torch.isin(self.key(pairs), self.key(self.links))

    @cached_property
    def edges(self) -> Tensor:
        """(2, 2E) every link in both directions: what a graph convolution wants."""
        return torch.cat([self.links, self.links.flip(0)], 1)

    @cached_property
    def compact(self) -> Tensor:
        """(N, D) the features; where most are 0, in a sparse layout, which makes X W several times faster."""
        x = self.features
        if x.device.type not in ("cpu", "cuda") or x.count_nonzero() > SPARSE * x.numel():
            return x
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch says that the layout is new
            return x.to_sparse_csr()

    @cached_property
    def degrees(self) -> Tensor:
        """(N,) how many links each node has."""
        return torch.bincount(self.links.flatten(), minlength=len(self))

    @property
    def names(self) -> np.ndarray | None:
        """(N,) the class of each node, by name; "?" where it is not known."""
        return None if self.labels is None else np.asarray([*self.classes, "?"])[self.labels]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.features.device

    def linked(self, links: Tensor) -> "Graph":
        """The same nodes with these links (2, E) instead."""
        return replace(self, links=links)

    def to(self, device: torch.device | str) -> "Graph":
        """The same graph on a device; itself if it is there."""
        if self.device == torch.device(device):
            return self
        return replace(self, features=self.features.to(device), links=self.links.to(device))
