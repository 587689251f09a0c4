"""What a training leaves behind: a record an epoch, and what an epoch stopped halfway needs to go on."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import torch
from torch import Tensor

from ..losses import Terms

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Record = dict[str, float]


@dataclass(frozen=True)
class Unfinished:
    """An epoch between two steps. D is the number of devices, each of which has a row.

    Args:
        step: steps that are done.
        seconds: what they took.
        names: of the terms.
        sums: (D, steps, terms), each step's sums over its examples; 0 for the steps to come.
        count: (D,) examples so far.
        random: (D, …) uint8, torch's random state on the CPU, and CUDA's behind it.
    """

    step: int
    seconds: float
    names: list[str]
    sums: Tensor
    count: Tensor
    random: Tensor


class History(list[Record]):
    """One record an epoch: "epoch", "seconds", and each term as "train/…" and "valid/…", in nats.

    Attributes:
        unfinished: what an epoch that was stopped halfway needs to go on; None between epochs.
    """

    unfinished: Unfinished | None = None

    def table(self) -> pd.DataFrame:
        """A row an epoch."""
        return pd.DataFrame(self).set_index("epoch") if self else pd.DataFrame()

    def plot(self, log: bool = False) -> Any:
        """Learning curves, a panel for each term, on a logarithmic scale if asked; returns the figure."""
        from .. import plots

        return plots.curves(self, log)

    def best(self, key: str = "valid/loss") -> Record:
        """The record with the smallest value."""
        return min(self, key=lambda record: record[key])

    def __repr__(self) -> str:
        if not self:
            return "History(no epochs yet)"
        return self.table().to_string(float_format="{:.5g}".format, max_rows=12)

    def _repr_html_(self) -> str:
        return self.table().to_html(float_format="{:.5g}".format, max_rows=12) if self else repr(self)


class DivergedError(FloatingPointError):
    """A term of the loss became NaN or infinite."""


class Log:
    """Terms of every step of an epoch, kept on the device and fetched once, at its end."""

    def __init__(self, steps: int, epoch: int | None, fabric: "Fabric") -> None:
        self.steps, self.epoch, self.fabric, self.device = steps, epoch, fabric, fabric.device
        self.names: list[str] = []
        self.sums = torch.empty(0)
        self.count = 0

    def add(self, i: int, terms: Terms, n: int) -> None:
        """Note the terms of step i, of n examples."""
        if not self.names:
            for name, term in terms.items():
                if term.shape != (n,):
                    raise ValueError(f"an objective's terms are one number per example, ({n},); {name!r} is "
                                     f"{tuple(term.shape)}. Sum over each example and leave the mean to "
                                     "`train`")  # fmt: skip
            self.names = list(terms)
            self.sums = torch.zeros(self.steps, len(terms), device=self.device)
        sums = torch.stack([t.detach() for t in terms.values()]).sum(1)
        self.sums[i] = sums
        self.count += n
        # costs nothing on a CPU; elsewhere it would wait for the device
        if self.device.type == "cpu" and not all(map(math.isfinite, sums.tolist())):
            self.check(self.sums[i : i + 1], i)

    def check(self, sums: Tensor, first: int) -> None:
        """Raise `DivergedError` if a sum, of the steps from `first` on, is not finite."""
        bad = (~sums.isfinite()).nonzero()
        if len(bad):
            step, term = first + int(bad[0, 0]), self.names[int(bad[0, 1])]
            where = "in validation" if self.epoch is None else f"in epoch {self.epoch + 1}, step {step + 1}"
            raise DivergedError(f"the term {term!r} became {sums[bad[0, 0], bad[0, 1]].item()} {where} of "
                                f"{self.steps}. Look for NaN in the data, then try a learning rate ten times "
                                "smaller, or clip=1.0")  # fmt: skip

    def means(self) -> Record:
        """Each term's mean over the examples, of all devices."""
        sums = self.sums.cpu()
        self.check(sums, 0)
        mine = torch.cat([sums.double().sum(0), torch.tensor([float(self.count)]).double()])
        total = rows(self.fabric, mine).sum(0)
        return dict(zip(self.names, (total[:-1] / total[-1]).tolist(), strict=True))


def rows(fabric: "Fabric", mine: Tensor) -> Tensor:
    """(D, …) what each of the D devices gave, on the CPU: a row each, the same on all of them."""
    if fabric.world_size == 1:
        return mine[None].cpu()
    each = torch.zeros(fabric.world_size, *mine.shape, dtype=mine.dtype, device=fabric.device)
    each[fabric.global_rank] = mine.to(fabric.device)
    return cast(Tensor, fabric.all_reduce(each, reduce_op="sum")).cpu()
