"""Exercises of page 03."""

import torch
from torch import Tensor

from .asking import predicted
from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=0.05)
def right_by_pca() -> None:
    """Which share of clothes does a linear rule know by ten numbers of PCA?"""


def _clouds(k: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes around a centre for each class, far from 0, their classes, and new codes."""
    centres, codes, new = numbers((classes, k), (60, k), (40, k), seed=k)
    labels = torch.arange(60) % classes
    return codes + 1.5 * centres[labels] + 4, labels, new + 1.5 * centres[torch.arange(40) % classes] + 4


@exercise([_clouds(3, 4), _clouds(6, 5)], by_hand=("aelib", "sklearn"))
def probe(codes: Tensor, labels: Tensor, new: Tensor) -> Answers:
    """(codes (N, K), classes (N,), new codes (M, K)) → classes (M,), by least squares."""

    def beside(z: Tensor) -> Tensor:
        return torch.cat([z, torch.ones(len(z), 1)], 1)

    def fitted(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.lstsq(a, b).solution

    one = torch.eye(int(labels.max()) + 1)[labels]
    scores = beside(new) @ fitted(beside(codes), one)
    numbered = beside(new) @ fitted(beside(codes), labels.float()[:, None])
    return scores.argmax(1).float(), {
        "the constant is missing: put a column of ones beside the codes": (
            (new @ fitted(codes, one)).argmax(1).float()
        ),
        "these are scores; take the class with the largest one": scores,
        "classes are names, not quantities: fit a column of 0 and 1 for each class": (
            numbered[:, 0].round().clamp(0, labels.max())
        ),
        "take the largest score, not the smallest": scores.argmin(1).float(),
        "the probe is for the new codes; these are the classes of the old ones": (
            (beside(codes) @ fitted(beside(codes), one)).argmax(1).float()
        ),
    }


@predicted(near=0.05, low=0, high=2)
def norm_half_way() -> None:
    """Half-way between two codes, how long is the code, as a share of theirs?"""


@exercise([(*(3 * v / v.norm() for v in numbers((k,), (k,))), t) for k, t in ((2, 0.5), (5, 0.25), (5, 1.0))])
def slerp(a: Tensor, b: Tensor, t: float) -> Answers:
    """a and b (K,) of equal norm, t → (K,), on the arc from a to b."""
    omega = torch.acos(a @ b / (a.norm() * b.norm()))
    there, back = torch.sin(t * omega), torch.sin((1 - t) * omega)
    return (back * a + there * b) / torch.sin(omega), {
        "this is the straight line; go round": (1 - t) * a + t * b,
        "a and b are exchanged: at t = 0 it is a": (back * b + there * a) / torch.sin(omega),
        "divide by sin ω": back * a + there * b,
    }


@exercise(
    [(torch.tensor([[8, 2], [0, 6], [3, 1]]),), (torch.tensor([[5, 1, 4], [2, 7, 0]]),)], by_hand=("sklearn",)
)
def information(counts: Tensor) -> Answers:
    """A table of counts (R, C) → the mutual information of row and column, in nats."""
    p = counts / counts.sum()
    rows, columns = p.sum(1, keepdim=True), p.sum(0, keepdim=True)
    seen, ratio = p > 0, p / (rows * columns)
    right = (p[seen] * ratio[seen].log()).sum()
    return right, {
        "the sign is turned round: log of p(i, j) over p(i) p(j)": -right,
        "in nats: the natural logarithm": right / torch.tensor(2.0).log(),
        "weigh each logarithm by p(i, j)": ratio[seen].log().sum(),
        "divide the counts by their sum first": right * counts.sum(),
        "this is the entropy of the table; divide by p(i) p(j) inside of the logarithm": (
            torch.special.entr(p).sum()
        ),
    }


@exercise([(numbers((f, 6), seed=f)[0].abs(), 1 + numbers((f,), seed=f)[0].abs()) for f in (3, 5)])
def information_gap(known: Tensor, entropy: Tensor) -> Answers:
    """(what K coordinates know of F attributes (F, K), entropies (F,)) → the mutual information gap."""
    best = known.sort(1, descending=True).values
    return ((best[:, 0] - best[:, 1]) / entropy).mean(), {
        "divide by the entropy: an attribute that half of the faces have can be known better": (
            (best[:, 0] - best[:, 1]).mean()
        ),
        "this is the largest minus the smallest; take the second largest": (
            ((best[:, 0] - best[:, -1]) / entropy).mean()
        ),
        "subtract the second largest: it is a gap": (best[:, 0] / entropy).mean(),
        "one number: the mean over the attributes": (best[:, 0] - best[:, 1]) / entropy,
        "rows are attributes: sort along dimension 1": (
            (known.sort(0).values[-1] - known.sort(0).values[-2]).mean() / entropy.mean()
        ),
    }
