"""Graphs by name: `load("cora")`; graphs of nearest neighbours."""

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
# The files are pickles, which can execute what they hold: only these, byte for byte, are opened (sha256).
FILES = {
    "Cora": {
        "allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
        "tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    },
    "CiteSeer": {
        "allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
        "tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
    },
}
# the files know topics by number; which is which follows from how many papers each has
TOPICS = {
    "Cora": (
        "Theory", "Reinforcement learning", "Genetic algorithms", "Neural networks",
        "Probabilistic methods", "Case-based", "Rule learning",
    ),
    "CiteSeer": (
        "AI", "Machine learning", "Information retrieval", "Databases", "Agents", "Human-computer interaction"
    ),
}  # fmt: skip


def papers(name: str) -> Graph:
    """Papers on machine learning, the citations between them, the words they use, and a topic each.

    "Cora" has 2,708, "CiteSeer" 3,327; of 15 of these the files know neither words nor topic. Features: 1 for
    a word that is used and 0 for others, then scaled so that a paper's row has length one.

    Source: Yang, Cohen, Salakhutdinov, 2016, https://arxiv.org/abs/1603.08861.
    """
    reader = geometric("io").read_planetoid_data  # PyTorch Geometric's dataset class writes beside the files
    files = [_file(name, part, sha) for part, sha in FILES[name].items()]
    data = reader(str(files[0].parent), name.lower())
    labels = data.y.numpy().copy()
    labels[(data.x.sum(1) == 0).numpy()] = -1  # of these the files say nothing; the reader fills in class 0
    return Graph(normalize(data.x, dim=1), data.edge_index, labels, TOPICS[name])


def digits(k: int = 5) -> Graph:
    """The embedded handwritten digits, each linked with its k nearest: needs neither files nor a network."""
    parts = datasets.load("digits")  # of one store
    labels = np.concatenate([p.labels for p in (parts.train, parts.valid, parts.test)])
    return neighbours(replace(parts.train, rows=None, labels=labels), k)


GRAPHS: dict[str, Callable[..., Graph]] = {
    "cora": partial(papers, "Cora"),
    "citeseer": partial(papers, "CiteSeer"),
    "digits": digits,
}


def load(name: str, **options: int) -> Graph:
    """A graph by name: looked for in `AELIB_DATA`, then in the cache, then downloaded and verified.

    Args:
        name: one of `GRAPHS`; "digits" needs neither files nor a network.
        options: of that graph, as `k=10` for "digits".

    Raises:
        ValueError: there is no graph of this name; the message suggests the nearest.
        DataError: the files are missing, damaged or cannot be downloaded.
        ImportError: PyTorch Geometric is missing, which reads the files.
    """
    if name not in GRAPHS:
        raise ValueError(unknown("graph", name, GRAPHS))
    return GRAPHS[name](**options)


def _file(name: str, part: str, sha: str) -> Path:
    relative = f"Planetoid/{name}/raw/ind.{name.lower()}.{part}"
    found = find(relative)
    if found is None:
        try:
            url = URL + f"ind.{name.lower()}.{part}"
            return download(relative, [url], f"sha256:{sha}", otherwise="digits", what=f"The graph {name}")
        except DataError as e:
            raise DataError(str(e).replace("datasets.load", "graphs.load")) from e
    if digest(found) != sha:
        raise DataError(f"{found} is damaged, or another version (its checksum differs). Copy it again.")
    return found


def neighbours(data: Examples | Tensor, k: int = 5) -> Graph:
    """The k-NN graph: each example (or row of features) is linked with its k nearest, by Euclidean distance.

    Args:
        data: examples, whose numbers minus their mean become the features, or features (N, D).
        k: at least 1. A node that many have near has more than k links.

    Raises:
        ValueError: k is not between 1 and N − 1.
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
