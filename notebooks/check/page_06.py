"""Exercises of page 06."""

import torch
from torch import Tensor

from .judging import exercise, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@exercise([(numbers((9, d))[0] * (1 + torch.arange(9.0)[:, None]), k) for d, k in ((2, 1), (5, 4))])
def nearest_others(z: Tensor, k: int) -> Answers:
    """codes (N, K), k → (N, k), rows of the k others of highest cosine, in order."""

    def first(closeness: Tensor, itself: float = float("-inf")) -> Tensor:
        return closeness.clone().fill_diagonal_(itself).argsort(1, descending=True)[:, :k].float()

    cosine = torch.nn.functional.cosine_similarity(z[:, None], z, dim=2)
    return first(cosine), {
        "nobody is an answer to himself: leave the diagonal out": first(cosine, 2.0),
        "divide the codes by their lengths: cosine, not the dot product": first(z @ z.T),
        "these are the Euclidean neighbours; divide the codes by their lengths": first(-torch.cdist(z, z)),
        "these are the least similar: the highest cosine comes first": first(-cosine),
    }
