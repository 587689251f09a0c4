"""Graphs by name: `load("cora")`; graphs of nearest neighbours."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .. import datasets
from ..datasets import DataError, Examples
from ..datasets.download import download, find
from ..datasets.graph import Graph
from ..errors import unknown
from ..files import digest
from .nets import geometric

URL = "https://github.com/kimiyoung/planetoid/raw/master/data/"  # where PyTorch Geometric finds them too
PLANETOID = tomllib.loads(Path(__file__).with_name("planetoid.toml").read_text("utf-8"))


def papers(name: str) -> Graph:
    """Papers on machine learning, the citations between them, the words they use, and a topic each.

    "Cora" has 2,708, "CiteSeer" 3,327; of 15 of these the files know neither words nor topic. Features: 1 for
    a word that is used and 0 for others, then scaled so that a paper's row has length one.

    Source: Yang, Cohen, Salakhutdinov, 2016, https://arxiv.org/abs/1603.08861.
    """
    known = PLANETOID[name]
    reader = geometric("io").read_planetoid_data  # PyTorch Geometric's dataset class writes beside the files
    files = [_file(name, part, sha) for part, sha in known["sha256"].items()]
    data = reader(str(files[0].parent), name.lower())
    labels = data.y.numpy().copy()
    labels[(data.x.sum(1) == 0).numpy()] = -1  # of these the files say nothing; the reader fills in class 0
    return Graph(normalize(data.x, dim=1), data.edge_index, labels, known["topics"])


def digits(k: int = 5) -> Graph:
    """The embedded handwritten digits, each linked with its k nearest: needs neither files nor a network."""
    return neighbours(datasets.load("digits").all, k)


GRAPHS: dict[str, Callable[..., Graph]] = {
    "cora": partial(papers, "Cora"), "citeseer": partial(papers, "CiteSeer"), "digits": digits,
}  # fmt: skip


def load(name: str, **options: int) -> Graph:
    """A graph by name: looked for in `AELIB_DATA`, then in the cache, then downloaded and verified.

    Args:
        name: one of `GRAPHS`; "digits" needs neither files nor a network.
        options: of that graph, as `k=10` for "digits".

    ValueError if there is no graph of this name; the message suggests the nearest; DataError if the files are
    missing, damaged or cannot be downloaded.
    """
    if name not in GRAPHS:
        raise ValueError(unknown("graph", name, GRAPHS))
    return GRAPHS[name](**options)


def _file(name: str, part: str, sha: str) -> Path:
    relative = f"Planetoid/{name}/raw/ind.{name.lower()}.{part}"
    found = find(relative)
    if found is None:
        url, instead = URL + f"ind.{name.lower()}.{part}", "graphs.load('digits')"
        return download(relative, [url], f"sha256:{sha}", otherwise=instead, what=f"The graph {name}")
    if digest(found) != sha:
        raise DataError(f"{found} is damaged, or another version (its checksum differs). Copy it again.")
    return found


def neighbours(data: Examples | Tensor, k: int = 5) -> Graph:
    """The k-NN graph: each example (or row of features) is linked with its k nearest, by Euclidean distance.

    Args:
        data: examples, whose numbers minus their mean become the features, or features (N, D).
        k: from 1 to N − 1. A node that many have near has more than k links.
    """
    from sklearn.neighbors import kneighbors_graph

    labels, classes = (data.labels, data.classes) if isinstance(data, Examples) else (None, ())
    if isinstance(data, Examples):
        data = replace(data, transforms=()).batch().x.flatten(1)
        data = data - data.mean(0)  # or all codes point the way of the mean image
    n = len(data)
    if not 1 <= k < n:
        raise ValueError(f"of {n} nodes each has 1 to {n - 1} neighbours; got k={k}")
    links = np.stack(kneighbors_graph(data.numpy(), k).nonzero())
    return Graph(data, torch.from_numpy(links).long(), labels, classes)
