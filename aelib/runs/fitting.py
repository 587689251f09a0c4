"""`fit`: a training to its end, with a progress bar, stopped by a signal without loss, kept in a folder."""

import contextlib
import copy
import inspect
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from tqdm import tqdm

from ..datasets import Data, Examples
from ..errors import say, unknown
from ..losses import Objective
from ..training import Choice, History, Optimizers, Record, adam, choose, train
from ..training.history import rows
from .checkpoint import WEIGHTS, fill
from .events import Events
from .run import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAVE_SECONDS = 600.0  # an epoch that takes longer is saved halfway


def signals() -> list[int]:
    """Those that end a training: Ctrl-C, a request to end, a closed terminal, and `AELIB_SIGNAL`, the
    name (as SIGUSR1) of what a cluster sends before it takes the machine; `ValueError` if it is none."""
    known = {s.name: s for s in signal.Signals if s.name not in ("SIGKILL", "SIGSTOP")}
    if (name := os.environ.get("AELIB_SIGNAL", "SIGTERM")) not in known:
        raise ValueError("AELIB_SIGNAL: " + unknown("signal to be caught", name, known))
    found = [known[n] for n in {"SIGINT": 0, "SIGTERM": 0, "SIGHUP": 0, name: 0} if n in known]
    # Windows lacks the third; nohup has it that a closed terminal is nothing
    return [n for n in found if n.name != "SIGHUP" or signal.getsignal(n) != signal.SIG_IGN]


class Stop:
    """Somebody's wish, by a signal, that a training stop after its step."""

    asked = 0  # the signal's number

    @contextlib.contextmanager
    def listening(self, answer: str, signals: Sequence[int]) -> Iterator[None]:
        """These signals are obeyed after the step, and answered by this text; a second one at once.

        They reach the main thread only; in another one nothing changes.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = number
            with contextlib.suppress(RuntimeError, OSError):  # it may come in the middle of another print
                if answer:
                    print(answer, file=sys.stderr, flush=True)

        with contextlib.ExitStack() as stack:
            for number in signals:
                with contextlib.suppress(ValueError):  # only the main thread may
                    stack.callback(signal.signal, number, signal.signal(number, ask))
            yield


class Keeper:
    """What `fit` does for a run: saves it after every epoch, and stops it when asked to.

    Of several devices the first one writes. TensorBoard shows pictures of `valid`.
    """

    def __init__(
        self, run: Run, model: nn.Module, optimizers: Optimizers, history: History, valid: Data,
        fabric: "Fabric | None" = None,
    ) -> None:  # fmt: skip
        self.run, self.model, self.optimizers, self.history = run, model, optimizers, history
        self.fabric, self.first = fabric, fabric is None or fabric.is_global_zero
        self.events = Events(run.path, model, valid)
        self.stop = Stop()
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Is it time to save: somebody asked, or it is long ago? The same answer on every device."""
        late = self._agree(time.monotonic() - self.saved > SAVE_SECONDS)
        return bool(self._asked() or late)

    def save(self, record: Record | None = None) -> None:
        """Save, on the first device, with the record of the epoch if one has ended; then `obey`."""
        if self.first:
            self.run.save(self.model, self.optimizers, self.history)
            if record is not None:
                self.events.add(record)
        self.saved = time.monotonic()
        self.obey()

    def obey(self) -> None:
        """Stop here, where everything is saved, if somebody asked: KeyboardInterrupt, or SystemExit."""
        if asked := self._asked():
            step = self.history.unfinished.step if self.history.unfinished else 0
            text = (
                f"stopped after {len(self.history)} epochs and {step} steps; everything is saved in "
                f"{self.run.path}. To go on: aelib resume {self.run.path}, or the same call of fit"
            )
            if asked == signal.SIGINT:
                raise KeyboardInterrupt(text)
            say(text)
            raise SystemExit(128 + asked)

    def _asked(self) -> int:
        self.stop.asked = self._agree(self.stop.asked)
        return self.stop.asked

    def _agree(self, number: int) -> int:
        """The largest of what the devices say."""
        return int(number if self.fabric is None else rows(self.fabric, torch.tensor(number)).max())


@contextlib.contextmanager
def keeping(
    run: str | Path | Run, model: nn.Module, data: Data, optimizers: Optimizers | None,
    settings: dict[str, Any], choice: Choice | None = None,
) -> Iterator[Keeper]:  # fmt: skip
    """A training kept in a folder: restored if it is there, its signals caught, its events written.

    The history among the settings, which are all of `train`, is filled from the folder.
    """
    run = run if isinstance(run, Run) else Run(run)
    history, fabric = settings["history"], settings["fabric"]
    optimizers = adam(model) if optimizers is None else optimizers
    keeper = Keeper(run, model, optimizers, history, settings["valid"] or data, fabric)
    with contextlib.ExitStack() as stack:
        if keeper.first:
            stack.enter_context(run.locked())
            run.begin(identity(model, data, settings) | ({"rule": str(choice)} if choice else {}))
            run.remember(data)
        if fabric is not None:
            fabric.barrier()
        if run.names():
            if history:
                raise ValueError(f"{run.path} has a history of its own: leave `history` out")
            name = run.restore(model, optimizers, history)
            if name is not None and keeper.first:  # it may have been killed between the two
                run.tidy(name, history)
        answer = "finishing this step, then saving …" if keeper.first else ""
        stack.enter_context(keeper.stop.listening(answer, signals()))
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
    model: nn.Module, data: Data, objective: Objective, optimizers: Optimizers | None = None, *,
    run: str | Path | Run | None = None, **settings: Any,
) -> History:  # fmt: skip
    """`train` to its end, with a progress bar; the same arguments. Returns the history.

    Without `epochs` a rule looks at the model and the data (`training.choose`) and prints in one line what
    it chose. What is given of optimizers, batch_size and schedule stays; the rest is the rule's. If there is
    `valid`, such a training ends with the weights of the epoch whose validation loss was lowest. With
    `epochs` the defaults are those of `train`, and the weights those of the last epoch.

    In a terminal or a notebook the bar moves; in a log file there is a line every few seconds. Ctrl-C, or a
    notebook's stop button, ends the step. Without `run` the history so far is returned, and a line says how
    to go on.

    Args:
        run: a folder, as "runs/first". Everything is saved there after every epoch (see `runs.Run`). If the
            folder holds this training already, it goes on from there, or is only read, if it has ended.
            Ctrl-C ends the step, saves, and says how to go on.
        settings: of `train`: epochs, batch_size, valid, schedule, history, seed, clip, device, precision,
            fabric.

    TypeError for a setting that `train` does not have (the nearest is suggested); nothing is written;
    runs.RunError if the folder holds another training, cannot be written, or another process uses it.
    """
    settings, choice = _complete(model, data, objective, optimizers, settings)
    if choice is not None:
        objective, optimizers = choice.goal(objective), optimizers or choice.optimizers(model)
    history = settings["history"] = History() if settings["history"] is None else settings["history"]
    if run is not None:
        with keeping(run, model, data, optimizers, settings, choice) as keeper:
            _fit(model, data, objective, keeper.optimizers, settings, keeper.stop, keeper)
        if choice is not None and history and "valid/loss" in history[-1]:
            if keeper.fabric is not None:  # the first device may still be saving
                keeper.fabric.barrier()
            fill(model, keeper.run.folder("best") / WEIGHTS)
        return history
    best: dict[str, Any] | None = None if choice is None else {}
    with (stop := Stop()).listening("finishing this step …", (signal.SIGINT,)):
        _fit(model, data, objective, optimizers, settings, stop, best=best)
    if best and not stop.asked:
        model.load_state_dict(best)
    if stop.asked:
        steps = f" and {history.unfinished.step} steps" if history.unfinished else ""
        own = " (the optimizer begins again: give an optimizer of your own to keep its state)"
        print(
            f"stopped after {len(history)} of {settings['epochs']} epochs{steps}. The model is as it was "
            "then; to go on, call fit again with history=, the history that this call returns"
            + (own if optimizers is None else "")
        )
    return history


SETTINGS = {
    name: p.replace(default=None, annotation="int | None") if name == "epochs" else p
    for name, p in inspect.signature(train).parameters.items() if p.kind is p.KEYWORD_ONLY and name != "tick"
}  # fmt: skip
*_own, _ = inspect.signature(fit).parameters.values()  # without `settings`, which are named instead
_signature = inspect.Signature([*_own, *SETTINGS.values()], return_annotation="History")
fit.__signature__ = _signature  # type: ignore[attr-defined]


def _complete(
    model: nn.Module, data: Data, objective: Objective, optimizers: Optimizers | None,
    settings: Mapping[str, Any],
) -> tuple[dict[str, Any], Choice | None]:  # fmt: skip
    """What `train` is called with, its defaults included; and what the rule chose, if it was asked."""
    for name in settings:
        if name not in SETTINGS:
            raise TypeError("fit: " + unknown("setting", name, [*SETTINGS, "run"]))
    choice, given = None, {name: settings.get(name, p.default) for name, p in SETTINGS.items()}
    if given["epochs"] is None:
        own = "auto" if optimizers is None else "own"
        choice = choose(model, data, objective, batch_size=settings.get("batch_size"), optimizer=own)
        if given["fabric"] is None or given["fabric"].is_global_zero:
            say(choice, sys.stdout if _in_notebook() else sys.stderr)
        schedule = choice.schedules() | dict(given["schedule"] or {})
        given |= {"epochs": choice.epochs, "batch_size": choice.batch_size, "schedule": schedule}
    return given, choice


def _fit(
    model: nn.Module, data: Data, objective: Objective, optimizers: Optimizers | None,
    settings: dict[str, Any], stop: Stop, keeper: Keeper | None = None, best: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Train, with a bar, to the end, or until somebody asks to stop; the keeper saves.

    `best` is filled with the weights of the epoch that is best in validation.
    """
    epochs, history, fabric = settings["epochs"], settings["history"], settings["fabric"]
    notebook, reported = _in_notebook(), time.perf_counter()
    first = fabric is None or fabric.is_global_zero
    live = first and (sys.stderr.isatty() or notebook)
    hidden: dict[str, Any] = {} if live else {"disable": True}  # left out when live: TQDM_DISABLE may say it
    form = "{percentage:3.0f}% {bar:20} {elapsed} ({remaining} left)  {desc}"
    out = sys.stdout if notebook else sys.stderr  # what goes to stderr looks like an error in a notebook
    bar = tqdm(file=out, leave=False, mininterval=0.3, bar_format=form, **hidden)

    def tick(done: int, total: int) -> bool:
        bar.total = total
        bar.update(done - bar.n)
        return bool(stop.asked) if keeper is None else keeper.due()

    with bar:
        while True:
            for record in train(model, data, objective, optimizers, tick=tick, **settings):
                text = ", ".join(f"{k} {v:.5g}" for k, v in record.items() if k.endswith("/loss"))
                text = f"epoch {record['epoch']}/{epochs}: {text}"
                bar.set_description_str(text, refresh=False)
                if first and not live and (time.perf_counter() - reported > 10 or record["epoch"] == epochs):
                    reported = time.perf_counter()
                    say(text)
                if best is not None and "valid/loss" in record and record is history.best():
                    best |= copy.deepcopy(model.state_dict())
                if keeper is not None:
                    keeper.save(record)
                elif stop.asked:  # between two epochs
                    break
            if keeper is None or history.unfinished is None:
                return
            keeper.save()


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config
