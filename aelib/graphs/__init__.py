"""Graph autoencoders: the one `Autoencoder` class, with neighbours in its encoder and links as its data."""

from ..datasets.graph import Graph
from .data import GRAPHS, load, neighbours
from .links import Links, LinkSplit, Pairs, split, unlinked
from .nets import GCN, BernoulliLinks, InnerProduct, autoencoder, judge

__all__ = [
    "GCN", "GRAPHS", "BernoulliLinks", "Graph", "InnerProduct", "LinkSplit", "Links", "Pairs", "autoencoder",
    "judge", "load", "neighbours", "split", "unlinked",
]  # fmt: skip
