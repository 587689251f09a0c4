"""What makes an `Autoencoder` one of graphs: an encoder that looks at neighbours, a decoder of links."""

import importlib
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

from .. import priors
from ..contexts import evaluating
from ..datasets.graph import Graph
from ..errors import unknown
from ..models import POSTERIORS, Autoencoder
from .links import Links, Pairs

DENSE = 5000  # nodes of the largest graph of which all N² probabilities are given at once


def geometric(module: str = "nn") -> ModuleType:
    """A module of PyTorch Geometric; ImportError if it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, on what the library still calls
            return importlib.import_module(f"torch_geometric.{module}")
    except ModuleNotFoundError as e:
        raise ImportError(f"graphs need PyTorch Geometric: pip install torch-geometric ({e})") from e


class GCN(nn.Module):
    """Graph convolutions with ReLU between them: graph → (N, sizes[-1]), one row a node.

        H' = Â H W + b,  Â = D^(−½) (A + I) D^(−½),  D: the degrees of A + I.

    A node's row is made of its own features and those of the nodes at most `len(sizes)` links away.

    Args:
        size_in: D, features of a node.
        sizes: of the layers' outputs.
        dropout: share of what is between two layers that is set to zero in training.

    Source: Kipf, Welling, 2017, https://arxiv.org/abs/1609.02907; the layer is PyTorch Geometric's.
    """

    def __init__(self, size_in: int, *sizes: int, dropout: float = 0.0) -> None:
        super().__init__()
        layer = geometric().GCNConv
        self.layers = nn.ModuleList(layer(a, b) for a, b in zip((size_in, *sizes), sizes, strict=False))
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Graph) -> Tensor:
        """Graph → (N, sizes[-1])."""
        h = graph.compact
        for i, layer in enumerate(self.layers):
            h = layer(self.dropout(h.relu()) if i else h, graph.edges)
        return h


class BernoulliLinks(Distribution):
    """p(A|z), z (N, K): each pair of nodes is linked with probability σ(zᵢᵀ zⱼ), all pairs independently.

    It is a distribution over graphs, and never forms N² numbers unless `mean` is asked for: a graph is given
    to `log_prob` as a sample of its pairs.
    """

    arg_constraints = {"z": constraints.real}  # noqa: RUF012

    def __init__(self, z: Tensor) -> None:
        self.z = z.float()
        super().__init__(z.shape[:1], validate_args=False)

    def logits(self, nodes: Tensor) -> Tensor:
        """(M,) zᵢᵀ zⱼ of pairs of nodes (2, M)."""
        return (self.z[nodes[0]] * self.z[nodes[1]]).sum(1)

    def log_prob(self, value: Pairs) -> Tensor:  # type: ignore[override]  # a graph, as a sample of its pairs
        """(N,) nats: each node's half of log p of its pairs, which have two ends. The sum is log p of all."""
        logits, sign = self.logits(value.nodes), 2 * value.linked - 1
        half = logsigmoid(sign * logits) / 2
        return torch.zeros_like(self.z[:, 0]).index_add(0, value.nodes.flatten(), half.repeat(2))

    @property
    def mean(self) -> Tensor:
        """(N, N) the probability of every link; ValueError if they are too many."""
        if len(self.z) > DENSE:
            raise ValueError(f"all pairs of {len(self.z):,} nodes are too many; `logits(nodes)` gives some")
        return (self.z @ self.z.T).sigmoid()


class InnerProduct(nn.Module):
    """The decoder of a graph autoencoder, without a parameter: codes (N, K) → `BernoulliLinks`."""

    def forward(self, z: Tensor) -> BernoulliLinks:
        """(N, K) → distribution over graphs of N nodes."""
        return BernoulliLinks(z)


def autoencoder(
    size: int, latent: int = 64, *, posterior: str = "gaussian", hidden: Sequence[int] = (128,),
    dropout: float = 0.0,
) -> Autoencoder:  # fmt: skip
    """A graph autoencoder: posterior "deterministic" is the GAE, "gaussian" the VGAE.

    Args:
        size: features of a node.
        latent: K.
        hidden: sizes of the layers before the code's.
        dropout: see `GCN`.

    ValueError for an unknown posterior; the nearest is suggested.

    Source: Kipf, Welling, 2016, https://arxiv.org/abs/1611.07308.
    """
    if posterior not in POSTERIORS:
        raise ValueError(unknown("posterior", posterior, POSTERIORS))
    head: Any = POSTERIORS[posterior]()
    encoder = nn.Sequential(GCN(size, *hidden, head.factor * latent, dropout=dropout), head)
    prior = None if posterior == "deterministic" else priors.StandardNormal(latent)
    return Autoencoder(encoder, InnerProduct(), prior)


@torch.no_grad()
def judge(model: Autoencoder, links: Links) -> dict[str, float]:
    """{"auc", "ap"}, from 0 to 1, of a model on pairs, by their zᵢᵀ zⱼ at the posterior's mean.

    AUC: the probability that a linked pair scores higher than an unlinked one (by chance: ½). AP, the average
    precision: the mean, over the linked pairs from the highest score down, of the share of linked pairs
    among all that score as high. Only AP depends on how many unlinked pairs there are to each linked one:
    here as many.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    with evaluating(model):
        batch = links.batch(model.device)
        p = model.decode(model.encode(batch.x).mean)
    if not isinstance(p, BernoulliLinks):
        raise TypeError(f"links are scored by a decoder of links, as InnerProduct; got {type(p).__name__}")
    pairs: Any = batch.target
    linked, score = pairs.linked.cpu(), p.logits(pairs.nodes).cpu()
    return {"auc": float(roc_auc_score(linked, score)), "ap": float(average_precision_score(linked, score))}
