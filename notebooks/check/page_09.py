"""Exercises of page 09."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from .asking import measured, predicted
from .judging import compared, exercise, judged, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=0.05)
def hidden_links() -> None:
    """How often is a hidden link rated above a pair that is none, by a model that knows the other links?"""


@predicted(near=0.05)
def leaked_links() -> None:
    """And how often, if the hidden links were left in what the encoder sees?"""


def _adjacency(n: int) -> Tensor:
    """(n, n) of a graph in which no node is alone."""
    a = (numbers((n, n))[0] < 0).float().triu(1)
    a[0, 1:] = 1.0
    return a + a.T


@exercise([(_adjacency(4),), (_adjacency(7),)], by_hand=("torch_geometric", "aelib"))
def normalised(a: Tensor) -> Answers:
    """An adjacency matrix A (N, N) → D^(−½) (A + I) D^(−½), D of A + I."""
    own, few = a + torch.eye(len(a)), a.sum(1)
    many = own.sum(1)
    return many[:, None] ** -0.5 * own * many**-0.5, {
        "a node must see itself too: add I to A": few[:, None] ** -0.5 * a * few**-0.5,
        "D holds the degrees of A + I, not of A": few[:, None] ** -0.5 * own * few**-0.5,
        "this is D^(−1) (A + I), the mean over the neighbours; take half of the exponent on each side": (
            own / many[:, None]
        ),
        "both exponents are −½, not −1": own / many[:, None] / many,
        "divide by the roots of the degrees, do not multiply": many[:, None] ** 0.5 * own * many**0.5,
    }


class Convolution(nn.Module):
    """The reference; each mistake is a subclass."""

    itself, loop, inside, root = 1.0, 1, False, 0.5

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        scale = (torch.bincount(edges[1], minlength=len(x)) + self.loop).clamp_min(1) ** -self.root
        bias = self.linear.bias
        h = (x @ self.linear.weight.T + self.inside * bias) * scale[:, None]
        total = self.itself * h + torch.zeros_like(h).index_add(0, edges[1], h[edges[0]])
        return scale[:, None] * total + (1 - self.inside) * bias


def _but(**different: float) -> type[Convolution]:
    return type("Convolution", (Convolution,), different)


@compared(
    [(_adjacency(n).nonzero().T, *numbers((n, d), (k, d), (k,))) for n, d, k in ((4, 3, 2), (6, 5, 4))],
    reference=Convolution,
    mistakes={
        "a node must see itself too: add its own h to the sum": _but(itself=0.0),
        "the degree counts the node itself: add 1": _but(loop=0),
        "the bias comes last, once per node; do not send it along the links": _but(inside=True),
        "this is a plain sum: scale what leaves a node and what arrives by 1 / √degree": _but(root=0.0),
        "scale by the root of the degree on each side, not by the degree": _but(root=1.0),
    },
    by_hand=("torch_geometric", "aelib"),
)  # fmt: skip
def convolution(layer: type[nn.Module], edges: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A class `Convolution(inputs, outputs)`: (N, D), edges (2, M) → (N, K), a message along each edge."""
    made = layer(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        made.linear.weight.copy_(weight)
        made.linear.bias.copy_(bias)
        return made(x, edges)


def _hide(edges: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    one = edges[:, edges[0] < edges[1]]
    order = torch.randperm(one.shape[1], generator=torch.Generator().manual_seed(seed))
    n = round(share * one.shape[1])
    return tuple(torch.cat([e, e.flip(0)], 1) for e in (one[:, order[n:]], one[:, order[:n]]))  # type: ignore[return-value]


def _hide_in_list(edges: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(seed))
    n = round(share * edges.shape[1])
    return edges[:, order[n:]], edges[:, order[:n]]


def _hide_one_way(edges: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    shown, hidden = _hide(edges, share, seed)
    return shown[:, shown[0] < shown[1]], hidden


def _hide_twice(edges: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    return edges, _hide(edges, share, seed)[1]


@judged(
    reference=_hide,
    mistakes={
        "still shown the other way round": _hide_in_list,
        "is both shown and hidden": _hide_twice,
        "the encoder needs both directions": _hide_one_way,
        "hidden, expected": lambda edges, share, seed: _hide(edges, share / 2, seed),
        "the same every time": lambda edges, share, seed: _hide(edges, share, 0),
    },
    kind="debug",
)
def hide(f: object) -> str | None:
    """Edges (2, 2E), each link in both directions, a share, a seed → (shown, hidden), both (2, …)."""
    seen = []
    for n, share, seed in ((12, 0.25, 0), (30, 0.1, 1), (30, 0.1, 2)):
        edges = _adjacency(n).nonzero().T
        shown, hidden = f(edges.clone(), share, seed)  # type: ignore[operator]
        a, b = ({tuple(e) for e in part.T.tolist()} for part in (shown, hidden))
        if a & b:
            return f"link {min(a & b)} is both shown and hidden"
        if back := {(u, v) for u, v in b if (v, u) in a}:
            return f"{len(back)} of {len(b)} hidden links are still shown the other way round"
        if any((v, u) not in a for u, v in a):
            return "the encoder needs both directions of what is shown"
        links, wanted = len({frozenset(e) for e in b}), round(share * edges.shape[1] / 2)
        if abs(links - wanted) > 1:
            return f"{links} links are hidden, expected {wanted} ({share:.0%} of {edges.shape[1] // 2})"
        if a | b | {(v, u) for u, v in b} != {tuple(e) for e in edges.T.tolist()}:
            return "some links are neither shown nor hidden, or are no links of the graph"
        seen.append(b)
    return "other seeds hide other links; yours are the same every time" if seen[1] == seen[2] else None


def _weighted(logits: Tensor, a: Tensor, weight: Tensor | float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, a, pos_weight=torch.as_tensor(weight))


@exercise(
    [(z @ z.T, _adjacency(len(z)) * (_adjacency(len(z)).cumsum(1) < 3)) for z in numbers((6, 2), (9, 3))],
    by_hand=("aelib",),
)
def balanced(logits: Tensor, a: Tensor) -> Answers:
    """Logits and adjacency, both (N, N) → the published loss: links and other pairs weigh the same."""
    n, e = a.numel(), a.sum()
    weight, norm = (n - e) / e, n / (2 * (n - e))
    on, off = logsigmoid(logits)[a > 0], logsigmoid(-logits)[a == 0]
    return norm * _weighted(logits, a, weight), {
        "links are rare: give each the weight (N² − S) / S": norm * _weighted(logits, a, 1.0),
        "norm is missing: N² / (2 (N² − S))": _weighted(logits, a, weight),
        "the weight is upside down: links are the rare ones": norm * _weighted(logits, a, 1 / weight),
        "the mean over all N² pairs, not the sum": n * norm * _weighted(logits, a, weight),
        "these are probabilities once more: logits go in as they are": (
            norm * _weighted(logits.sigmoid(), a, weight)
        ),
        "the sign is turned round: a loss falls when log p rises": (on.mean() + off.mean()) / 2,
    }


@measured(
    below="too few links are left: take away less",
    above="there are still too many links: take away more",
)
def rare_links() -> None:
    """How much must be taken from each zᵢᵀ zⱼ, so that a sampled graph has as many links as the real one?"""
