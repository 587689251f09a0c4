"""Training: a generator whose caller's loop body is the callback, and `fit`, which runs it to its end."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import Precision
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import nn
from tqdm import tqdm

from ..datasets import Batch, Images
from ..datasets.images import cut
from ..losses import Objective, Terms
from ..models import evaluating, seeded
from .history import History, Log, Record, Unfinished, rows
from .optim import Optimizers, adam, by_term

if TYPE_CHECKING:
    from ..runs import Keeper, Run

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision every time
if not torch.cuda.is_available():  # Fabric has torch look for a driver anew at each step of an optimizer
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

VALID_SEED = 2**31 - 1  # validation draws the same noise every epoch, so its curve shows the model only


class _Step(nn.Module):
    """The objective as a module's forward, which is what Fabric wraps (for precision, for many devices)."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Callable[[], Batch], **keywords: float) -> Terms:
        # a batch would be rounded to bf16 on its way in, targets and all; a function passes untouched
        return self.objective(self.model, batch(), **keywords)


def train(
    model: nn.Module,
    data: Images,
    objective: Objective,
    optimizers: Optimizers | None = None,
    *,
    epochs: int,
    batch_size: int = 128,
    valid: Images | None = None,
    schedule: Mapping[str, Callable[[float], float]] | None = None,
    history: History | None = None,
    seed: int = 0,
    clip: float | None = None,
    device: str = "auto",
    precision: Any = "32-true",
    fabric: Fabric | None = None,
    tick: Callable[[int, int], bool | None] | None = None,
) -> Iterator[Record]:
    """Train, and yield one record after every epoch; `break` ends it.

    Randomness of epoch e depends on (seed, e) alone and the caller's is left as it was. So a training
    that goes on from saved weights, optimizers and history ends bit-equal (on a CPU) to one that was
    never interrupted. After an epoch the model is in evaluation mode.

    Args:
        model: an `Autoencoder`, or any module that the objective understands. It is moved to the device.
        data: the training images.
        objective: (model, batch, **keywords) → named terms, (B,) each; its mean over the batch descends.
        optimizers: one for the term "loss" (`adam(model)` by default), or a dict term → optimizer(s),
            whose parameters get the gradient of that term alone.
        epochs: passes over the data, counted from the beginning of `history`.
        batch_size: the most images in a step.
        valid: images whose terms are recorded too, as "valid/…", with the objective's default keywords, if
            there are any.
        schedule: keyword → function of the progress in [0, 1]: its value is given to the objective, in
            training only. The keyword "lr" is not given to it: it multiplies the learning rates.
        history: where records are appended; what it holds already is not trained again, neither its
            epochs nor the steps of its unfinished one.
        clip: the largest norm of each optimizer's gradient.
        device: "auto" (CUDA, MPS, CPU in this order), "cuda", "mps", "cpu".
        precision: "32-true", or "bf16-mixed", or another of Lightning Fabric's.
        fabric: a Lightning Fabric of your own, in place of device and precision. With several devices
            each sees its own part of every batch, and the gradient is that of the whole batch.
        tick: called after every step with the steps done and the steps there are. If it returns True the
            training ends there, with what it needs to go on in `history.unfinished`.

    Raises:
        DivergedError: a term became NaN or infinite; names epoch, step and term.
        ValueError: no images, an optimizer of another model, or one for a term that the objective lacks.
    """
    if not hasattr(data, "batches"):
        hint = ": give it one part, as split.train" if hasattr(data, "train") else ""
        raise TypeError(f"train takes images, not {type(data).__name__}{hint}")
    if len(data) == 0:
        raise ValueError("there are no images to train on")
    if epochs < 1:
        raise ValueError(f"epochs is at least 1; got {epochs}")
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1; got {batch_size}")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is the largest norm of a gradient, above 0; got {clip}. None: no limit")
    history = History() if history is None else history
    schedule = dict(schedule or {})
    scale = schedule.pop("lr", None)
    fabric = fabric or Fabric(accelerator=device, devices=1, precision=precision)
    fabric.to_device(model)
    groups = by_term(adam(model) if optimizers is None else optimizers)
    held = {id(p) for group in groups.values() for o in group for p in _parameters(o)}
    if not any(id(p) in held for p in model.parameters()):
        raise ValueError("the optimizer holds no parameter of this model: was it made for another one?")
    for optimizer in (o for group in groups.values() for o in group if fabric.device.type != "cpu"):
        optimizer.load_state_dict(optimizer.state_dict())  # a state read from a file follows its parameters
    wrapped = fabric.setup(_Step(model, objective), *(o for group in groups.values() for o in group))
    step, ready = wrapped[0], iter(wrapped[1:])
    # on one device and in float32 Fabric's wrapper changes nothing, but hangs hooks on every output
    plain = type(fabric.strategy) is SingleDeviceStrategy and type(fabric.strategy.precision) is Precision
    forward = step.module if plain else step
    groups = {term: [next(ready) for _ in group] for term, group in groups.items()}
    everyone = [o for group in groups.values() for o in group]
    moved = {term: [p for o in group for p in _parameters(o)] for term, group in groups.items()}
    bases = [[g.setdefault("initial_lr", g["lr"]) for g in o.param_groups] for o in everyone]
    steps = -(-len(data) // batch_size)
    part = _part(fabric, len(data), steps)

    for epoch in range(len(history), epochs):
        start = time.perf_counter()
        with seeded(_mix(seed, epoch) + fabric.global_rank, fabric.device):
            model.train()
            log = Log(steps, epoch, fabric)
            batches = data.batches(batch_size, _mix(seed, epoch), fabric.device, **part)
            begun, history.unfinished = history.unfinished, None
            if begun is not None:
                start -= begun.seconds
                _go_on(begun, batches, log)
            for i, batch in enumerate(batches, begun.step if begun else 0):
                progress = (epoch + i / steps) / epochs
                if scale:
                    for optimizer, lrs in zip(everyone, bases, strict=True):
                        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                            group["lr"] = lr * scale(progress)
                now = {name: f(progress) for name, f in schedule.items()}
                with fabric.no_backward_sync(step, enabled=len(groups) > 1):
                    terms = forward(lambda batch=batch: batch, **now)
                    log.add(i, terms, len(batch))
                    _descend(fabric, terms, moved, len(batch), cut(i, steps, len(data)))
                _move(fabric, step, groups, clip)
                if tick and tick(epoch * steps + i + 1, epochs * steps):
                    history.unfinished = _pause(log, i + 1, time.perf_counter() - start)
                    model.eval()
                    return
            record = {f"train/{k}": v for k, v in log.means().items()}
            model.eval()
        if valid is not None and len(valid):
            record |= {f"valid/{k}": v for k, v in assess(model, valid, objective, fabric=fabric).items()}
        record = {"epoch": epoch + 1, **record, "seconds": time.perf_counter() - start}
        history.append(record)
        fabric.log_dict(record, step=epoch + 1)
        yield record


@torch.no_grad()
def assess(
    model: nn.Module,
    data: Images,
    objective: Objective,
    *,
    batch_size: int = 512,
    device: str = "auto",
    fabric: Fabric | None = None,
) -> Record:
    """The objective's terms on these images, averaged, without training: same noise at every call.

    Raises:
        ValueError: there are no images.
    """
    if len(data) == 0:
        raise ValueError("there are no images to judge the model on")
    fabric = fabric or Fabric(accelerator=device, devices=1)
    model.to(fabric.device)
    steps = -(-len(data) // batch_size)
    part = _part(fabric, len(data), steps)
    with evaluating(model), seeded(VALID_SEED + fabric.global_rank, fabric.device):
        log = Log(steps, None, fabric)
        for i, batch in enumerate(data.batches(batch_size, device=fabric.device, **part)):
            log.add(i, objective(model, batch), len(batch))
        return log.means()


def fit(
    model: nn.Module,
    data: Images,
    objective: Objective,
    optimizers: Optimizers | None = None,
    *,
    run: str | Path | Run | None = None,
    **keywords: Any,
) -> History:
    """`train` to its end, with a progress bar; the same arguments. Returns the history.

    In a terminal or a notebook the bar moves; in a log file there is a line every few seconds.

    Args:
        run: a folder, as "runs/first". Everything is saved there after every epoch (see `runs.Run`). If the
            folder holds this training already, it goes on from there, or is only read, if it has ended.
            Ctrl-C ends the step, saves, and says how to go on.

    Raises:
        runs.RunError: the folder holds another training, cannot be written, or another process uses it.
    """
    history = keywords.setdefault("history", History())
    if run is None:
        _fit(model, data, objective, optimizers, keywords)
        return history
    from .. import runs

    with runs.keeping(run, model, data, optimizers, keywords) as keeper:
        _fit(model, data, objective, keeper.optimizers, keywords, keeper)
        while history.unfinished is not None:
            keeper.save()
            _fit(model, data, objective, keeper.optimizers, keywords, keeper)
    return history


def _fit(
    model: nn.Module,
    data: Images,
    objective: Objective,
    optimizers: Optimizers | None,
    keywords: dict[str, Any],
    keeper: Keeper | None = None,
) -> None:
    """Train, with a bar, to the end or until the run's keeper wants to save."""
    notebook = _in_notebook()
    first = keywords.get("fabric") is None or keywords["fabric"].is_global_zero
    live = first and (sys.stderr.isatty() or notebook)
    hidden: dict[str, Any] = {} if live else {"disable": True}  # not said when live: TQDM_DISABLE may say it
    bar = tqdm(
        file=sys.stdout if notebook else sys.stderr,  # what goes to stderr looks like an error in a notebook
        leave=False,
        mininterval=0.3,
        bar_format="{percentage:3.0f}% {bar:20} {elapsed} ({remaining} left)  {desc}",
        **hidden,
    )
    epochs, said = keywords.get("epochs"), time.perf_counter()

    def tick(done: int, total: int) -> bool:
        bar.total = total
        bar.update(done - bar.n)
        return keeper is not None and keeper.due()

    with bar:
        for record in train(model, data, objective, optimizers, tick=tick, **keywords):
            text = ", ".join(f"{k} {v:.5g}" for k, v in record.items() if k.endswith("/loss"))
            bar.set_description_str(f"epoch {record['epoch']}/{epochs}: {text}", refresh=False)
            if first and not live and (time.perf_counter() - said > 10 or record["epoch"] == epochs):
                said = time.perf_counter()
                print(f"epoch {record['epoch']}/{epochs}: {text}", file=sys.stderr, flush=True)
            if keeper is not None:
                keeper.save(record)


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _mix(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 7919 + 1) % 2**31


def _part(fabric: Fabric, total: int, steps: int) -> dict[str, Any]:
    """What `batches` is told about this device's part, if there are several."""
    if fabric.world_size == 1:
        return {}
    if total // steps < fabric.world_size:
        raise ValueError(
            f"a batch has {total // steps} images, fewer than the {fabric.world_size} devices that share it: "
            "make batch_size larger or use fewer devices"
        )
    return {"part": (fabric.global_rank, fabric.world_size)}


def _parameters(optimizer: Any) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def _descend(fabric: Fabric, terms: Terms, moved: dict[str, list[Any]], n: int, whole: slice) -> None:
    """Give the parameters that each term moves the gradient of that term, as a mean over the whole batch."""
    for k, (term, mine) in enumerate(moved.items()):
        if term not in terms:
            raise ValueError(f"an optimizer waits for the term {term!r}, the objective has {list(terms)}")
        for p in mine:
            p.grad = None
        more: dict[str, Any] = {} if len(moved) == 1 else {"inputs": mine, "retain_graph": k < len(moved) - 1}
        loss = terms[term].mean()
        if fabric.world_size > 1:  # the strategy averages over devices, whose parts may differ by one image
            loss = loss * (n * fabric.world_size / (whole.stop - whole.start))
        fabric.backward(loss, **more)
        if len(moved) > 1 and fabric.world_size > 1:  # which the strategy does for one backward pass only
            for p in (p for p in mine if p.grad is not None):
                p.grad = fabric.all_reduce(p.grad, reduce_op="mean")


def _move(fabric: Fabric, step: Any, groups: dict[str, list[Any]], clip: float | None) -> None:
    """Let every optimizer step."""
    for optimizer in (o for group in groups.values() for o in group):
        if clip is not None:
            fabric.clip_gradients(step, optimizer, max_norm=clip, error_if_nonfinite=False)
        optimizer.step()


def _pause(log: Log, step: int, seconds: float) -> Unfinished:
    """What the epoch needs to go on from here, gathered from all devices."""
    random = torch.get_rng_state()
    if log.device.type == "cuda":
        random = torch.cat([random, torch.cuda.get_rng_state(log.device)])
    each = (rows(log.fabric, t) for t in (log.sums, torch.tensor(log.count), random))
    return Unfinished(step, seconds, log.names, *each)


def _go_on(begun: Unfinished, batches: Iterator[Batch], log: Log) -> None:
    """Pass over the batches that were seen, and set sums and random state to what they were."""
    rank, devices = log.fabric.global_rank, log.fabric.world_size
    if len(begun.random) != devices:
        raise ValueError(f"an epoch begun on {len(begun.random)} devices cannot be ended on {devices}")
    for _ in range(begun.step):
        next(batches)
    log.names, log.count = begun.names, int(begun.count[rank])
    log.sums = begun.sums[rank].to(log.device)
    cpu = len(torch.get_rng_state())
    torch.set_rng_state(begun.random[rank, :cpu].clone())  # of a view torch reads the storage
    if log.device.type == "cuda":
        torch.cuda.set_rng_state(begun.random[rank, cpu:].clone(), log.device)
