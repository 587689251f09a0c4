"""`fit`: a training to its end, with a progress bar, stopped by a signal without loss, kept in a folder."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm import tqdm

from ..datasets import Data, Examples
from ..errors import unknown
from ..losses import Objective
from ..training import History, Optimizers, Record, adam, train
from ..training.history import rows
from .events import Events
from .run import Run
from .stop import Stop

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
        self, run: Run, model: nn.Module, optimizers: Optimizers, history: History, valid: Data,
        fabric: Fabric | None = None,
    ) -> None:  # fmt: skip
        self.run, self.model, self.optimizers, self.history = run, model, optimizers, history
        self.fabric = fabric if fabric is not None and fabric.world_size > 1 else None
        self.first = self.fabric is None or self.fabric.global_rank == 0
        self.events = Events(run.path, model, valid)
        self.stop = Stop()
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Is it time to save: somebody asked, or it is long ago? The same answer on every device."""
        late = self._agree(time.monotonic() - self.saved > SAVE_SECONDS)
        self.stop.asked = self._agree(self.stop.asked)
        return bool(self.stop.asked or late)

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
        self.stop.asked = self._agree(self.stop.asked)
        if self.stop.asked:
            epochs, step = len(self.history), self.history.unfinished.step if self.history.unfinished else 0
            text = (
                f"stopped after {epochs} epochs and {step} steps; everything is saved in {self.run.path}. "
                f"To go on: aelib resume {self.run.path}, or the same call of fit"
            )
            if self.stop.asked == signal.SIGINT:
                raise KeyboardInterrupt(text)
            print(text, file=sys.stderr)
            raise SystemExit(128 + self.stop.asked)

    def _agree(self, number: int) -> int:
        """The largest of what the devices say."""
        return int(number if self.fabric is None else rows(self.fabric, torch.tensor(number)).max())


@contextlib.contextmanager
def keeping(
    run: str | Path | Run, model: nn.Module, data: Data, optimizers: Optimizers | None,
    settings: dict[str, Any],
) -> Iterator[Keeper]:  # fmt: skip
    """A training kept in a folder: restored if it stands there, its signals caught, its events written.

    Args:
        run: the folder.
        model, data, optimizers: as given to `train`.
        settings: all of `train`; their history is filled from the folder.
    """
    run = run if isinstance(run, Run) else Run(run)
    history, fabric = settings["history"], settings["fabric"]
    optimizers = adam(model) if optimizers is None else optimizers
    keeper = Keeper(run, model, optimizers, history, settings["valid"] or data, fabric)
    with contextlib.ExitStack() as stack:
        if keeper.first:
            stack.enter_context(run.locked())
            run.begin(identity(model, data, settings))
        if fabric is not None:
            fabric.barrier()
        if run.names():
            if history:
                raise ValueError(f"{run.path} has a history of its own: leave `history` out")
            name = run.restore(model, optimizers, history)
            if name is not None and keeper.first:  # it may have been killed between the two
                run.tidy(name, history)
        answer = "finishing this step, then saving …" if keeper.first else ""
        stack.enter_context(keeper.stop.listening(answer))
        stack.callback(keeper.events.close)
        known = len(history)
        yield keeper
        if keeper.first and len(history) > known:
            keeper.events.end(len(history))
        keeper.obey()


def identity(model: nn.Module, data: Data, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same when a training goes on: data, model, seed, batch size, precision."""
    fabric = settings["fabric"]
    shapes = ";".join(f"{k} {tuple(v.shape)}" for k, v in model.state_dict().items())
    return {
        "data": repr(data),
        "fingerprint": data.fingerprint() if isinstance(data, Examples) else None,
        "model": getattr(model, "recipe", None) or f"{type(model).__name__}: {shapes}",
        **{k: settings[k] for k in ("batch_size", "seed", "clip")},
        "schedule": sorted(settings["schedule"] or {}),
        "precision": str(fabric.strategy.precision.precision if fabric else settings["precision"]),
    }


def fit(
    model: nn.Module,
    data: Data,
    objective: Objective,
    optimizers: Optimizers | None = None,
    *,
    run: str | Path | Run | None = None,
    **settings: Any,
) -> History:
    """`train` to its end, with a progress bar; the same arguments. Returns the history.

    In a terminal or a notebook the bar moves; in a log file there is a line every few seconds. Ctrl-C, or a
    notebook's stop button, ends the step. Without `run` the history so far is returned, and a line says how
    to go on.

    Args:
        run: a folder, as "runs/first". Everything is saved there after every epoch (see `runs.Run`). If the
            folder holds this training already, it goes on from there, or is only read, if it has ended.
            Ctrl-C ends the step, saves, and says how to go on.
        settings: of `train`: epochs, batch_size, valid, schedule, history, seed, clip, device, precision,
            fabric.

    Raises:
        TypeError: a setting that `train` does not have (the nearest is suggested); nothing is written.
        runs.RunError: the folder holds another training, cannot be written, or another process uses it.
    """
    settings = _complete(settings)
    history = settings["history"] = History() if settings["history"] is None else settings["history"]
    if run is None:
        _fit(model, data, objective, optimizers, settings, stop := Stop())
        if stop.asked:
            print(_stopped(history, settings["epochs"], optimizers is None))
        return history
    with keeping(run, model, data, optimizers, settings) as keeper:
        _fit(model, data, objective, keeper.optimizers, settings, keeper.stop, keeper)
        while history.unfinished is not None:
            keeper.save()
            _fit(model, data, objective, keeper.optimizers, settings, keeper.stop, keeper)
    return history


SETTINGS = {
    name: p for name, p in inspect.signature(train).parameters.items()
    if p.kind is p.KEYWORD_ONLY and name != "tick"
}  # fmt: skip
_parameters = {
    name: p for name, p in inspect.signature(fit).parameters.items() if p.kind is not p.VAR_KEYWORD
}
fit.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    list((_parameters | SETTINGS).values()), return_annotation="History"
)


def _complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `train` is called with, its defaults included."""
    for name in settings:
        if name not in SETTINGS:
            raise TypeError("fit: " + unknown("setting", name, [*SETTINGS, "run"]))
    if "epochs" not in settings:
        raise TypeError("fit needs to know how long: epochs=20, say")
    return {name: settings.get(name, p.default) for name, p in SETTINGS.items()}


def _stopped(history: History, epochs: int, own: bool) -> str:
    """What is said of a training that was stopped and is kept in no folder."""
    step = f" and {history.unfinished.step} steps" if history.unfinished else ""
    adam = " (Adam begins again: give an optimizer of your own to keep its state)" if own else ""
    return (
        f"stopped after {len(history)} of {epochs} epochs{step}. The model is as it was then; to go on, call "
        f"fit again with history=, the history that this call returns{adam}"
    )


def _fit(
    model: nn.Module,
    data: Data,
    objective: Objective,
    optimizers: Optimizers | None,
    settings: dict[str, Any],
    stop: Stop,
    keeper: Keeper | None = None,
) -> None:
    """Train, with a bar, to the end, or until somebody asks to stop, or the run's keeper wants to save."""
    notebook = _in_notebook()
    first = settings["fabric"] is None or settings["fabric"].is_global_zero
    live = first and (sys.stderr.isatty() or notebook)
    hidden: dict[str, Any] = {} if live else {"disable": True}  # left out when live: TQDM_DISABLE may say it
    bar = tqdm(
        file=sys.stdout if notebook else sys.stderr,  # what goes to stderr looks like an error in a notebook
        leave=False,
        mininterval=0.3,
        bar_format="{percentage:3.0f}% {bar:20} {elapsed} ({remaining} left)  {desc}",
        **hidden,
    )
    epochs, reported = settings["epochs"], time.perf_counter()

    def tick(done: int, total: int) -> bool:
        bar.total = total
        bar.update(done - bar.n)
        return bool(stop.asked) if keeper is None else keeper.due()

    with bar, contextlib.ExitStack() as stack:
        if keeper is None:
            stack.enter_context(stop.listening("finishing this step …", (signal.SIGINT,)))
        for record in train(model, data, objective, optimizers, tick=tick, **settings):
            text = ", ".join(f"{k} {v:.5g}" for k, v in record.items() if k.endswith("/loss"))
            bar.set_description_str(f"epoch {record['epoch']}/{epochs}: {text}", refresh=False)
            if first and not live and (time.perf_counter() - reported > 10 or record["epoch"] == epochs):
                reported = time.perf_counter()
                print(f"epoch {record['epoch']}/{epochs}: {text}", file=sys.stderr, flush=True)
            if keeper is not None:
                keeper.save(record)
            elif stop.asked:  # between two epochs
                break


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config
