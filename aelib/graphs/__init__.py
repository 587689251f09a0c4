"""Graph autoencoders: the one `Autoencoder` class, with neighbours in its encoder and links as its data."""

from ..datasets.graph import Graph
from .data import GRAPHS, communities, load, neighbours
from .links import Links, LinkSplit, Pairs, leaks, pairs, split, unlinked
from .nets import GCN, BernoulliLinks, InnerProduct, autoencoder
from .scores import judge, scores

__all__ = [
    "GCN", "GRAPHS", "BernoulliLinks", "Graph", "InnerProduct", "LinkSplit", "Links", "Pairs", "autoencoder",
    "communities", "judge", "leaks", "load", "neighbours", "pairs", "scores", "split", "unlinked",
]  # fmt: skip
