"""Exercises of page 01."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .asking import predicted
from .judging import exercise, judged, numbers

Answers = tuple[Tensor, dict[str, Tensor]]


@predicted(near=0.05)
def error_of_32() -> None:
    """Which share of the mean face's error is left if 32 numbers of a face are kept, the best ones?"""


def _components(
    centre: bool = True, last: bool = False, square: bool = True, whole: bool = True, turn: bool = False
) -> Callable:
    """A function that finds principal components, or makes a mistake."""

    def principal_components(x: Any, k: int) -> tuple[Any, Any, Any]:
        mean = x.mean(0)
        _, s, v = np.linalg.svd(x - mean if centre else x, full_matrices=False)
        variance = s**2 if square else s
        share = variance / (variance if whole else variance[:k]).sum()
        if last:
            return mean, v[-k:], share[-k:]
        return mean, v.T[:, :k] if turn else v[:k], share[:k]

    return principal_components


@judged(
    reference=_components(),
    mistakes={
        "subtract the mean before the SVD": _components(centre=False),
        "these are not the directions of the largest variance": _components(last=True),
        "a variance is the square of a singular value": _components(square=False),
        "divide by the variance of all directions": _components(whole=False),
        "one component in each row": _components(turn=True),
        "three things are expected": lambda x, k: _components()(x, k)[1],
    },
    by_hand=("sklearn", "torch._lowrank", "aelib"),
)
def principal_components(f: Callable) -> str | None:
    """(x (N, D), k) → the mean (D,), k principal components (k, D) and (k,), which share each explains."""
    for (n, d), k in (((30, 6), 2), ((8, 12), 3)):
        x = numbers((n, d))[0].numpy() * np.linspace(3, 1, d) + 2
        got = f(x.copy(), k)
        if got is None or got is ...:
            return "your function returns nothing so far"
        if not isinstance(got, tuple | list) or len(got) != 3:
            return "three things are expected: return mean, components, shares"
        mean, v, share = (np.asarray(part) for part in got)
        if mean.shape != (d,) or not np.allclose(mean, x.mean(0), atol=1e-5):
            return f"the first is to be the mean face, ({d},) for x of {x.shape}; yours is {mean.shape}"
        if v.shape != (k, d):
            return f"of x {x.shape} and k = {k}: one component in each row, {(k, d)}; yours are {v.shape}"
        if not np.allclose(v @ v.T, np.eye(k), atol=1e-4):
            return "components have length 1 and are at right angles; yours are not"
        _, right, shares = _components()(x, k)
        if complaint := _not_spanning(v, right, x, k):
            return complaint
        if share.shape != (k,):
            return f"a share for each component is expected, ({k},); yours are {share.shape}"
        if not np.allclose(share, shares, atol=1e-4):
            return _not_shares(share, x, k, shares)
    return None


def _not_spanning(v: Any, right: Any, x: Any, k: int) -> str | None:
    if np.allclose(np.abs((v * right).sum(1)), 1, atol=1e-4):  # a sign is arbitrary
        return None
    if np.allclose(np.abs((v * _components(centre=False)(x, k)[1]).sum(1)), 1, atol=1e-4):
        return "subtract the mean before the SVD: the first of yours points to the mean face"
    return "these are not the directions of the largest variance, the largest first"


def _not_shares(share: Any, x: Any, k: int, right: Any) -> str:
    if np.allclose(share, _components(square=False)(x, k)[2], atol=1e-4):
        return "a variance is the square of a singular value"
    if np.isclose(share.sum(), 1):
        return "divide by the variance of all directions, not of the first k alone"
    return f"the first share is {right[0]:.4g}; yours is {share[0]:.4g}"


@exercise([(x, m, np.linalg.qr(v)[0].T) for v, x, m in [(t.numpy() for t in numbers((6, 2), (4, 6), (6,)))]])
def pca_reconstruction(x: Any, mean: Any, v: Any) -> tuple[Any, dict[str, Any]]:
    """(x (B, D), mean (D,), V (K, D), rows orthonormal) → (B, D)."""
    return mean + (x - mean) @ v.T @ v, {
        "add the mean again at the end": (x - mean) @ v.T @ v,
        "subtract the mean before you project": x @ v.T @ v,
        "subtract the mean before you project, not only add it after": mean + x @ v.T @ v,
    }


@exercise(
    [(w.numpy(), np.linalg.qr(v.numpy())[0].T) for w, v in (numbers(s, s) for s in ((9, 3), (20, 4)))],
    by_hand=("scipy",),
)
def angles(weights: Any, v: Any) -> tuple[Any, dict[str, Any]]:
    """(weights (D, K), V (K, D), rows orthonormal) → (K,), principal angles in degrees, ascending."""
    cosines = np.linalg.svd(v @ np.linalg.qr(weights)[0], compute_uv=False)
    unequal = np.linalg.svd(v @ weights, compute_uv=False)
    right = np.degrees(np.arccos(cosines))
    return right, {
        "the columns of the weights are no orthonormal basis: make one of them first (QR)": np.degrees(
            np.arccos(unequal.clip(0, 1))
        ),
        "each column of length 1 is not enough: they must be at right angles too (QR)": np.degrees(
            np.arccos(
                np.linalg.svd(v @ (weights / np.linalg.norm(weights, axis=0)), compute_uv=False).clip(0, 1)
            )
        ),
        "these are radians; degrees are expected": np.radians(right),
        "the smallest angle comes first": right[::-1].copy(),
        "these are the cosines; the angles are expected": cosines,
        "the singular values are cosines, not sines": 90 - right,
    }


@exercise([(*numbers((20, k)), (torch.arange(20) % 3 == 0).float()) for k in (6, 9)], by_hand=("aelib",))
def direction(z: Tensor, has: Tensor) -> Answers:
    """(codes (N, K), has (N,) of 0 and 1) → (K,), present minus absent, one deviation of the codes long."""
    absent, present = z[has == 0].mean(0), z[has == 1].mean(0)
    v = present - absent

    def long(v: Tensor) -> Tensor:
        return v / v.norm() * (z @ v / v.norm()).std()

    return long(v), {
        "the direction is right; its length is to be the standard deviation of the codes along it": v,
        "the direction is right, of length 1; multiply by the standard deviation of the codes along it": (
            v / v.norm()
        ),
        "the direction is right, its length not: measure the codes along a vector of length 1": (
            v * (z @ v).std()
        ),
        "the sign is turned round: this vector takes the attribute away": long(absent - present),
        "do not take absolute values: a code may have to fall where the attribute is added": long(v.abs()),
        "subtract the mean code of the images without the attribute": long(present),
        "one length for the whole vector, not a deviation for each number of the code": v * z.std(0),
    }


@predicted(near=0.05)
def own_face() -> None:
    """Which share of the faces whose smile was changed still has its own photo as the nearest one?"""
