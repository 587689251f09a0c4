"""What `fit` does for a run: the folder opened, restored, saved, and closed however the training ends."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from ..datasets import Images
from ..training import History, Optimizers, Record, adam
from ..training.history import rows
from .events import Events
from .run import Run

SAVE_SECONDS = 600.0  # an epoch that takes longer is saved halfway


class Keeper:
    """What `fit` does for a run: saves it after every epoch, and stops it when asked to.

    Args:
        run: the folder.
        model, optimizers, history: what is saved there.
        valid: images for TensorBoard.
        fabric: where there are several devices; the first one writes.
    """

    def __init__(
        self, run: Run, model: nn.Module, optimizers: Optimizers, history: History, valid: Images,
        fabric: Fabric | None = None,
    ) -> None:  # fmt: skip
        self.run, self.model, self.optimizers, self.history = run, model, optimizers, history
        self.fabric = fabric if fabric is not None and fabric.world_size > 1 else None
        self.first = self.fabric is None or self.fabric.global_rank == 0
        self.events = Events(run.path, model, valid)
        self.asked = 0  # the signal that asked to stop
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Is it time to save: somebody asked, or it is long ago? The same answer on every device."""
        late = self._agree(time.monotonic() - self.saved > SAVE_SECONDS)
        self.asked = self._agree(self.asked)
        return bool(self.asked or late)

    def save(self, record: Record | None = None) -> None:
        """Save, on the first device; then stop if somebody asked.

        Args:
            record: of the epoch that has ended, if one has.

        Raises:
            KeyboardInterrupt, SystemExit: after Ctrl-C, or a signal to end.
        """
        if self.first:
            self.run.save(self.model, self.optimizers, self.history)
            if record is not None:
                self.events.add(record)
        self.saved = time.monotonic()
        self.obey()

    def obey(self) -> None:
        """Stop here, where everything is saved, if somebody asked."""
        self.asked = self._agree(self.asked)
        if self.asked:
            epochs, step = len(self.history), self.history.unfinished.step if self.history.unfinished else 0
            text = (
                f"stopped after {epochs} epochs and {step} steps; everything is saved in {self.run.path}. "
                f"To go on: aelib resume {self.run.path}, or the same call of fit"
            )
            if self.asked == signal.SIGINT:
                raise KeyboardInterrupt(text)
            print(text, file=sys.stderr)
            raise SystemExit(128 + self.asked)

    def ask(self, number: int, frame: object) -> None:
        """A signal's handler: the first is obeyed after the step, a second Ctrl-C at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = number
        if self.first:
            with contextlib.suppress(RuntimeError, OSError):  # it may come in the middle of another print
                print("finishing this step, then saving …", file=sys.stderr, flush=True)

    def _agree(self, number: int) -> int:
        """The largest of what the devices say."""
        return int(number if self.fabric is None else rows(self.fabric, torch.tensor(number)).max())


@contextlib.contextmanager
def keeping(
    run: str | Path | Run, model: nn.Module, data: Images, optimizers: Optimizers | None,
    keywords: dict[str, Any],
) -> Iterator[Keeper]:  # fmt: skip
    """A training kept in a folder: restored if it stands there, its signals caught, its events written.

    Args:
        run: the folder.
        model, data, optimizers: as given to `train`.
        keywords: of `train`; its history is filled from the folder.
    """
    run = run if isinstance(run, Run) else Run(run)
    history, fabric = keywords["history"], keywords.get("fabric")
    optimizers = adam(model) if optimizers is None else optimizers
    keeper = Keeper(run, model, optimizers, history, keywords.get("valid") or data, fabric)
    with contextlib.ExitStack() as stack:
        if keeper.first:
            stack.enter_context(run.locked())
            run.begin(identity(model, data, keywords))
        if fabric is not None:
            fabric.barrier()
        if run.names():
            if history:
                raise ValueError(f"{run.path} has a history of its own: leave `history` out")
            name = run.restore(model, optimizers, history)
            if name is not None and keeper.first:  # it may have been killed between the two
                run.tidy(name, history)
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # only the main thread may
                stack.callback(signal.signal, number, signal.signal(number, keeper.ask))
        stack.callback(keeper.events.close)
        known = len(history)
        yield keeper
        if keeper.first and len(history) > known:
            keeper.events.end(len(history))
        keeper.obey()


def identity(model: nn.Module, data: Images, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same when a training goes on: data, model, seed, batch size, precision."""
    fabric = keywords.get("fabric")
    shapes = ";".join(f"{k} {tuple(v.shape)}" for k, v in model.state_dict().items())
    return {
        "data": repr(data),
        "fingerprint": data.fingerprint() if isinstance(data, Images) else None,
        "model": getattr(model, "recipe", None) or f"{type(model).__name__}: {shapes}",
        **{k: keywords.get(k, default) for k, default in (("batch_size", 128), ("seed", 0), ("clip", None))},
        "schedule": sorted(keywords.get("schedule") or {}),
        "precision": str(
            fabric.strategy.precision.precision if fabric else keywords.get("precision", "32-true")
        ),
    }
