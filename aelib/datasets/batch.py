"""The contract of data: what a step sees, and what everything that trains or judges asks of a set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What one step sees: B examples.

    Args:
        x: (B, …) float, what the encoder sees: tables (B, D), series (B, C, T), pictures (B, C, H, W),
            volumes (B, C, D, H, W). Pixels are in [0, 1]. It holds no NaN: see `known`.
        target: what the reconstruction is compared with; x itself by default.
        c: condition (B, K), given to encoder, decoder and prior.
        y: labels (B,) or attributes (B, A), never given to the model.
        known: bool, in the target's shape: which of its numbers are known; None: all.
        weight: (B,) how much each example counts, 1 on average over the set; None: all the same.
    """

    x: Tensor
    target: Tensor = None  # type: ignore[assignment]  # __post_init__ sets it
    c: Tensor | None = None
    y: Tensor | None = None
    known: Tensor | None = None
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        if self.target is None:
            object.__setattr__(self, "target", self.x)

    def __len__(self) -> int:
        return len(self.x)


Transform = Callable[[Batch], Batch]


def cut(k: int, n: int, total: int, first: int = 0) -> slice:
    """The k-th of n pieces of [first, first + total), whose lengths differ by at most one."""
    return slice(first + k * total // n, first + (k + 1) * total // n)


class Batches(Iterator[Batch]):
    """The batches of one pass over a set, which know how many they are.

    Args:
        batches: yields them.
        steps: how many there are: `len(batches)`.
        total: examples in all of them, on all devices that share each batch.
    """

    def __init__(self, batches: Iterator[Batch], steps: int, total: int) -> None:
        self._batches, self._steps, self._total = batches, steps, total

    def __next__(self) -> Batch:
        return next(self._batches)

    def __len__(self) -> int:
        return self._steps

    def size(self, k: int) -> int:
        """Examples in the k-th batch, on all devices that share it."""
        piece = cut(k, self._steps, self._total)
        return piece.stop - piece.start


_KEPT: WeakKeyDictionary[object, dict[Any, Any]] = WeakKeyDictionary()


def kept(owner: object, shared: dict[Any, Any] | None = None) -> dict[Any, Any]:
    """What was worked out for a set (its tensors on a device): beside it, so no copy takes it along.

    At first it is what another set has `shared`, if that is right for this one too.
    """
    return _KEPT.setdefault(owner, {} if shared is None else shared)


class Data(Protocol):
    """What `train`, `assess`, `encode`, the metrics and `diagnose` ask of a set of examples."""

    def __len__(self) -> int:
        """Examples."""
        ...

    def batches(
        self, size: int, seed: int | None = None, device: torch.device | str = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> Batches:  # fmt: skip
        """Every example once, in batches of at most `size`.

        Args:
            size: the most examples in a batch.
            seed: of the order; None keeps the order.
            device: where the batches are wanted.
            part: (k, n): of every batch the k-th of n parts, for the k-th of n devices that share it.
        """
        ...
