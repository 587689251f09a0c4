"""What says "correct", or what is off."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def judge(f: Callable, cases: list[tuple], expected: Callable, hints: dict[str, Callable]) -> None:
    """Compare f with `expected` on every case; a wrong answer equal to a known mistake gets its hint."""
    for case in cases:
        want = expected(*case)
        try:
            got = f(*case)
        except Exception as e:
            return print(f"not yet: your function raised {type(e).__name__}: {e}")
        if got is None or got is ...:
            return print("not yet: your function returns nothing so far")
        if not isinstance(got, Tensor):
            return print(f"not yet: a tensor is expected; yours is a {type(got).__name__}")
        if got.shape != want.shape:
            return print(f"not yet: the shape is {tuple(got.shape)}, expected {tuple(want.shape)}")
        if not torch.allclose(got.float(), want, rtol=1e-4, atol=1e-5):
            for hint, mistake in hints.items():
                if torch.allclose(got.float(), mistake(*case), rtol=1e-4, atol=1e-5):
                    return print(f"not yet: {hint}")
            return print("not yet: the shape is right, the numbers are not")
    return print("correct")
